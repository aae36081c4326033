"""Excel workbooks (.xlsx): the first visible sheet as texts, read as a zip of XML with bounds on everything.

Office Open XML (ECMA-376). Cells keep the values that the program stored, formulas included; nothing is computed. Dates
become 2026-05-31, truth values 1 and 0; a number that is shown with leading zeros (format 000) has them. XML that
declares a document type is refused, so entities cannot grow.
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import reduce
from xml.parsers import expat

from common.text import count
from study.errors import Findings
from study.tables.formats.raw import (
    FILE_NAME,
    MAX_CELL,
    MAX_COLUMNS,
    RawTable,
    check_header,
    check_size,
    refusal,
    too_wide,
    unguarded,
)

MAGIC = b"PK\x03\x04"
OLD = b"\xd0\xcf\x11\xe0"  # .xls, or a workbook under a password
MAX_MEMBERS = 2_000
MAX_XML = 256 * 2**20
MAX_STRINGS, MAX_STRING_CHARACTERS = 1_000_000, 64 * 2**20
RATIO, FREE = 200, 2**20  # how much larger than packed, beyond the first megabyte
CHUNK = 2**16
DATES = frozenset({*range(14, 18), 22, *range(27, 37), *range(50, 59)})  # built-in formats that show a date
_CSV = "Save the table as CSV or as a plain workbook."
Start = Callable[[str, dict[str, str]], None]
Text = Callable[[str], None]


@dataclass
class _Book:
    """What a sheet's cells refer to. dates: numbers of the cell styles that show a date; padded: cell style -> text
    before, digits, text after, of formats such as 000 or "P"000."""

    padded: dict[int, tuple[str, int, str]] = field(default_factory=dict)
    strings: list[str] = field(default_factory=list)
    dates: set[int] = field(default_factory=set)
    from_1904: bool = False


def read_excel(data: bytes, findings: Findings, name: str = FILE_NAME) -> RawTable:
    """The table of the first visible sheet. Raises StudyError for what is not a workbook, or too large."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_archive(archive, name)
            names = set(archive.namelist())
            if "xl/workbook.xml" not in names:
                raise refusal("this is a zip file, not an Excel workbook or CSV.", _CSV, None, name)
            book = _Book()
            sheet, others = _first_sheet(archive, book, name)
            if "xl/sharedStrings.xml" in names:
                book.strings = _strings(archive, name)
            if "xl/styles.xml" in names:
                book.dates, book.padded = _styles(archive, name)
            return _table(_Sheet(book, name), archive, sheet, others, findings)
    except (zipfile.BadZipFile, zlib.error, expat.ExpatError, NotImplementedError, RuntimeError, OSError) as error:
        raise refusal("the workbook is damaged or protected.", _CSV, None, name) from error
    except (LookupError, ValueError, OverflowError, EOFError) as error:
        raise refusal("the workbook is not laid out as Excel does it.", _CSV, None, name) from error


def _check_archive(archive: zipfile.ZipFile, name: str) -> None:
    members = archive.infolist()
    names = [m.filename for m in members]
    if len(members) > MAX_MEMBERS or len(set(names)) < len(names):
        raise refusal("the workbook has too many parts, or one twice.", _CSV, None, name)
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise refusal("the workbook is packed in a way that Excel never uses.", _CSV, None, name)
        if member.file_size > min(MAX_XML, FREE + RATIO * member.compress_size):
            raise refusal("the workbook unpacks to far more than a table does (a zip bomb).", _CSV, None, name)


def _chunks(archive: zipfile.ZipFile, member: str, name: str) -> Iterator[bytes]:
    """A part's bytes; a directory that lies about its size ends in a sentence."""
    allowed = min(MAX_XML, FREE + RATIO * archive.getinfo(member).compress_size)
    read = 0
    with archive.open(member) as file:
        while chunk := file.read(CHUNK):
            read += len(chunk)
            if read > allowed:
                raise refusal("the workbook unpacks to far more than a table does (a zip bomb).", _CSV, None, name)
            yield chunk


