"""A table as texts, whatever file it came from, and the bounds that every format keeps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count

from common.files import safe_cell
from common.text import count as counted
from study.errors import StudyError

FILE_NAME = "patients.csv"
MAX_BYTES = 64 * 2**20
MAX_ROWS = 100_000  # patients
MAX_COLUMNS = 500
MAX_CELLS = 5_000_000
MAX_CELL = 2_000
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", ".", "-", "?"})


@dataclass(frozen=True)
class RawTable:
    """header: stripped names. rows: stripped texts, each as long as the header. numbers: of the rows, as a spreadsheet
    numbers them, header = row 1. comma_decimals: whether columns are separated by something else than commas, so that a
    comma may well mark decimals. notes: sentences on what was detected about the file. typed: columns whose numbers
    the file stores as numbers, not as texts.
    """

    header: list[str]
    rows: list[list[str]]
    numbers: list[int]
    comma_decimals: bool = False
    notes: tuple[str, ...] = ()
    typed: frozenset[str] = frozenset()

    @cached_property
    def columns(self) -> dict[str, list[str]]:
        """The cells by column."""
        cells = zip(*self.rows, strict=True) if self.rows else ((),) * len(self.header)
        return {name: list(texts) for name, texts in zip(self.header, cells, strict=True)}


def refusal(message: str, remedy: str, row: int | None = None, name: str = FILE_NAME) -> StudyError:
    """The error for a file that is not a table."""
    return StudyError(f"{name if row is None else f'{name}, row {row}'}: {message} {remedy}")


def too_wide(name: str = FILE_NAME) -> StudyError:
    return refusal(f"more than {MAX_COLUMNS} columns.", "Keep only the columns of the study.", 1, name)


def check_header(header: list[str], name: str = FILE_NAME) -> None:
    """Raises StudyError for a header that cannot name columns."""
    if len(header) > MAX_COLUMNS:
        raise too_wide(name)
    if not any(header):
        raise refusal("there is no header line.", "The first line must name the columns.", 1, name)
    for column in header:
        if safe_cell(column) != column or len(column) > 100 or not column.isprintable():
            raise refusal(f"{column[:60]!r} cannot be a column's name.", "Rename that column.", 1, name)


def check_size(rows: int, columns: int, name: str = FILE_NAME) -> None:
    """Raises StudyError for more rows than are read."""
    most = min(MAX_ROWS, MAX_CELLS // max(columns, 1))
    if rows > most:
        wide = f" of {columns} columns" if most < MAX_ROWS else ""
        words = f"more than {most:,} rows{wide}, the limit for one study."
        raise refusal(words, "Keep one row per patient and only the columns of the study.", None, name)


def unguarded(cell: str) -> str:
    """A cell without the apostrophe that `safe_cell` puts before what a spreadsheet would run."""
    return cell[1:] if cell.startswith("'") and safe_cell(cell[1:]) == cell else cell


def clean_rows(rows: list[list[str]]) -> list[list[str]]:
    """Cells without space around them and without guards. Each different text of a column is cleaned once."""
    columns: list[Sequence[str]] = []
    for cells in zip(*rows, strict=True):
        cleaned = {cell: unguarded(cell.strip()) for cell in set(cells)}
        changed = any(cell != clean for cell, clean in cleaned.items())
        columns.append([cleaned[cell] for cell in cells] if changed else cells)
    return [list(cells) for cells in zip(*columns, strict=True)]


def without_blanks(rows: list[list[str]], numbers: list[int]) -> tuple[list[list[str]], list[int]]:
    """The rows that hold anything, and their numbers."""
    filled = [i for i, row in enumerate(rows) if row[0] or any(row)]
    return [rows[i] for i in filled], [numbers[i] for i in filled]


INDEX_NAMES = re.compile(r"|Unnamed: ?\d+|\.\.\.\d+")  # as pandas and readr call a column without a name
REDCAP_COMPLETE = "Complete?"  # closes every instrument of a REDCap export with labels


def tidied(raw: RawTable, name: str = FILE_NAME) -> RawTable:
    """The table without columns that hold no data: an index that another program wrote, unnamed empty ones; and with
    REDCap's repeated labels numbered. What is left out is notes.

    Raises StudyError for a column with data and no name, and for two columns of one name.
    """
    header, notes = list(raw.header), list(raw.notes)
    drop = [i for i, column in enumerate(header) if not column and not any(row[i] for row in raw.rows)]
    if drop:
        notes.append(f"{counted(len(drop), 'column')} without name and contents left out.")
    first = [row[0] for row in raw.rows]
    counts_up = first[:1] in (["0"], ["1"]) and all(cell == str(i) for i, cell in enumerate(first, int(first[0])))
    if 0 not in drop and INDEX_NAMES.fullmatch(header[0]) and len(header) > 1 and counts_up:
        called = f"column {header[0]!r}" if header[0] else "the first column, which has no name,"
        notes.append(f"{called[:1].upper()}{called[1:]} only numbers the rows and is left out.")
        drop.append(0)
    remaining = [i for i in range(len(header)) if i not in drop]
    if any(not header[i] for i in remaining):
        place = next(i for i in remaining if not header[i])
        raise refusal(f"column {place + 1} has no name.", "Name it or remove it.", 1, name)
    twice = sorted({header[i] for i in remaining if [header[j] for j in remaining].count(header[i]) > 1})
    if twice and REDCAP_COMPLETE in header:
        notes.append(f"Several columns are called {', '.join(t[:40] for t in twice[:5])}: they are numbered (1), (2).")
        seen = {column: count(1) for column in twice}
        header = [f"{column[:90]} ({next(seen[column])})" if column in seen else column for column in header]
    elif twice:
        raise refusal(f"two columns are called {twice[0][:60]!r}.", "Rename or remove one.", 1, name)
    if len(remaining) == len(raw.header) and header == raw.header:
        return raw
    rows = raw.rows if len(remaining) == len(raw.header) else [[row[i] for i in remaining] for row in raw.rows]
    return replace(raw, header=[header[i] for i in remaining], rows=rows, notes=tuple(notes))
