"""The view Learning curve: how well the model predicts by the number of patients, and how many a target would take."""

from __future__ import annotations

import streamlit as st

from common.text import number
from study.comparison.provenance import stale_reasons
from study.learning_curve.record import REPEATS, C, LearningCurveResult, has_learning_curve, read_learning_curve
from study.learning_curve.reference import WORDS, reference
from survival.plots.learning_curve import learning_figure
from ui.background.missing import unavailable
from ui.background.start import start_button
from ui.elements import blocks
from ui.elements.escaping import plain
from ui.elements.figures import drawn
from ui.elements.keep_figure import figure_block
from ui.elements.tables import Cell, table
from ui.shell.resources import OpenedStudy
from ui.survival.results import ci
from ui.survival.stored import stored_result

VERB = "learning-curve"
READING = (
    "each square is the value that the model reached out of fold when it was fitted to random parts of so many "
    "patients, its line the 95 % interval; the curve is an inverse power law through them, dashed beyond the study's "
    "own patients, with its 95 % band."
)


def learning(opened: OpenedStudy) -> None:
    """The curve where there is one, and the button that makes it."""
    study = opened.study
    absent = "Not measured yet: how much better the model would be with more patients."
    stored_result(study, has_learning_curve(study), read_learning_curve, stale_reasons, _result, absent)
    _start(opened)


def _result(result: LearningCurveResult) -> None:
    measure = result.measures[-1]
    if len(result.measures) > 1:
        measure = st.segmented_control(
            "Measure",
            result.measures,
            default=measure,
            format_func=plain,
            key="survival-learning-measure",
            required=True,
        )
    points, curve = result.of(measure)
    target = next((t.target for t in result.targets if t.measure == measure), None)
    grey = reference(measure)
    figure_block(
        drawn(learning_figure, points, curve, measure, grey, target),
        points,
        "learning",
        f"{result.study}-learning-curve",
        f"{measure} by the number of patients, with the curve that leads beyond them",
        READING + (f" {WORDS}" if grey is not None else ""),
    )
    for sentence in result.sentences():
        st.markdown(plain(sentence))
    for sentence in result.notes:
        blocks.note(plain(sentence))
    rows = [
        [Cell(f"{int(r.patients):,}"), Cell(f"{int(r.events):,}"), Cell(number(r.value), ci(r))]
        for r in points.itertuples(index=False)
    ]
    table(["Patients", "Events", f"{measure} (95 % CI)"], rows, "lh-table lh-models")
    blocks.note(
        f"{plain(result.label)}, {result.plan.repeats} × {result.plan.folds} folds by patient. In every fold the model "
        "learns from a random part of the training patients and is evaluated on the patients left out, the same for "
        "all sizes. How a curve goes on beyond its patients is an assumption, which the band does not contain."
        + ("" if measure == C else f" C of the true hazard: {number(result.ceiling)}.")
    )


def _start(opened: OpenedStudy) -> None:
    """How many repeats, and the button."""
    study = opened.study
    if not study.covariates and not study.has_latents:
        unavailable("There is nothing to learn from yet", "The study has neither face codes nor clinical columns.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        repeats = st.number_input("Repeats", 1, 20, REPEATS, key="survival-learning-repeats", width=130)
        words = ["study", VERB, opened.path]
        words += ["--repeats", str(int(repeats))] if repeats != REPEATS else []
        start_button(
            f"Learning curve of {study.name}",
            words,
            "Measure the learning curve",
            "survival-learning-start",
            primary=False,
            disabled=not opened.usable,
            explanation="Fits the study's default model to random parts of the patients, from about 20 events to all. "
            "Runs in the background, can be stopped and resumed, and shows how long it will take after the first fits.",
        )
