"""From a table and photos to a study: proposals, matching of photos, the gates, and nothing on disk after a refusal."""

from __future__ import annotations

import io
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latent.datasets.sources import Source
from study.__main__ import main
from study.description.flow import flow
from study.disk.refused_photos import REFUSED
from study.disk.store import Study, inspect
from study.errors import Findings, StudyError
from study.files import csv_text, write_bytes, write_text
from study.intake.guess import (
    columns_of,
    guess_coding,
    guess_columns,
    guess_covariate,
    guess_horizons,
    guess_unit,
    look,
)
from study.intake.make import IntakeRefused, check_raw, intake
from study.intake.match import Request, match
from study.settings import OPTIONAL_COLUMNS, Columns, Settings, settings_text
from study.simulation.simulate import encode_jpeg
from study.tables.read import read_table
from tests.study.conftest import face_like, patient_table

CASES = Path(__file__).parents[2] / "data" / "cases" / "tables"
HEADER = "Patient ID,OS (days),Vital status,Image file,Age\n"
ROWS = "A1,100,dead,one.jpg,60\nA2,200,alive,two.jpg,\nA3,300,dead,,71\n"
PLAN = Settings(
    name="new",
    title="New",
    time_unit="days",
    horizons=(365.0,),
    columns=replace(Columns(), patient_id="Patient ID", time="OS (days)", event="Vital status", photo="Image file"),
    event_values=("dead",),
    censored_values=("alive",),
)


def jpeg(seed: int) -> bytes:
    return encode_jpeg(face_like(seed))


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_a_zip_and_a_table_become_a_study(tmp_path: Path) -> None:
    photos = zipped(tmp_path / "p.zip", {"all/one.jpg": jpeg(1), "all/TWO.JPG": jpeg(2), "all/three.jpg": jpeg(3)})
    told: list[tuple[int, int]] = []
    given_table = (HEADER + ROWS).encode()
    with pytest.raises(IntakeRefused, match=r"'two.jpg' is probably all/TWO.JPG; it differs in upper and lower case"):
        intake(tmp_path / "studies", PLAN, given_table, photos)
    assert not (tmp_path / "studies").exists()
    folder, findings = intake(tmp_path / "studies", PLAN, given_table, photos, lambda *a: told.append(a), near="accept")
    study = Study.open(folder)
    assert (study.name, study.time_unit, study.horizons) == ("new", "days", (365.0,))
    assert list(study.patients["time"]) == [100.0, 200.0, 300.0]
    assert list(study.patients["event"]) == [True, False, True]
    assert {p: f.name for p, f in study.photos.items()} == {"A1": "A1.jpg", "A2": "A2.jpg"}
    assert study.photos["A2"].read_bytes() == jpeg(2)
    assert b"one.jpg" not in (folder / "patients.csv").read_bytes(), "file names may carry people's names"
    assert told[-1] == (2, 2)
    said = [str(f) for f in findings]
    assert any("row 4: Image file is missing" in s for s in said)
    assert any("1 photo without a patient, not used: all/three.jpg." in s for s in said)
    assert any("'two.jpg' is matched to all/TWO.JPG" in s for s in said)
    assert [p.name for p in folder.parent.iterdir()] == ["new"]


def test_photos_called_as_patients_need_no_column(tmp_path: Path) -> None:
    table = "Patient ID,OS (days),Vital status\nA1,100,dead\nA2,200,alive\n"
    folder = tmp_path / "photos"
    write_bytes(folder / "A1.jpg", jpeg(1))
    (tmp_path / "outside.jpg").write_bytes(jpeg(2))
    (folder / "A2.jpg").symlink_to(tmp_path / "outside.jpg")
    plan = replace(PLAN, columns=replace(PLAN.columns, photo="photo"))
    made, findings = intake(tmp_path / "studies", plan, table.encode(), folder)
    assert list(Study.open(made).photos) == ["A1"], "links are not followed"
    assert any("under the patients' ids" in f.message for f in findings)


