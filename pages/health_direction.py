"""Health direction: one face, moved along the direction in which the modelled hazard changes."""

import streamlit as st

from ui.background import panel
from ui.elements import page
from ui.health_direction import view
from ui.health_direction.controls import controls
from ui.shell import session

page.masthead(
    "From the risk back to the face",
    "Health direction",
    "Move a face along the direction in which the modelled hazard changes: ×2 doubles it.",
    compact=True,
)
page.require(session.checkpoint, "The checkpoint cannot be used")
cohort = page.require(session.cohort, "There is no model, so there is no health direction")
editing = session.editing()
page.cautions(cohort, compact=True)

with st.container(key="journey-controls"):
    wish = controls(cohort)
if wish is None:
    st.stop()
view.prepare(editing, wish, cohort)

if editing.job is not None:
    if editing.job.snapshot().active:
        panel.watch(editing.job, "Drawing the frames ahead, so that the slider moves at once", "Newest frame")
        st.stop()
    panel.outcome(editing.job)
if editing.shown is None or editing.shown.wish != wish:
    st.button("Draw the frames", key="draw", type="primary", on_click=view.again, args=(editing,))
    st.stop()

view.scrub(editing, cohort)
st.space("small")
view.reading(editing, cohort)
page.research_notice(cohort.study)
