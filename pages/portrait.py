"""Portrait: a photo becomes an aligned face, the face a code, the code a risk."""

import streamlit as st

from latent.inversion.settings import PRESETS
from ui.background import panel
from ui.elements import page, scroll
from ui.elements.escaping import plain
from ui.elements.text import GLOSSARY
from ui.health_direction.controls import choose_my_photo
from ui.portrait import photo as intake
from ui.portrait import results, tuning
from ui.shell import resources, session

page.masthead(
    "From a photo to a risk",
    "Portrait",
    "Offer a photo, check the square that is cut from it, and see how the study's model places the face in the cohort.",
)
checkpoint = page.require(session.checkpoint, "The checkpoint cannot be used")
cohort = page.require(session.cohort, "There is no model to score with")
portrait = session.portrait()
page.cautions(cohort)

page.section("1. Photo")
intake.choose_photo(portrait, cohort)
if portrait.photo is None:
    st.stop()

page.section("2. Face")
intake.choose_face(portrait, cohort, checkpoint)
if portrait.aligned is None:
    st.stop()

page.section("3. Code and risk")
own = cohort.study.settings.preset
with st.container(horizontal=True, vertical_alignment="bottom"):
    preset = st.selectbox(
        "Effort",
        list(PRESETS),
        index=list(PRESETS).index(own),
        key=f"preset-{cohort.study.name}",
        persist_state="session",
        width=220,
        help=f"How long the code is searched for. The cohort's own codes were made with “{plain(own)}”: with another "
        "effort the score is not quite on the cohort's scale. " + GLOSSARY["inversion"] + " " + GLOSSARY["efforts"],
    )
    st.button(
        "Find the code and score it",
        key="score",
        type="primary",
        icon=":material/play_arrow:",
        on_click=results.start,
        args=(portrait, cohort, checkpoint, PRESETS[preset], resources.generator_turn()),
        disabled=not intake.confirmed(portrait) or (portrait.job is not None and portrait.job.snapshot().active),
    )
    st.button(
        "Remove photo and result",
        key="forget",
        icon=":material/delete:",
        on_click=intake.forget,
        help="Forgets the photo and everything that came of it. Nothing of it was stored outside this session.",
    )

results.collect(portrait)
scroll.follow()
if portrait.job is not None:
    with st.container(key="progress"):
        if portrait.job.snapshot().active:
            panel.watch(portrait.job, "Searching the code whose face comes closest to the photo", "Face drawn so far")
            st.stop()
        panel.outcome(portrait.job)
if (without := results.withheld(portrait)) is not None:
    with st.container(key="outcome"):
        st.warning(plain(without.reason), title="No score for this picture", icon=":material/frame_person_off:")
    results.show_fit(without, results.original(portrait, checkpoint))
    st.stop()
score = results.current(portrait, cohort)
if score is None:
    if portrait.scored is portrait.aligned:
        results.outdated(portrait, cohort)
    st.stop()

original = results.original(portrait, checkpoint)
with st.container(key="outcome"):
    results.show_risk(score, cohort, portrait.patient)
if st.button(
    "Move this face along the health direction",
    key="onward",
    type="primary",
    icon=":material/swap_horiz:",
    on_click=choose_my_photo,
):
    st.switch_page("pages/health_direction.py")
st.space("small")
st.markdown("#### Where this score stands in the cohort")
results.show_place(score, cohort)
st.space("small")
st.markdown("#### How well the code fits the photo")
results.show_fit(score, original)
st.space("small")
st.markdown("#### A closer picture of this face")
tuning.section(portrait, score, checkpoint, original, resources.generator_turn())
st.space("small")
st.markdown("#### Take away")
results.show_downloads(score, cohort, checkpoint, original)
with st.expander("Settings and provenance"):
    results.show_details(score, checkpoint)
page.research_notice(cohort.study)
