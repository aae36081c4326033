"""Home: what this is, the study, the checkpoint, how well the photo model does, where to go next."""

import streamlit as st

from ui import overview, page, state

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
    checkpoint = page.require(state.checkpoint, "The checkpoint cannot be used")
    overview.checkpoint_facts(checkpoint)
faces = st.container()

st.space("small")
page.section("How well the photo model does")
cohort = page.require(state.cohort, "There is no model to show yet")
overview.performance(cohort)

st.space("small")
page.section("Where to go")
survival, portrait, direction, training = st.columns(4, gap="large")
with survival:
    st.page_link("pages/survival_model.py", label="**Survival model**: what predicts", icon=":material/monitoring:")
    page.note("See photo, clinical data and both side by side, out of fold, with every figure a reviewer asks for.")
with portrait:
    st.page_link("pages/portrait.py", label="**Portrait**: from a photo to a risk", icon=":material/add_a_photo:")
    page.note("Upload a photo, take one, or choose a patient of the study. See it aligned, inverted and scored.")
with direction:
    st.page_link("pages/health_direction.py", label="**Health direction**: move a face", icon=":material/swap_horiz:")
    page.note("Slide a face towards lower or higher modelled hazard; face, risk and survival curve move together.")

with training:
    st.page_link("pages/fine_tune.py", label="**Fine-tune**: other faces", icon=":material/model_training:")
    page.note("Let the generator go on learning from photos of your own, and watch its faces change.")

# Pictures come last: the words are on screen while they are rendered.
with hero:
    overview.hero(cohort, checkpoint)
with faces:
    overview.sample_faces(checkpoint)
