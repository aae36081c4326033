"""How close a finished face model's samples come to the portraits: `python -m latent evaluate`, queued and shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from common.text import MINUS
from jobs.progress import is_number, verb
from jobs.queue import command_path
from jobs.record import Job, QueueError
from latent.evaluation.report import LINES
from ui.elements import blocks, message
from ui.elements.glossary import GLOSSARY
from ui.elements.tables import DASH, Cell, table
from ui.finetune import runs
from ui.finetune.runs import Run
from ui.shell import resources

REPORT, SHEET = "evaluation.json", "evaluation.png"
SAMPLES, PSI, SWEEP = 300, "0.7", "0.7,1"


def show(run: Run, checkpoint: Path, trained: Job) -> None:
    """The evaluation of a run's checkpoint where there is one, and the button that asks for it."""
    jobs = [job for job in resources.queue().jobs()[0] if verb(job) == "evaluate"]
    current = next((job for job in jobs if runs.run_of(job) == run.name), None)
    busy = current is not None and current.active
    report = runs.read_object(run.folder / REPORT)
    st.markdown("**How close it comes**")
    if report is not None:
        _table(report)
        if (run.folder / SHEET).is_file():
            with st.expander(f"36 random faces at truncation {PSI}", icon=":material/grid_view:"):
                st.image((run.folder / SHEET).read_bytes(), width=720, alt=f"36 samples of {run.name}")
    elif not busy:
        blocks.note(
            f"{SAMPLES} random faces are compared with the portraits that were held out of training (with all if none "
            "were), and the portraits with each other: no face model can come closer than that."
        )
    st.button(
        "Measuring" if busy else "Measure it again" if report else "Measure it against the portraits",
        key="finetune-evaluate",
        icon=":material/straighten:",
        on_click=_begin,
        args=(run, checkpoint, trained),
        disabled=busy,
        help=GLOSSARY["psi"],
    )


def command(run: Run, checkpoint: Path, data: str) -> list[str]:
    """`python -m` of these words evaluates a checkpoint and writes the report into the run's folder."""
    out, sheet = command_path(run.folder / REPORT), command_path(run.folder / SHEET)
    words = ["latent", "evaluate", str(checkpoint), "--data", data, "--samples", str(SAMPLES)]
    return [*words, "--psi", PSI, "--sweep", SWEEP, "--out", out, "--sheet", sheet]


def _begin(run: Run, checkpoint: Path, trained: Job) -> None:
    with message.left_by(QueueError):
        resources.queue().add(f"Measure {checkpoint.name}", command(run, checkpoint, trained.command[2]))


def _table(report: dict[str, Any]) -> None:
    """The results, a column for each truncation, the portraits themselves last."""
    rows, floor = report.get("rows"), report.get("floor")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        st.warning("The report of this evaluation is damaged: measure again.")
        return
    columns = [*rows, *([floor] if isinstance(floor, dict) else [])]
    heads = [f"truncation {row['psi']:g}" if is_number(row.get("psi")) else "portraits" for row in columns]
    table(
        ["", *heads],
        [
            [name, *(_cell(column.get(value), column.get(sd)) for column in columns)]
            for name, value, sd in LINES
            if any(is_number(column.get(value)) for column in columns)
        ],
    )
    reference = {"held out": "people held out of training", "all": "all portraits of the set, which it was trained on"}
    blocks.note(
        f"{report.get('samples')} random faces, compared with {report.get('n')} portraits of "
        f"{reference.get(str(report.get('reference')), 'nobody')}. Distances: lower is closer; precision: share of "
        "random faces that look like portraits; recall: share of portraits that random faces come close to. Last "
        "column: other portraits of the same set, the best that can be reached."
    )
    made = report.get("reconstructions")
    for row in made if isinstance(made, list) else []:
        if isinstance(row, dict) and is_number(row.get("st_lpips")) and is_number(row.get("n")):
            blocks.note(
                f"Reconstructions of {row['n']} of these portraits, {row.get('method')}: mean ST-LPIPS "
                f"{row['st_lpips']:.3f}, which nothing minimised."
            )


def _cell(value: object, sd: object) -> Cell:
    if not is_number(value):
        return Cell(DASH)
    return Cell(f"{value:.4g}".replace("-", MINUS), f"± {sd:.2g}" if is_number(sd) else "")
