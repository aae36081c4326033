"""Home: what this is, the study, the face model, how well the photo model does, where to go next."""

import streamlit as st

from ui.background.missing import require, unavailable
from ui.elements import blocks
from ui.home import overview
from ui.shell import session, sidebar

PAGES = (
    (
        "cohort",
        "Cohort",
        "groups",
        "Check the study: table, photos, face codes. Or make a new one from your own table or an example.",
    ),
    (
        "survival_model",
        "Survival model",
        "monitoring",
        "How well photos, clinical data and both together predict survival, with the results that reviewers ask for.",
    ),
    (
        "portrait",
        "Portrait",
        "add_a_photo",
        "From a photo to a risk: upload or take one, or choose a patient.",
    ),
    (
        "health_direction",
        "Health direction",
        "swap_horiz",
        "Slide a face towards lower or higher modelled risk; face, risk and survival curve change together.",
    ),
    (
        "fine_tune",
        "Fine-tune",
        "model_training",
        "Train the face model further on your own photos, and watch its faces change.",
    ),
)

sidebar.masthead(
    "Overview",
    "A face, its risk, and what connects them",
    "The app estimates a risk from a portrait photo, with a survival model fitted to a study, and shows which "
    "changes in the face go with a higher or lower risk.",
)
st.space("small")
hero = st.container()
st.space("small")

study = require(session.study, "The study cannot be opened")
blocks.research_notice(study)
st.space("small")
left, right = st.columns(2, gap="large")
with left:
    st.subheader("The study", anchor=False)
    overview.study_facts(study)
with right:
    st.subheader("The face model", anchor=False)
    checkpoint = require(session.checkpoint, "The face model cannot be used")
    overview.checkpoint_facts(checkpoint)
faces = st.container()

st.space("small")
blocks.section("How well the photo model predicts")
scorer = None
try:
    scorer = session.scorer()
    overview.performance(scorer)
except session.SENTENCES as error:  # the links below are shown all the same
    unavailable("There is no photo model to show", error)

st.space("small")
blocks.section("Where to go")
grid = st.grid(3, gap=("large", "medium"), min_column_width=200)
for script, name, icon, words in PAGES:
    with grid.cell():
        st.page_link(f"pages/{script}.py", label=f"**{name}**", icon=f":material/{icon}:")
        blocks.note(words)

# Pictures come last: the words are on screen while they are rendered.
if scorer is not None:
    with hero:
        overview.hero(scorer)
with faces:
    overview.sample_faces(checkpoint)
