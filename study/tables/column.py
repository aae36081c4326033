"""One column of a patient table, checked text by text; what its texts mean is in `study.tables.values`.

Every problem is a finding with its row as a spreadsheet numbers it, header = row 1. No value is guessed or repaired.
Each different text of a column is checked once, and sentences are made only for findings that are kept, so a table of
tens of thousands of rows takes a fraction of a second.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from common.files import safe_cell
from common.text import count
from study.errors import Findings, Severity
from study.tables.formats.raw import FILE_NAME, MAX_CELL, MISSING, RawTable
from study.tables.numbers import Style, plain_number, style_of
from study.tables.reading import Reading

SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
FORMULA_STARTS = frozenset("=+-@")  # texts are stripped already
Judge = Callable[[str], tuple[Any, str, str]]  # text -> (value, what is wrong with it or "", what to do)


@dataclass(frozen=True, eq=False)
class Column:
    """One column of the file. typed: the file stores its numbers as numbers. comma_file: columns are separated by
    something else than commas, so that a comma may mark decimals."""

    name: str
    cells: Sequence[str]
    numbers: Sequence[int]
    findings: Findings
    where: str
    reading: Reading = field(default_factory=Reading)
    typed: bool = False
    comma_file: bool = False

    @classmethod
    def of(cls, raw: RawTable, name: str, reading: Reading, findings: Findings, where: str = FILE_NAME) -> Column:
        cells = raw.columns[name]
        return cls(name, cells, raw.numbers, findings, where, reading, name in raw.typed, raw.comma_decimals)

    @cached_property
    def counts(self) -> Counter[str]:
        """Different text -> in how many rows."""
        return Counter(self.cells)

    @cached_property
    def missing(self) -> frozenset[str]:
        """The texts of this column, in lower case, that stand for a missing value."""
        return MISSING | self.reading.codes(self.name)

    @cached_property
    def values(self) -> list[str]:
        """The different texts that are not missing."""
        return [cell for cell in self.counts if cell.casefold() not in self.missing]

    @cached_property
    def style(self) -> Style:
        """How the column writes numbers."""
        return style_of(self.values, self.reading.numbers.get(self.name), self.typed, self.comma_file)

    def first_row(self, cell: str) -> int:
        return self.numbers[list(self.cells).index(cell)]

    def error(self, row: int | None, message: str, remedy: str) -> None:
        self.findings.error(self.where, row, message, remedy)

    def judge(self, judge: Judge) -> list[Any]:
        """The value of each cell; what is wrong goes to the findings, in the order of the rows."""
        results = {cell: judge(cell) for cell in self.counts}
        self._report({cell: (wrong, remedy) for cell, (_, wrong, remedy) in results.items() if wrong}, "error")
        values = {cell: value for cell, (value, _, _) in results.items()}
        return [values[cell] for cell in self.cells]

    def _report(self, wrong: dict[str, tuple[str, str]], severity: Severity) -> None:
        """wrong: text of the column -> what is wrong with it, what to do."""
        if not wrong:
            return
        rows = [(cell, number) for cell, number in zip(self.cells, self.numbers, strict=True) if cell in wrong]

        def sentence(i: int) -> tuple[str, str]:
            message, remedy = wrong[rows[i][0]]
            return f"{self.name} {message}", remedy

        self.findings.add_each(severity, self.where, [number for _, number in rows], sentence)

    def look(self) -> None:
        """Reports cells that no table should hold, and formulas."""
        long, odd = f"holds more than {MAX_CELL} characters.", "holds a line break or control character."
        wrong = {c: (odd, "Remove it.") for c in self.counts if not c.isprintable()}
        wrong |= {c: (long, "Shorten it.") for c in self.counts if len(c) > MAX_CELL}
        self._report(wrong, "error")
        formula = ("looks like a spreadsheet formula.", "It is kept as text and never run; replace it by its value.")
        formulas = {c: formula for c in self.counts if c and c[0] in FORMULA_STARTS and is_formula(c)}
        self._report(formulas, "warning")


def is_formula(cell: str) -> bool:
    """Whether a spreadsheet would run this text. Numbers, signs alone and marks of a missing value are none."""
    return len(cell) > 1 and safe_cell(cell) != cell and cell.lower() not in MISSING and plain_number(cell) is None


def check_ids(column: Column) -> None:
    folded = {cell.casefold() for cell in column.counts}
    if len(folded) == len(column.cells) and all(map(SAFE_ID.fullmatch, column.counts)):
        return
    repeated = sum(n > 1 for cell, n in column.counts.items() if cell)
    if repeated >= 10 and repeated > len(column.counts) / 2:  # a long table, as REDCap exports repeated events
        first = next(cell for cell in column.cells if cell and column.counts[cell] > 1)
        patients, rows = count(len(column.counts), "patient"), count(len(column.cells), "row")
        message = f"{patients} in {rows}: {first[:40]} alone has {column.counts[first]}."
        remedy = "Keep one row per patient: export one event (REDCap: filter by event, without repeated instruments)."
        column.error(column.first_row(first), f"{column.name}: {message}", remedy)
        return
    seen: dict[str, int] = {}
    for cell, row in zip(column.cells, column.numbers, strict=True):
        key = cell.casefold()
        if not cell:
            column.error(row, f"{column.name} is missing.", "Every patient needs an id.")
        elif key in seen:
            column.error(row, f"{column.name} {cell} is already in row {seen[key]}.", "Keep one row per patient.")
        elif SAFE_ID.fullmatch(cell):
            seen[key] = row
        else:
            remedy = "Use letters, digits, . _ - (64 at most)."
            column.error(row, f"{column.name} {cell[:40]!r} is not usable.", remedy)
