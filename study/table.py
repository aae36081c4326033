"""The patient table: the one gate from an untrusted file to checked columns.

The file becomes texts first (`study.tables`), then values are checked here: ids, times, events, covariates. Every
problem is a finding with its row as a spreadsheet numbers it, header = row 1. No value is guessed or repaired. Each
different text of a column is judged once, so a table of tens of thousands of rows takes a fraction of a second.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from study.errors import Findings, Severity
from study.files import safe_cell
from study.settings import REQUIRED_COLUMNS, Settings
from study.tables.raw import FILE_NAME, MAX_BYTES, MAX_CELL, MISSING, RawTable, refusal
from study.tables.read import read_table

__all__ = [
    "FILE_NAME",
    "LONGEST",
    "MAX_BYTES",
    "MISSING",
    "SAFE_ID",
    "is_formula",
    "parse_patients",
    "patients_of",
    "point_for_comma",
    "read_rows",
]

SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Longest plausible follow-up, 60 years, in each unit.
LONGEST = {"days": 21_915.0, "weeks": 3_131.0, "months": 720.0, "years": 60.0}
FORMULA_STARTS = frozenset("=+-@")  # texts are stripped already
Judge = Callable[[str], tuple[Any, str, str]]  # text -> (value, what is wrong with it or "", what to do)


def read_rows(data: bytes, findings: Findings) -> tuple[list[str], list[list[str]], list[int]]:
    """Header, cells and row numbers of any table; see `study.tables.read.read_table`."""
    raw = read_table(data, findings)
    return raw.header, raw.rows, raw.numbers


@dataclass(frozen=True)
class _Column:
    """One column of the file, judged text by text."""

    name: str
    cells: Sequence[str]
    numbers: Sequence[int]
    findings: Findings
    where: str

    def judge(self, judge: Judge, severity: Severity = "error") -> list[Any]:
        """The value of each cell; what is wrong goes to the findings, in the order of the rows."""
        told = {cell: judge(cell) for cell in set(self.cells)}
        if any(wrong for _, wrong, _ in told.values()):
            for cell, number in zip(self.cells, self.numbers, strict=True):
                _, wrong, remedy = told[cell]
                if wrong:
                    self.findings.add(severity, self.where, number, f"{self.name} {wrong}", remedy)
        values = {cell: value for cell, (value, _, _) in told.items()}
        return [values[cell] for cell in self.cells]

    def tell_commas(self, commas: set[str], read: bool, mixed: bool) -> None:
        """One sentence on the decimal commas of a column of numbers. read: whether they are taken for points; mixed:
        whether other cells have points."""
        rows = [number for cell, number in zip(self.cells, self.numbers, strict=True) if cell in commas]
        first = next(cell for cell in self.cells if cell in commas)
        if read:
            message = f"{self.name}: decimal commas are read as points, {first} as {point_for_comma(first)}."
            self.findings.note(self.where, None, message)
            return
        message = f"{self.name} has decimal commas in {len(rows)} rows, the first {first[:40]!r}."
        other = ", as other rows have" if mixed else ", or save the table with semicolons between the columns"
        self.findings.error(self.where, rows[0], message, f"Use a point for decimals{other}.")

    def look(self) -> None:
        """Tells cells that no table should hold, and formulas."""
        different = set(self.cells)
        if any(len(cell) > MAX_CELL or not cell.isprintable() for cell in different):
            self.judge(_cell)
        if any(cell[0] in FORMULA_STARTS and is_formula(cell) for cell in different if cell):
            self.judge(_formula, "warning")


def is_formula(cell: str) -> bool:
    """Whether a spreadsheet would run this text. Numbers, signs alone and marks of a missing value are none."""
    return len(cell) > 1 and safe_cell(cell) != cell and cell.lower() not in MISSING and _number(cell) is None


def _cell(cell: str) -> tuple[None, str, str]:
    if len(cell) > MAX_CELL:
        return None, f"holds more than {MAX_CELL} characters.", "Shorten it."
    if not cell.isprintable():
        return None, "holds a line break or control character.", "Remove it."
    return None, "", ""


def _formula(cell: str) -> tuple[None, str, str]:
    found = "looks like a spreadsheet formula." if is_formula(cell) else ""
    return None, found, "It is kept as text and never run; replace it by its value."


_PLAIN = re.compile(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,3})?", re.ASCII)
_COMMA = re.compile(r"[+-]?\d{1,30},\d{1,30}", re.ASCII)


def _number(text: str) -> float | None:
    """The finite number a cell holds, None otherwise. Only plain decimals: no `1_000`, no `0x10`, no `inf`."""
    if not _PLAIN.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def point_for_comma(cell: str) -> str:
    """A number with a decimal comma, with a point; any other text as it is."""
    return cell.replace(",", ".") if _COMMA.fullmatch(cell) else cell


def _numbers(
    column: _Column, low: float, high: float, required: bool, comma: bool, remedy: str = "Correct it."
) -> np.ndarray:
    """(n,) float64 of a column; missing is NaN (an error if required); outside [low, high] is an error.

    comma: decimal commas are read as points where the column has no decimal point, and said. Else one sentence refuses
    all of a column's.
    """
    commas = {cell for cell in set(column.cells) if _COMMA.fullmatch(cell)}
    mixed = any("." in cell and _PLAIN.fullmatch(cell) for cell in set(column.cells))
    comma = comma and not mixed
    if commas:
        column.tell_commas(commas, comma, mixed)

    def judge(cell: str) -> tuple[float, str, str]:
        if cell.lower() in MISSING:
            return math.nan, "is missing." if required else "", "Fill it in or remove the row."
        if cell in commas and not comma:
            return math.nan, "", ""  # told for the whole column
        value = _number(point_for_comma(cell) if comma else cell)
        if value is None:
            return math.nan, f"is {cell[:40]!r}.", "It must be a number."
        if value < low:
            what = "negative" if low == 0 else f"below {low:g}"
            return math.nan, f"is {what} ({cell[:40]}).", "Correct it or remove the row."
        if value > high:
            return math.nan, f"is {cell[:40]}, more than {high:g}.", remedy
        return value, "", ""

    return np.array(column.judge(judge), dtype=np.float64)


def _ids(column: _Column) -> None:
    if len({cell.casefold() for cell in column.cells}) == len(column.cells) and all(
        map(SAFE_ID.fullmatch, column.cells)
    ):
        return
    seen: dict[str, int] = {}
    for cell, row in zip(column.cells, column.numbers, strict=True):
        key = cell.casefold()
        if not cell:
            column.findings.error(column.where, row, f"{column.name} is missing.", "Every patient needs an id.")
        elif not SAFE_ID.fullmatch(cell):
            message = f"{column.name} {cell[:40]!r} is not usable."
            column.findings.error(column.where, row, message, "Use letters, digits, . _ - (64 at most).")
        elif key in seen:
            message = f"{column.name} {cell} is already in row {seen[key]}."
            column.findings.error(column.where, row, message, "Keep one row a patient.")
        else:
            seen[key] = row


def _events(column: _Column, settings: Settings) -> np.ndarray:
    """(n,) bool from the coding named in study.toml."""
    coding = {v.casefold(): True for v in settings.event_values} | {
        v.casefold(): False for v in settings.censored_values
    }
    legal = "/".join((*settings.event_values, *settings.censored_values))

    def judge(cell: str) -> tuple[bool, str, str]:
        text = cell.casefold()
        if text not in coding and re.fullmatch(r"\d+\.0+", text):
            text = text.split(".")[0]
        if text in coding:
            return coding[text], "", ""
        if cell.lower() in MISSING:
            return False, "is missing.", "Fill it in or remove the row."
        return False, f"is {cell[:40]!r}, not {legal}.", "Correct it, or [events] in study.toml."

    return np.array(column.judge(judge), dtype=bool)


def _words(column: _Column, levels: tuple[str, ...] = ()) -> list[str]:
    """Texts of a column, "" where missing; with levels, each as study.toml writes it."""
    legal = {level.casefold(): level for level in levels}

    def judge(cell: str) -> tuple[str, str, str]:
        if levels and cell.casefold() in legal:
            return legal[cell.casefold()], "", ""
        if cell.lower() in MISSING:
            return "", "", ""
        wrong = f"is {cell[:40]!r}, not {'/'.join(levels)[:120]}." if levels else ""
        return cell, wrong, "Correct it, or its levels in study.toml."

    return column.judge(judge)


def _days(column: _Column) -> np.ndarray:
    """(n,) datetime64[D], NaT where missing. Only 2026-05-31: other orders of day and month would be guesses."""

    def judge(cell: str) -> tuple[Any, str, str]:
        if cell.lower() in MISSING:
            return None, "", ""
        try:
            if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", cell, re.ASCII):
                raise ValueError(cell)
            return date.fromisoformat(cell), "", ""
        except ValueError:
            return None, f"is {cell[:40]!r}, not a date.", "Write dates as 2026-05-31."

    return np.array(column.judge(judge), dtype="datetime64[D]")


def parse_patients(data: bytes, settings: Settings, findings: Findings, where: str = FILE_NAME) -> pd.DataFrame:
    """The checked table of a study, one row a patient; see `patients_of`. where: what findings call the file."""
    return patients_of(read_table(data, findings, where), settings, findings, where)


def patients_of(raw: RawTable, settings: Settings, findings: Findings, where: str = FILE_NAME) -> pd.DataFrame:
    """The checked table, one row a patient.

    Columns: patient_id, time (float, in the study's unit), event (bool), photo (text as in the file, "" without such a
    column); then, where the file has them, age, ecog (float, NaN missing), sex, site, stage (text, "" missing), the
    covariates of study.toml (float or text likewise), entry (float), photo_date and baseline_date (datetime64, NaT
    missing); further columns of the file as text, and `row`, the number in the file. Problems go to `findings`; only
    with no error among them is the table fit for use. Raises StudyError where a column that must be there is not.
    """
    columns, cells = settings.columns, raw.columns()
    needed = [getattr(columns, key) for key in REQUIRED_COLUMNS]
    needed += [name for key in ("entry", "photo_date", "baseline_date") if (name := getattr(columns, key))]
    absent = [name for name in [*needed, *(c.where for c in settings.covariates)] if name not in cells]
    if absent:
        remedy = "Rename it, or say in study.toml what it is called."
        raise refusal(f"no column {', '.join(absent)}.", remedy, 1, where)

    def column(name: str) -> _Column:
        return _Column(name, cells[name], raw.numbers, findings, where)

    for words in raw.said:
        findings.note(where, None, words)
    for name in raw.header:
        column(name).look()
    _ids(column(columns.patient_id))
    table = {**_outcome(column, settings, raw.comma_decimals), **_clinical(column, settings, raw, cells)}
    mapped = {*columns.named().values(), *(c.where for c in settings.covariates)}
    for name in raw.header:
        if name not in mapped:
            table[name if name not in table and name != "row" else f"{name}_in_file"] = cells[name]
    frame = pd.DataFrame({**table, "row": raw.numbers})
    _remark(frame, settings, findings, where)
    return frame


def _outcome(column: Callable[[str], _Column], settings: Settings, comma: bool) -> dict[str, Any]:
    columns, longest = settings.columns, LONGEST[settings.time_unit]
    unit = "Check value and time unit."
    return {
        "patient_id": column(columns.patient_id).cells,
        "time": _numbers(column(columns.time), 0.0, longest, True, comma, unit),
        "event": _events(column(columns.event), settings),
    }


def _clinical(
    column: Callable[[str], _Column], settings: Settings, raw: RawTable, cells: dict[str, list[str]]
) -> dict[str, Any]:
    columns, comma = settings.columns, raw.comma_decimals
    table: dict[str, Any] = {"photo": cells.get(columns.photo, [""] * len(raw.rows))}
    for key, high in (("age", 120.0), ("ecog", 5.0)):
        if (name := getattr(columns, key)) in cells:
            table[key] = _numbers(column(name), 0.0, high, False, comma)
    for key in ("sex", "site", "stage"):
        if (name := getattr(columns, key)) in cells:
            table[key] = _words(column(name))
    for c in settings.covariates:
        numeric = c.kind == "numeric"
        own = column(c.where)
        table[c.name] = _numbers(own, c.low, c.high, False, comma) if numeric else _words(own, c.levels)
    if columns.entry:
        longest = LONGEST[settings.time_unit]
        table["entry"] = _numbers(column(columns.entry), 0.0, longest, True, comma, "Check value and time unit.")
    for key in ("photo_date", "baseline_date"):
        if name := getattr(columns, key):
            table[key] = _days(column(name))
    return table


def _remark(table: pd.DataFrame, settings: Settings, findings: Findings, where: str) -> None:
    """On values that only together are impossible: times of zero, entries at or after the end."""
    columns = settings.columns
    for row in table.loc[table["time"] == 0, "row"]:
        message, remedy = f"{columns.time} is 0.", "Times are above 0; correct it."
        findings.error(where, int(row), message, remedy)
    if "entry" in table:
        late = table["entry"] >= table["time"]
        for row, entry, end in table.loc[late, ["row", "entry", "time"]].itertuples(index=False):
            message = f"{columns.entry} ({entry:g}) is not before {columns.time} ({end:g})."
            findings.error(where, int(row), message, "Correct it: who enters at the end was never observed.")
    for key in ("age", "ecog", "sex", "site", "stage", *(c.name for c in settings.covariates)):
        if key not in table:
            continue
        column = table[key]
        missing = int(column.isna().sum()) if column.dtype.kind == "f" else int((column == "").sum())
        if missing:
            name = next((c.where for c in settings.covariates if c.name == key), getattr(columns, key, key))
            findings.warning(where, None, f"{name} is missing for {missing} of {len(table)} patients.")
