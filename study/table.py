"""patients.csv: the one gate from an untrusted table to checked columns.

Text first (bytes, encoding, separator, width, ragged rows), then values (ids, times, events, covariates). Every
problem is a finding with its row as a spreadsheet numbers it, header = row 1. Nothing is guessed or repaired.
"""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import fields

import numpy as np
import pandas as pd

from study.errors import Findings, StudyError
from study.files import safe_cell
from study.settings import REQUIRED_COLUMNS, Columns, Settings

FILE_NAME = "patients.csv"
MAX_BYTES = 64 * 2**20
MAX_ROWS = 500_000
MAX_COLUMNS = 500
MAX_CELLS = 10_000_000
MAX_CELL = 2_000
SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", ".", "-", "?"})
# Longest plausible follow-up, 60 years, in each unit.
LONGEST = {"days": 21_915.0, "weeks": 3_131.0, "months": 720.0, "years": 60.0}
_AS_CSV = 'Save the table as "CSV UTF-8 (comma separated)".'


def _refuse(message: str, remedy: str, row: int | None = None) -> StudyError:
    place = FILE_NAME if row is None else f"{FILE_NAME}, row {row}"
    return StudyError(f"{place}: {message} {remedy}")


def _decode(data: bytes) -> str:
    """UTF-8 text of the file; raises StudyError for anything that is not a UTF-8 text table."""
    if data.startswith(b"PK\x03\x04") or data.startswith(b"\xd0\xcf\x11\xe0"):
        raise _refuse("this is an Excel workbook, not a CSV file.", _AS_CSV)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _refuse("the file is UTF-16 text.", _AS_CSV)
    at = data.find(b"\0")
    if at >= 0:
        raise _refuse("the file holds zero bytes, so it is no text table.", _AS_CSV, data.count(b"\n", 0, at) + 1)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise _refuse("a character is not UTF-8 (mixed or old encoding).", _AS_CSV, row) from error


def _check_header(header: list[str]) -> None:
    if len(header) > MAX_COLUMNS:
        raise _refuse(f"more than {MAX_COLUMNS} columns.", "Keep the columns of the study only.", 1)
    if len(header) == 1:
        for mark, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if mark in header[0]:
                raise _refuse(
                    f"the columns are separated by {name}.", "Save it with commas, and points in decimals.", 1
                )
    if not any(header):
        raise _refuse("there is no header line.", "The first line must name the columns.", 1)
    if "" in header:
        raise _refuse(f"column {header.index('') + 1} has no name.", "Name it or remove it.", 1)
    for name in header:
        if header.count(name) > 1:
            raise _refuse(f"two columns are called {name[:60]!r}.", "Rename or remove one.", 1)
        if safe_cell(name) != name or len(name) > 100 or not name.isprintable():
            raise _refuse(f"{name[:60]!r} cannot be a column's name.", "Rename that column.", 1)


