"""Where a study's face codes and photo model stand, and what computes them."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from common.text import count
from study.scoring.status import codes_status, model_status
from ui.background import remedy
from ui.background.missing import unavailable
from ui.background.start import study_button
from ui.elements.blocks import note
from ui.elements.escaping import trusted
from ui.elements.glossary import GLOSSARY
from ui.elements.text import interval
from ui.shell import resources, session
from ui.shell.resources import OpenedStudy

BADGES = {
    "done": ("Done", "green", ":material/check:"),
    "stale": ("Out of date", "orange", ":material/update:"),
    "none": ("Not computed yet", "gray", ":material/hourglass_empty:"),
}


def standing(opened: OpenedStudy) -> None:
    """Codes and model: done, out of date and why, or missing; with the buttons that compute them."""
    if not opened.study.photos and not opened.study.has_latents:
        note("The study has no photos, so there are no face codes and there is no photo model.")
        return
    left, right = st.columns(2, gap="large")
    with left:
        _codes(opened)
    with right:
        _model(opened)


def _codes(opened: OpenedStudy) -> None:
    st.markdown("**Face codes**", help=f"{GLOSSARY['code']} Computing them is called embedding.")
    try:
        codes = codes_status(opened.study, resources.open_checkpoint(opened.study.settings.checkpoint))
    except session.SENTENCES as error:
        unavailable("Photos cannot be embedded", error, live=False)
        return
    _state(codes.state, f"{codes.done:,} of {codes.total:,} photos have a face code", codes.reasons)
    if codes.facts:
        f = codes.facts
        note(
            f"Face model {f.get('checkpoint')}, effort “{f.get('preset')}”, {f.get('steps', '?')} steps, "
            f"{count(int(f.get('views', 1)), 'view')} of each photo, measured with "
            f"{f.get('perceptual_name', '?')}."
        )
    label = "Resume embedding" if codes.begun else "Embed the photos again" if codes.done else "Embed the photos"
    study_button(opened, "embed", label, codes.state != "done", "Computes only what is missing or out of date.")


def _model(opened: OpenedStudy) -> None:
    st.markdown("**Photo model**")
    model = model_status(opened.study)
    _state(model.state, f"fitted to {model.done:,} of {model.total:,} patients", model.reasons)
    if model.facts:
        c = model.facts["harrell"]
        note(
            f"C {c['value']:.3f} ({interval(c['low'], c['high'])}; 0.5 is guessing, 1 is perfect), by nested "
            "cross-validation with folds by patient. More on the Home page."
        )
    if opened.study.has_latents:
        study_button(opened, "fit", "Fit the photo model", model.state != "done")


def _state(state: str, done: str, reasons: Sequence[str]) -> None:
    label, colour, icon = BADGES[state]
    st.badge(trusted(label), icon=icon, color=colour)  # type: ignore[arg-type]
    if state == "none":
        return
    note(f"{done[:1].upper()}{done[1:]}.")
    for reason in reasons:
        note(remedy.sentence(reason))  # the button stands below
