"""A table as texts, whatever file it came from, and the bounds that every format keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from study.errors import StudyError
from study.files import safe_cell

FILE_NAME = "patients.csv"
MAX_BYTES = 64 * 2**20
MAX_ROWS = 500_000
MAX_COLUMNS = 500
MAX_CELLS = 10_000_000
MAX_CELL = 2_000
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", ".", "-", "?"})


@dataclass(frozen=True)
class RawTable:
    """header: stripped names. rows: stripped texts, each as long as the header. numbers: of the rows, as a spreadsheet
    numbers them, header = row 1. comma_decimals: whether a comma may stand for the decimal point. said: what was
    detected about the file, in sentences.
    """

    header: list[str]
    rows: list[list[str]]
    numbers: list[int]
    comma_decimals: bool = False
    said: tuple[str, ...] = ()

    def columns(self) -> dict[str, list[str]]:
        """The cells by column."""
        if not self.rows:
            return {name: [] for name in self.header}
        return {name: list(cells) for name, cells in zip(self.header, zip(*self.rows, strict=True), strict=True)}


def refusal(message: str, remedy: str, row: int | None = None, name: str = FILE_NAME) -> StudyError:
    """The error for a file that is no table."""
    return StudyError(f"{name if row is None else f'{name}, row {row}'}: {message} {remedy}")


def too_wide(name: str = FILE_NAME) -> StudyError:
    return refusal(f"more than {MAX_COLUMNS} columns.", "Keep the columns of the study only.", 1, name)


def check_header(header: list[str], name: str = FILE_NAME) -> None:
    """Raises StudyError for a header that cannot name columns."""
    if len(header) > MAX_COLUMNS:
        raise too_wide(name)
    if not any(header):
        raise refusal("there is no header line.", "The first line must name the columns.", 1, name)
    if "" in header:
        raise refusal(f"column {header.index('') + 1} has no name.", "Name it or remove it.", 1, name)
    for column in header:
        if header.count(column) > 1:
            raise refusal(f"two columns are called {column[:60]!r}.", "Rename or remove one.", 1, name)
        if safe_cell(column) != column or len(column) > 100 or not column.isprintable():
            raise refusal(f"{column[:60]!r} cannot be a column's name.", "Rename that column.", 1, name)


def check_size(rows: int, columns: int, name: str = FILE_NAME) -> None:
    """Raises StudyError for more rows than are read."""
    if rows > min(MAX_ROWS, MAX_CELLS // max(columns, 1)):
        raise refusal(f"more than {rows - 1} rows of {columns} columns.", "Split the study.", None, name)


def unguarded(cell: str) -> str:
    """A cell without the apostrophe that `safe_cell` puts before what a spreadsheet would run."""
    return cell[1:] if cell.startswith("'") and safe_cell(cell[1:]) == cell else cell


def clean_rows(rows: list[list[str]]) -> list[list[str]]:
    """Cells without space around them and without guards. Each different text of a column is looked at once."""
    columns: list[Sequence[str]] = []
    changed = False
    for cells in zip(*rows, strict=True):
        own = {cell: unguarded(cell.strip()) for cell in set(cells)}
        if all(cell == clean for cell, clean in own.items()):
            columns.append(cells)
        else:
            columns.append([own[cell] for cell in cells])
            changed = True
    return [list(cells) for cells in zip(*columns, strict=True)] if changed else rows


def without_blanks(rows: list[list[str]], numbers: list[int]) -> tuple[list[list[str]], list[int]]:
    """The rows that hold anything, and their numbers."""
    blank = {i for i, row in enumerate(rows) if not row[0] and not any(row)}
    if not blank:
        return rows, numbers
    kept = [i for i in range(len(rows)) if i not in blank]
    return [rows[i] for i in kept], [numbers[i] for i in kept]
