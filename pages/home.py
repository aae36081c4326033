"""Home: what this is, the study, the checkpoint, how well the photo model does, where to go next."""

import streamlit as st

from ui.elements import page
from ui.home import overview
from ui.shell import session

ONWARD = (
    (
        "cohort",
        "Cohort",
        "groups",
        "Look the study over: table, photos, codes. Or make one, from your table or an example.",
    ),
    (
        "survival_model",
        "Survival model",
        "monitoring",
        "What predicts: photo, clinical data and both side by side, out of fold, with the figures reviewers ask for.",
    ),
    (
        "portrait",
        "Portrait",
        "add_a_photo",
        "From a photo to a risk: upload one, take one, or choose a patient. See it aligned, inverted and scored.",
    ),
    (
        "health_direction",
        "Health direction",
        "swap_horiz",
        "Slide a face towards lower or higher modelled hazard; face, risk and survival curve move together.",
    ),
    (
        "fine_tune",
        "Fine-tune",
        "model_training",
        "Let the generator go on learning from photos of your own, and watch its faces change.",
    ),
)

page.masthead(
    "Overview",
    "A face, its risk, and the way between",
    "A photo becomes an aligned face, the face a code, the code a risk; the risk's own coefficients become a direction "
    "that the face can be moved along.",
)
st.space("small")
hero = st.container()
st.space("small")

study = page.require(overview.study, "The study cannot be opened")
page.research_notice(study)
st.space("small")
left, right = st.columns(2, gap="large")
with left:
    st.subheader("The study", anchor=False)
    overview.study_facts(study)
with right:
    st.subheader("The checkpoint", anchor=False)
    checkpoint = page.require(session.checkpoint, "The checkpoint cannot be used")
    overview.checkpoint_facts(checkpoint)
faces = st.container()

st.space("small")
page.section("How well the photo model does")
cohort = None
try:
    cohort = session.cohort()
    overview.performance(cohort)
except session.SENTENCES as error:  # the way on is shown all the same
    page.unavailable("There is no photo model to show", error)

st.space("small")
page.section("Where to go")
grid = st.grid(3, gap=("large", "medium"), min_column_width=200)
for script, name, icon, words in ONWARD:
    with grid.cell():
        st.page_link(f"pages/{script}.py", label=f"**{name}**", icon=f":material/{icon}:")
        page.note(words)

# Pictures come last: the words are on screen while they are rendered.
if cohort is not None:
    with hero:
        overview.hero(cohort)
with faces:
    overview.sample_faces(checkpoint)