@pytest.mark.parametrize(
    ("table", "row", "words"),
    [
        ("A1,100,dead,one.jpg,60\n\nA2,-5,dead,two.jpg,60\n", 4, "negative"),
        ("A1,100,maybe,one.jpg,60\n", 2, "'maybe'"),
        ("A1,100,dead,one.jpg,60\nA1,100,dead,two.jpg,60\n", 3, "already in row 2"),
        ("A1,100,dead,one.jpg\n", 2, "4 cells"),
        ("=cmd|x,100,dead,one.jpg,60\n", 2, "not usable"),
        ("../A1,100,dead,one.jpg,60\n", 2, "not usable"),
        ("A1,100,dead,one.jpg,60\nA2,100,dead,one.jpg,60\n", 3, "already belongs to row 2"),
        ("A1,100,dead,same.jpg,60\n", 2, "several photos"),
    ],
)
def test_rows_with_errors_refuse_it_and_nothing_is_left(tmp_path: Path, table: str, row: int, words: str) -> None:
    photos = zipped(tmp_path / "p.zip", {"one.jpg": jpeg(1), "a/same.jpg": jpeg(2), "b/same.jpg": jpeg(3)})
    with pytest.raises(IntakeRefused) as refused:
        intake(tmp_path / "studies", PLAN, (HEADER + table).encode(), photos)
    assert any(f.row == row and words in f.message for f in refused.value.findings.errors)
    assert not (tmp_path / "studies").exists()


@pytest.mark.parametrize("data", [b"PK\x03\x04", b"\xff\xfea", b"a;b\n1;2\n", b"", b"a,a\n1,2\n", b"x,y\n1,2\n"])
def test_what_is_no_table_is_refused_in_a_sentence(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(StudyError, match=r"patients\.csv"):
        intake(tmp_path / "studies", PLAN, data, tmp_path)
    assert not (tmp_path / "studies").exists()


def hostile(kind: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        if kind == "escape":
            archive.writestr("../../one.jpg", jpeg(1))
        elif kind == "bomb":
            archive.writestr("one.jpg", bytes(20_000_000))
        elif kind == "none":
            archive.writestr("readme.txt", b"hello")
        elif kind == "link":
            info = zipfile.ZipInfo("one.jpg")
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
    return buffer.getvalue() if kind != "cut" else b"PK\x03\x04 and so on"


@pytest.mark.parametrize("kind", ["escape", "bomb", "none", "cut"])
def test_a_hostile_zip_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "p.zip").write_bytes(hostile(kind))
    with pytest.raises(StudyError):
        intake(tmp_path / "studies", PLAN, (HEADER + ROWS).encode(), tmp_path / "p.zip")
    assert not (tmp_path / "studies").exists()


def test_a_photo_that_is_none_leaves_its_patient_without(tmp_path: Path) -> None:
    photos = zipped(tmp_path / "p.zip", {"one.jpg": jpeg(1), "two.jpg": b"GIF89a and so on"})
    folder, findings = intake(tmp_path / "studies", PLAN, (HEADER + ROWS).encode(), photos)
    assert list(Study.open(folder).photos) == ["A1"]
    assert any(f.row == 3 and "The photo of A2" in f.message for f in findings)
    assert len(list((folder / "photos").iterdir())) == 1
    _, later = inspect(folder)
    [refused] = [f for f in later if f.row == 3]
    assert refused.message.startswith("the photo was refused when the study was made: The photo of A2")
    assert dict(flow(Study.open(folder))[2].lost) == {REFUSED: 1, "No photo named in the table": 1}
    (tmp_path / "link.zip").write_bytes(hostile("link"))
    folder, findings = intake(
        tmp_path / "studies", replace(PLAN, name="linked"), (HEADER + ROWS).encode(), tmp_path / "link.zip"
    )
    assert Study.open(folder).photos == {}
    assert (REFUSED, 1) in flow(Study.open(folder))[2].lost
    assert any(f.row == 2 and "link" in f.message for f in findings)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 65, "Taken", "TAKEN"])
def test_names_that_cannot_be_and_names_that_are_taken(tmp_path: Path, name: str) -> None:
    (tmp_path / "studies" / "taken").mkdir(parents=True)
    with pytest.raises(StudyError):
        intake(tmp_path / "studies", replace(PLAN, name=name), (HEADER + ROWS).encode(), tmp_path)
    assert [p.name for p in (tmp_path / "studies").iterdir()] == ["taken"]


def test_what_a_killed_intake_left_goes(tmp_path: Path) -> None:
    write_text(tmp_path / "studies" / ".new.12345678.tmp" / "half.txt", "")
    photos = zipped(tmp_path / "p.zip", {"one.jpg": jpeg(1)})
    intake(tmp_path / "studies", PLAN, (HEADER + ROWS).encode(), photos)
    assert [p.name for p in (tmp_path / "studies").iterdir()] == ["new"]


