"""How every model does within subgroups, side by side; and the settings and provenance of a comparison."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import streamlit as st

from survival.metrics.calibration import COX_SLOPE, measure_name
from ui.cohort.opened import Opened
from ui.elements import page
from ui.elements.keep_figure import csv_button
from ui.elements.text import duration, number, plain_time
from ui.shell import session
from ui.survival import opened as files

if TYPE_CHECKING:
    from study.comparison.record import Comparison

LEAST = 10  # events below which a subgroup is not shown
MOST_COLUMNS = 5


def subgroups(result: Comparison) -> None:
    """One measure of chosen models in every subgroup."""
    table = result.tables["subgroups"]
    measures = [m for m in dict.fromkeys(table["measure"]) if m]
    if table.empty or not measures:
        page.note("This study has no column to form subgroups by.")
        return
    left, right = st.columns([1, 2])
    measure = str(
        left.selectbox(
            "Measure", measures, key="survival-subgroup-measure", format_func=measure_name, persist_state="session"
        )
    )
    called = files.labels(result)
    order = [c.name for c in files.best_first(result)]
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
    head = "".join(f'<th scope="col">{html.escape(called[n])}</th>' for n in chosen)
    st.html(
        '<div class="lh-scroll"><table class="lh-table lh-models"><thead><tr><th scope="col">Subgroup</th>'
        f'<th scope="col">Patients</th><th scope="col">Events</th>{head}</tr></thead>'
        f"<tbody>{''.join(_rows(table, measure, list(chosen)))}</tbody></table></div>"
    )
    page.note(
        "How to read it: each row judges the same out-of-fold scores among the patients of that subgroup alone; in "
        "small print the 95 % interval. A difference between rows is only a sign where the intervals hardly overlap. "
        f"Subgroups with fewer than {LEAST} events are not shown. O/E: observed over expected events, 1 is as "
        "predicted. The model is that of the whole cohort."
    )
    shown = table[(table["measure"] == measure) | (table["measure"] == "")]
    csv_button(shown, "csv-subgroups", f"{result.study}-subgroups")


def _rows(table: pd.DataFrame, measure: str, chosen: list[str]) -> list[str]:
    digits = 2 if measure == COX_SLOPE or measure.startswith("O/E") else 3
    own = table[table["measure"] == measure].set_index(["variable", "level", "candidate"])
    groups = table[["variable", "level", "n", "events"]].drop_duplicates()
    out, before = [], ""
    for row in groups.to_dict("records"):
        variable, level = str(row["variable"]), str(row["level"])
        if variable != before and level:
            out.append(
                f'<tr class="head"><th scope="rowgroup" colspan="{3 + len(chosen)}">{html.escape(variable)}</th></tr>'
            )
        before = variable
        name = html.escape(level or "All patients")
        if row["events"] < LEAST:
            cells = f'<td colspan="{len(chosen)}"><small>too few events</small></td>'
        else:
            cells = "".join(f"<td>{_cell(own, (variable, level, n), digits)}</td>" for n in chosen)
        out.append(f'<tr><th scope="row">{name}</th><td>{row["n"]:,}</td><td>{row["events"]:,}</td>{cells}</tr>')
    return out


def _cell(own: pd.DataFrame, key: tuple[str, str, str], digits: int) -> str:
    if key not in own.index:
        return "–"
    row: Any = own.loc[key]
    value, low, high = (float(row[k]) for k in ("value", "low", "high"))
    if not np.isfinite(value):
        return "–"
    small = (
        f"{number(low, digits)} to {number(high, digits)}" if np.isfinite(low) and np.isfinite(high) else "no interval"
    )
    return f"{number(value, digits)} <small>{small}</small>"


def report(found: Opened, result: Comparison) -> None:
    """A button for the whole report as one HTML file."""

    def page_bytes() -> bytes:
        from study.report.build import report_html

        try:
            return report_html(found.study, comparison=result.name)
        except session.SENTENCES as error:
            return f"<!doctype html><title>No report</title><p>{html.escape(str(error))}</p>".encode()

    st.download_button(
        "Report (HTML)",
        page_bytes,
        f"{result.study}-report.html",
        "text/html",
        key="survival-report",
        icon=":material/article:",
        on_click="ignore",
        help="All of this in one file that needs no network: flow, Table 1, methods as run, figures, subgroups, "
        "controls, TRIPOD+AI checklist, model card. The command line writes the same file.",
    )


def details(result: Comparison) -> None:
    """What was run, on whom, with what; what was said on the way."""
    plan = result.plan
    page.facts(
        [
            ("Made", result.made.replace("T", " ").replace("Z", " UTC"), f"{duration(result.seconds)} of work in all"),
            ("Patients", f"{len(result.patients):,}", f"{result.events:,} events; the same for every model"),
            (
                "Folds",
                f"{plan.repeats} × {plan.folds}",
                "by patient, stratified on the event, the same for every model",
            ),
            (
                "Penalty",
                f"{plan.penalties} on a path, {plan.rule}",
                "chosen by inner folds, inside every training part",
            ),
            ("Intervals", f"{plan.samples:,} bootstrap samples", "of patients, the same for every figure"),
            ("Sites", plan.site + (f", {plan.site_name}" if plan.site_name else "")),
            ("Seed", str(plan.seed)),
            ("Figures at", f"{', '.join(plain_time(t) for t in result.horizons) or 'none'} {result.time_unit}"),
            ("Covariates", ", ".join(result.covariates) or "none"),
            ("Software", ", ".join(f"{name} {number}" for name, number in result.versions.items())),
            *(
                (name.replace("_", " "), f"`{str(value)[:16]}…`")
                for name, value in result.provenance.items()
                if name.endswith("sha256")
            ),
        ]
    )
    called = files.labels(result)
    told = [*result.notes, *(f"{called[c.name]}: {note}" for c in result.candidates for note in c.notes)]
    for sentence in dict.fromkeys(told):
        page.note(sentence)
