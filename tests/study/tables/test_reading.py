"""How cells are read: thousands, decimals, dates, codes for missing values, spellings; what cannot be told is asked."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.errors import Findings, StudyError
from study.settings import Columns, Covariate, Settings, parse_settings, settings_text
from study.tables.dates import date_style, parse_date
from study.tables.missing_codes import numeric_codes, proposed_codes
from study.tables.numbers import as_plain, style_of
from study.tables.patients import parse_patients
from study.tables.read import read_table
from study.tables.reading import COMMA_GROUPS, DAY_FIRST, MONTH_FIRST, POINT_GROUPS, Reading

CASES = Path(__file__).parents[2] / "data" / "cases" / "tables"
DAYS = Settings("x", "x", time_unit="days", columns=Columns(time="time_days", photo="none"))


def check(data: bytes, settings: Settings) -> tuple[object, Findings]:
    findings = Findings()
    return parse_patients(data, settings, findings), findings


def case(name: str) -> bytes:
    return (CASES / name).read_bytes()


@pytest.mark.parametrize(
    ("cells", "style", "problem"),
    [
        ({"1,129", "453"}, COMMA_GROUPS, "ambiguous"),
        ({"1.129", "453"}, COMMA_GROUPS, "ambiguous"),
        ({"1,129", "2,386"}, COMMA_GROUPS, "ambiguous"),
        ({"1,129", "453.5"}, COMMA_GROUPS, "ambiguous"),
        ({"1,129", "1.129"}, COMMA_GROUPS, "ambiguous"),
        ({"1,129", "12,5"}, POINT_GROUPS, ""),
        ({"1.129", "12.5", "453"}, COMMA_GROUPS, ""),
        ({"0.129", "1.129", "453"}, COMMA_GROUPS, ""),
        ({"1,129,000", "1,129"}, COMMA_GROUPS, ""),
        ({"1,129.5", "1,129", "453"}, COMMA_GROUPS, ""),
        ({"1.129,5", "1.129", "453"}, POINT_GROUPS, ""),
        ({"12,5", "3.5"}, COMMA_GROUPS, "mixed"),
        ({"1 129", "453"}, COMMA_GROUPS, ""),
        ({"1'129", "453"}, COMMA_GROUPS, ""),
        ({"61", "453", "1129"}, COMMA_GROUPS, ""),
        ({"lung, left", "453"}, COMMA_GROUPS, ""),
    ],
)
def test_the_values_of_a_column_show_what_its_commas_and_points_are(cells: set[str], style: str, problem: str) -> None:
    found = style_of(cells, comma_file=True)
    assert (found.problem, found.style if not problem else style) == (problem, style)


def test_numbers_that_the_file_stores_as_numbers_need_no_question() -> None:
    assert style_of({"1.129", "453"}, typed=True, comma_file=False).problem == ""
    assert style_of({"1.129", "2.5"}).problem == ""


@given(st.integers(-999_999_999, 999_999_999), st.sampled_from([COMMA_GROUPS, POINT_GROUPS]), st.integers(0, 4))
def test_a_number_written_in_a_style_is_read_back(whole: int, style: str, digits: int) -> None:
    text = f"{whole:,}" + ("" if not digits else f".{'12345'[:digits]}")
    if style == POINT_GROUPS:
        text = text.translate(str.maketrans(",.", ".,"))
    assert float(as_plain(text, style)) == float(f"{whole}" + ("" if not digits else f".{'12345'[:digits]}"))


@pytest.mark.parametrize("name", ["thou_mix.txt", "thou_dot.csv", "thou_semi.csv"])
def test_thousands_are_asked_about_and_never_read_as_decimals(name: str) -> None:
    frame, findings = check(case(name), DAYS)
    [error] = [f for f in findings.errors if "time_days" in f.message]
    assert error.message.endswith("?")
    assert "next to" in error.message
    assert '[reading.numbers]: time_days = "1,234.5" or "1.234,5"' in error.remedy
    comma = "," in error.message.split(" next to")[0]
    answer = Reading(numbers={"time_days": COMMA_GROUPS if comma else POINT_GROUPS})
    frame, findings = check(case(name), Settings("x", "x", time_unit="days", columns=DAYS.columns, reading=answer))
    assert not findings.errors
    assert any("thousands are grouped" in f.message for f in findings)
    median = float(np.median(frame["time"]))
    assert median == {"thou_mix.txt": 453.0}.get(name, median)
    assert frame["time"].max() > 1000
    assert frame["time"].min() >= 1
    other = Reading(numbers={"time_days": POINT_GROUPS if comma else COMMA_GROUPS})
    frame, _ = check(case(name), Settings("x", "x", time_unit="days", columns=DAYS.columns, reading=other))
    assert (frame["time"] % 1 > 0).any(), "the other answer is believed as well"


def test_one_word_in_two_spellings_is_warned_of_and_merged_on_request() -> None:
    plain = Settings("x", "x", columns=Columns(photo="none"))
    frame, findings = check(case("case.csv"), plain)
    assert not findings.errors
    [warning] = [f for f in findings if "spellings" in f.message]
    assert warning.severity == "warning"
    assert "sex has" in warning.message
    assert len(set(frame["sex"])) > 2
    merged = Settings("x", "x", columns=Columns(photo="none"), reading=Reading(merge_spellings=("sex",)))
    frame, findings = check(case("case.csv"), merged)
    assert sorted(set(frame["sex"])) == ["female", "male"]
    assert any("counted as male" in f.message for f in findings if f.severity == "note")


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-05-31", date(2026, 5, 31)),
        ("2026-05-31 14:20:11", date(2026, 5, 31)),
        ("2026-05-31T00:00:00Z", date(2026, 5, 31)),
        ("2026/5/31", date(2026, 5, 31)),
        ("20260531", date(2026, 5, 31)),
        ("31.05.2026", date(2026, 5, 31)),
        ("31.5.2026 08:00", date(2026, 5, 31)),
        ("31-May-2026", date(2026, 5, 31)),
        ("31MAY2026", date(2026, 5, 31)),
        ("31. Mai 2026", date(2026, 5, 31)),
        ("May 31, 2026", date(2026, 5, 31)),
        ("5. März 2026", date(2026, 3, 5)),
        ("31/05/2026", date(2026, 5, 31)),
        ("31.05.26", None),
        ("05/2026", None),
        ("2026", None),
        ("2026-02-30", None),
        ("0026-05-31", None),
        ("unknown", None),
        ("2026-05-31, about", None),
    ],
)
def test_dates_as_people_write_them(text: str, day: date | None) -> None:
    assert parse_date(text) == day


@given(st.lists(st.dates(date(1950, 1, 1), date(2040, 1, 1)), min_size=1, max_size=30), st.booleans())
def test_an_order_that_the_dates_show_is_found_and_one_that_they_do_not_is_asked(days: list[date], first: bool) -> None:
    order, form = (DAY_FIRST, "%d/%m/%Y") if first else (MONTH_FIRST, "%m/%d/%Y")
    cells = {day.strftime(form) for day in days}
    style = date_style(cells)
    if any(day.day > 12 for day in days):
        assert (style.order, style.ambiguous, style.mixed) == (order, False, False)
    elif any(day.day != day.month for day in days):
        assert style.ambiguous
    if not style.ambiguous:
        assert {parse_date(c, style.order) for c in cells} == set(days)
    told = date_style(cells, order)
    assert {parse_date(c, told.order) for c in cells} == set(days)


def test_days_and_months_mixed_are_refused_and_excels_day_numbers_are_read() -> None:
    assert date_style({"31/05/2020", "05/31/2020"}).mixed
    style = date_style({"43831", "44196"})
    assert style.serial
    assert parse_date("43831", serial=style.serial) == date(2020, 1, 1)
    assert not date_style({"43831", "soon"}).serial
    assert date_style({"05/06/2020", "06.05.2020"}).order == DAY_FIRST


FROM_DATES = Columns(baseline_date="diagnosis_date", end_date="last_contact", photo="none")


def test_follow_up_is_counted_between_two_dates() -> None:
    frame, findings = check(case("dates_only.csv"), Settings("x", "x", time_unit="days", columns=FROM_DATES))
    assert not findings.errors, [str(f) for f in findings.errors]
    assert frame["time"].tolist()[:3] == [(date(2021, 8, 9) - date(2020, 6, 7)).days, 635, 27]
    said = [f.message for f in findings if f.severity == "note"]
    assert "the follow-up is counted from diagnosis_date to last_contact, in days." in said
    assert any("diagnosis_date: dates are read, 07/06/2020 as 2020-06-07" in words for words in said)
    months, _ = check(case("dates_only.csv"), Settings("x", "x", columns=FROM_DATES))
    np.testing.assert_allclose(months["time"], frame["time"] / 30.4375)


def test_where_both_orders_are_legal_it_is_asked() -> None:
    lines = case("dates_only.csv").decode().splitlines()
    keep = [line for line in lines[1:] if all(int(d.split("/")[0]) <= 12 for d in line.split(",")[-2:])]
    data = "\n".join([lines[0], *keep, ""]).encode()
    settings = Settings("x", "x", time_unit="days", columns=FROM_DATES)
    _, findings = check(data, settings)
    assert [f.message.endswith("is the day or the month first?") for f in findings.errors][:2] == [True, True]
    assert '[reading.dates]: last_contact = "day first" or "month first"' in findings.errors[1].remedy
    both = Reading(dates=dict.fromkeys(("diagnosis_date", "last_contact"), DAY_FIRST))
    frame, findings = check(data, Settings("x", "x", time_unit="days", columns=FROM_DATES, reading=both))
    assert not findings.errors
    assert (frame["time"] > 0).all()


def test_dates_that_cannot_be_a_follow_up_are_named_by_row() -> None:
    data = (
        b"id,begin,contact,died,event\n"
        b"A,2020-01-01,2020-03-01,,0\n"
        b"B,2020-01-01,2019-12-31,,0\n"
        b"C,2020-01-01,2020-01-01,,1\n"
        b"D,2020-01-01,,,1\n"
        b"E,,2020-01-01,,1\n"
        b"F,2020-01-01,2020-02-01,2020-01-31,1\n"
        b"G,2020-01-01,2020-02-01,2020-01-31,0\n"
    )
    columns = Columns("id", event="event", baseline_date="begin", end_date="contact", death_date="died", photo="none")
    frame, findings = check(data, Settings("x", "x", time_unit="days", columns=columns))
    told = {f.row: f.message for f in findings.errors}
    assert told == {
        3: "died or contact (2019-12-31) is before begin (2020-01-01).",
        4: "died or contact (2020-01-01) is the day of begin (2020-01-01).",
        5: "died or contact is missing.",
        6: "begin is missing.",
    }
    assert [f.row for f in findings if f.severity == "warning"] == [8]
    assert frame["time"].tolist()[5] == 30


def test_without_an_event_column_a_date_of_death_is_the_event() -> None:
    data = b"id,begin,contact,died\nA,2020-01-01,2020-03-01,\nB,2020-01-01,2020-02-01,2020-01-31\n"
    columns = Columns("id", baseline_date="begin", end_date="contact", death_date="died", photo="none")
    frame, findings = check(data, Settings("x", "x", time_unit="days", columns=columns))
    assert frame["event"].tolist() == [False, True]
    assert any("is the event" in f.message for f in findings)


def test_time_and_dates_together_are_refused() -> None:
    data = b"id,time,event,begin,contact\nA,3,1,2020-01-01,2020-03-01\n"
    columns = Columns("id", "time", baseline_date="begin", end_date="contact", photo="none")
    with pytest.raises(StudyError, match="either time or end_date"):
        check(data, Settings("x", "x", columns=columns))
    columns = Columns("id", end_date="contact", photo="none")
    with pytest.raises(StudyError, match="none of its start"):
        check(data, Settings("x", "x", columns=columns))


@pytest.mark.parametrize("name", ["data_clinical_patient.txt", "cbio_nohash.csv"])
def test_clinical_files_of_cbioportal(name: str) -> None:
    columns = Columns("PATIENT_ID", "OS_MONTHS", "OS_STATUS", age="AGE", sex="SEX", site="CANCER_TYPE", photo="none")
    plan = Settings("x", "x", columns=columns, event_values=("1:DECEASED",), censored_values=("0:LIVING",))
    frame, findings = check(case(name), plan)
    assert not findings.errors
    assert len(frame) == 80
    assert frame["event"].tolist()[:3] == [True, False, False]
    assert frame["row"][0] == (6 if name.endswith("txt") else 2)
    assert any("beginning with # skipped" in f.message for f in findings) == name.endswith("txt")


def test_a_column_that_numbers_the_rows_is_left_out_with_a_note() -> None:
    findings = Findings()
    raw = read_table(case("index.csv"), findings)
    assert raw.header[0] == "patient_id"
    assert raw.rows[0][0] == "P000"
    assert raw.notes == ("The first column, which has no name, only numbers the rows and is left out.",)
    pandas = read_table(b"Unnamed: 0,a,\n0,x,\n1,y,\n", Findings())
    assert (pandas.header, pandas.rows) == (["a"], [["x"], ["y"]])
    r = read_table(b'"a";"b"\n"1";"x";2\n"2";"y";3\n', Findings())
    assert (r.header, r.rows) == (["a", "b"], [["x", "2"], ["y", "3"]])
    with pytest.raises(StudyError, match="column 1 has no name"):
        read_table(b",a\nP1,x\nP2,y\n", Findings())


def test_a_header_that_begins_with_a_hash_is_a_header() -> None:
    assert read_table(b"#id,a\n1,2\n", Findings()).header == ["#id", "a"]
    raw = read_table(b"# from the registry\nsep=;\nid;a\n1;2\n", Findings())
    assert (raw.header, raw.numbers) == (["id", "a"], [4])


def test_redcaps_repeated_labels_are_numbered_and_its_long_tables_refused_in_a_sentence() -> None:
    raw = read_table(b"Record ID,Complete?,Age,Complete?\n1,Complete,61,Complete\n", Findings())
    assert raw.header == ["Record ID", "Complete? (1)", "Age", "Complete? (2)"]
    rows = "".join(f"{i},{event},3,1\n" for i in range(1, 31) for event in ("baseline", "follow_up"))
    columns = Columns("record_id", "time", photo="none")
    data = f"record_id,redcap_event_name,time,event\n{rows}".encode()
    _, findings = check(data, Settings("x", "x", columns=columns))
    [error] = findings.errors
    assert "30 patients in 60 rows" in error.message
    assert "export one event" in error.remedy


def test_a_third_value_of_the_event_asks_for_a_competing_event() -> None:
    plain = Settings("x", "x", columns=Columns(photo="none"))
    _, findings = check(case("compete.csv"), plain)
    [error] = findings.errors
    assert "event is '2', not 1/0, in" in error.message
    assert 'competing = ["2"] counts it as censored' in error.remedy
    told = Settings("x", "x", columns=Columns(photo="none"), competing_values=("2",))
    frame, findings = check(case("compete.csv"), told)
    assert not findings.errors
    assert frame["competing"].sum() > 0
    assert not (frame["competing"] & frame["event"]).any()
    both = Settings("x", "x", columns=Columns(photo="none"), event_values=("1", "2"))
    assert check(case("compete.csv"), both)[0]["event"].sum() == (frame["event"] | frame["competing"]).sum()


def test_settings_keep_what_was_answered() -> None:
    reading = Reading({"time (d)": COMMA_GROUPS}, {"Diagnosedatum": DAY_FIRST}, {"hb": ("-99", "unknown")}, ("sex",))
    plan = Settings("x", "x", competing_values=("2",), reading=reading, columns=FROM_DATES)
    findings = Findings()
    again = parse_settings(settings_text(plan).encode(), findings)
    assert not findings.items
    assert (again.reading, again.competing_values, again.columns) == (reading, ("2",), FROM_DATES)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('[reading.numbers]\nhb = "comma"', 'reading.numbers.hb must be "1,234.5" or "1.234,5"'),
        ('[reading.dates]\nd = "US"', 'reading.dates.d must be "day first" or "month first"'),
        ('[reading.missing]\nhb = "-99"', "reading.missing must be"),
        ("[reading]\nnumbers = 3", "reading.numbers must be"),
        ('[reading]\nmerge_spellings = "sex"', "reading.merge_spellings must be"),
    ],
)
def test_answers_that_cannot_be_are_refused(lines: str, words: str) -> None:
    findings = Findings()
    parse_settings(f'name = "x"\ntitle = "x"\n{lines}\n'.encode(), findings)
    assert any(words in str(f) for f in findings.errors), [str(f) for f in findings]


HB = Settings("x", "x", columns=Columns(photo="none"), covariates=(Covariate("hb"),))


def blood(*codes: str) -> bytes:
    values = [f"{12 + i % 7 / 2}" for i in range(40)]
    for i, code in enumerate(codes):
        values[3 * i + 1] = code
    rows = "".join(f"P{i:02d},{5 + i},{i % 2},{value}\n" for i, value in enumerate(values))
    return f"patient_id,time_months,event,hb\n{rows}".encode()


def test_codes_for_missing_values_are_named_and_taken_once_confirmed() -> None:
    _, findings = check(blood("unknown"), HB)
    [error] = findings.errors
    assert 'study.toml, [reading.missing]: hb = ["unknown"]' in error.remedy
    assert not check(blood("n/a", "NA", ""), HB)[1].errors
    codes = Reading(missing={"hb": ("-99", "999", "unknown")})
    frame, findings = check(
        blood("-99", "999", "Unknown"), Settings("x", "x", columns=HB.columns, covariates=HB.covariates, reading=codes)
    )
    assert not findings.errors
    assert int(frame["hb"].isna().sum()) == 3


def test_which_numbers_are_proposed_as_codes() -> None:
    usual = np.arange(10.0, 16.0, 0.25)
    rows = np.full(len(usual), 4)

    def proposed(code: float, count: int) -> list[tuple[float, int]]:
        return numeric_codes(np.append(usual, code), np.append(rows, count))

    assert proposed(-99, 1) == [(-99.0, 1)], "the only negative one"
    assert proposed(999, 3) == [(999.0, 3)]
    assert proposed(999, 1) == [], "once may be a value"
    assert proposed(15, 9) == []
    ages = np.arange(30.0, 100.0)
    assert numeric_codes(ages, np.full(len(ages), 5)) == [], "77, 88 and 99 among ages"
    assert numeric_codes(np.array([0.0, 1, 2, 9]), np.array([5, 5, 5, 1]), 0, 5) == [(9.0, 1)]
    assert proposed_codes({"12.5": 3, "13": 2, "-99": 2, "Unknown": 1, "NA": 4}, {}) == {"-99": 2, "Unknown": 1}


def test_dates_in_a_workbook_are_read_by_their_style() -> None:
    raw = read_table((CASES.parents[1] / "tables" / "openpyxl.xlsx").read_bytes(), Findings())
    assert parse_date(raw.rows[0][6]) == date(2020, 2, 29)
    assert parse_date((date(2020, 2, 29) + timedelta(days=1)).isoformat()) == date(2020, 3, 1)


def test_zeros_that_are_a_cells_format_are_kept() -> None:
    raw = read_table(case("xfmt.xlsx"), Findings())
    assert raw.columns["patient_id"] == [f"{i:03d}" for i in range(1, 61)]
    assert "time_months" in raw.typed
