"""Who is analysed and why not everyone; and everything found in the study's files, by row, with what to do."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import streamlit as st

from study.errors import SEVERITIES, Finding, Findings
from ui.cohort import opened as files
from ui.cohort.opened import Opened
from ui.elements import page
from ui.elements.escaping import plain
from ui.home import overview

if TYPE_CHECKING:
    from study.description.flow import Step

REPORT_ROWS = 25
NAMES = {"error": "Errors", "warning": "Warnings", "note": "Notes"}
MEANING = {
    "error": "the study cannot be used before they are corrected",
    "warning": "it can be used, but look at these",
    "note": "good to know",
}
MARKS = {"error": "Error", "warning": "Warning", "note": "Note"}


def facts(found: Opened) -> None:
    """From the table to the analysis, beside what the study is."""
    from study.description.flow import flow
    from study.scoring.status import model_standing

    left, right = st.columns([5, 4], gap="large")
    with left:
        st.subheader("From the table to the analysis", anchor=False)
        steps = flow(found.study)
        _flow(steps)
        page.note("Each patient leaves once, at the first step that applies.")
        model = model_standing(found.study)
        if model.state == "stale":
            st.warning(
                f"The photo model is not of these patients and codes any more: {plain(' '.join(model.reasons))} Fit it "
                "again under Codes.",
                icon=":material/update:",
            )
    with right:
        st.subheader("The study", anchor=False)
        overview.study_facts(found.study)


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


def report(found: Opened) -> None:
    """The validation report of the study: a table by row, filtered, with a download."""
    findings = files.report(found)
    if not len(findings):
        st.success("Nothing was found in settings, table and photo names.", icon=":material/check_circle:")
    report_table(findings, "cohort-report", f"{found.study.name}-check.csv")
    page.note("Rows are numbered as a spreadsheet numbers them: the header is row 1. Nothing is guessed or repaired.")


def report_table(findings: Findings, key: str, file_name: str) -> None:
    """Findings as a table, the most severe first."""
    if not len(findings):
        return
    counts = findings.counts
    there = [severity for severity in SEVERITIES if counts[severity]]
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        chosen = st.segmented_control(
            "Show",
            there,
            selection_mode="multi",
            default=there,
            key=key,
            format_func=lambda severity: f"{NAMES[severity]} ({counts[severity]:,})",
        )
        rows = [finding for finding in findings if finding.severity in chosen]
        st.download_button(
            "CSV", _csv(rows), file_name, "text/csv", icon=":material/download:", on_click="ignore", key=f"{key}-csv"
        )
    page.note("; ".join(f"{NAMES[severity]}: {MEANING[severity]}" for severity in there) + ".")
    pages = max(1, -(-len(rows) // REPORT_ROWS))
    at = 1
    if pages > 1:
        at = st.pagination(pages, key=f"{key}-page-{pages}")
    _table(rows[(at - 1) * REPORT_ROWS : at * REPORT_ROWS])
    if findings.left_off:
        page.note(f"{findings.left_off:,} more of the same kinds are counted and not listed.")


def _table(rows: list[Finding]) -> None:
    if not rows:
        page.note("Nothing of the chosen kinds.")
        return
    cells = "".join(
        f'<tr class="{html.escape(finding.severity)}"><th scope="row">{MARKS[finding.severity]}</th>'
        f"<td>{html.escape(finding.where)}</td><td>{'' if finding.row is None else int(finding.row)}</td>"
        f"<td>{html.escape(finding.message)}</td>"
        f"<td>{html.escape(finding.remedy)}</td></tr>"
        for finding in rows
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("", "File", "Row", "What was found", "What to do"))
    st.html(f'<table class="lh-report"><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table>')


def _csv(rows: list[Finding]) -> str:
    import pandas as pd

    from common.files import safe_cell
    from study.files import csv_text

    columns = ("severity", "where", "row", "message", "remedy")
    return csv_text(
        pd.DataFrame(
            [[safe_cell(str("" if (v := getattr(row, name)) is None else v)) for name in columns] for row in rows],
            columns=list(columns),
        )
    )
