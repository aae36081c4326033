"""What the model says of a face: in words, as numbers with their intervals, and next to the study's patients."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator

import streamlit as st

from common.text import number
from study.scoring.interval import NAME, why_no_interval
from study.scoring.results import LeftOut, Risk, Score
from study.scoring.scorer import Scorer
from survival.plots.labels import plain_figure
from survival.uncertainty.limits import Limits
from ui.elements import figures
from ui.elements.blocks import note, value_row
from ui.elements.escaping import plain
from ui.elements.glossary import GLOSSARY
from ui.elements.tables import table
from ui.elements.text import between, ordinal, place, plain_time, probability, ratio, short_ratio, times_hazard
from ui.elements.text import interval as ci95

POOR_FIT = 0.95  # share of the cohort that is reproduced more closely, from which on the page warns


def show_risk(score: Score, scorer: Scorer, patient: str) -> None:
    """What the model says of the face: in words, as numbers next to the survival curve, and how far to trust it."""
    study = scorer.study
    without = scorer.left_out(patient) if patient else None
    st.html(f'<p class="lh-verdict">{html.escape(verdict(score, in_sample=without is not None))}</p>')
    if without is not None:
        note(without_patient(without))
    if score.risk.extrapolated:
        st.warning(
            plain(score.risk.extrapolation), title="Outside the range of the patients' scores", icon=":material/moving:"
        )
    fit, poor = fit_words(score, scorer)
    if poor:
        st.warning(
            f"{plain(fit)} The face model has missed much of this face, and the score is computed from its "
            "reconstruction alone.",
            icon=":material/warning:",
        )
    left, right = st.columns([5, 6], gap="medium")
    with left:
        value_row("risk", _tiles(score, study.time_unit), columns=2)
        for sentence in score.risk.left_out:
            note(sentence)
    interval = score.risk.interval
    with right:
        st.markdown("**Survival of people with this score, compared with four groups of patients by risk**")
        figure = figures.face_over_quarters(score, scorer)
        band = "" if interval is None else f" with its {NAME}"
        alt = f"Survival curve of this face{band} over four groups of patients by risk"
        st.plotly_chart(plain_figure(figure), theme=None, alt=alt)
        face = "" if interval is None else f"This face: the shaded band is the {NAME}. "
        note(f"{face}Groups: quarters of the patients by score; observed survival (Kaplan-Meier) with 95 % bands.")
    if competing := study.competing_note:
        note(competing)
    c = scorer.model.oof_c_
    note(why_no_interval(scorer.model) if interval is None else interval.words)
    note(
        f"How well the model tells patients apart: C {c.value:.2f} ({ci95(c.low, c.high, 2)}; 0.5 is guessing, 1 is "
        "perfect), measured on patients that it was not fitted to."
    )
    if without is not None:
        _in_sample(score.risk, without, scorer, patient)
    elif patient:
        st.info(
            plain(f"{patient} is a patient of this study, but not one that the model was fitted with."),
            icon=":material/group:",
        )
    elif study.simulated:
        st.warning(
            "The model was fitted to computer-generated portraits and simulated survival times. For a photo of a "
            "real person these numbers show how the method works and say nothing about the person.",
            icon=":material/science:",
        )
    if fit and not poor:
        note(fit)


def verdict(score: Score, in_sample: bool = False) -> str:
    """The result in a sentence: place among the patients and hazard ratio, each with its interval."""
    risk, interval = score.risk, score.risk.interval
    rank, hazard = f"{ordinal(risk.percentile)} percentile of risk", times_hazard(risk.hr)
    if interval is not None:
        rank += f" ({between(interval.percentile.low, interval.percentile.high, place)})"
        hazard += f" ({between(interval.hr.low, interval.hr.high, short_ratio)})"
    return f"{'In-sample: ' if in_sample else ''}{rank}: {hazard}."


def _tiles(score: Score, unit: str) -> list[tuple[str, str, str, str]]:
    risk, interval = score.risk, score.risk.interval
    mark = "extrapolated; " if risk.extrapolated else ""

    def small(limits: Limits | None, write: Callable[[float], str], basis: str) -> str:
        reach = "" if limits is None else f"{between(limits.low, limits.high, write)} ({NAME}); "
        return f"{reach}{mark}{basis}"

    known = interval is not None
    compared = f"compared with the typical patient; log hazard ratio {number(risk.log_hr, 2, sign=True)}"
    return [
        (
            "Percentile of risk",
            ordinal(risk.percentile),
            small(interval.percentile if known else None, place, "among the patients of the study"),
            GLOSSARY["percentile"],
        ),
        (
            "Hazard ratio",
            ratio(risk.hr),
            small(interval.hr if known else None, short_ratio, compared),
            GLOSSARY["HR"],
        ),
        *(
            (
                f"Survival at {plain_time(t)} {unit}",
                probability(s),
                small(interval.horizons[t] if known else None, probability, "for people with this score"),
                GLOSSARY["survival"],
            )
            for t, s in risk.horizons.items()
        ),
    ]


def without_patient(without: LeftOut) -> str:
    """The honest result for a patient of the study, in a sentence."""
    return (
        f"Scored by a model that was fitted without this patient (fold {without.fold} of {without.folds}): "
        f"{ordinal(without.risk.percentile)} percentile of risk, {times_hazard(without.risk.hr)}."
    )


def _in_sample(risk: Risk, without: LeftOut, scorer: Scorer, patient: str) -> None:
    """That a patient's score is in-sample, with that of the model without the patient next to it."""
    words = (
        f"{patient} is a patient of this study, so the model was fitted with this photo: its score suits this patient "
        "better than it would a new face."
    )
    st.info(plain(words), title="This score is in-sample", icon=":material/group:")
    heads = ("", "Fitted with this patient", f"Fitted without (fold {without.fold} of {without.folds})")
    table(heads, list(_compared(risk, without.risk, scorer.study.time_unit)))


def _compared(risk: Risk, other: Risk, unit: str) -> Iterator[tuple[str, str, str]]:
    """(what, by one risk, by the other) of a table."""
    yield "Percentile of risk", ordinal(risk.percentile), ordinal(other.percentile)
    yield "Hazard ratio", ratio(risk.hr), ratio(other.hr)
    yield "Log hazard ratio", number(risk.log_hr, 2, sign=True), number(other.log_hr, 2, sign=True)
    for t, s in risk.horizons.items():
        yield f"Survival at {plain_time(t)} {unit}", probability(s), probability(other.horizons[t])


def fit_words(score: Score, scorer: Scorer) -> tuple[str, bool]:
    """How closely the face model reproduces this photo compared with the cohort's, in a sentence ("" where that is
    unknown); and whether it has missed much of the face."""
    share = scorer.share_closer(score.inversion)
    if share is None:
        return "", False
    below = math.floor(100 * share)  # rounded down: 100 only where it is all of them
    return f"The reconstruction is less close to the photo than for {below} % of the cohort.", share >= POOR_FIT


def show_place(score: Score, scorer: Scorer) -> None:
    """Where the score stands among the patients'."""
    figure = figures.place_in_cohort(score, scorer)
    st.plotly_chart(plain_figure(figure), theme=None, alt="Histogram of the patients' scores with this face marked")
    band = "" if score.risk.interval is None else f" Shaded: the {NAME} of this face."
    note(f"Bars: the patients' log hazard ratios, each from a model that was not fitted to that patient.{band}")