def test_proposals() -> None:
    table = look((HEADER + ROWS).encode())
    assert (table.patients, table.values["Vital status"]) == (3, ["alive", "dead"])
    chosen = guess_columns(table.header)
    assert chosen == {
        **dict.fromkeys(("sex", "site", "stage", "ecog", *OPTIONAL_COLUMNS)),
        "patient_id": "Patient ID",
        "time": "OS (days)",
        "event": "Vital status",
        "photo": "Image file",
        "age": "Age",
    }
    assert guess_unit(chosen["time"]) == "days"
    assert [guess_unit(name) for name in ("time_months", "futime", None, "yearsOfFollowUp")] == [
        *("months", "months", "months", "years"),
    ]
    assert guess_coding(["1", "0"]) == (("1",), ("0",))
    assert guess_coding(["Dead", "alive", "?x"]) == (("Dead",), ("alive",))
    assert guess_coding(["0", "1", "2"]) == (("1",), ("0",))
    assert guess_columns(["subject", "os_time", "os_event"])["time"] == "os_time"


GUESSES = {
    "english": (
        "Study ID,UICC stage,Primary,Survival time (months),Vital status,Gender,Age at diagnosis,ECOG status,Photo",
        "S-1,IIA,lung,12.5,Dead,Female,61,1,a.jpg",
        ("patient_id", "stage", "site", "time", "event", "sex", "age", "ecog", "photo"),
    ),
    "german": (
        "Patienten-Nr.;UICC-Stadium;Primärtumor;Überlebenszeit (Monate);Vitalstatus;Geschlecht;Alter;Foto",
        "17;II;Lunge;12,5;verstorben;w;61;a.jpg",
        ("patient_id", "stage", "site", "time", "event", "sex", "age", "photo"),
    ),
    "german dates": (
        "Pseudonym;Datum der Erstdiagnose;Sterbedatum;Letzter Kontakt;Geschlecht",
        "17;13.02.2019;;28.11.2022;w\n18;13.02.2019;01.03.2020;28.02.2020;m",
        ("patient_id", "baseline_date", "death_date", "end_date", "sex"),
    ),
    "english dates": (
        "Record ID,Date of diagnosis,Date of last contact,Date of death,Smoking status",
        "1,2019-02-13,2022-11-28,2022-11-28,never",
        ("patient_id", "baseline_date", "end_date", "death_date", None),
    ),
}


@pytest.mark.parametrize("kind", GUESSES)
def test_columns_are_recognised_in_two_languages(kind: str) -> None:
    header, row, meanings = GUESSES[kind]
    seen = look(f"{header}\n{row}\n".encode())
    chosen = guess_columns(seen.header, seen)
    assert {name: meaning for meaning, name in chosen.items() if name} == {
        name: meaning for name, meaning in zip(seen.header, meanings, strict=True) if meaning
    }
    assert guess_unit(chosen["time"]) == "months"


def test_a_column_is_proposed_only_for_what_it_can_be_read_as() -> None:
    seen = look(b"id,time,event,Baseline date,age,last contact\nA,2020-01-01,0,spring 2019,young,soon\n")
    chosen = guess_columns(seen.header, seen)
    assert chosen["time"] is None, "it holds dates"
    assert chosen["baseline_date"] is None
    assert chosen["age"] is None
    assert chosen["end_date"] is None
    seen = look((CASES / "dates_only.csv").read_bytes())
    chosen = guess_columns(seen.header, seen)
    assert (chosen["time"], chosen["baseline_date"], chosen["end_date"]) == (None, "diagnosis_date", "last_contact")


def test_codes_do_not_make_a_column_of_numbers_one_of_words() -> None:
    seen = look(b"id,hb\nA,12.5\nB,unknown\nC,-99\nD,13\n")
    assert seen.numeric == {"hb"}
    covariate = guess_covariate("hb", seen)
    assert covariate is not None
    assert covariate.kind == "numeric"


def test_a_coded_event_is_understood_by_its_word() -> None:
    assert guess_coding(["0:LIVING", "1:DECEASED"]) == (("1:DECEASED",), ("0:LIVING",))
    assert guess_coding(["ja", "nein"], "verstorben") == (("ja",), ("nein",))
    assert guess_coding(["yes", "no"], "alive") == (("no",), ("yes",))
    seen = look((CASES / "data_clinical_patient.txt").read_bytes())
    chosen = guess_columns(seen.header, seen)
    assert [chosen[k] for k in ("patient_id", "time", "event", "site")] == [
        *("PATIENT_ID", "OS_MONTHS", "OS_STATUS", "CANCER_TYPE"),
    ]


def test_horizons_are_proposed_as_far_as_follow_up_carries_them() -> None:
    evenly = np.linspace(0.5, 100, 200)
    assert guess_horizons("months", evenly) == (12, 24, 60)
    assert guess_horizons("months", evenly / 2) == (12, 24), "at 60 nobody is left"
    assert guess_horizons("months", evenly * 0.66) == (12, 24), "at 60 a twelfth is left"
    assert guess_horizons("months", evenly[::8]) == (12, 24, 60), "ten patients, of 25"
    assert guess_horizons("months", evenly[::9]) == (12, 24), "nine are too few of any number"
    assert guess_horizons("months", evenly / 20) == (1, 3)
    assert guess_horizons("years", evenly / 12) == (1, 2, 5)
    assert guess_horizons("days", np.array([3.0, np.nan])) == ()


