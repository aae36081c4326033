"""The records of benchmarks as a section of docs/measurements.md, between two markers; the prose around it stays."""

from __future__ import annotations

import ast
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.parts.common import format_cell
from common.text import count
from study.errors import StudyError

BENCHES = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- records: begin -->", "<!-- records: end -->"
HEAD = {"bench", "machine", "date", "commit", "command", "rows"}


def read_records(folder: Path) -> dict[str, dict[str, Any]]:
    """Name to record, by name. Raises StudyError where a file is not a JSON object."""
    records = {}
    for file in sorted(folder.glob("*.json")):
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise StudyError(f"{file.name} is not JSON: run the benchmark again and copy its record.") from error
        if not isinstance(record, dict):
            raise StudyError(f"{file.name} is not a record of a benchmark: remove it.")
        records[file.stem] = record
    return records


def page(text: str, records: Mapping[str, Mapping[str, Any]]) -> str:
    """The page with the section between the markers made of the records. Raises StudyError without both markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise StudyError(f"measurements.md has no lines {BEGIN} and {END}: put them back.")
    sections = "\n".join(section(name, record) for name, record in records.items())
    return f"{before}{BEGIN}\n{sections}{END}{after}"


def section(name: str, record: Mapping[str, Any]) -> str:
    """One record in markdown: what it measured, where and when, its settings and its tables."""
    bench = str(record.get("bench", name))
    blocks = [f"### {name}", *described(bench), origin(bench, record)]
    others = {key: value for key, value in record.items() if key not in HEAD}
    if settings := [f"{_words(key)} {format_cell(value)}" for key, value in others.items() if _plain(value)]:
        blocks.append("Settings and totals: " + ", ".join(settings) + ".")
    if rows := record.get("rows"):
        blocks.append(table(rows))
    for key, value in others.items():
        if not _plain(value) and (rows := rows_of(value)):
            blocks += [f"*{_words(key)}:*", table(rows)]
    return "\n\n".join(blocks) + "\n"


def described(bench: str) -> list[str]:
    """What the benchmark measures: the first paragraph of its docstring."""
    file = BENCHES / f"{bench}.py"
    if not file.is_file():
        return []
    documented = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    first = " ".join(documented.split("\n\n")[0].split()).removeprefix(f"`python -m bench {bench}`: ")
    return [first[:1].upper() + first[1:]] if first else []


def origin(bench: str, record: Mapping[str, Any]) -> str:
    """Command, date, commit and machine, as far as the record has them."""
    machine = record.get("machine", {})
    parts = [f"`{record.get('command', f'python -m bench {bench}')}`", str(record.get("date", "date not recorded"))]
    if commit := record.get("commit"):
        parts.append(f"commit {commit}")
    if cpu := machine.get("cpu"):
        cores = count(machine["cores"], "core") if machine.get("cores") else None
        parts.append(", ".join(filter(None, [cpu, cores, machine.get("instructions")])))
    parts += [f"{name} {machine[key]}" for key, name in (("python", "Python"), ("torch", "torch")) if key in machine]
    return "; ".join(parts) + "."


def rows_of(value: object) -> list[dict[str, object]]:
    """A value of a record as rows of a table; [] where it is empty or nested deeper than a table shows.

    Series of numbers become their count, median and range: the record itself has every number.
    """
    if isinstance(value, Mapping):
        if value and all(_numbers(v) for v in value.values()):
            return [{"": name, **spread(v)} for name, v in value.items()]
        if value and all(isinstance(v, Mapping) and all(map(_plain, v.values())) for v in value.values()):
            return [{"": name, **v} for name, v in value.items()]
        return [{"": name, "value": v} for name, v in value.items() if _plain(v)]
    if isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
        return [{key: v for key, v in row.items() if _plain(v)} for row in value]
    if _numbers(value):
        return [spread(value)]  # type: ignore[arg-type]
    return [{"": v} for v in value if _plain(v)] if isinstance(value, list) else []


def spread(values: Sequence[float]) -> dict[str, object]:
    """Count, median, smallest and largest of a series."""
    return {"n": len(values), "median": statistics.median(values), "min": min(values), "max": max(values)}


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as a markdown table, a column for every key that any row has, in the order they come."""
    header = list(dict.fromkeys(key for row in rows for key in row))
    lines = [[_words(key) for key in header], ["---"] * len(header)]
    lines += [["" if row.get(key) is None else format_cell(row[key]) for key in header] for row in rows]
    escaped = [[" ".join(cell.replace("|", "\\|").split()) for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in escaped)


def _words(key: str) -> str:
    return key.replace("_", " ")


def _plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _numbers(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, int | float) for v in value)