def _parse(
    archive: zipfile.ZipFile, member: str, name: str, start: Start, end: Start | None = None, text: Text | None = None
) -> None:
    """Feeds a part to handlers that see local names. Raises StudyError for a document type."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True

    def doctype(*_: object) -> None:
        raise refusal("the workbook declares a document type, which Excel never does.", _CSV, None, name)

    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = lambda tag, values: start(tag.rpartition(" ")[2], values)
    if end is not None:
        parser.EndElementHandler = lambda tag: end(tag.rpartition(" ")[2], {})
    if text is not None:
        parser.CharacterDataHandler = text
    for chunk in _chunks(archive, member, name):
        parser.Parse(chunk, False)
    parser.Parse(b"", True)


def _first_sheet(archive: zipfile.ZipFile, book: _Book, name: str) -> tuple[str, list[str]]:
    """(part of the first visible sheet, what the sheets are called with that one first)."""
    sheets: list[tuple[str, str]] = []
    targets: dict[str, str] = {}

    def start(tag: str, values: dict[str, str]) -> None:
        if tag == "sheet" and values.get("state", "visible") == "visible":
            relation = next((v for k, v in values.items() if k.endswith("relationships id")), "")
            sheets.append((values.get("name", "?")[:60], relation))
        elif tag == "workbookPr":
            book.from_1904 = values.get("date1904", "0") in ("1", "true")

    def relation(tag: str, values: dict[str, str]) -> None:
        if tag == "Relationship":
            targets[values.get("Id", "")] = values.get("Target", "")

    _parse(archive, "xl/workbook.xml", name, start)
    _parse(archive, "xl/_rels/workbook.xml.rels", name, relation)
    if not sheets:
        raise refusal("the workbook has no visible sheet.", _CSV, None, name)
    target = targets[sheets[0][1]]
    part = posixpath.normpath(target.lstrip("/") if target.startswith("/") else posixpath.join("xl", target))
    archive.getinfo(part)
    return part, [called for called, _ in sheets]


def _strings(archive: zipfile.ZipFile, name: str) -> list[str]:
    strings: list[str] = []
    pieces: list[str] = []
    characters = [0]
    inside = {"t": False, "rPh": False}

    def start(tag: str, _: dict[str, str]) -> None:
        if tag == "si":
            pieces.clear()
        elif tag in inside:
            inside[tag] = True

    def end(tag: str, _: dict[str, str]) -> None:
        if tag == "si":
            strings.append("".join(pieces)[: MAX_CELL + 1])
            characters[0] += len(strings[-1])
            if len(strings) > MAX_STRINGS or characters[0] > MAX_STRING_CHARACTERS:
                raise refusal(f"the workbook holds more than {MAX_STRINGS:,} texts, or longer ones.", _CSV, None, name)
        elif tag in inside:
            inside[tag] = False

    def text(words: str) -> None:
        if inside["t"] and not inside["rPh"] and len(pieces) <= MAX_CELL:
            pieces.append(words[: MAX_CELL + 1])

    _parse(archive, "xl/sharedStrings.xml", name, start, end, text)
    return strings


def _styles(archive: zipfile.ZipFile, name: str) -> tuple[set[int], dict[int, tuple[str, int, str]]]:
    """Cell styles that show a date, and those that show leading zeros."""
    formats: dict[int, str] = {}
    styles: list[int] = []
    inside = [False]

    def start(tag: str, values: dict[str, str]) -> None:
        if tag == "numFmt":
            formats[int(values["numFmtId"])] = values.get("formatCode", "")
        elif tag == "cellXfs":
            inside[0] = True
        elif tag == "xf" and inside[0]:
            styles.append(int(values.get("numFmtId", "0")))

    def end(tag: str, _: dict[str, str]) -> None:
        if tag == "cellXfs":
            inside[0] = False

    _parse(archive, "xl/styles.xml", name, start, end)
    own = {n for n, code in formats.items() if re.search(r"[dy]", re.sub(r'"[^"]*"|\[[^\]]*\]|\\.', "", code.lower()))}
    pad = re.compile(r'(?:"([^"]{0,20})")?(0{2,20})(?:"([^"]{0,20})")?')  # text before, zeros, text after
    zeros = {n: pad.fullmatch(code.split(";")[0]) for n, code in formats.items()}
    padded = {i: (m[1] or "", len(m[2]), m[3] or "") for i, n in enumerate(styles) if (m := zeros.get(n))}
    return {i for i, number in enumerate(styles) if number in DATES or number in own}, padded


class _Sheet:
    """Takes the cells of a sheet as its XML comes by."""

    def __init__(self, book: _Book, name: str) -> None:
        self.book, self.name = book, name
        self.header: list[str] | None = None
        self.rows: list[list[str]] = []
        self.numbers: list[int] = []
        self.formulas = 0
        self.texts: set[int] = set()  # columns with a text that could be a number
        self._number, self._cells = 0, dict[int, str]()
        self._column, self._kind, self._style = -1, "n", 0
        self._pieces: list[str] = []
        self._reads = self._phonetic = False

    def start(self, tag: str, values: dict[str, str]) -> None:
        if tag == "row":
            self._number = int(values.get("r", self._number + 1))
            self._cells, self._column = {}, -1
        elif tag == "c":
            match = re.fullmatch(r"([A-Z]{1,3})\d{1,7}", values.get("r", ""))
            number = reduce(lambda n, letter: 26 * n + ord(letter) - 64, match[1] if match else "", 0)
            self._column = number - 1 if match else self._column + 1
            if self._column >= MAX_COLUMNS:
                raise too_wide(self.name)
            self._kind, self._style, self._pieces = values.get("t", "n"), int(values.get("s", "0")), []
        elif tag == "f":
            self.formulas += 1
        elif tag in ("v", "t"):
            self._reads = True
        elif tag == "rPh":
            self._phonetic = True

    def text(self, words: str) -> None:
        if self._reads and not self._phonetic and len(self._pieces) <= MAX_CELL:
            self._pieces.append(words[: MAX_CELL + 1])

    def end(self, tag: str, _: dict[str, str]) -> None:
        if tag in ("v", "t"):
            self._reads = False
        elif tag == "rPh":
            self._phonetic = False
        elif tag == "c":
            value = self._value("".join(self._pieces)[: MAX_CELL + 1]).strip()
            if value:
                self._cells[self._column] = unguarded(value)
                if self._kind != "n" and self.header is not None and value[-1].isdigit():
                    self.texts.add(self._column)
        elif tag == "row":
            self._row()

    def _value(self, text: str) -> str:
        if self._kind == "s":
            return self.book.strings[int(text)] if text else ""
        if self._kind in ("inlineStr", "str", "e", "b", "d") or not text:
            return text[:10] if self._kind == "d" else text
        value = float(text)
        if self._style in self.book.dates:
            return _date(value, self.book.from_1904)
        if self._style in self.book.padded and value >= 0 and value.is_integer() and value < 1e15:
            before, digits, after = self.book.padded[self._style]
            return f"{before}{int(value):0{digits}d}{after}"
        return f"{value:.15g}"

    def _row(self) -> None:
        if self.header is None:
            width = max(self._cells, default=-1) + 1
            self.header = [self._cells.get(i, "") for i in range(width)]
            check_header(self.header, self.name)
        elif self._cells:
            beyond = max(self._cells) >= len(self.header)  # one cell more is enough to refuse the row
            self.rows.append([self._cells.get(place, "") for place in range(len(self.header) + beyond)])
            self.numbers.append(self._number)
            check_size(len(self.rows), len(self.header), self.name)


def _date(value: float, from_1904: bool) -> str:
    """The day of a serial number. Excel counts 29 February 1900, which never was."""
    start = datetime(1904, 1, 1) if from_1904 else datetime(1899, 12, 30) + timedelta(days=value < 60)
    return (start + timedelta(days=value)).date().isoformat()


def _table(sheet: _Sheet, archive: zipfile.ZipFile, part: str, called: list[str], findings: Findings) -> RawTable:
    _parse(archive, part, sheet.name, sheet.start, sheet.end, sheet.text)
    header = sheet.header
    if header is None:
        raise refusal("the first sheet is empty.", "It needs a header line and one row per patient.", None, sheet.name)
    rows, numbers = [], []
    for row, number in zip(sheet.rows, sheet.numbers, strict=True):
        if len(row) > len(header):
            message = f"a cell lies beyond the {len(header)} columns of the header."
            findings.error(sheet.name, number, message, "Give its column a name, or empty it.")
        else:
            rows.append(row)
            numbers.append(number)
    if not rows and not findings.errors:
        raise refusal("there is no patient in the table.", "It needs one row per patient.", None, sheet.name)
    notes = [f"Sheet {called[0]!r} of the workbook is read."]
    if len(called) > 1:
        notes.append(f"The other sheets are not: {', '.join(called[1:6])}.")
    if sheet.formulas:
        notes.append(f"Formulas in {count(sheet.formulas, 'cell')}: the values stored with them are read.")
    typed = frozenset(column for i, column in enumerate(header) if i not in sheet.texts)
    return RawTable(header, rows, numbers, False, tuple(notes), typed)
