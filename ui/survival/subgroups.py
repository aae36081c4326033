"""How well every model predicts within subgroups; and the settings and provenance of a comparison."""

from __future__ import annotations

import html
from typing import Any

import pandas as pd
import streamlit as st

from common.text import duration
from study.comparison.record import Comparison
from study.report.build import report_html
from survival.comparison.subgroups import MIN_EVENTS
from survival.metrics.calibration import COX_SLOPE, measure_name
from ui.elements import blocks
from ui.elements.keep_figure import csv_button
from ui.elements.tables import DASH, Cell, Row, estimate, table
from ui.elements.text import plain_time
from ui.shell import session
from ui.shell.resources import OpenedStudy
from ui.survival import comparisons

MOST_COLUMNS = 5


def subgroups(result: Comparison) -> None:
    """One measure of chosen models in every subgroup."""
    rows = result.tables["subgroups"]
    measures = [m for m in dict.fromkeys(rows["measure"]) if m]
    if rows.empty or not measures:
        blocks.note("This study has no column to form subgroups by.")
        return
    left, right = st.columns([1, 2])
    measure = str(
        left.selectbox(
            "Measure", measures, key="survival-subgroup-measure", format_func=measure_name, persist_state="session"
        )
    )
    called = comparisons.labels(result)
    order = [c.name for c in comparisons.best_first(result)]
    chosen = right.multiselect(
        "Models side by side",
        order,
        default=order[:MOST_COLUMNS],
        format_func=lambda n: called[n],
        max_selections=MOST_COLUMNS,
        key=f"survival-subgroup-models-{result.study}-{result.name}",
    )
    if not chosen:
        return
    heads = ["Subgroup", "Patients", "Events", *(called[n] for n in chosen)]
    table(heads, _rows(rows, measure, list(chosen)), "lh-table lh-models")
    blocks.note(
        "How to read it: each row evaluates the same out-of-fold scores in the patients of that subgroup only; in "
        "small print the 95 % interval. A difference between rows means something only where the intervals hardly "
        f"overlap. Subgroups with fewer than {MIN_EVENTS} events are not shown. O/E: observed over expected events, 1 "
        "is as predicted. The model is the one fitted to all patients."
    )
    shown = rows[(rows["measure"] == measure) | (rows["measure"] == "")]
    csv_button(shown, "csv-subgroups", f"{result.study}-subgroups")


def _rows(subgroups: pd.DataFrame, measure: str, chosen: list[str]) -> list[Row]:
    digits = 2 if measure == COX_SLOPE or measure.startswith("O/E") else 3
    values = subgroups[subgroups["measure"] == measure].set_index(["variable", "level", "candidate"])
    groups = subgroups[["variable", "level", "n", "events"]].drop_duplicates()
    rows, before = list[Row](), ""
    for group in groups.to_dict("records"):
        variable, level = str(group["variable"]), str(group["level"])
        if variable != before and level:
            rows.append(Row([Cell(variable, columns=3 + len(chosen))], "head"))
        before = variable
        cells = [Cell(level or "All patients"), Cell(f"{group['n']:,}"), Cell(f"{group['events']:,}")]
        if group["events"] < MIN_EVENTS:
            cells.append(Cell("", "too few events", len(chosen)))
        else:
            cells += [_cell(values, (variable, level, n), digits) for n in chosen]
        rows.append(Row(cells))
    return rows


def _cell(values: pd.DataFrame, key: tuple[str, str, str], digits: int) -> Cell:
    if key not in values.index:
        return Cell(DASH)
    at: Any = values.loc
    row = at[key]
    return estimate(float(row["value"]), float(row["low"]), float(row["high"]), digits)


def report(opened: OpenedStudy, result: Comparison) -> None:
    """A button for the whole report as one HTML file."""

    def page_bytes() -> bytes:
        try:
            return report_html(opened.study, comparison=result.name)
        except session.SENTENCES as error:
            return f"<!doctype html><title>No report</title><p>{html.escape(str(error))}</p>".encode()

    about = (
        "All of this in one file: patient flow, Table 1, methods as run, results, figures, subgroups, controls, "
        "TRIPOD+AI checklist, model card."
    )
    name = f"{result.study}-report.html"
    blocks.download("Report (HTML)", page_bytes, name, "text/html", "survival-report", "article", about)


def details(result: Comparison) -> None:
    """What was run, on whom, with what; and the notes that were made on the way."""
    plan, inner = result.plan, "chosen by inner folds, inside every training part"
    by_patient = "by patient, stratified on the event, the same for every model"
    horizons = ", ".join(plain_time(t) for t in result.horizons)
    blocks.facts(
        [
            ("Made", result.made.replace("T", " ").replace("Z", " UTC"), f"in {duration(result.seconds)} of computing"),
            ("Patients", f"{len(result.patients):,}", f"{result.events:,} events; the same for every model"),
            ("Folds", f"{plan.repeats} × {plan.folds}", by_patient),
            ("Penalty", f"{plan.penalties} on a path, {plan.rule}", inner),
            ("Intervals", f"{plan.samples:,} bootstrap samples", "of patients, the same for every result"),
            ("Sites", plan.site + (f", {plan.site_name}" if plan.site_name else "")),
            ("Seed", str(plan.seed)),
            ("Results at", f"{horizons} {result.time_unit}" if horizons else "no time: too few events or follow-up"),
            ("Covariates", ", ".join(result.covariates) or "none"),
            ("Software", ", ".join(f"{name} {number}" for name, number in result.versions.items())),
            *(
                (name.replace("_", " "), f"`{str(value)[:16]}…`")
                for name, value in result.provenance.items()
                if name.endswith("sha256")
            ),
        ]
    )
    called = comparisons.labels(result)
    notes = [*result.notes, *(f"{called[c.name]}: {note}" for c in result.candidates for note in c.notes)]
    for sentence in dict.fromkeys(notes):
        blocks.note(sentence)
