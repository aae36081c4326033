"""Who is in the study and how long they were followed: Table 1, follow-up, survival of all."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from study.errors import StudyError
from ui.cohort.opened import Opened
from ui.elements import page
from ui.elements.figures import drawn, plot_palette
from ui.elements.keep_figure import csv_button, figure_block

if TYPE_CHECKING:
    import pandas as pd

    from study.description.table_one import FollowUp
    from survival.curves import Curve
    from survival.metrics.estimate import Estimate

READING = (
    "the share of patients still free of the event at each time, with its 95 % band; ticks are patients whose "
    "follow-up ended there. Numbers under the axis are patients up to just before each time."
)


@dataclass(frozen=True, eq=False)
class People:
    """Everything that this part shows of the analysed patients."""

    table: pd.DataFrame
    follow: FollowUp
    curve: Curve


def section(found: Opened) -> None:
    """Table 1 beside follow-up, and the curve of all."""
    try:
        people = _people(found.key, found)
    except StudyError as error:
        page.unavailable("Patients cannot be described", error, live=False)
        return
    page.section("Who was studied")
    left, right = st.columns([5, 4], gap="large")
    with left:
        _table_one(found, people)
    with right:
        _follow_up(people.follow)
        if told := found.study.competing_note:
            page.note(told)
    _survival(found, people)


@st.cache_resource(show_spinner=False, max_entries=4)
def _people(key: str, _found: Opened) -> People:
    from study.description.table_one import analysed_rows, follow_up, table_one
    from survival.curves import kaplan_meier

    study = _found.study
    try:
        rows = analysed_rows(study)
    except StudyError:  # codes that cannot be used: told under Codes; the table is still there
        rows = study.included
    follow = follow_up(study, rows)
    entry = rows["entry"] if follow.entry else None
    return People(table_one(study, rows), follow, kaplan_meier(rows["time"], rows["event"], entry))


def _table_one(found: Opened, people: People) -> None:
    from study.description.table_one import SHARES, table_one_rows

    labels = {c.name: c.label for c in found.study.settings.covariates if c.label}
    rows = table_one_rows(people.table)
    if not rows:
        page.note("The table has no clinical column that differs between patients.")
        return
    cells, before = [], None
    for variable, level, words in rows:
        name = html.escape(labels.get(variable, variable)) if variable != before else ""
        before = variable
        cells.append(f'<tr><th scope="row">{name}</th><td>{html.escape(level)}</td><td>{html.escape(words)}</td></tr>')
    heads = ("Variable", "Level", f"All (n = {people.follow.patients:,})")
    head = "".join(f'<th scope="col">{html.escape(title)}</th>' for title in heads)
    st.html(f'<table class="lh-report"><thead><tr>{head}</tr></thead><tbody>{"".join(cells)}</tbody></table>')
    page.note(SHARES)
    csv_button(people.table, "cohort-table-one", f"{found.study.name}-table-1")


def _follow_up(follow: FollowUp) -> None:
    unit = follow.unit
    page.facts(
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
        page.note("Patients who came under observation late count from then on (left truncation).")


def _reached(estimate: Estimate, unit: str) -> str:
    low, high = (f"{v:.4g}" if np.isfinite(v) else "not reached" for v in (estimate.low, estimate.high))
    return f"{estimate.value:.4g} {unit} ({low} to {high})" if np.isfinite(estimate.value) else "not reached"


def _survival(found: Opened, people: People) -> None:
    from study.report.sections.cohort import axis_times
    from survival.plots import curves_frame, kaplan_meier_figure

    named = {"All patients": people.curve}
    figure = drawn(
        kaplan_meier_figure,
        named,
        people.follow.unit,
        axis_times(people.follow.longest),
        outcome="Free of the event",
        colours=[plot_palette().groups[0]],
        since="Time since photo" if found.study.photos else "Time",
    )
    alt = f"Kaplan-Meier curve of all {people.follow.patients:,} analysed patients"
    figure_block(figure, curves_frame(named), "cohort-survival", f"{found.study.name}-survival", alt, READING)