def read_rows(data: bytes, findings: Findings) -> tuple[list[str], list[list[str]], list[int]]:
    """Header, cells (stripped texts) and spreadsheet row numbers of a CSV file.

    Raises StudyError when the file as a whole is no table; a row of the wrong width is a finding and left out.
    """
    if len(data) > MAX_BYTES:
        raise _refuse(f"larger than {MAX_BYTES // 2**20} MB.", "Keep the columns of the study only.")
    # The width is checked on the raw first line: a header of 10^6 columns must not be taken apart first.
    if data[: MAX_COLUMNS * 110].split(b"\n", 1)[0].count(b",") >= MAX_COLUMNS:
        raise _refuse(f"more than {MAX_COLUMNS} columns.", "Keep the columns of the study only.", 1)
    reader = csv.reader(io.StringIO(_decode(data), newline=""), strict=True)
    header: list[str] | None = None
    rows: list[list[str]] = []
    numbers: list[int] = []
    line = 0
    try:
        for line, cells in enumerate(reader, start=1):
            if header is None:
                header = [c.strip() for c in cells]
                _check_header(header)
                continue
            if len(rows) >= min(MAX_ROWS, MAX_CELLS // len(header)):
                raise _refuse(f"more than {len(rows)} rows of {len(header)} columns.", "Split the study.")
            if not any(c.strip() for c in cells):
                continue
            if len(cells) != len(header):
                message = f"{len(cells)} cells where the header has {len(header)}."
                findings.error(FILE_NAME, line, message, "Look for a stray comma or a missing cell.")
                continue
            rows.append([c.strip() for c in cells])
            numbers.append(line)
    except csv.Error as error:
        raise _refuse(f"the table breaks off ({error}).", "Look for an unclosed quotation mark.", line + 1) from error
    if header is None:
        raise _refuse("the file is empty.", "It needs a header line and one row a patient.")
    if not rows and not findings.errors:
        raise _refuse("there is no patient in the table.", "It needs one row a patient.")
    return header, rows, numbers


def _check_cells(header: list[str], rows: list[list[str]], numbers: list[int], findings: Findings) -> None:
    """Formulas, control characters and huge cells, wherever they stand. Negative numbers are no formulas."""
    for row, number in zip(rows, numbers, strict=True):
        for name, cell in zip(header, row, strict=True):
            if len(cell) > MAX_CELL:
                findings.error(FILE_NAME, number, f"{name} holds more than {MAX_CELL} characters.", "Shorten it.")
            elif not cell.isprintable():
                findings.error(FILE_NAME, number, f"{name} holds a line break or control character.", "Remove it.")
            elif safe_cell(cell) != cell and cell.lower() not in MISSING and _number(cell) is None:
                findings.error(
                    FILE_NAME, number, f"{name} looks like a spreadsheet formula.", "Replace it by its value."
                )


def _number(text: str) -> float | None:
    """The finite number a cell holds, None otherwise. Only plain decimals: no `1_000`, no `0x10`, no `inf`."""
    if not re.fullmatch(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,3})?", text, re.ASCII):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def _numbers(
    cells: list[str], numbers: list[int], name: str, low: float, high: float, required: bool, findings: Findings
) -> np.ndarray:
    """(n,) float64 of a column; missing is NaN (a finding if required); outside [low, high] is an error."""
    out = np.full(len(cells), np.nan)
    for i, (cell, row) in enumerate(zip(cells, numbers, strict=True)):
        if cell.lower() in MISSING:
            if required:
                findings.error(FILE_NAME, row, f"{name} is missing.", "Fill it in or remove the row.")
            continue
        value = _number(cell)
        if value is None:
            hint = "Use a point for decimals." if re.fullmatch(r"-?\d+,\d+", cell) else "It must be a number."
            findings.error(FILE_NAME, row, f"{name} is {cell[:40]!r}.", hint)
        elif value < low:
            what = "negative" if low == 0 else f"below {low:g}"
            findings.error(FILE_NAME, row, f"{name} is {what} ({cell}).", "Correct it or remove the row.")
        elif value > high:
            findings.error(FILE_NAME, row, f"{name} is {cell[:40]}, more than {high:g}.", "Check value and time unit.")
        else:
            out[i] = value
    return out


def _ids(cells: list[str], numbers: list[int], name: str, findings: Findings) -> None:
    seen: dict[str, int] = {}
    for cell, row in zip(cells, numbers, strict=True):
        if not cell:
            findings.error(FILE_NAME, row, f"{name} is missing.", "Every patient needs an id.")
        elif not SAFE_ID.fullmatch(cell):
            findings.error(
                FILE_NAME, row, f"{name} {cell[:40]!r} is not usable.", "Use letters, digits, . _ - (64 at most)."
            )
        elif cell.casefold() in seen:
            message = f"{name} {cell} is already in row {seen[cell.casefold()]}."
            findings.error(FILE_NAME, row, message, "Keep one row a patient.")
        else:
            seen[cell.casefold()] = row


