"""The report's first paragraphs: what was done and found, for a reader who stops there."""

from __future__ import annotations

import math

from common.html import Html, tag
from common.text import count, percent, sentence_case
from study.comparison.measuring.added_value import photo_added
from study.description.delayed_entry import LATE_ENTRY, late_notes
from study.report.facts import Facts
from study.report.page import bullets, paragraph, section, warning
from study.report.words import interval, reached, signed, times
from study.tables.covariates import events_short
from survival.metrics.calibration import slope_at_name

RESEARCH = (
    "For research. Nothing here is a medical device, and no estimate is a statement about, or a decision on, a person. "
    "An association in a cohort is not a cause."
)
SIMULATED = (
    "These patients are simulated: nobody in this study exists, and the results say nothing about real people. They "
    "show that the method works where the truth is known."
)


def summary(facts: Facts) -> Html:
    """Section with the study's size, the main result, and cautions."""
    f, unit = facts.follow, facts.unit
    sentences = [
        f"{count(f.patients, 'patient')} were analysed; {f.events:,} ({percent(f.events / f.patients)}) had the event. "
        f"Median follow-up (reverse Kaplan-Meier) {reached(f.median, unit)}; median time to the event "
        f"{reached(f.survival, unit)}."
    ]
    if judged := _models(facts):
        sentences += judged
    elif facts.fitted is not None:
        sentences.append(
            f"The study's photo model ({facts.model}) ranks patients that it was not fitted to with Harrell's C "
            f"{interval(facts.fitted.oof_c_)}; 0.5 is guessing, 1 perfect."
        )
    else:
        sentences.append("No model has been fitted or compared yet: this report describes the cohort only.")
    first = warning(SIMULATED) if facts.study.simulated else Html("")
    cautions = [facts.without_ids(s) for s in _cautions(facts)]
    return section(
        "summary",
        "Summary",
        first,
        tag("div", bullets(sentences), class_="summary"),
        *([tag("h3", "Cautions"), bullets(cautions)] if cautions else []),
        paragraph(tag("strong", RESEARCH)),
    )


def _models(facts: Facts) -> list[str]:
    c = facts.comparison
    if c is None or not c.models:
        return []
    best = c.best()
    sentences = [
        f"{count(len(c.models), 'model')} {'was' if len(c.models) == 1 else 'were'} evaluated out of fold "
        f"({c.plan.repeats} × {c.plan.folds}-fold nested cross-validation by patient). The best ranks patients with "
        f"Harrell's C {interval(c.estimate(best.name))}: {best.label}. C is the share of comparable pairs in which the "
        "patient with the higher predicted risk had the earlier event; 0.5 is guessing, 1 perfect."
    ]
    if added := photo_added(c):
        both, base = added.both.label, added.base.label
        sentences.append(
            f"{both} minus {base}, paired on the same patients: C {signed(added.difference)}; {added.verdict}."
            + (f" {added.why_open}" if added.why_open else "")
        )
    slopes = c.rows("calibration", candidate=best.name, measure="slope")
    slopes = slopes[slopes["horizon"].isin(facts.study.horizons)]  # where none is supported, one is at the median time
    if not slopes.empty:
        row = slopes.iloc[len(slopes) // 2]
        sentences.append(
            f"{sentence_case(slope_at_name(row['horizon'], facts.unit))} of that model's risks: {interval(row, 2)}; "
            "1 means that differences in risk are as large as predicted."
        )
    return sentences


def _cautions(facts: Facts) -> list[str]:
    cautions = [f"Out of date: {reason}" for reason in facts.stale]
    c = facts.comparison
    if c is not None:
        cautions += list(c.notes)
        cautions += [f"{j.label} could not be fitted: {j.error}" for j in c.candidates if j.error]
        if c.horizons_left_out and not any(note.startswith("There is no") for note in c.notes):
            cautions.append(
                f"There is no estimate at {times(c.horizons_left_out, facts.unit)}: too few events or too short "
                "a follow-up."
            )
    else:
        cautions += facts.horizons.sentences(facts.unit)
    if short := events_short(facts.rows, facts.study.settings):
        cautions.append(f"Clinical columns: {short}. An unpenalised model of all of them overfits.")
    if facts.errors is not None:
        cautions += list(facts.errors.warnings)
    if (competing := facts.study.competing_note) and competing not in cautions:
        cautions.append(competing)
    if LATE_ENTRY not in cautions:
        short = (
            "Some patients came under observation after time zero (delayed entry, left truncation): each counts "
            "as at risk from then on."
        )
        cautions += [note for note in late_notes(facts.study, facts.rows, short) if note not in cautions]
    if not math.isfinite(facts.follow.median.value):
        cautions.append("The median follow-up is not reached: too few patients were censored to estimate it.")
    return cautions
