"""Text tables: encoding and separator are detected and reported; what is mixed or cut off is refused.

Encodings: UTF-8 (with or without a mark), UTF-16, Windows-1252. Separators: comma, semicolon, tab, bar. Lines of
comment (`#`) before the header, as cBioPortal's clinical files have them, are skipped.
"""

from __future__ import annotations

import csv
import io
import re
from itertools import islice

from common.text import count
from study.errors import Findings
from study.tables.formats.raw import (
    FILE_NAME,
    MAX_CELLS,
    MAX_COLUMNS,
    MAX_ROWS,
    RawTable,
    check_header,
    check_size,
    clean_rows,
    refusal,
    too_wide,
    unguarded,
    without_blanks,
)

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
LOOKED_AT = 4096  # bytes that show UTF-16 without a mark
MAX_COMMENTS = 1000
MIXED_ROWS = 20  # of the wrong width, that are searched for another separator
_MULTIBYTE = re.compile(rb"[\xc3-\xf4][\x80-\xbf]{1,3}")
_AS_CSV = 'Save the table as "CSV UTF-8".'
_WHOLE, _DIGITS = re.compile(r"[+-]?\d{1,15}", re.ASCII), re.compile(r"\d{1,15}", re.ASCII)
_HINT = re.compile(r"sep=([,;|\t])", re.IGNORECASE)  # Excel's own first line


def decode(data: bytes, name: str = FILE_NAME) -> tuple[str, str]:
    """(text, encoding as a person calls it). Raises StudyError for bytes that are no text of one encoding."""
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        raise refusal("the file is UTF-32 text.", _AS_CSV, None, name)
    wide = _utf16(data)
    if wide:
        try:
            return data.decode(wide).removeprefix("\ufeff"), "UTF-16"
        except UnicodeDecodeError as error:
            raise refusal("the file is UTF-16 text that is cut off or damaged.", _AS_CSV, None, name) from error
    at = data.find(b"\0")
    if at >= 0:
        row = data.count(b"\n", 0, at) + 1
        raise refusal("the file holds zero bytes, so it is not a text table.", _AS_CSV, row, name)
    try:
        return data.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        if _MULTIBYTE.search(data):
            raise refusal("a character is not UTF-8 while others are (mixed encodings).", _AS_CSV, row, name) from error
    try:
        return data.decode("cp1252"), "Windows-1252"
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise refusal("a character is neither UTF-8 nor Windows-1252.", _AS_CSV, row, name) from error


