"""Health direction: one face, moved along the direction in which the modelled hazard changes."""

import streamlit as st

from ui import journey, page, state, watch
from ui.wish import controls

page.masthead(
    "From the risk back to the face",
    "Health direction",
    "Move a face along the direction in which the modelled hazard changes: ×2 doubles it.",
    compact=True,
)
page.require(state.checkpoint, "The checkpoint cannot be used")
cohort = page.require(state.cohort, "There is no model, so there is no health direction")
editing = state.editing()
page.cautions(cohort, compact=True)

with st.container(key="journey-controls"):
    wish = controls(cohort)
if wish is None:
    st.stop()
journey.prepare(editing, wish, cohort)

if editing.job is not None:
    if editing.job.snapshot().active:
        watch.watch(editing.job, "Drawing the frames ahead, so that the slider moves at once", "Newest frame")
        st.stop()
    watch.outcome(editing.job)
if editing.shown is None or editing.shown.wish != wish:
    st.button("Draw the frames", key="draw", type="primary", on_click=journey.again, args=(editing,))
    st.stop()

journey.scrub(editing, cohort)
st.space("small")
journey.reading(editing, cohort)
page.research_notice(cohort.study)