def _events(cells: list[str], numbers: list[int], name: str, settings: Settings, findings: Findings) -> np.ndarray:
    """(n,) bool from the coding named in study.toml."""
    coding = {v.casefold(): True for v in settings.event_values} | {
        v.casefold(): False for v in settings.censored_values
    }
    legal = "/".join((*settings.event_values, *settings.censored_values))
    out = np.zeros(len(cells), bool)
    for i, (cell, row) in enumerate(zip(cells, numbers, strict=True)):
        text = cell.casefold()
        if text not in coding and re.fullmatch(r"\d+\.0+", text):
            text = text.split(".")[0]
        if cell.lower() in MISSING and text not in coding:
            findings.error(FILE_NAME, row, f"{name} is missing.", "Fill it in or remove the row.")
        elif text not in coding:
            findings.error(
                FILE_NAME, row, f"{name} is {cell[:40]!r}, not {legal}.", "Correct it, or [events] in study.toml."
            )
        else:
            out[i] = coding[text]
    return out


def parse_patients(data: bytes, settings: Settings, findings: Findings) -> pd.DataFrame:
    """The checked table of a study, one row a patient.

    Columns: patient_id, time (float, in the study's unit), event (bool), photo (text as in the file), then age, ecog
    (float, NaN where missing), sex, site, stage (text, "" where missing) where the file has them, further columns
    of the file as text, and `row`, the number in the file. Problems go to `findings`; only with no error among
    them is the table fit for use. Raises StudyError when there is no table to speak of.
    """
    header, rows, numbers = read_rows(data, findings)
    columns = settings.columns
    absent = [getattr(columns, key) for key in REQUIRED_COLUMNS if getattr(columns, key) not in header]
    if absent:
        raise _refuse(
            f"no column {', '.join(absent)}.", "Rename it, or say in study.toml, [columns], what it is called.", 1
        )
    _check_cells(header, rows, numbers, findings)
    cells = {name: [row[i] for row in rows] for i, name in enumerate(header)}
    _ids(cells[columns.patient_id], numbers, columns.patient_id, findings)
    longest = LONGEST[settings.time_unit]
    table: dict[str, object] = {
        "patient_id": cells[columns.patient_id],
        "time": _numbers(cells[columns.time], numbers, columns.time, 0.0, longest, True, findings),
        "event": _events(cells[columns.event], numbers, columns.event, settings, findings),
        "photo": cells[columns.photo],
    }
    if columns.age in cells:
        table["age"] = _numbers(cells[columns.age], numbers, columns.age, 0.0, 120.0, False, findings)
    if columns.ecog in cells:
        table["ecog"] = _numbers(cells[columns.ecog], numbers, columns.ecog, 0.0, 5.0, False, findings)
    for key in ("sex", "site", "stage"):
        name = getattr(columns, key)
        if name in cells:
            table[key] = ["" if c.lower() in MISSING else c for c in cells[name]]
    mapped = {getattr(columns, f.name) for f in fields(Columns)}
    for name in header:
        if name not in mapped:
            table[name if name not in table and name != "row" else f"{name}_in_file"] = cells[name]
    frame = pd.DataFrame({**table, "row": numbers})
    _remark(frame, settings, findings)
    return frame


def _remark(table: pd.DataFrame, settings: Settings, findings: Findings) -> None:
    """On the whole table: times of zero, no or few events, missing covariates."""
    for row in table.loc[table["time"] == 0, "row"]:
        name = settings.columns.time
        findings.error(FILE_NAME, int(row), f"{name} is 0.", "Times count from the photo and are above 0; correct it.")
    events, n = int(table["event"].sum()), len(table)
    if events == 0:
        findings.warning(FILE_NAME, None, f"no event among {n} patients.", "No survival model can be fitted.")
    elif events < 20:
        findings.warning(FILE_NAME, None, f"only {events} events among {n} patients.", "Too few for a photo model.")
    elif events == n:
        findings.warning(FILE_NAME, None, "every patient has an event.", "Check the coding, [events] in study.toml.")
    for key in ("age", "ecog", "sex", "site", "stage"):
        if key not in table:
            findings.note(FILE_NAME, None, f"no column {getattr(settings.columns, key)}.")
            continue
        column = table[key]
        missing = int(column.isna().sum()) if column.dtype.kind == "f" else int((column == "").sum())
        if missing:
            name = getattr(settings.columns, key)
            findings.warning(FILE_NAME, None, f"{name} is missing for {missing} of {n} patients.")
