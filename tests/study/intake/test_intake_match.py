"""Names that join photos to patients: near ones are proposed and shown, and taken only when a person says so."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latent.datasets.sources import Source
from study.__main__ import main
from study.disk.store import Study
from study.errors import Findings
from study.files import write_bytes
from study.intake.match import Request, difference, match
from study.intake.photos import report_matches, requests_of_list
from study.settings import Columns, Settings, settings_text
from study.simulation.simulate import encode_jpeg
from study.tables.read import read_table
from tests.study.conftest import face_like

CASES = Path(__file__).parents[2] / "data" / "cases" / "tables"
CASE_PHOTOS = {
    "ids.csv": [f"{i:03d}.jpg" for i in range(1, 61)],
    "xfmt.xlsx": [f"{i:03d}.jpg" for i in range(1, 61)],
    "nfc.csv": [unicodedata.normalize("NFD", f"Müller_{i}.jpg") for i in range(60)],
    "winpath.csv": [f"img{i}.jpg" for i in range(60)],
}
DIFFERS = {
    "ids.csv": "leading zeros or signs",
    "nfc.csv": "how accents are stored (Unicode)",
    "winpath.csv": "the folders before its name",
}


def sources(*names: str) -> list[Source]:
    return [Source("p.zip", name, Path("p.zip"), name) for name in names]


def requests(*cells: str) -> list[Request]:
    return [Request(i, "patients.csv", i + 2, cell) for i, cell in enumerate(cells)]


@pytest.mark.parametrize("name", CASE_PHOTOS)
def test_the_cases_are_matched_one_to_one(name: str) -> None:
    raw = read_table((CASES / name).read_bytes(), Findings())
    by_id = "photo" not in raw.header
    cells = raw.columns["patient_id" if by_id else "photo"]
    found = match(requests(*cells), sources(*CASE_PHOTOS[name]), by_id)
    assert [found.several, found.doubled, found.absent, found.unused] == [[]] * 4
    if name == "xfmt.xlsx":
        assert len(found.exact) == 60
        return
    assert not found.exact
    assert [m.source.file for m in found.near] == CASE_PHOTOS[name]
    assert {m.differs for m in found.near} == {DIFFERS[name]}


@pytest.mark.parametrize("name", CASE_PHOTOS)
def test_a_study_is_made_of_the_case_once_its_matches_are_accepted(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = encode_jpeg(face_like(1))
    for i, file in enumerate(CASE_PHOTOS[name]):
        write_bytes(tmp_path / "photos" / file, photo + bytes([i]))  # other bytes, the same picture
    plan = tmp_path / "plan.toml"
    plan.write_text(settings_text(Settings("made", "Made", columns=Columns(), horizons=(12.0,))))
    words = ["intake", str(CASES / name), str(tmp_path / "photos"), "--plan", str(plan), "--root", str(tmp_path / "s")]
    if name != "xfmt.xlsx":
        assert main(words) == 1
        told = capsys.readouterr().out
        assert told.count("is probably") == 60
        assert "--accept-matches" in told
        assert not (tmp_path / "s").exists()
        words.append("--accept-matches")
    assert main(words) == 0
    told = capsys.readouterr().out
    assert told.count("is matched to") == (0 if name == "xfmt.xlsx" else 60)
    study = Study.open(tmp_path / "s" / "made")
    assert len(study.photos) == 60
    first = study.patients["patient_id"][0]
    assert first == ("001" if name == "xfmt.xlsx" else "1")
    assert study.photos[first].read_bytes() == photo + b"\0"


def test_exact_names_come_first_and_near_ones_are_left_out_on_request() -> None:
    found = match(requests("one.jpg", "ONE.jpg", "two"), sources("one.jpg", "two.jpg", "three.jpg"))
    assert [m.source.file for m in found.exact] == ["one.jpg"]
    assert [r.cell for r in found.absent] == ["ONE.jpg"], "that photo has its row already"
    assert [(m.source.file, m.differs) for m in found.near] == [("two.jpg", "the file's ending")]
    findings = Findings()
    assert report_matches(found, "photo", "leave", findings) == found.exact
    assert not findings.errors
    assert any(str(f) == "photos: 2 photos without a patient, not used: three.jpg, two.jpg." for f in findings)
    quiet = Findings()
    report_matches(found, "photo", "leave", quiet, names=False)
    assert not any("three" in str(f) for f in quiet)


def test_what_fits_several_is_never_matched() -> None:
    found = match(requests("1"), sources("001.jpg", "01.jpg"), by_id=True)
    assert (found.near, len(found.several)) == ([], 1)
    found = match(requests("1", "01"), sources("001.jpg"), by_id=True)
    assert (found.near, len(found.several)) == ([], 2)
    findings = Findings()
    assert report_matches(found, "photo", "accept", findings) == []
    assert [f.row for f in findings.errors] == [2, 3]
    found = match(requests("same.jpg"), sources("a/same.jpg", "b/same.jpg"))
    assert len(found.several) == 1
    found = match(requests("b\\same.jpg"), sources("a/same.jpg", "b/same.jpg"))
    assert [m.source.file for m in found.near] == ["b/same.jpg"]


def test_ids_whose_digits_differ_are_not_near() -> None:
    found = match(requests("12", "P-100", "A.1"), sources("21.jpg", "P10.jpg", "IMG_12.jpg", "A.2.jpg"), by_id=True)
    assert [found.near, found.exact] == [[], []]
    assert len(found.absent) == 3


@pytest.mark.parametrize(
    ("cell", "file", "differs"),
    [
        ("C:\\data\\One.JPG", "all/one.jpg", "the folders before its name, upper and lower case"),
        ("one.png", "one.jpg", "the file's ending"),
        ("p-001", "P1.jpg", "the file's ending, leading zeros or signs"),
        ("all/one.jpg", "all/ONE.jpg", "upper and lower case"),
    ],
)
def test_a_difference_is_named(cell: str, file: str, differs: str) -> None:
    assert difference(cell, file) == differs


@given(st.lists(st.text("abAB01-_ü.", min_size=1, max_size=6), min_size=1, max_size=8), st.data())
def test_no_photo_is_given_twice_and_none_is_lost(names: list[str], data: st.DataObject) -> None:
    files = sources(*dict.fromkeys(f"{name}.jpg" for name in names))
    cells = data.draw(st.lists(st.sampled_from([*names, *(f"{n}.JPG" for n in names), "other"]), max_size=8))
    found = match(requests(*cells), files)
    used = [m.source.file for m in (*found.exact, *found.near)]
    assert len(set(used)) == len(used)
    assert {*used, *(s.file for s in found.unused)} == {s.file for s in files}
    parts = (found.exact, found.near, found.several, found.doubled, found.absent)
    assert sum(map(len, parts)) == len(cells)
    assert all(m.differs for m in found.near)


def test_a_list_of_photos_has_dates_of_any_kind() -> None:
    findings = Findings()
    found = requests_of_list(b"patient_id;photo;date\nA;a.jpg;31.05.2020\nB;b.jpg;\n", ["A", "B"], findings)
    assert [r.taken for r in found] == ["2020-05-31", ""]
    assert not findings.errors
    requests_of_list(b"patient_id,photo,date\nA,a.jpg,05/06/2020\n", ["A"], findings)
    assert "is the day or the month first?" in findings.errors[0].message
