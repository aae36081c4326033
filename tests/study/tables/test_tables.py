"""Tables of every format: what is detected is said, and a hostile file gets one sentence and leaves nothing."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study.disk.store import Study, inspect
from study.errors import Findings, StudyError
from study.files import csv_text, write_bytes
from study.intake.make import IntakeRefused, intake
from study.settings import Columns, Covariate, Settings
from study.tables.formats.excel import read_excel
from study.tables.formats.raw import RawTable, unguarded
from study.tables.patients import parse_patients, patients_of
from study.tables.read import read_table, table_file
from tests.study.conftest import HEADER, patient_table, write_study

BOOKS = Path(__file__).parents[2] / "data" / "tables"
GOOD = "P1,61,female,lung,II,1,12.5,1,photos/P1.jpg"
PLAIN = Settings(name="new", title="New", columns=replace(Columns(), photo="none"))
LOCAL = "patient_id;time_months;event;age;site\nP1;12,5;1;61,25;Hüfte\nP2;3;0;70;lung, left\n"


def read(data: bytes) -> tuple[RawTable, Findings]:
    findings = Findings()
    return read_table(data, findings), findings


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_encoding_and_separator_are_detected_and_said(encoding: str, mark: str) -> None:
    raw, findings = read(LOCAL.replace(";", mark).encode(encoding))
    assert raw.header == ["patient_id", "time_months", "event", "age", "site"]
    assert raw.rows[0] == ["P1", "12,5", "1", "61,25", "Hüfte"]
    assert raw.rows[1][4] == "lung, left"
    said = " ".join(raw.notes)
    assert {";": "semicolons", "\t": "tabs", "|": "bars"}[mark] in said
    assert ("UTF-16" in said) == encoding.startswith("utf-16")
    assert ("Windows-1252" in said) == (encoding == "cp1252")
    assert not findings.items


def test_decimal_commas_are_read_where_the_separator_is_another() -> None:
    findings = Findings()
    frame = parse_patients(LOCAL.encode("cp1252"), PLAIN, findings)
    assert frame["time"].tolist() == [12.5, 3.0]
    assert frame["age"].tolist() == [61.25, 70.0]
    assert sum("Windows-1252" in str(f) or "semicolons" in str(f) for f in findings) == 2
    said = [f.message for f in findings if "decimal commas" in f.message]
    assert said == [
        "time_months: decimal commas are read as points, 12,5 as 12.5.",
        "age: decimal commas are read as points, 61,25 as 61.25.",
    ]
    mixed = LOCAL.replace("P2;3;", "P2;3.5;")
    parse_patients(mixed.encode(), PLAIN, findings)
    assert [(f.row, f.remedy) for f in findings.errors] == [(2, "Use a point for decimals, as other rows have.")]


def test_decimal_commas_between_commas_are_told_once_a_column() -> None:
    findings = Findings()
    rows = "".join(f'P{i},"{i},5",1,{40 + i}\n' for i in range(1, 31))
    parse_patients(f"patient_id,time_months,event,age\n{rows}".encode(), PLAIN, findings)
    [error] = findings.errors
    assert error.row == 2
    assert error.message == "time_months has decimal commas in 30 rows, the first '1,5'."
    assert error.remedy.startswith("Use a point for decimals.")
    assert 'time_months = "1,234.5" or "1.234,5"' in error.remedy
    assert "semicolons" not in error.remedy, "that would lead to 1,129 read as 1.129"


def test_rows_torn_by_decimal_commas_are_told_in_one_sentence() -> None:
    header, torn = "patient_id,time_months,event,age\n", "P{0},{0},5,1,4{0}\n"
    with pytest.raises(StudyError, match=r"row 2: .*decimal comma \(3,5\).* semicolons"):
        read((header + "".join(torn.format(i) for i in range(1, 9)) + "P9,3,1,49\n").encode())
    whole = "".join(f"P{i},{i},1,4{i}\n" for i in range(1, 9))
    _, findings = read((header + whole + torn.format(9)).encode())
    assert [(f.row, "decimal comma" in f.remedy) for f in findings.errors] == [(10, True)]
    _, findings = read((header + whole + "P9,3,dead,49,lung\n").encode())
    assert [(f.row, "decimal comma" in f.remedy) for f in findings.errors] == [(10, False)]


def test_a_study_made_from_it_has_commas_and_points(tmp_path: Path) -> None:
    folder, _ = intake(tmp_path, PLAIN, LOCAL.encode("cp1252"))
    text = (folder / "patients.csv").read_text("utf-8")
    assert text.splitlines()[1:] == ["P1,12.5,1,61.25,Hüfte", 'P2,3,0,70,"lung, left"']
    study = Study.open(folder)
    assert study.patients["time"].tolist() == [12.5, 3.0]
    assert study.photos == {}


def test_excels_hint_line_is_taken() -> None:
    raw, _ = read(b"sep=;\nx;y\n1;2\n")
    assert (raw.header, raw.rows, raw.numbers) == (["x", "y"], [["1", "2"]], [3])


@pytest.mark.parametrize(("book", "first"), [("openpyxl", 2), ("xlsxwriter", 3)])
def test_workbooks_of_two_programs(book: str, first: int) -> None:
    raw, findings = read((BOOKS / f"{book}.xlsx").read_bytes())
    assert not findings.items
    assert raw.numbers == [first, first + 1, first + 2]
    assert raw.rows[0] == ["P1", "12.5", "1", "61", "female", "lung", "2020-02-29", "Grüße & <b>"]
    assert raw.rows[1] == ["P2", "0.3", "0", "70", "male", "pancreas", "2019-12-31", ""]
    stored = "" if book == "openpyxl" else "7"
    assert raw.rows[2] == ["P3", stored, "1", "", "male", "=1+1", "2021-01-01", "'quoted"]
    said = " ".join(raw.notes)
    assert "Formulas in 1 cell" in said
    assert ("Codebook" in said) == (book == "openpyxl")
    assert "Hidden" not in said


def test_a_workbook_or_parquet_file_is_a_studys_table(tmp_path: Path) -> None:
    table = patient_table(5).drop(columns="photo")
    folder = write_study(tmp_path / "s", table)
    whole = Study.open(folder).patients
    data = parquet_of(pa.Table.from_pandas(table))
    (folder / "patients.parquet").write_bytes(data)
    with pytest.raises(StudyError, match=r"patients\.csv and patients\.parquet: keep the one"):
        Study.open(folder)
    (folder / "patients.csv").unlink()
    study = Study.open(folder)
    assert study.table_name == "patients.parquet"
    pd.testing.assert_frame_equal(study.patients, whole)
    (folder / "patients.parquet").rename(folder / "patients.xlsx")
    assert table_file(folder).name == "patients.xlsx"
    assert len(Study.open(folder).patients) == 5, "what a file is, its bytes say"


def parquet_of(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def test_parquet_values() -> None:
    columns = {
        "id": pa.array(["a", "b"]),
        "level": pa.array(["x", "y"]).dictionary_encode(),
        "whole": pa.array([1, None]),
        "part": pa.array([0.1, float("nan")]),
        "single": pa.array([0.5, 2.0], pa.float32()),
        "truth": pa.array([True, False]),
        "day": pa.array([date(2020, 2, 29), None]),
        "moment": pa.array([datetime(2020, 2, 29, 23, 59), None]),
        "empty": pa.nulls(2),
    }
    raw, _ = read(parquet_of(pa.table(columns)))
    assert raw.rows == [
        ["a", "x", "1", "0.1", "0.5", "1", "2020-02-29", "2020-02-29", ""],
        ["b", "y", "", "", "2", "0", "", "", ""],
    ]
    assert raw.numbers == [2, 3]


NESTED = {
    "lists": pa.array([[1, 2], [3]]),
    "records": pa.array([{"a": 1}, {"a": 2}]),
    "maps": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
}


@pytest.mark.parametrize("kind", NESTED)
def test_nested_parquet_is_refused(kind: str) -> None:
    with pytest.raises(StudyError, match=f"column '{kind}' holds lists or records"):
        read(parquet_of(pa.table({"patient_id": ["a", "b"], kind: NESTED[kind]})))


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array([b"\xff\xfe", b"x"]), "holds binary"),
        (pa.array([timedelta(days=3)] * 2), "holds duration"),
        (pa.array(["x", "y"]), "two columns are called"),
    ],
)
def test_other_parquet_columns_are_refused(column: pa.Array, words: str) -> None:
    name = "x" if "two" in words else "y"
    with pytest.raises(StudyError, match=words):
        read(parquet_of(pa.Table.from_arrays([pa.array(["a", "b"]), column], names=["x", name])))


def test_parquet_of_a_million_columns_or_rows_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = pa.table({f"c{i}": pa.array([1.0]) for i in range(501)})
    with pytest.raises(StudyError, match="more than 500 columns"):
        read(parquet_of(wide))
    long = pa.table({"x": pa.array([0] * 600_000)})
    with pytest.raises(StudyError, match="more than 100,000 rows, the limit"):
        read(parquet_of(long))
    monkeypatch.setattr("study.tables.formats.parquet.MAX_UNPACKED", 1000)
    with pytest.raises(StudyError, match="unpacks to more"):
        read(parquet_of(pa.table({"x": [f"{i} words" for i in range(900)]})))


def workbook(sheet: str | bytes, strings: str = "", packed: bool = True, **members: bytes) -> bytes:
    """An .xlsx by hand: the rows of its one sheet."""
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    rel = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    book = f'<workbook {main} xmlns:r="{rel}"><sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets></workbook>'
    relations = f'<Relationships><Relationship Id="rId1" Type="{rel}/worksheet" Target="worksheets/sheet1.xml"/>'
    body = f"<worksheet {main}><sheetData>{sheet}</sheetData></worksheet>" if isinstance(sheet, str) else sheet
    files: dict[str, bytes] = {
        "xl/workbook.xml": book.encode(),
        "xl/_rels/workbook.xml.rels": f"{relations}</Relationships>".encode(),
        "xl/worksheets/sheet1.xml": body.encode() if isinstance(body, str) else body,
        **({"xl/sharedStrings.xml": f"<sst {main}>{strings}</sst>".encode()} if strings else {}),
        **{name.replace("__", "/"): data for name, data in members.items()},
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def cells(*values: object) -> str:
    return "".join(f'<c t="inlineStr"><is><t>{v}</t></is></c>' for v in values)


TABLE = f"<row>{cells('patient_id', 'time_months', 'event')}</row>"
BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><worksheet>&b;</worksheet>'


def csv_of(rows: str) -> bytes:
    return f"{HEADER}\n{GOOD}\n{rows}\n".encode()


HOSTILE = {
    "formula as id": (csv_of("=cmd|x,61,f,lung,II,1,5,1,x.jpg"), "row 3: patient_id '=cmd|x' is not usable"),
    "a million columns": (",".join(["patient_id"] * 10**6).encode(), "more than 500 columns"),
    "a million semicolons": (";".join(["a"] * 10**6).encode(), "more than 500 columns"),
    "mixed encodings": (csv_of("P2,61,f,Hüfte,II,1,5,1,x.jpg") + "P3,61,f,Hüfte".encode("cp1252"), "mixed encodings"),
    "mixed separators": (f"{HEADER}\n{GOOD.replace(',', ';')}\n".encode(), "by commas and the rows by semicolons"),
    "no event": (csv_of("P2,61,f,lung,II,1,5,NaN,x.jpg"), "row 3: event is missing"),
    "negative time": (csv_of("P2,61,f,lung,II,1,-5,1,x.jpg"), "row 3: time_months is negative"),
    "infinite time": (csv_of("P2,61,f,lung,II,1,inf,1,x.jpg"), "row 3: time_months is 'inf'"),
    "huge cell": (csv_of(f"P2,61,f,{'x' * 200_000},II,1,5,1,x.jpg"), "field larger than field limit"),
    "large cell": (csv_of(f"P2,61,f,{'x' * 100_000},II,1,5,1,x.jpg"), "row 3: site holds more than 2000 characters"),
    "zero bytes": (csv_of("P2,61,f,lu\0ng,II,1,5,1,x.jpg"), "row 3: the file holds zero bytes"),
    "duplicate header": (b"patient_id,event,event\nP1,1,1\n", "two columns are called 'event'"),
    "unclosed quote": (csv_of('P2,"61,f'), "unclosed quotation mark"),
    "picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(200), "zero bytes"),
    "old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old (.xls) or a protected"),
    "zip of something": (workbook("x", xl__other=b"")[:300] + b"", "damaged"),
    "zip bomb": (workbook(b"<worksheet>" + b" " * 30_000_000 + b"</worksheet>"), "zip bomb"),
    "entities": (workbook(BOMB), "declares a document type"),
    "unknown encoding": (workbook(b'<?xml version="1.0" encoding="UTF-9"?><worksheet/>'), "not laid out as Excel"),
    "wide workbook": (workbook(f'<row><c r="XFD1" t="inlineStr"><is><t>x</t></is></c></row>{TABLE}'), "more than 500"),
    "endless text": (workbook(TABLE + f"<row>{cells('P1', 'x' * 9000, '1')}</row>", packed=False), "more than 2000"),
    "broken workbook": (workbook("<row><c></row>"), "damaged"),
    "no string of that number": (workbook('<row><c t="s"><v>7</v></c></row>'), "not laid out as Excel"),
    "empty workbook": (workbook(""), "first sheet is empty"),
    "workbook without rows": (workbook(TABLE), "no patient in the table"),
    "parquet of lists": (parquet_of(pa.table({"patient_id": [[1], [2]]})), "lists or records"),
    "parquet cut off": (parquet_of(pa.table({"patient_id": ["a"]}))[:-9], "Parquet file is damaged"),
}


@pytest.fixture
def usual_field_limit() -> Iterator[None]:
    """The csv module's own limit, which other libraries raise for the whole process."""
    before = csv.field_size_limit(131_072)
    yield
    csv.field_size_limit(before)


