"""Cohort: a study looked over before its figures are believed: table, photos, codes, and who is left out."""

import streamlit as st

from ui.cohort import checks, codes, jobs, new_study, photos
from ui.cohort import opened as cohort_files
from ui.cohort.patients import section as people
from ui.elements import page
from ui.shell import session

VIEWS = ("Patients", "Table check", "Photos", "Codes", "Reconstructions", "New study")

page.masthead(
    "The study behind the figures",
    "Cohort",
    "Load a study, see what is wrong with its table and its photos, leave people out with a reason, turn photos into "
    "codes, and look at what the codes draw.",
)
view = st.segmented_control(
    "View",
    VIEWS,
    default=VIEWS[0] if session.pick_study() else VIEWS[-1],
    key="cohort-view",
    persist_state="session",
    required=True,
    label_visibility="collapsed",
)
cohort_files.problem()
if view == "New study":
    jobs.section("")
    new_study.form()
    st.stop()

found = page.require(cohort_files.opened, "The study cannot be opened")
jobs.section(found.words)
if not found.usable and view not in ("Patients", "Table check"):
    page.unavailable("The study has errors", "Correct what the table check lists as errors first.")
    st.stop()

if view == "Patients":
    if not found.usable:
        page.unavailable("The study has errors", "It cannot be used before what the table check lists is corrected.")
    checks.facts(found)
    if found.usable:
        people(found)
    page.research_notice(found.study)
elif view == "Table check":
    page.section("What was found, row by row")
    checks.report(found)
elif view == "Photos":
    page.section("Photos and their flags")
    photos.section(found)
elif view == "Codes":
    page.section("Codes and model")
    jobs.standing(found)
    page.section("Does inversion error predict survival?")
    codes.survival(found)
else:
    page.section("Photo against reconstruction")
    codes.gallery(found)
