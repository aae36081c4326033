"""The entry: who may come in, which study and checkpoint, which page. Started by serve.py."""

import streamlit as st

from ui.elements import page
from ui.shell import closed_sessions, gate, resources, theme

st.set_page_config(page_title="Latent health", page_icon=str(theme.ICON), layout="wide")
resources.take_a_thread()
gate.require_access()
closed_sessions.note_this_one()
st.logo(str(theme.ICON), size="large")
chosen = st.navigation(
    {
        "Latent health": [
            st.Page(
                "pages/home.py",
                title="Home",
                icon=":material/home:",
                default=True,
                help="What this is, the study, the checkpoint, and how well the photo model does.",
            ),
            st.Page(
                "pages/cohort.py",
                title="Cohort",
                icon=":material/groups:",
                help="Load a study, check its table and photos, leave patients out, make codes, see what they draw.",
            ),
            st.Page(
                "pages/survival_model.py",
                title="Survival model",
                icon=":material/monitoring:",
                help="Models of the study side by side, out of fold: photo, clinical data, both; choose one.",
            ),
            st.Page(
                "pages/portrait.py",
                title="Portrait",
                icon=":material/add_a_photo:",
                help="A photo becomes an aligned face, a code in W+, and a risk relative to the cohort.",
            ),
            st.Page(
                "pages/health_direction.py",
                title="Health direction",
                icon=":material/swap_horiz:",
                help="Move a face along the direction in which the modelled hazard changes.",
            ),
            st.Page(
                "pages/fine_tune.py",
                title="Fine-tune",
                icon=":material/model_training:",
                help="Let a checkpoint go on learning from photos of your own, and watch it.",
            ),
        ]
    }
)
page.pickers()
with st.container(horizontal_alignment="center"), st.container(width=theme.CONTENT_WIDTH):
    try:
        chosen.run()
    finally:
        resources.warm_up()  # after the page, which would otherwise compete with it
