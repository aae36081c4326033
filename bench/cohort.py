"""A study of 20,000 patients: opened, validated, described and drawn; how long the Cohort page waits for it.

Each piece of a visit is timed; the goal is that none takes a second. Two pieces are compared with a baseline: opening
(all checks, by different texts of a column) with a plain loop that checks every cell row by row and asks the disk for
every photo, without the checks of plausibility; and the question of each click, whether files changed, with a
scan of all files. The loop must find the same table and the same photos.

    python -m bench cohort [--patients 20000] [--repeats 3]
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.parts.common import interleaved_medians, print_table
from common.command import Parser
from common.files import safe_cell
from study.description.flow import flow
from study.description.table_one import follow_up, table_one
from study.disk.store import Study, inspect
from study.files import csv_text, write_text
from study.settings import Covariate, Settings, settings_text
from study.tables.column import SAFE_ID
from study.tables.formats.raw import MISSING
from study.tables.patients import LONGEST
from survival.curves import kaplan_meier
from survival.plots.kaplan_meier import kaplan_meier_figure

GOAL = 1.0  # seconds
OPEN, CHANGED, BASELINE = "open and check (once a change)", "has it changed? (each click)", "baseline of"
SETTINGS = Settings(
    name="large",
    title="20,000 simulated patients",
    simulated=True,
    covariates=(Covariate("bmi", low=5, high=100), Covariate("arm", "categorical", levels=("a", "b", "c"))),
)
NUMBERS = {"time_months": (0.0, LONGEST["months"]), "age": (0.0, 120.0), "ecog": (0.0, 5.0), "bmi": (5.0, 100.0)}


def write_large(folder: Path, n: int, photos: bool = True) -> Path:
    """A study of n simulated patients with a photo each (all the same few bytes: photos are not opened here)."""
    rng = np.random.default_rng(0)
    event_time, end = rng.exponential(30, n), rng.uniform(1, 90, n)
    ids = [f"P{i + 1:06d}" for i in range(n)]
    table = pd.DataFrame(
        {
            "patient_id": ids,
            "age": rng.integers(30, 90, n),
            "sex": rng.choice(["female", "male"], n),
            "site": rng.choice(["lung", "colon", "breast"], n),
            "stage": rng.choice(["I", "II", "III", "IV"], n),
            "ecog": rng.integers(0, 4, n),
            "time_months": np.round(np.minimum(event_time, end) + 0.01, 2),
            "event": (event_time <= end).astype(int),
            "bmi": np.round(rng.normal(26, 4, n).clip(12, 60), 1),
            "arm": rng.choice(list("abc"), n),
        }
    )
    write_text(folder / "study.toml", settings_text(SETTINGS))
    if photos:
        table["photo"] = [f"photos/{i}.jpg" for i in ids]
        (folder / "photos").mkdir()
        for i in ids:
            (folder / "photos" / f"{i}.jpg").write_bytes(b"\xff\xd8\xff")
    write_text(folder / "patients.csv", csv_text(table))
    return folder


def row_by_row(folder: Path) -> tuple[list[float], list[bool], int]:
    """(times, events, existing photos): every cell checked row by row, every photo looked up on disk."""
    problems: list[str] = []
    times, events, photo_count = [], [], 0
    seen: dict[str, int] = {}
    plain = re.compile(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,3})?", re.ASCII)

    def number(cell: str) -> float:
        return float(cell) if plain.fullmatch(cell) else math.nan

    with (folder / "patients.csv").open(encoding="utf-8", newline="") as file:
        for row, record in enumerate(csv.DictReader(io.StringIO(file.read())), start=2):
            for name, cell in record.items():
                text = cell.strip()
                if len(text) > 2000 or not text.isprintable():
                    problems.append(f"row {row}: {name} cannot be read.")
                if safe_cell(text) != text and text.lower() not in MISSING and math.isnan(number(text)):
                    problems.append(f"row {row}: {name} is a formula.")
            patient = record["patient_id"]
            if not SAFE_ID.fullmatch(patient) or patient.casefold() in seen:
                problems.append(f"row {row}: patient_id.")
            seen[patient.casefold()] = row
            for name, (low, high) in NUMBERS.items():
                if not low <= number(record[name]) <= high:
                    problems.append(f"row {row}: {name}.")
            if record["event"] not in ("0", "1") or record["arm"].casefold() not in ("a", "b", "c"):
                problems.append(f"row {row}: event or arm.")
            times.append(number(record["time_months"]))
            events.append(record["event"] == "1")
            path = folder / record["photo"]
            photo_count += path.suffix in (".jpg", ".png") and not path.is_symlink() and path.is_file()
    if problems:
        raise RuntimeError(problems[0])
    return times, events, photo_count


def page_work(study: Study) -> dict[str, Callable[[], object]]:
    """What one visit of the Cohort page asks for, piece by piece."""
    from ui.shell.stamps import stamp

    table = study.patients
    curve = kaplan_meier(table["time"], table["event"])
    return {
        OPEN: lambda: inspect(study.path),
        CHANGED: lambda: stamp(study.path),
        "flow of patients": lambda: flow(study),
        "Table 1": lambda: table_one(study),
        "follow-up": lambda: follow_up(study),
        "Kaplan-Meier figure as JSON": lambda: kaplan_meier_figure({"All": curve}, "months", [0, 24, 48, 72]).to_json(),
    }


def run(arguments: Sequence[str] = ()) -> dict[str, Any]:
    parser = Parser(prog="python -m bench cohort", description="A study of 20,000 patients")
    parser.add_argument("--patients", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(list(arguments))
    with tempfile.TemporaryDirectory() as place:
        folder = write_large(Path(place) / "large", options.patients)
        study = Study.open(folder)
        times, events, photo_count = row_by_row(folder)
        table = study.patients
        if len(study.photos) != photo_count or table["time"].tolist() != times or table["event"].tolist() != events:
            raise RuntimeError("The two ways read different tables: their times cannot be compared.")
        # what each click would ask for without a memory of large folders: the newest change of any file
        scan = lambda: max(os.stat(file).st_mtime for file in folder.rglob("*"))  # noqa: E731
        baselines = {OPEN: lambda: row_by_row(folder), CHANGED: scan}
        pieces = page_work(study)
        both = {**pieces, **{f"{BASELINE} {name}": call for name, call in baselines.items()}}
        seconds = interleaved_medians(both, options.repeats)
    rows: list[dict[str, Any]] = []
    for name in pieces:
        row = {"piece": name, "seconds": seconds[name], "under 1 s": seconds[name] < GOAL}
        theirs = seconds.get(f"{BASELINE} {name}")
        times = "" if theirs is None else theirs / seconds[name]
        rows.append({**row, "baseline": "" if theirs is None else theirs, "times faster": times})
    print_table(rows, f"{options.patients:,} patients with a photo each, {sum(events):,} events")
    return {"patients": options.patients, "goal": GOAL, "rows": rows}