@given(st.lists(st.floats(0.01, 5000), min_size=1, max_size=80), st.sampled_from(("days", "weeks", "months", "years")))
def test_a_proposed_horizon_leaves_enough_patients(times: list[float], unit: str) -> None:
    followed = np.array(times)
    for horizon in guess_horizons(unit, followed):
        assert (followed > horizon).sum() >= max(10, len(times) / 10)


def test_times_of_a_column_are_numbers_with_points_or_commas() -> None:
    table = look(b"id;time;event\nA;3,5;1\nB;.;0\nC;7.25;1\nD;late;1\n")
    np.testing.assert_array_equal(table.numbers("time"), [np.nan] * 4, "commas and points mixed")
    table = look(b"id;time;event\nA;3,5;1\nB;.;0\nC;7,25;1\nD;late;1\n")
    np.testing.assert_array_equal(table.numbers("time"), [3.5, np.nan, 7.25, np.nan])
    table = look(b"id;time\nA;1,129\nB;453\n")
    np.testing.assert_array_equal(table.numbers("time"), [np.nan, 453])
    assert len(table.numbers("nothing")) == 0


@pytest.mark.parametrize(
    ("values", "column"), [(["1", "2"], "status"), (["0", "1"], "censor"), (["0", "1"], "Censored")]
)
def test_a_coding_that_is_read_both_ways_is_left_to_the_person(values: list[str], column: str) -> None:
    assert guess_coding(values, column) == ((), ())


def test_words_tell_the_coding_of_a_column_called_censored() -> None:
    assert guess_coding(["alive", "dead"], "censored") == (("dead",), ("alive",))


def test_a_table_as_this_package_writes_it_is_understood() -> None:
    assert guess_columns(list(patient_table(1))) == {
        **{name: name for name in ("patient_id", "event", "photo", "age", "sex", "site", "stage", "ecog")},
        "time": "time_months",
        **dict.fromkeys(OPTIONAL_COLUMNS),
    }


@given(st.lists(st.text("abcdefgh_ ID", min_size=1, max_size=8).map(str.strip), unique=True, min_size=1, max_size=12))
@settings(max_examples=60)
def test_a_proposal_never_uses_a_column_twice_and_always_makes_columns(header: list[str]) -> None:
    chosen = guess_columns(header)
    used = [name for name in chosen.values() if name]
    assert len(set(used)) == len(used)
    columns = columns_of(chosen, header).named().values()
    assert len(set(columns)) == len(columns)
    assert {name for name in columns if name in header} == set(used)


@given(st.lists(st.sampled_from(["a/x.jpg", "b/x.jpg", "a/y.jpg", "z/a/y.jpg", "Y.png"]), unique=True, min_size=1))
@settings(max_examples=40)
def test_a_whole_path_always_finds_its_own_photo(names: list[str]) -> None:
    requests = [Request(i, "t.csv", i + 2, name) for i, name in enumerate([*names, "nothing.jpg"])]
    found = match(requests, [Source("p", name, Path(name)) for name in names])
    assert [(m.request.cell, m.source.file) for m in found.exact] == [(name, name) for name in names]
    assert [request.cell for request in found.absent] == ["nothing.jpg"]
    assert [found.near, found.several, found.doubled, found.unused] == [[]] * 4


def test_rows_keep_the_numbers_of_the_given_file() -> None:
    findings = Findings()
    data = (HEADER + "\n\nA1,x,dead,a.jpg,1\n1,2\nA2,5,maybe,b.jpg,50\n").encode()
    check_raw(read_table(data, findings), PLAN, findings)
    assert sorted(f.row or 0 for f in findings.errors) == [4, 5, 6]


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, plan = tmp_path / "t.csv", tmp_path / "plan.toml"
    table.write_text(csv_text(patient_table(2)))
    plan.write_text(settings_text(Settings(name="cli", title="From the command line")))
    photos = zipped(tmp_path / "p.zip", {"photos/P0001.jpg": jpeg(1), "photos/P0002.jpg": jpeg(2)})
    words = ["intake", str(table), str(photos), "--plan", str(plan), "--root", str(tmp_path / "studies")]
    assert main(words) == 0
    assert "2 patients, 2 with a photo" in capsys.readouterr().out
    assert main(words) == 1
    assert "nothing is overwritten" in capsys.readouterr().err
