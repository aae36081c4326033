"""What every benchmark shares: fair timing in one run, a printed table, a JSON record, a file of finished portraits."""

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from common.files import PLAIN, Files
from study.errors import StudyError

MAX_BYTES = 2**28  # of the file of finished portraits
VERSION = 1
RESULTS = Path(__file__).resolve().parents[2] / "artefacts" / "bench"


def interleaved_medians(calls: Mapping[str, Callable[[], object]], repeats: int, warmup: int = 1) -> dict[str, float]:
    """Median seconds of each callable, measured in turns (a, b, a, b, ...).

    Turns, because the load of a shared machine drifts: calls timed one after the other would meet
    different machines. The order is reversed every other round for the same reason.
    """
    if repeats < 1:
        raise ValueError("repeats must be at least 1")
    for _ in range(warmup):
        for call in calls.values():
            call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats):
        names = list(calls) if turn % 2 == 0 else list(calls)[::-1]
        for name in names:
            start = time.perf_counter()
            calls[name]()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def format_cell(value: object) -> str:
    """Numbers to four significant digits, everything else as text."""
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def print_table(rows: Sequence[Mapping[str, object]], title: str = "") -> None:
    """Print rows (one mapping a row, the first row's keys as the header) in aligned columns."""
    if title:
        print(f"\n{title}")
    if not rows:
        print("(no rows)")
        return
    header = list(rows[0])
    cells = [[format_cell(row.get(key, "")) for key in header] for row in rows]
    widths = [max(len(key), *(len(line[i]) for line in cells)) for i, key in enumerate(header)]
    print("  ".join(key.ljust(width) for key, width in zip(header, widths, strict=True)).rstrip())
    print("  ".join("-" * width for width in widths))
    for line in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def machine() -> dict[str, object]:
    """What the numbers depend on: processor, cores in use, versions."""
    try:
        cpu = next(
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        )
    except (OSError, StopIteration):
        cpu = platform.processor() or "unknown"
    facts: dict[str, object] = {"cpu": cpu, "cores": os.cpu_count(), "python": platform.python_version()}
    try:
        import torch
    except ImportError:
        return facts
    facts |= {"torch": torch.__version__, "threads": torch.get_num_threads(), "cuda": torch.cuda.is_available()}
    if hasattr(torch.backends, "cpu"):
        facts["instructions"] = torch.backends.cpu.get_cpu_capability()
    return facts


def commit() -> str | None:
    """The commit that is checked out, None outside a repository."""
    asked = ["git", "-C", str(RESULTS.parents[1]), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def write_json(name: str, result: Mapping[str, Any], command: str = "") -> Path:
    """Write artefacts/bench/NAME.json (with command, date, commit and the machine's facts) and return its path."""
    path = RESULTS / f"{name}.json"
    made = {"command": command or f"python -m bench {name}", "date": date.today().isoformat(), "commit": commit()}
    record = {"bench": name, **made, "machine": machine(), **result}
    PLAIN.write_text(path, json.dumps(record, indent=2, sort_keys=False, default=float) + "\n")
    return path


class Results:
    """The record of each photo by its sha256, in a file, so that a stopped run resumes; without one in memory alone.

    settings: whatever shapes a record, as plain JSON values. A file with others is refused: its portraits were made in
    another way. Raises StudyError for such a file and for any other file.
    """

    def __init__(self, path: Path | None, settings: Mapping[str, Any]) -> None:
        self.path, self.settings = path, {"version": VERSION, **settings}
        self.records: dict[str, dict[str, Any]] = {}
        if path is not None and path.exists():
            self.records = self._read(path)

    def _read(self, path: Path) -> dict[str, dict[str, Any]]:
        data = Files(StudyError).read_limited(path, MAX_BYTES, "The file of results")
        try:
            stored = json.loads(data)
            settings, records = stored["settings"], stored["records"]
            if not isinstance(records, dict) or not all(isinstance(r, dict) for r in records.values()):
                raise ValueError("records are not objects")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise StudyError(f"{path.name} holds no portraits of this benchmark: name another file.") from error
        if settings != self.settings:
            raise StudyError(
                f"{path.name} holds portraits of another checkpoint, preset or version: name another file."
            )
        return records

    def of(self, sha256: str) -> dict[str, Any]:
        """The photo's record, {} without one."""
        return self.records.get(sha256, {})

    def add(self, sha256: str, values: Mapping[str, Any]) -> None:
        """Adds to the record of a photo; on disk only with the next `write`."""
        self.records[sha256] = self.of(sha256) | dict(values)

    def write(self, report: Mapping[str, Any] | None = None) -> None:
        """Replaces the file; the report, once made, comes first."""
        if self.path is not None:
            stored = {"report": report, "settings": self.settings, "records": self.records}
            Files(StudyError).write_text(self.path, json.dumps(stored, ensure_ascii=False) + "\n")