@pytest.mark.usefixtures("usual_field_limit")
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_gets_one_sentence_and_leaves_nothing(kind: str, tmp_path: Path) -> None:
    data, words = HOSTILE[kind]
    root = tmp_path / "studies"
    with pytest.raises(StudyError) as refused:
        intake(root, PLAIN, data)
    said = str(refused.value)
    assert words in said
    assert "\n" not in said
    assert len(said) < 400
    assert not root.exists()
    folder = write_study(tmp_path / "s", data)
    before = sorted(p.name for p in folder.rglob("*"))
    with pytest.raises(StudyError, match=r"patients\.csv"):
        Study.open(folder)
    assert sorted(p.name for p in folder.rglob("*")) == before


def test_a_directory_that_lies_about_its_size_is_found_while_reading() -> None:
    data = bytearray(workbook(b"<worksheet>" + b" " * 3_000_000 + b"</worksheet>"))
    at = data.rfind(b"PK\x01\x02", 0, data.rfind(b"sheet1.xml"))
    data[at + 24 : at + 28] = (1000).to_bytes(4, "little")
    with pytest.raises(StudyError, match=r"zip bomb|damaged"):
        read_excel(bytes(data), Findings())


def test_formulas_are_kept_as_text_and_neutral_in_what_is_written(tmp_path: Path) -> None:
    table = patient_table(2).drop(columns="photo")
    table["site"] = ["=HYPERLINK(1)", "-"]
    table["note"] = ["+cmd", "@x"]
    folder, findings = intake(tmp_path, PLAIN, csv_text(table).encode())
    assert [f.row for f in findings if "formula" in f.message] == [2, 2, 3]
    text = (folder / "patients.csv").read_text()
    assert "'=HYPERLINK(1)" in text
    assert "'+cmd" in text
    assert "'@x" in text
    study = Study.open(folder)
    assert study.patients["site"].tolist() == ["=HYPERLINK(1)", ""]
    assert study.patients["note"].tolist() == ["+cmd", "@x"]
    covariate = Covariate("her2", "categorical", levels=("+", "-x"))
    raw = RawTable(
        ["patient_id", "time_months", "event", "her2"], [["a", "1", "1", "+"], ["b", "2", "0", "-X"]], [2, 3]
    )
    frame = patients_of(raw, replace(PLAIN, covariates=(covariate,)), Findings())
    assert frame["her2"].tolist() == ["+", "-x"]


