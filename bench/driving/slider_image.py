"""The default way to scrub, as a baseline: a server-side slider and a picture sent for every step.

FRAMES names an .npy file with uint8 frames (K, S, S, 3).
"""

import os

import numpy as np
import streamlit as st


@st.cache_resource
def frames() -> np.ndarray:
    return np.load(os.environ["FRAMES"])


pictures = frames()
step = st.slider("Step", 0, len(pictures) - 1, len(pictures) // 2)
st.image(pictures[step], width=400)
