"""Who is analysed and who is not, and why; and everything found in the study's files, by row, with what to do."""

from __future__ import annotations

import html

import pandas as pd
import streamlit as st

from common.files import safe_cell
from study.description.flow import Step, flow
from study.errors import SEVERITIES, Finding, Findings
from study.files import csv_text
from study.scoring.status import model_status
from ui.cohort import findings
from ui.elements import blocks
from ui.elements.escaping import plain
from ui.elements.tables import Row, table
from ui.home import overview
from ui.shell.resources import OpenedStudy

REPORT_ROWS = 25
NAMES = {"error": "Errors", "warning": "Warnings", "note": "Notes"}
MEANING = {
    "error": "the study cannot be used until they are corrected",
    "warning": "the study can be used, but check these",
    "note": "for information",
}


def facts(opened: OpenedStudy) -> None:
    """From the table to the analysis, next to what the study is."""
    left, right = st.columns([5, 4], gap="large")
    with left:
        st.subheader("From the table to the analysis", anchor=False)
        steps = flow(opened.study)
        _flow(steps)
        blocks.note("Each patient is counted once, at the first step that removes them.")
        model = model_status(opened.study)
        if model.state == "stale":
            st.warning(
                f"The photo model is out of date: {plain(' '.join(model.reasons))} Fit it again under “Face codes and "
                "model”.",
                icon=":material/update:",
            )
    with right:
        st.subheader("The study", anchor=False)
        overview.study_facts(opened.study)


def _flow(steps: list[Step]) -> None:
    whole = max(steps[0].patients, 1)
    cells = []
    for step in steps:
        lost = "".join(f"<li><b>−{count:,}</b> {html.escape(reason)}</li>" for reason, count in step.lost[:6])
        if len(step.lost) > 6:
            rest = sum(count for _, count in step.lost[6:])
            lost += f"<li><b>−{rest:,}</b> for {len(step.lost) - 6} other reasons</li>"
        cells.append(
            (f'<ul class="lost">{lost}</ul>' if lost else "")
            + f'<div class="step"><span>{html.escape(step.name)}</span><b>{step.patients:,}</b>'
            f'<i style="width:{100 * step.patients / whole:.1f}%"></i></div>'
        )
    st.html(f'<div class="lh-flow">{"".join(cells)}</div>')


def report(opened: OpenedStudy) -> None:
    """The validation report of the study: a table by row, filtered, with a download."""
    rows = findings.report(opened)
    if not len(rows):
        st.success(
            "No problems were found in the settings, the table or the photo names.", icon=":material/check_circle:"
        )
    report_table(rows, "cohort-report", f"{opened.study.name}-check.csv")
    blocks.note("Rows are numbered as in a spreadsheet: the header is row 1. Nothing is guessed or repaired.")


def report_table(findings: Findings, key: str, file_name: str) -> None:
    """Findings as a table, the most severe first."""
    if not len(findings):
        return
    counts = findings.counts
    present = [severity for severity in SEVERITIES if counts[severity]]
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        chosen = st.segmented_control(
            "Show",
            present,
            selection_mode="multi",
            default=present,
            key=key,
            format_func=lambda severity: f"{NAMES[severity]} ({counts[severity]:,})",
        )
        rows = [finding for finding in findings if finding.severity in chosen]
        blocks.download("CSV", _csv(rows), file_name, "text/csv", f"{key}-csv")
    blocks.note("; ".join(f"{NAMES[severity]}: {MEANING[severity]}" for severity in present) + ".")
    pages = max(1, -(-len(rows) // REPORT_ROWS))
    at = st.pagination(pages, key=f"{key}-page-{pages}") if pages > 1 else 1
    _table(rows[(at - 1) * REPORT_ROWS : at * REPORT_ROWS])
    if findings.left_off:
        blocks.note(f"{findings.left_off:,} further findings of the same kinds are not listed.")


def _table(rows: list[Finding]) -> None:
    if not rows:
        blocks.note("No findings of the chosen kinds.")
        return
    shown = []
    for f in rows:
        row = "" if f.row is None else str(f.row)
        shown.append(Row([f.severity.capitalize(), f.where, row, f.message, f.remedy], f.severity))
    table(["", "File", "Row", "Finding", "What to do"], shown, "lh-report")


def _csv(rows: list[Finding]) -> str:
    columns = ["severity", "where", "row", "message", "remedy"]
    cells = [[safe_cell(str("" if (v := getattr(row, name)) is None else v)) for name in columns] for row in rows]
    return csv_text(pd.DataFrame(cells, columns=columns))
