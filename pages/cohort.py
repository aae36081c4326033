"""Cohort: a study checked before its results are believed: table, photos, face codes, and who is excluded."""

import streamlit as st

from ui.background import study_jobs
from ui.background.missing import require, unavailable
from ui.cohort import checks, codes, new_study, patients, photos, standing
from ui.elements import blocks, message
from ui.shell import session, sidebar

VIEWS = ("Patients", "Table check", "Photos", "Face codes and model", "Reconstructions", "New study")

sidebar.masthead(
    "The study behind the results",
    "Cohort",
    "Check the table and photos, exclude patients, embed photos, and compare photos with their reconstructions.",
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
message.show()
if view == "New study":
    study_jobs.section("", study_jobs.OF_COHORT, "cohort")
    new_study.form()
    st.stop()

opened = require(session.opened_study, "The study cannot be opened")
study_jobs.section(opened.path, study_jobs.OF_COHORT, "cohort")
if not opened.usable and view not in ("Patients", "Table check"):
    unavailable("The study has errors", "First correct the errors that the table check lists.")
    st.stop()

if view == "Patients":
    if not opened.usable:
        unavailable("The study has errors", "To use the study, correct the errors that the table check lists.")
    checks.facts(opened)
    if opened.usable:
        patients.section(opened)
    blocks.research_notice(opened.study)
elif view == "Table check":
    blocks.section("Findings, row by row")
    checks.report(opened)
elif view == "Photos":
    blocks.section("Photos and their flags")
    photos.section(opened)
elif view == "Face codes and model":
    blocks.section("Face codes and model")
    standing.standing(opened)
    blocks.section("Does the reconstruction error predict survival?")
    codes.survival(opened)
else:
    blocks.section("Photos and reconstructions")
    codes.gallery(opened)
