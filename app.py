"""The entry: who may come in, which study and face model, which page. Started by serve.py."""

import streamlit as st

from ui.shell import closed_sessions, early, gate, resources, sidebar, theme

st.set_page_config(page_title="Latent health", page_icon=str(theme.ICON), layout="wide")
early.take_a_thread()
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
                help="What this is, the study, the face model, and how well the photo model predicts.",
            ),
            st.Page(
                "pages/cohort.py",
                title="Cohort",
                icon=":material/groups:",
                help="Check a study's table and photos, exclude patients, embed photos, inspect reconstructions.",
            ),
            st.Page(
                "pages/survival_model.py",
                title="Survival model",
                icon=":material/monitoring:",
                help="How well photo, clinical data and both predict survival; choose the study's model.",
            ),
            st.Page(
                "pages/portrait.py",
                title="Portrait",
                icon=":material/add_a_photo:",
                help="From a photo to a risk compared with the patients of the study.",
            ),
            st.Page(
                "pages/health_direction.py",
                title="Health direction",
                icon=":material/swap_horiz:",
                help="Move a face along the direction in which the modelled risk changes.",
            ),
            st.Page(
                "pages/fine_tune.py",
                title="Fine-tune",
                icon=":material/model_training:",
                help="Train a face model further on your own photos, and watch it.",
            ),
        ]
    }
)
sidebar.pickers()
with st.container(horizontal_alignment="center"), st.container(width=theme.CONTENT_WIDTH):
    try:
        chosen.run()
    finally:
        resources.warm_up()  # after the page, which would otherwise compete with it