def _utf16(data: bytes) -> str:
    """The codec of UTF-16 text, "" for other text. Without a mark: every other byte of Latin letters is zero."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    head = data[:LOOKED_AT]
    if len(head) < 4:
        return ""
    even, odd = head[::2].count(0) / len(head[::2]), head[1::2].count(0) / max(len(head[1::2]), 1)
    if odd > 0.7 and even < 0.1:
        return "utf-16-le"
    return "utf-16-be" if even > 0.7 and odd < 0.1 else ""


def separator_of(line: str) -> str:
    """The separator that the header line has most of, outside quotation marks; a comma where it has none."""
    plain = re.sub(r'"[^"]*"', "", line)
    counts = {mark: plain.count(mark) for mark in SEPARATORS}
    best = max(counts, key=lambda mark: counts[mark])
    return best if counts[best] else ","


def read_text(data: bytes, findings: Findings, name: str = FILE_NAME) -> RawTable:
    """The table of a text file. Raises StudyError where it is none; a row of the wrong width is a finding and left
    out."""
    text, encoding = decode(data, name)
    skipped, text = _without_comments(text)
    first = text[: MAX_COLUMNS * 110].split("\n", 1)[0].rstrip("\r")
    if hint := _HINT.fullmatch(first.strip(" ")):
        text, skipped = text.partition("\n")[2], skipped + 1
        first = text.partition("\n")[0]
    mark = hint[1] if hint else separator_of(first)
    # The width is checked on the raw first line: a header of 10^6 columns must not be taken apart first.
    if first[: MAX_COLUMNS * 110].count(mark) >= MAX_COLUMNS:
        raise too_wide(name)
    notes = [] if encoding == "UTF-8" else [f"The file is read as {encoding} text."]
    if mark != ",":
        notes.append(f"The columns are separated by {SEPARATORS[mark]}.")
    if skipped > bool(hint):
        notes.append(f"{count(skipped - bool(hint), 'line')} beginning with # skipped.")
    if text.count("\n") > 4 * MAX_ROWS:  # four lines per row: cells may hold line breaks, and rows may be blank
        check_size(MAX_ROWS + 1, 1, name)
    if text.count(mark) > 2 * MAX_CELLS:  # before any cell is made
        raise refusal(f"more than {MAX_CELLS:,} cells.", "Keep only the columns of the study.", None, name)
    records: list[list[str]] = []
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
        records.extend(islice(reader, MAX_ROWS + 3))  # what was read before an error is there after it
    except csv.Error as error:
        remedy = "Look for an unclosed quotation mark."
        raise refusal(f"the table breaks off ({error}).", remedy, len(records) + 1, name) from error
    return _table(records, skipped, mark, tuple(notes), findings, name)


def _without_comments(text: str) -> tuple[int, str]:
    """(lines skipped, the rest): lines that begin with # before the header. One alone with as many cells as the next
    line is taken for a header whose first name begins so."""
    rest, skipped = text, 0
    while rest.startswith(("#", '"#')) and "\n" in rest:
        line, _, rest = rest.partition("\n")
        skipped += 1
        if skipped == 1:
            mark = separator_of(line)
            if not rest.startswith(("#", '"#')) and line.count(mark) == rest.partition("\n")[0].count(mark) > 0:
                return 0, text
        if skipped > MAX_COMMENTS:
            return 0, text
    return skipped, rest


def _table(
    records: list[list[str]], skipped: int, mark: str, notes: tuple[str, ...], findings: Findings, name: str
) -> RawTable:
    if not records:
        raise refusal("the file is empty.", "It needs a header line and one row per patient.", None, name)
    header = [unguarded(cell.strip()) for cell in records[0]]
    check_header(header, name)
    check_size(len(records) - 1, len(header), name)
    width, body = len(header) + 1, enumerate(records[1:], 1)
    if records[1:] and all(len(cells) == width and cells[0] == str(i) for i, cells in body):
        header = ["", *header]  # R's row names: every row has one cell more and begins with its number
    rows: list[list[str]] = []
    numbers: list[int] = []
    uneven: list[tuple[int, list[str]]] = []
    for line, cells in enumerate(records[1:], start=skipped + 2):
        if len(cells) == len(header):
            rows.append(cells)
            numbers.append(line)
        elif any(cell.strip() for cell in cells):
            if len(uneven) < MIXED_ROWS:
                uneven.append((line, cells))
            message = f"{count(len(cells), 'cell')} where the header has {len(header)}."
            torn = mark == "," and _torn_by_commas(cells, len(header))
            remedy = f"Look for a stray separator{', a decimal comma (3,5)' if torn else ''} or a missing cell."
            findings.error(name, line, message, remedy)
    rows, numbers = without_blanks(clean_rows(rows), numbers)
    _refuse_uneven(header, uneven, len(rows), mark, name)
    if not rows and not findings.errors:
        raise refusal("there is no patient in the table.", "It needs one row per patient.", None, name)
    return RawTable(header, rows, numbers, mark != ",", notes)


def _torn_by_commas(cells: list[str], width: int) -> bool:
    """Whether a row is too wide by no more than its numbers with a decimal comma (3,5) would be in two cells each."""
    pairs, place = 0, 0
    while place < len(cells) - 1:
        torn = bool(_WHOLE.fullmatch(cells[place].strip()) and _DIGITS.fullmatch(cells[place + 1].strip()))
        pairs, place = pairs + torn, place + 1 + torn
    return 0 < len(cells) - width <= pairs


def _refuse_uneven(header: list[str], uneven: list[tuple[int, list[str]]], good: int, mark: str, name: str) -> None:
    """One sentence, not one per row, where rows and header have different separators, or most of them have numbers
    with a comma between columns separated by commas."""
    for other in SEPARATORS if uneven and good <= len(uneven) else ():
        fits = sum(mark.join(cells).count(other) == len(header) - 1 for _, cells in uneven)
        if other != mark and len(header) > 1 and fits == len(uneven):
            words = f"the header is separated by {SEPARATORS[mark]} and the rows by {SEPARATORS[other]}."
            raise refusal(words, "Save the table with one separator.", uneven[0][0], name)
    if mark == "," and max(good, 1) < len(uneven) and all(_torn_by_commas(c, len(header)) for _, c in uneven):
        words = "the rows have more cells than the header, as numbers with a decimal comma (3,5) would make them."
        remedy = "Save the table with semicolons between the columns, or with decimal points."
        raise refusal(words, remedy, uneven[0][0], name)
