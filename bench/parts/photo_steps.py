"""What the way from table and photos to a report takes without the search for codes, here and at another revision: the
steps that read photos (quality control, embedding, the features of a comparison, robustness)."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.driving import ROOT
from bench.driving.revision import checked_out, git, parent
from bench.parts.common import print_table
from common.threads import worker_environment

STEPS = ("quality", "embed", "compare", "robustness")
SCRIPT = ROOT / "bench" / "driving" / "steps.py"
GOAL = 2.0  # times as fast


def drive(root: Path, study: str, photos: int) -> dict[str, Any]:
    """What `steps.py` prints in a copy of the project. Raises RuntimeError with its last words."""
    environment = {**os.environ, **worker_environment(1), "PYTHONPATH": str(root)}
    command = [sys.executable, str(SCRIPT), str(root / "studies" / study), str(photos)]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the steps failed: {done.stderr.strip()[-500:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def compare_steps(study: str, photos: int, rounds: int, against: str = "") -> dict[str, Any]:
    """Print the table; the numbers as a dict. against: a revision, "" for this commit's parent.

    Raises RuntimeError where the revisions align faces differently.
    """
    revision = against or parent()
    name = git("rev-parse", "--short", revision)
    with checked_out(revision) as copy:
        roots = {name: copy, "here": ROOT}
        runs: dict[str, list[dict[str, Any]]] = {label: [] for label in roots}
        for turn in range(rounds):
            for label in list(roots)[:: 1 if turn % 2 == 0 else -1]:
                runs[label].append(drive(roots[label], study, photos))
    if len({each["codes"] for made in runs.values() for each in made}) > 1:
        raise RuntimeError(f"{name} and this revision do not align the same faces")
    rows: list[dict[str, object]] = []
    for step in (*STEPS, "together"):
        seconds = {
            label: statistics.median(
                sum(each["seconds"].values()) if step == "together" else each["seconds"][step] for each in made
            )
            for label, made in runs.items()
        }
        rows.append({"step": step, **seconds, "times": seconds[name] / seconds["here"]})
    title = f"Steps that read photos, without the search for codes: {photos} photos of {study}, one thread, seconds"
    print_table(rows, f"{title}; aligned faces are equal; goal together: {GOAL} times")
    return {"photos": photos, "against": name, "goal": GOAL, "rows": rows}
