"""The view Robustness: what parts of the photo predict alone, and how far scores change when only the photo changes."""

from __future__ import annotations

import streamlit as st

from common.text import duration, number
from study.comparison.record import Comparison
from study.disk.latents import read_index
from study.report.sections.shortcuts import CHANGE_AXIS, agreement_words, is_shortcut, photo_model
from study.robustness.perturb import PERTURBATIONS
from study.robustness.record import Robustness, has_robustness, read_robustness, stale_reasons
from survival.plots.intervals import interval_figure
from ui.background.missing import unavailable
from ui.background.start import start_button
from ui.elements import blocks
from ui.elements.figures import drawn
from ui.elements.keep_figure import figure_block
from ui.elements.tables import Cell, table
from ui.shell import session
from ui.shell.resources import OpenedStudy, study_data
from ui.survival.results import ci
from ui.survival.stored import stored_result

VERB = "robustness"
PATIENTS = 20
READING = (
    "each square is the mean change of the score over the patients, the line its 95 % interval, in standard deviations "
    "of the cohort's scores. Only the photos were changed, not the people, so all should lie at 0."
)


def robustness(opened: OpenedStudy, result: Comparison) -> None:
    """Both parts; a sentence where the study has no photos."""
    if not opened.study.photos:
        blocks.note("This study has no photos, so no score can depend on how they were taken.")
        return
    _parts(result)
    st.space("small")
    _changed(opened)


def _parts(result: Comparison) -> None:
    """Background, face, blurred and whole photo, and their distance to the photo model."""
    st.markdown("**What parts of the photo predict alone**")
    controls = [c for c in result.candidates if is_shortcut(c)]
    if not controls:
        blocks.note(
            "This comparison has no shortcut controls. Tick them under “Plan a comparison” to see how well the "
            "background alone predicts survival."
        )
        return
    photo = photo_model(result)
    rows = []
    for control in controls:
        if control.error:
            cells = [Cell(f"not fitted: {control.error}", columns=1 if photo is None else 2)]
        else:
            c = result.estimate(control.name)
            cells = [Cell(number(c.value), ci(c))]
            if photo is not None:
                d = result.difference(control.name, photo.name)
                cells.append(Cell(number(d.value, 3, sign=True), ci(d, sign=True)))
        rows.append([Cell(control.label), *cells])
    heads = ["Part of the photo", "Harrell's C", *([] if photo is None else [f"Difference from {photo.label}"])]
    table(heads, rows, "lh-table lh-models")
    blocks.note(
        "The same ridge Cox model on plain pixels. If the background alone is clearly above 0.5, photos of sick and "
        "healthy people were taken differently, and part of any score of such photos may come from that."
    )


def _changed(opened: OpenedStudy) -> None:
    """Photos of the same people under other light, focus, compression and framing."""
    st.markdown("**The same person, another photo**")
    study = opened.study
    absent = "Not measured yet: whether scores of this study stay the same when only the photo changes."
    stored_result(study, has_robustness(study), read_robustness, stale_reasons, _result, absent)
    _start(opened)


def _result(measured: Robustness) -> None:
    frame = measured.frame()
    figure_block(
        drawn(interval_figure, frame, CHANGE_AXIS, 0.0, signed=True, digits=2),
        frame.assign(
            size=[c.size.value for c in measured.conditions], largest=[c.largest for c in measured.conditions]
        ),
        "changes",
        f"{measured.study}-robustness",
        "Change of the score under each change of the photo",
        READING,
    )
    for sentence in agreement_words(measured):
        blocks.note(sentence.strip())
    if lost := [f"{c.label}: {c.failed}" for c in measured.conditions if c.failed]:
        blocks.note(f"Photos in which no face was detected any more: {', '.join(lost)}.")


def _start(opened: OpenedStudy) -> None:
    """How many patients, how long it will take, and the button."""
    try:
        model = opened.study.chosen_model
        seconds = _seconds(opened)
        opened.study.report(model)
    except session.SENTENCES as error:
        unavailable("Scores of changed photos cannot be computed yet", error, live=False)
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        patients = st.number_input("Patients", 2, 200, PATIENTS, key="survival-robust-patients", width=130)
        words = ["study", VERB, opened.path]
        words += ["--patients", str(int(patients))] if patients != PATIENTS else []
        start_button(
            f"Robustness of {opened.study.name}",
            words,
            "Score changed photos",
            "survival-robust-start",
            primary=False,
            disabled=not opened.usable,
            explanation="Runs in the background, with the study's own alignment, face model and risk model. It can be "
            "stopped and resumed; if you add patients later, only those are computed.",
        )
    codes = int(patients) * (len(PERTURBATIONS) + 1)
    blocks.note(f"{codes:,} photos, about {duration(codes * seconds)} at the speed of embedding this study.")


@study_data
def _seconds(opened: OpenedStudy) -> float:
    """Median seconds of a code when the study was embedded; StudyError where it was not."""
    return float(read_index(opened.study.path)[0]["seconds"].median())
