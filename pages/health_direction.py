"""Health direction: one face, moved along the direction in which the modelled risk changes."""

import streamlit as st

from ui.background import panel
from ui.background.missing import require
from ui.elements import blocks
from ui.health_direction import view
from ui.health_direction.controls import controls
from ui.health_direction.state import editing
from ui.shell import session, sidebar

sidebar.masthead(
    "From the risk back to the face",
    "Health direction",
    "Move the slider and see how a face changes as the modelled risk rises or falls: ×2 is twice the risk at the "
    "start.",
    compact=True,
)
require(session.checkpoint, "The face model cannot be used")
scorer = require(session.scorer, "There is no model, so there is no health direction")
edits = editing()
blocks.cautions(scorer, compact=True)

with st.container(key="journey-controls"):
    request = controls(scorer)
if request is None:
    st.stop()
view.prepare(edits, request, scorer)

if edits.drawing is not None:
    task = edits.drawing[1]
    if task.snapshot().active:
        panel.watch(task, "Drawing the pictures in advance, so that the slider responds at once", "Newest picture")
        st.stop()
    panel.outcome(task)
if edits.drawn is None or edits.drawn.request != request:
    st.button("Draw the pictures", key="draw", type="primary", on_click=edits.cancel)
    st.stop()

view.scrub(edits, scorer)
st.space("small")
view.reading(edits, scorer)
blocks.research_notice(scorer.study)
