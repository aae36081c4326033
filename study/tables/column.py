"""One column of a patient table, judged text by text: ids, numbers, events, words, dates.

Every problem is a finding with its row as a spreadsheet numbers it, header = row 1. No value is guessed or repaired.
Each different text of a column is judged once, so a table of tens of thousands of rows takes a fraction of a second.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from study.errors import Findings, Severity
from study.files import safe_cell
from study.settings import Settings
from study.tables.raw import MAX_CELL, MISSING

SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
FORMULA_STARTS = frozenset("=+-@")  # texts are stripped already
Judge = Callable[[str], tuple[Any, str, str]]  # text -> (value, what is wrong with it or "", what to do)


@dataclass(frozen=True)
class Column:
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


def numbers_of(
    column: Column, low: float, high: float, required: bool, comma: bool, remedy: str = "Correct it."
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


def check_ids(column: Column) -> None:
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


def events_of(column: Column, settings: Settings) -> np.ndarray:
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


def words_of(column: Column, levels: tuple[str, ...] = ()) -> list[str]:
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


def days_of(column: Column) -> np.ndarray:
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
