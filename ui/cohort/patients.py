"""Who is in the study and how long they were followed: Table 1, follow-up, survival of all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from study.description.round_times import round_times
from study.description.table_one import SHARES, FollowUp, analysed_rows, follow_up, table_one, table_one_rows
from study.errors import StudyError
from survival.curves import Curve, kaplan_meier
from survival.metrics.estimate import Estimate
from survival.plots.kaplan_meier import curves_frame, kaplan_meier_figure
from ui.background.missing import unavailable
from ui.elements import blocks
from ui.elements.figures import drawn, plot_palette
from ui.elements.keep_figure import csv_button, figure_block
from ui.elements.tables import table
from ui.shell.resources import OpenedStudy, study_resource

READING = (
    "the share of patients still free of the event at each time, with its 95 % band; ticks are patients whose "
    "follow-up ended there. Numbers under the axis: patients still followed just before each time."
)


@dataclass(frozen=True, eq=False)
class DescribedPatients:
    """Everything that this part shows of the analysed patients."""

    table: pd.DataFrame
    follow: FollowUp
    curve: Curve


def section(opened: OpenedStudy) -> None:
    """Table 1 next to follow-up, and the curve of all."""
    try:
        people = _people(opened)
    except StudyError as error:
        unavailable("Patients cannot be described", error, live=False)
        return
    blocks.section("Who was studied")
    left, right = st.columns([5, 4], gap="large")
    with left:
        _table_one(opened, people)
    with right:
        _follow_up(people.follow)
        if competing := opened.study.competing_note:
            blocks.note(competing)
    _survival(opened, people)


@study_resource
def _people(opened: OpenedStudy) -> DescribedPatients:
    study = opened.study
    try:
        rows = analysed_rows(study)
    except StudyError:  # codes that cannot be used: said under Codes; the table can be shown all the same
        rows = study.included
    follow = follow_up(study, rows)
    entry = rows["entry"] if follow.entry else None
    return DescribedPatients(table_one(study, rows), follow, kaplan_meier(rows["time"], rows["event"], entry))


def _table_one(opened: OpenedStudy, people: DescribedPatients) -> None:
    labels = {c.name: c.label for c in opened.study.settings.covariates if c.label}
    rows = table_one_rows(people.table)
    if not rows:
        blocks.note("The table has no clinical column that differs between patients.")
        return
    cells, before = [], None
    for variable, level, words in rows:
        cells.append([labels.get(variable, variable) if variable != before else "", level, words])
        before = variable
    table(["Variable", "Level", f"All (n = {people.follow.patients:,})"], cells, "lh-report")
    blocks.note(SHARES)
    csv_button(people.table, "cohort-table-one", f"{opened.study.name}-table-1")


def _follow_up(follow: FollowUp) -> None:
    unit = follow.unit
    blocks.facts(
        [
            ("Patients analysed", f"{follow.patients:,}"),
            ("Events", f"{follow.events:,}", f"{follow.censored:,} censored"),
            ("Median follow-up", _reached(follow.median, unit), "by reverse Kaplan-Meier, 95 % CI"),
            ("Longest time", f"{follow.longest:g} {unit}"),
            ("Median time to the event", _reached(follow.survival, unit), "by Kaplan-Meier, 95 % CI"),
            (
                "Event rate",
                f"{follow.rate.value:.2f} ({follow.rate.low:.2f} to {follow.rate.high:.2f})",
                f"per 100 patient-{unit}, exact 95 % CI",
            ),
        ]
    )
    if follow.entry:
        blocks.note(
            "Patients who entered the study after time 0 count as at risk only from their entry (delayed entry)."
        )


def _reached(estimate: Estimate, unit: str) -> str:
    low, high = (f"{v:.4g}" if np.isfinite(v) else "not reached" for v in (estimate.low, estimate.high))
    return f"{estimate.value:.4g} {unit} ({low} to {high})" if np.isfinite(estimate.value) else "not reached"


def _survival(opened: OpenedStudy, people: DescribedPatients) -> None:
    named = {"All patients": people.curve}
    figure = drawn(
        kaplan_meier_figure,
        named,
        people.follow.unit,
        round_times(people.follow.longest),
        outcome="Free of the event",
        colours=[plot_palette().groups[0]],
        since="Time since photo" if opened.study.photos else "Time",
    )
    alt = f"Kaplan-Meier curve of all {people.follow.patients:,} analysed patients"
    figure_block(figure, curves_frame(named), "cohort-survival", f"{opened.study.name}-survival", alt, READING)
