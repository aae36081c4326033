"""The CSV gate: whatever comes, a table or a sentence."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.errors import Findings, StudyError
from study.settings import Settings
from study.tables.formats.raw import MAX_BYTES
from study.tables.patients import parse_patients
from tests.study.conftest import HEADER, patient_table
from tests.work import calls, peak_bytes

SETTINGS = Settings(name="x", title="x")
GOOD = "P1,61,female,lung,II,1,12.5,1,photos/P1.jpg"


def parse(text: str | bytes, settings: Settings = SETTINGS) -> tuple[object, Findings]:
    findings = Findings()
    return parse_patients(text.encode() if isinstance(text, str) else text, settings, findings), findings


def refusal(text: str | bytes) -> str:
    with pytest.raises(StudyError) as caught:
        parse(text)
    return str(caught.value)


def one_error(row: str, number: int = 3) -> str:
    """The sentence for a bad second patient; it must name the row, and there must be no other error."""
    _, findings = parse(f"{HEADER}\n{GOOD}\n{row}\n")
    assert [f.row for f in findings.errors] == [number], [str(f) for f in findings]
    return str(findings.errors[0])


def test_good_table() -> None:
    table = patient_table(30)
    frame, findings = parse(table.to_csv(index=False))
    assert not findings.errors
    assert list(frame["time"]) == list(table["time_months"])
    assert list(frame["event"]) == [bool(e) for e in table["event"]]
    assert frame["event"].dtype == bool
    assert frame["age"].dtype == float
    assert list(frame["row"]) == list(range(2, 32))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("P2,61,female,lung,II,1,-3,1,photos/P2.jpg", "time_months is negative (-3)"),
        ("P2,61,female,lung,II,1,0,1,photos/P2.jpg", "time_months is 0"),
        ("P2,61,female,lung,II,1,,1,photos/P2.jpg", "time_months is missing"),
        ("P2,61,female,lung,II,1,inf,1,photos/P2.jpg", "time_months is 'inf'"),
        ("P2,61,female,lung,II,1,1e5,1,photos/P2.jpg", "more than 720"),
        ("P2,61,female,lung,II,1,1_0,1,photos/P2.jpg", "time_months is '1_0'"),
        ("P2,61,female,lung,II,1,٣,1,photos/P2.jpg", "It must be a number"),
        ("P2,61,female,lung,II,1,5,NaN,photos/P2.jpg", "event is missing"),
        ("P2,61,female,lung,II,1,5,,photos/P2.jpg", "event is missing"),
        ("P2,61,female,lung,II,1,5,2,photos/P2.jpg", "event is '2', not 1/0"),
        ("P2,61,female,lung,II,1,5,dead,photos/P2.jpg", "event is 'dead'"),
        ("P1,61,female,lung,II,1,5,1,photos/P2.jpg", "P1 is already in row 2"),
        ("p1,61,female,lung,II,1,5,1,photos/P2.jpg", "already in row 2"),
        (",61,female,lung,II,1,5,1,photos/P2.jpg", "patient_id is missing"),
        ("../P2,61,female,lung,II,1,5,1,photos/P2.jpg", "is not usable"),
        ("P2,-4,female,lung,II,1,5,1,photos/P2.jpg", "age is negative"),
        ("P2,190,female,lung,II,1,5,1,photos/P2.jpg", "age is 190"),
        ("P2,61,female,lung,II,7,5,1,photos/P2.jpg", "ecog is 7"),
        ("P2,=6+1,female,lung,II,1,5,1,photos/P2.jpg", "age is '=6+1'. It must be a number"),
        ("=P2,61,female,lung,II,1,5,1,photos/P2.jpg", "is not usable"),
        ("P2,61,female,lung,II,1,5,1", "8 cells where the header has 9"),
        ("P2,61,female,lung,II,1,5,1,photos/P2.jpg,", "10 cells where the header has 9"),
        (f"P2,61,female,{'x' * 3000},II,1,5,1,photos/P2.jpg", "more than 2000 characters"),
        ('P2,61,female,"lu\nng",II,1,5,1,photos/P2.jpg', "line break"),
        ("P2,61,female,lu\x07ng,II,1,5,1,photos/P2.jpg", "control character"),
    ],
)
def test_bad_rows(row: str, words: str) -> None:
    assert words in one_error(row)


@pytest.mark.parametrize("cell", ["=cmd|' /C calc'!A0", "@SUM(A1)", "+SUM(A1)", "-SUM(A1)", '=HYPERLINK(""x"")'])
def test_formulas_are_kept_as_text_and_told(cell: str) -> None:
    frame, findings = parse(f'{HEADER}\n{GOOD}\nP2,61,female,"{cell}",II,1,5,1,photos/P2.jpg\n')
    assert not findings.errors
    assert frame["site"].tolist() == ["lung", cell.replace('""', '"')]
    [told] = [f for f in findings if "formula" in f.message]
    assert (told.severity, told.row) == ("warning", 3)


@pytest.mark.parametrize("cell", ["-", "+", "-1.5", "+3", "-0.2e-3"])
def test_signs_and_numbers_are_no_formulas(cell: str) -> None:
    _, findings = parse(f"{HEADER},note\n{GOOD},{cell}\n")
    assert not [f for f in findings if "formula" in f.message]


def test_decimal_comma_is_explained() -> None:
    assert "Use a point for decimals" in one_error('P2,61,female,lung,II,1,"12,5",1,photos/P2.jpg')


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\n\n", "no header"),
        (HEADER.encode(), "no patient"),
        (HEADER.encode() + b"\n" + GOOD.replace(",", ";").encode(), "by commas and the rows by semicolons"),
        (HEADER.replace(",", "\t").encode() + b"\n" + GOOD.encode(), "by tabs and the rows by commas"),
        (b"PK\x03\x04 rest of a workbook", "workbook is damaged"),
        (b"\xd0\xcf\x11\xe0 old workbook", "old (.xls) or a protected"),
        (HEADER.encode("utf-16"), "no patient"),
        (HEADER.encode("utf-16") + b"\x41", "cut off"),
        (HEADER.encode("utf-32"), "UTF-32"),
        (f"{HEADER}\n{GOOD}\nP2,61,f\0,".encode(), "row 3: the file holds zero bytes"),
        (f"{HEADER}\n{GOOD}ä\n".encode() + "P2,61,weiblich,Hüfte".encode("latin-1"), "row 3: a character is not UTF-8"),
        (f"{HEADER}\n{GOOD}\nP2,61,f".encode() + b"\x81", "row 3: a character is neither UTF-8 nor Windows-1252"),
        (f'{HEADER}\n{GOOD}\nP2,"61'.encode(), "unclosed quotation mark"),
        (f'{HEADER}\n{GOOD}\nP2,"{"6," * 100_000}'.encode(), "unclosed quotation mark"),
        (b"patient_id,patient_id\nP1,P1", "two columns are called"),
        (b"patient_id,,event\nP1,x,1", "column 2 has no name"),
        (b"=HYPERLINK(1),event\nP1,1", "cannot be a column's name"),
        (b"patient_id,age\nP1,61\n", "no column time_months, event"),
    ],
)
def test_hopeless_files(data: bytes, words: str) -> None:
    assert words in refusal(data)


def test_sizes_are_limited_quickly() -> None:
    assert "larger" not in refusal(b"," * 499 + b"\n")
    for text, words in (
        (",".join(f"c{i}" for i in range(10**6)) + "\n", "more than 500 columns"),
        ("," * 10**6, "more than 500 columns"),
        ('"' + "a" * 20 + '",' + ",".join(["b"] * 800), "more than 500 columns"),
        (b"x" * (MAX_BYTES + 1), "larger than 64 MB"),
    ):
        assert words in refusal(text)
        assert calls(partial(refusal, text)) < 10_000
        assert peak_bytes(partial(refusal, text)) < 3 * len(text) + 1_000_000  # bytes and text, but no cells


def test_many_bad_rows_stay_few_sentences() -> None:
    rows = "\n".join(f"P{i},61,female,lung,II,1,-1,1,photos/P{i}.jpg" for i in range(5000))
    _, findings = parse(f"{HEADER}\n{rows}\n")
    assert findings.counts["error"] == 5000
    assert len(findings.items) < 500
    with pytest.raises(StudyError, match="4999 more"):
        findings.refuse_errors()


def test_coding_and_mapping() -> None:
    from study.settings import Columns

    columns = Columns(patient_id="id", time="months", event="status", photo="face", age="years")
    settings = Settings(name="x", title="x", columns=columns, event_values=("dead",), censored_values=("alive", "lost"))
    text = "id,years,months,status,face\nA,50,3,Dead,a.jpg\nB,60,4,lost,b.jpg\n"
    frame, findings = parse(text, settings)
    assert not findings.errors
    assert list(frame["event"]) == [True, False]
    assert list(frame["age"]) == [50, 60]
    assert list(frame["photo"]) == ["a.jpg", "b.jpg"]


def test_missing_covariates_are_warnings() -> None:
    frame, findings = parse(f"{HEADER}\n{GOOD}\nP2,,,NA,,,5,1,photos/P2.jpg\n")
    assert not findings.errors
    assert frame["age"].isna().tolist() == [False, True]
    assert frame["site"].tolist() == ["lung", ""]
    assert any("age is missing for 1 of 2" in str(f) for f in findings)


def test_further_columns_cannot_shadow_ours() -> None:
    frame, findings = parse(f"{HEADER},time,row,note\n{GOOD},abc,9,hi\n")
    assert not findings.errors
    assert frame["time"].tolist() == [12.5]
    assert frame["row"].tolist() == [2]
    assert frame["time_in_file"].tolist() == ["abc"]
    assert frame["row_in_file"].tolist() == ["9"]


def test_a_column_that_has_another_name_here_is_not_taken_for_ours() -> None:
    """study.toml says that the age is in `alter`: a column called `age` is a further one, whether or not there is
    an `alter`."""
    settings = replace(SETTINGS, columns=replace(SETTINGS.columns, age="alter", ecog="ps"))
    frame, findings = parse("patient_id,time_months,event,age,ecog\nP1,12.5,1,old,good\n", settings)
    assert not findings.errors
    assert "age" not in frame
    assert frame["age_in_file"].tolist() == ["old"]
    assert frame["ecog_in_file"].tolist() == ["good"]


@given(st.binary(max_size=400))
def test_any_bytes_give_a_table_or_a_sentence(data: bytes) -> None:
    said = ""
    try:
        parse(data)
    except StudyError as error:
        said = str(error)
    assert "\n" not in said


@pytest.mark.slow
@given(st.lists(st.lists(st.text(max_size=8), min_size=9, max_size=9), max_size=5))
def test_any_cells_give_findings_or_a_sentence(rows: list[list[str]]) -> None:
    import csv
    import io

    out = io.StringIO()
    csv.writer(out).writerows([HEADER.split(","), *rows])
    try:
        frame, findings = parse(out.getvalue().encode("utf-8", "replace"))
    except StudyError:
        return
    if not findings.errors:
        assert (frame["time"] > 0).all()
        assert frame["patient_id"].is_unique
