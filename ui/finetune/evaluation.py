"""How close a finished checkpoint's samples come to the portraits: `python -m latent evaluate`, queued and shown."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import streamlit as st

from jobs.record import Job, QueueError
from ui.elements import page
from ui.elements.text import MINUS
from ui.finetune import runs as files
from ui.finetune.runs import Run
from ui.shell import resources

REPORT, SHEET = "evaluation.json", "evaluation.png"
SAMPLES, PSI, SWEEP = 300, "0.7", "0.7,1"


def show(run: Run, checkpoint: Path, trained: Job) -> None:
    """The evaluation of a run's checkpoint where there is one, and the button that asks for it."""
    jobs = [job for job in resources.queue().jobs()[0] if files.verb(job) == "evaluate"]
    mine = next((job for job in jobs if files.run_of(job) == run.name), None)
    busy = mine is not None and mine.active
    report = files.read_object(run.folder / REPORT)
    st.markdown("**How close it comes**")
    if report is not None:
        _table(report)
        if (run.folder / SHEET).is_file():
            with st.expander(f"36 samples at truncation {PSI}", icon=":material/grid_view:"):
                st.image((run.folder / SHEET).read_bytes(), width=720, alt=f"36 samples of {run.name}")
    elif not busy:
        page.note(
            f"{SAMPLES} samples are compared with the portraits that were kept out of training, or with all where "
            "nobody was, and those with each other: no generator can come closer than that."
        )
    st.button(
        "Being measured" if busy else "Measure it again" if report else "Measure it against the portraits",
        key="finetune-evaluate",
        icon=":material/straighten:",
        on_click=_begin,
        args=(run, checkpoint, trained),
        disabled=busy,
    )


def command(run: Run, checkpoint: Path, data: str) -> list[str]:
    """`python -m` of these words measures a checkpoint and leaves the figures in the run's folder."""
    out, sheet = files.shown(run.folder / REPORT), files.shown(run.folder / SHEET)
    words = ["latent", "evaluate", str(checkpoint), "--data", data, "--samples", str(SAMPLES)]
    return [*words, "--psi", PSI, "--sweep", SWEEP, "--out", out, "--sheet", sheet]


def _begin(run: Run, checkpoint: Path, trained: Job) -> None:
    try:
        resources.queue().add(f"Measure {checkpoint.name}", command(run, checkpoint, trained.command[2]))
    except QueueError as error:
        st.session_state["finetune-problem"] = str(error)


def _table(report: dict[str, Any]) -> None:
    """The figures, a column for each truncation, the portraits themselves last."""
    from latent.evaluation.report import LINES

    rows, floor = report.get("rows"), report.get("floor")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        st.warning("The figures of this evaluation are damaged: measure again.")
        return
    columns = [*rows, *([floor] if isinstance(floor, dict) else [])]
    heads = [f"truncation {row['psi']:g}" if files.is_number(row.get("psi")) else "portraits" for row in columns]
    body = "".join(
        f"<tr><th>{html.escape(name)}</th>{''.join(f'<td>{_cell(c.get(value), c.get(sd))}</td>' for c in columns)}</tr>"
        for name, value, sd in LINES
        if any(files.is_number(column.get(value)) for column in columns)
    )
    head = "".join(f"<th>{html.escape(text)}</th>" for text in heads)
    st.html(f'<table class="lh-table"><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>')
    whose = {"held out": "people kept out of training", "all": "all portraits of the set, which it was trained on"}
    page.note(
        f"{report.get('samples')} samples, {report.get('n')} portraits on either side; reference: "
        f"{whose.get(str(report.get('reference')), 'none')}. Distances: lower is closer; precision: share of samples "
        "that look like portraits; recall: share of portraits that samples come near. Last column: other portraits of "
        "the same set, the best that can be reached."
    )


def _cell(value: object, sd: object) -> str:
    if not files.is_number(value):
        return "–"
    spread = f" <small>± {sd:.2g}</small>" if files.is_number(sd) else ""
    return f"{value:.4g}".replace("-", MINUS) + spread
