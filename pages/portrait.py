"""Portrait: a photo becomes an aligned face, the face a code, the code a risk."""

import streamlit as st

from latent.inversion.settings import PRESETS
from ui.background import panel
from ui.background.missing import require
from ui.elements import blocks, scroll
from ui.elements.escaping import plain
from ui.elements.glossary import GLOSSARY
from ui.health_direction.controls import choose_my_photo
from ui.portrait import photo, results, risk, tuning
from ui.portrait.state import portrait
from ui.shell import session, sidebar

sidebar.masthead(
    "From a photo to a risk",
    "Portrait",
    "Choose a photo, check the face in it, and see the risk that the study's model gives it, compared with the "
    "study's patients.",
)
checkpoint = require(session.checkpoint, "The face model cannot be used")
scorer = require(session.scorer, "There is no model to score with")
state = portrait()
blocks.cautions(scorer)

blocks.section("1. Photo")
photo.choose_photo(state, scorer)
if state.photo is None:
    st.stop()

blocks.section("2. Face")
photo.choose_face(state, scorer)
if state.aligned is None:
    st.stop()

blocks.section("3. Risk")
default = scorer.study.settings.preset
with st.container(horizontal=True, vertical_alignment="bottom"):
    preset = st.selectbox(
        "Effort",
        list(PRESETS),
        index=list(PRESETS).index(default),
        key=f"preset-{scorer.study.name}",
        persist_state="session",
        width=220,
        help=f"How long the face model is fitted to the photo. The study's photos were fitted with “{plain(default)}”: "
        f"a score computed with another effort is not strictly comparable. {GLOSSARY['inversion']} "
        f"{GLOSSARY['efforts']}",
    )
    st.button(
        "Compute the risk",
        key="score",
        type="primary",
        icon=":material/play_arrow:",
        on_click=results.start,
        args=(state, scorer, None if preset == default else PRESETS[preset]),
        disabled=not photo.confirmed(state) or (state.task is not None and state.task.snapshot().active),
    )
    st.button(
        "Remove photo and result",
        key="forget",
        icon=":material/delete:",
        on_click=photo.forget,
        help="Forgets the photo and everything that was computed from it. None of it was stored outside this session.",
    )

results.collect(state)
scroll.follow()
if state.task is not None:
    with st.container(key="progress"):
        if state.task.snapshot().active:
            panel.watch(state.task, "Fitting the face model to the photo", "Picture so far")
            st.stop()
        panel.outcome(state.task)
if (withheld := results.withheld(state)) is not None:
    with st.container(key="outcome"):
        st.warning(plain(withheld.reason), title="No score for this picture", icon=":material/frame_person_off:")
    results.show_fit(withheld, results.original(state, checkpoint))
    st.stop()
score = results.current(state, scorer)
if score is None:
    if state.scored is state.aligned:
        results.outdated(state, scorer)
    st.stop()

original = results.original(state, checkpoint)
with st.container(key="outcome"):
    risk.show_risk(score, scorer, state.patient)
if st.button(
    "Move this face along the health direction",
    key="onward",
    type="primary",
    icon=":material/swap_horiz:",
    on_click=choose_my_photo,
):
    st.switch_page("pages/health_direction.py")
st.space("small")
st.markdown("#### Where this score stands among the patients")
risk.show_place(score, scorer)
st.space("small")
st.markdown("#### How well the face model reproduces the photo")
results.show_fit(score, original, tuning.choose_picture(state))
st.space("small")
st.markdown("#### A closer picture of this face")
tuning.section(state, score, checkpoint, original)
st.space("small")
st.markdown("#### Downloads")
results.show_downloads(score, scorer, original)
with st.expander("Settings and provenance"):
    results.show_details(score, checkpoint)
blocks.research_notice(scorer.study)