@pytest.mark.parametrize("text", ["'=x", "'+1", "'@", "'plain", "x", "", "'"])
def test_only_the_guard_is_taken_off(text: str) -> None:
    assert unguarded(text) == (text[1:] if text[1:2] in ("=", "+", "@") else text)


def table_or_sentence(data: bytes) -> None:
    said, raw = "", None
    try:
        raw, _ = read(data)
    except StudyError as error:
        said = str(error)
    assert "\n" not in said
    assert raw is None or all(len(row) == len(raw.header) for row in raw.rows)


@settings(max_examples=60)
@given(
    st.sampled_from(["openpyxl.xlsx", "xlsxwriter.xlsx"]),
    st.lists(st.tuples(st.integers(0, 5600), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_changed_bytes_of_a_workbook_give_a_table_or_a_sentence(book: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray((BOOKS / book).read_bytes())
    for at, value in changes:
        data[at % len(data)] = value
    table_or_sentence(bytes(data))


PARQUET = parquet_of(pa.table({"patient_id": ["a", "b"], "time_months": [1.0, 2.0], "event": [True, False]}))


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, len(PARQUET) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_changed_bytes_of_a_parquet_file_give_a_table_or_a_sentence(changes: list[tuple[int, int]]) -> None:
    data = bytearray(PARQUET)
    for at, value in changes:
        data[at] = value
    table_or_sentence(bytes(data))


def test_a_damaged_column_record_of_a_parquet_file_does_not_end_the_process() -> None:
    """Arrow's accessor of such a record calls std::terminate; the footer is read without it."""
    data = bytearray(PARQUET)
    for at, value in ((470, 89), (475, 21), (451, 202)):
        data[at] = value
    table_or_sentence(bytes(data))


def test_errors_name_the_file_that_was_given(tmp_path: Path) -> None:
    table = patient_table(3).drop(columns="photo")
    table.loc[1, "time_months"] = -1
    folder = write_study(tmp_path / "s", csv_text(table))
    write_bytes(folder / "patients.parquet", parquet_of(pa.Table.from_pandas(table)))
    (folder / "patients.csv").unlink()
    _, findings = inspect(folder)
    assert [(f.where, f.row) for f in findings.errors] == [("patients.parquet", 3)]
    with pytest.raises(IntakeRefused):
        intake(tmp_path / "studies", PLAIN, csv_text(table).encode())
