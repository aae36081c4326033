"""Whose face is moved, which way, by which layers: the Health direction page's choices, and the codes behind them."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from latent.space import sample_ws
from study.scoring.scorer import Scorer
from study.scoring.strip import BANDS, Kind
from ui.elements.escaping import plain
from ui.elements.glossary import GLOSSARY
from ui.health_direction.state import PATIENT, RANDOM, UPLOADED, EditRequest
from ui.portrait import results, tuning
from ui.portrait.state import portrait

KINDS: dict[str, Kind] = {"Shortest change": "coefficients", "Typical change": "pattern"}
BAND_HELP = (
    "Which features of the face move. Coarse: shape of head and face. Middle: features, hair. Fine: colour, skin. "
    "Whatever moves is scaled so that the step still changes the modelled risk by exactly what its label says."
)
RANDOM_PSI = 0.7
RANDOM_HELP = "Each whole number gives another random face. Nobody in these pictures exists."
TUNED_HELP = (
    "Draw the pictures with the copy of the face model that was adapted to this photo on the Portrait page, so that "
    "the start looks like the photo. This changes the pictures only: risk, percentile and survival stay the same."
)


def controls(scorer: Scorer) -> EditRequest | None:
    """The row of choices; None where the chosen face does not exist yet."""
    tuning.collect(portrait())
    st.session_state.setdefault("face_source", UPLOADED if portrait().score is not None else PATIENT)
    st.session_state.setdefault("kind", next(iter(KINDS)))
    st.session_state.setdefault("band", next(iter(BANDS)))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = st.segmented_control(
            "Face", (UPLOADED, PATIENT, RANDOM), key="face_source", persist_state="session", required=True
        )
        source = source or PATIENT
        face = _face(source, scorer)
        tuned = _tuned_toggle(scorer) if source == UPLOADED and face is not None else ""
        moved = str(st.session_state["band"])
        moved = "all features" if moved == "All" else f"{moved.lower()} features"
        how = st.popover(plain(f"{st.session_state['kind']}, {moved}"), icon=":material/tune:")
    with how:
        kind = st.segmented_control(
            "Direction",
            list(KINDS),
            key="kind",
            persist_state="session",
            required=True,
            help=f"**Shortest change**: {GLOSSARY['coefficients']}\n\n**Typical change**: {GLOSSARY['pattern']}",
        )
        band = st.segmented_control(
            "What moves", list(BANDS), key="band", persist_state="session", required=True, help=BAND_HELP
        )
    if face is None:
        if not results.outdated(portrait(), scorer):
            st.info("No photo has been scored with this study and face model yet.", icon=":material/add_a_photo:")
        st.page_link("pages/portrait.py", label="To the page Portrait", icon=":material/arrow_forward:")
        return None
    return EditRequest(source, face, KINDS[kind or next(iter(KINDS))], band or "All", scorer.stamp, tuned)


def _tuned_toggle(scorer: Scorer) -> str:
    """Whether the tuned generator draws the photo's face; asked only where there is one. Returns its digest or ""."""
    tuned = tuning.current(scorer.checkpoint)
    if tuned is None:
        return ""
    st.session_state.setdefault("tuned", True)
    chosen = st.toggle("Adapted to my photo", key="tuned", persist_state="session", help=TUNED_HELP)
    return tuned.sha256 if chosen else ""


def choose_my_photo() -> None:
    """Let the page open on the scored photo (runs before a page)."""
    st.session_state["face_source"] = UPLOADED


def _my_code(scorer: Scorer) -> NDArray[np.float32] | None:
    """The scored photo's code, where this model scored it."""
    score = portrait().score
    return score.inversion.ws if score is not None and score.stamp == scorer.stamp else None


def _digest(code: NDArray[np.float32]) -> str:
    return sha256(np.ascontiguousarray(code).tobytes()).hexdigest()


def _face(source: str, scorer: Scorer) -> str | None:
    if source == UPLOADED:
        code = _my_code(scorer)
        return None if code is None else _digest(code)
    if source == PATIENT:
        patients = scorer.patients["patient_id"].tolist()
        return str(st.selectbox("Patient", patients, key="patient", persist_state="session", width=150))
    number = st.number_input(
        "Number", 0, 2**31 - 1, 1, key="seed", persist_state="session", width=150, help=RANDOM_HELP
    )
    return str(int(number))


def code_of(request: EditRequest, scorer: Scorer) -> tuple[NDArray[np.float32], NDArray[np.float32], str]:
    """The code that draws the face that is asked for, its features, and a caption for its pictures."""
    if request.source == UPLOADED:
        score = portrait().score
        assert score is not None
        by = "the copy adapted to your photo (display only)" if request.tuned else "the face model"
        return score.inversion.ws, score.features, f"Your photo as drawn by {by}"
    if request.source == PATIENT:
        row = scorer.patients["patient_id"].tolist().index(request.face)
        kind = "Simulated patient" if scorer.study.simulated else "Patient"
        caption = f"{kind} {request.face}, drawn by the face model"
        return scorer.study.picture_code(request.face), np.asarray(scorer.codes[row]), caption
    code = sample_ws(scorer.checkpoint.generator, int(request.face), RANDOM_PSI)
    return code, code, f"Random face number {request.face}; this person does not exist"


def reachable(request: EditRequest, scorer: Scorer) -> bool:
    """Whether what was asked for then can still be drawn: same model, and photo and tuning not forgotten since."""
    if request.stamp != scorer.stamp:
        return False
    if request.tuned and getattr(tuning.current(scorer.checkpoint), "sha256", "") != request.tuned:
        return False
    code = _my_code(scorer) if request.source == UPLOADED else None
    return request.source != UPLOADED or (code is not None and request.face == _digest(code))


def set_controls(request: EditRequest) -> None:
    """Let the controls ask for this (runs before they are drawn)."""
    st.session_state["face_source"] = request.source
    st.session_state["kind"] = next(name for name, kind in KINDS.items() if kind == request.kind)
    st.session_state["band"] = request.band
    if request.source == UPLOADED:
        st.session_state["tuned"] = bool(request.tuned)
    elif request.source == PATIENT:
        st.session_state["patient"] = request.face
    else:
        st.session_state["seed"] = int(request.face)
