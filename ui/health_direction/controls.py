"""Whose face is moved, which way, by which layers: the Health direction page's choices, and the codes behind them."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from ui.elements.escaping import plain
from ui.elements.text import GLOSSARY
from ui.health_direction import frames
from ui.portrait import results, tuning
from ui.shell import session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from study.scoring.direction import Kind
    from ui.shell.resources import Cohort

UPLOADED, PATIENT, RANDOM = "My photo", "Patient", "Random"
KINDS: dict[str, Kind] = {"Coefficients": "coefficients", "Pattern": "pattern"}
RANDOM_PSI = 0.7
RANDOM_HELP = f"Each whole number is another face, truncated at {RANDOM_PSI}. {GLOSSARY['psi']}"
TUNED_HELP = (
    "Draw the frames with the copy of the generator that was tuned to this photo on the Portrait page, so that the "
    "start looks like the photo. It changes the pictures and nothing else: hazard, percentile and survival are the "
    "code's."
)


@dataclass(frozen=True)
class Wish:
    """What the controls ask for: whose face, moved how, by which model.

    face: patient, seed, or digest of the photo's code. stamp: of the cohort whose model moves it. tuned: digest of the
    tuned generator that draws it, "" for the checkpoint's own.
    """

    source: str
    face: str
    kind: Kind
    band: str
    stamp: str
    tuned: str = ""


def controls(cohort: Cohort) -> Wish | None:
    """The row of choices; None where the chosen face does not exist yet."""
    tuning.collect(session.portrait())
    st.session_state.setdefault("face_source", UPLOADED if session.portrait().score is not None else PATIENT)
    st.session_state.setdefault("kind", next(iter(KINDS)))
    st.session_state.setdefault("band", next(iter(frames.BANDS)))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = st.segmented_control(
            "Face", (UPLOADED, PATIENT, RANDOM), key="face_source", persist_state="session", required=True
        )
        face = _face(source or PATIENT, cohort)
        tuned = _tuned_toggle(cohort) if source == UPLOADED and face is not None else ""
        how = st.popover(plain(_how()), icon=":material/tune:")
    with how:
        kind = st.segmented_control(
            "Direction",
            list(KINDS),
            key="kind",
            persist_state="session",
            required=True,
            help=f"**Coefficients**: {GLOSSARY['coefficients']}\n\n**Pattern**: {GLOSSARY['pattern']}",
        )
        band = st.segmented_control(
            "Layers that move",
            list(frames.BANDS),
            key="band",
            persist_state="session",
            required=True,
            help=frames.BAND_HELP,
        )
    if face is None:
        _nothing_scored(cohort)
        return None
    return Wish(source or PATIENT, face, KINDS[kind or "Coefficients"], band or "All", cohort.stamp, tuned)


def _how() -> str:
    """The choices behind the button, in words."""
    layers = str(st.session_state["band"])
    return f"{st.session_state['kind']}, {layers.lower()} layers"


def _nothing_scored(cohort: Cohort) -> None:
    if not results.outdated(session.portrait(), cohort):
        st.info("No photo has been scored with this study and checkpoint yet.", icon=":material/add_a_photo:")
    st.page_link("pages/portrait.py", label="To the page Portrait", icon=":material/arrow_forward:")


def _tuned_toggle(cohort: Cohort) -> str:
    """Whether the tuned generator draws the photo's face; asked only where there is one. Returns its digest or ""."""
    tuned = tuning.current(cohort.scorer.checkpoint)
    if tuned is None:
        return ""
    st.session_state.setdefault("tuned", True)
    chosen = st.toggle("Tuned generator", key="tuned", persist_state="session", help=TUNED_HELP)
    return tuned.sha256 if chosen else ""


def choose_my_photo() -> None:
    """Let the page open on the scored photo (runs before a page)."""
    st.session_state["face_source"] = UPLOADED


def _my_code(cohort: Cohort) -> NDArray[np.float32] | None:
    """The scored photo's code, where the cohort's model scored it."""
    score = session.portrait().score
    return score.inversion.ws if score is not None and score.stamp == cohort.stamp else None


def _my_face(code: NDArray[np.float32]) -> str:
    """Names a photo by its code."""
    return sha256(np.ascontiguousarray(code).tobytes()).hexdigest()


def _face(source: str, cohort: Cohort) -> str | None:
    if source == UPLOADED:
        code = _my_code(cohort)
        return None if code is None else _my_face(code)
    if source == PATIENT:
        patients = cohort.table["patient_id"].tolist()
        return str(st.selectbox("Patient", patients, key="patient", persist_state="session", width=150))
    seed = st.number_input("Seed", 0, 2**31 - 1, 1, key="seed", persist_state="session", width=150, help=RANDOM_HELP)
    return str(int(seed))


def code_of(wish: Wish, cohort: Cohort) -> tuple[NDArray[np.float32], str]:
    """The code of the wished face, and a caption for its pictures."""
    if wish.source == UPLOADED:
        code = _my_code(cohort)
        assert code is not None
        by = "the generator tuned to your photo (display only)" if wish.tuned else "the generator"
        return code, f"Your photo's code, drawn by {by}"
    if wish.source == PATIENT:
        row = cohort.table["patient_id"].tolist().index(wish.face)
        kind = "Simulated patient" if cohort.study.simulated else "Patient"
        return np.asarray(cohort.codes[row]), f"{kind} {wish.face}, drawn by the generator"
    from latent.space import sample_ws

    code = sample_ws(cohort.scorer.checkpoint.generator, int(wish.face), RANDOM_PSI)
    return code, f"Random face, seed {wish.face}; nobody in it exists"


def reachable(wish: Wish, cohort: Cohort) -> bool:
    """Whether what was wished for then can still be drawn: same model, photo and tuning still there."""
    if wish.stamp != cohort.stamp:
        return False
    if wish.tuned and getattr(tuning.current(cohort.scorer.checkpoint), "sha256", "") != wish.tuned:
        return False
    code = _my_code(cohort) if wish.source == UPLOADED else None
    return wish.source != UPLOADED or (code is not None and wish.face == _my_face(code))


def set_controls(wish: Wish) -> None:
    """Let the controls ask for this (runs before they are drawn)."""
    st.session_state["face_source"] = wish.source
    st.session_state["kind"] = next(name for name, kind in KINDS.items() if kind == wish.kind)
    st.session_state["band"] = wish.band
    if wish.source == UPLOADED:
        st.session_state["tuned"] = bool(wish.tuned)
    if wish.source == PATIENT:
        st.session_state["patient"] = wish.face
    elif wish.source == RANDOM:
        st.session_state["seed"] = int(wish.face)
