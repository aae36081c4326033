"""Several photos a patient: listed in a cell or in photos.csv, chosen by rule or averaged, split always by patient."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from latent.checkpoints import Checkpoint
from study.disk.latents import INDEX_COLUMNS, Embedding, by_patient
from study.disk.near_copies import fingerprint, near_copies
from study.disk.photos import photo_cells
from study.disk.store import Study, inspect
from study.embedding.command import embed
from study.embedding.reconstruct import error_table
from study.errors import StudyError
from study.files import csv_text, sha256_of, write_bytes, write_text
from study.intake.make import IntakeRefused, intake
from study.scoring.check import check
from study.scoring.status import codes_status
from study.settings import Columns, Settings
from study.simulation.simulate import encode_jpeg
from tests.latents_file import write_latents
from tests.study.conftest import face_like, patient_table, write_study

LIST = "patient_id,photo,date\nP0001,a.jpg,2020-03-01\nP0001,b.jpg,2020-01-10\nP0001,c.jpg,2020-06-01\nP0002,d.jpg,\n"


def listed(folder: Path, text: str = LIST, photos: str = "abcd", **settings: object) -> Path:
    """Four patients; photos.csv; baseline 2020-03-10 for all."""
    table = patient_table(4).drop(columns="photo").assign(base="2020-03-10")
    columns = replace(Columns(), baseline_date="base")
    write_study(folder, table, columns=columns, **settings)
    write_text(folder / "photos.csv", text)
    for i, name in enumerate(photos):
        write_bytes(folder / "photos" / f"{name}.jpg", encode_jpeg(face_like(i)))
    return folder


def names(study: Study, patient: str) -> list[str]:
    return [f.path.name for f in study.photo_files[patient]]


@pytest.mark.parametrize(
    ("rule", "expected", "days"),
    [
        ("mean", ["b.jpg", "a.jpg", "c.jpg"], -60.0),
        ("first", ["b.jpg"], -60.0),
        ("last", ["c.jpg"], 83.0),
        ("nearest", ["a.jpg"], -9.0),
    ],
)
def test_the_rule_says_which_photos_count(tmp_path: Path, rule: str, expected: list[str], days: float) -> None:
    study = Study.open(listed(tmp_path / "s", photo_rule=rule))
    assert names(study, "P0001") == expected
    assert names(study, "P0002") == ["d.jpg"]
    assert study.photos["P0001"].name == expected[0]
    assert study.patients["photo_days"].tolist()[0] == days
    assert study.patients["photo_days"].isna().tolist() == [False, True, True, True]
    assert len(study.included_files) == len(expected) + 1
    assert any("photo to baseline" in str(f) for f in study.findings)
    assert study.settings.photo_rule == rule


def test_a_cell_may_name_several(tmp_path: Path) -> None:
    table = patient_table(3)
    table.loc[0, "photo"] = "photos/P0001.jpg; P0003.jpg"
    table.loc[2, "photo"] = ""
    study = Study.open(write_study(tmp_path / "s", table, photos=3))
    assert names(study, "P0001") == ["P0001.jpg", "P0003.jpg"]
    assert list(study.photos) == ["P0001", "P0002"]
    assert photo_cells("a.jpg|b.jpg ; ;NA") == ["a.jpg", "b.jpg"]
    assert photo_cells("n/a") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("patient_id,file\nP0001,a.jpg\n", r"photos\.csv, row 1: no column photo"),
        ("patient_id,photo\nP0001,a.jpg\nP0002,a.jpg\n", r"photos\.csv, row 3: photo a\.jpg already belongs to photos"),
        ("patient_id,photo,date\nP0001,a.jpg,01.03.2020\n", r"photos\.csv, row 2: date is '01\.03\.2020'"),
        ("patient_id,photo\nP0001,../a.jpg\n", r"photos\.csv, row 2: photo '\.\./a\.jpg' does not name a file"),
    ],
)
def test_lists_that_cannot_be_used(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        Study.open(listed(tmp_path / "s", text))


def test_list_and_column_are_not_both_taken(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", patient_table(3), photos=3)
    write_text(folder / "photos.csv", "patient_id,photo\nP0001,P0001.jpg\n")
    with pytest.raises(StudyError, match=r"photos are listed here and in photos\.csv"):
        Study.open(folder)


def test_nearest_needs_dates(tmp_path: Path) -> None:
    text = LIST.replace("P0001,c.jpg,2020-06-01", "P0001,c.jpg,")
    with pytest.raises(StudyError, match=r"row 2: 3 photos, and which is nearest"):
        Study.open(listed(tmp_path / "s", text, photo_rule="nearest"))


def test_names_that_differ_in_their_ending_alone_are_refused(tmp_path: Path) -> None:
    table = patient_table(2).assign(photo=["x.jpg", "x.png"])
    folder = write_study(tmp_path / "s", table)
    for name in ("x.jpg", "x.png"):
        write_bytes(folder / "photos" / name, encode_jpeg(face_like(1)))
    with pytest.raises(StudyError, match=r"x\.jpg and x\.png differ only in their file ending"):
        Study.open(folder)


def test_photos_that_nobody_lists_are_an_error(tmp_path: Path) -> None:
    table = patient_table(2).drop(columns="photo")
    folder = write_study(tmp_path / "s", table, photos=2)
    with pytest.raises(StudyError, match="no photo is listed"):
        Study.open(folder)


def write_all_codes(study: Study, values: dict[str, float]) -> None:
    """Constant codes by photo name, for all photos, whatever the rule."""
    rows, ws = [], []
    for patient, stem in (("P0001", "a"), ("P0001", "b"), ("P0001", "c"), ("P0002", "d")):
        digest = sha256_of(study.path / "photos" / f"{stem}.jpg")
        flags = f"Flag {stem}." if stem in "ab" else ""
        numbers = (values[stem], 30.0, 0.9, 0.2, 1.0, 0.3)
        rows.append(dict(zip(INDEX_COLUMNS, (patient, stem, digest, "c" * 64, "test", flags, *numbers), strict=True)))
        ws.append(np.full((2, 3), values[stem], np.float32))
    write_latents(study.path, np.stack(ws), pd.DataFrame(rows), Embedding("tiny", "c" * 64, "balanced", 2, 3))


@pytest.mark.parametrize(("rule", "expected"), [("mean", 4.0), ("first", 2.0), ("last", 9.0), ("nearest", 1.0)])
def test_codes_follow_the_rule(tmp_path: Path, rule: str, expected: float) -> None:
    folder = listed(tmp_path / "s", photo_rule=rule)
    write_all_codes(Study.open(folder), {"a": 1.0, "b": 2.0, "c": 9.0, "d": 5.0})
    study = Study.open(folder)
    codes, table = study.analysed()
    assert list(table["patient_id"]) == ["P0001", "P0002"], "one row a patient: folds cannot part their photos"
    np.testing.assert_allclose(codes[0], expected)
    np.testing.assert_allclose(codes[1], 5.0)
    assert list(error_table(study)["patient_id"]) == ["P0001", "P0002"]
    write_bytes(folder / "photos" / "c.jpg", encode_jpeg(face_like(9)))
    if rule in ("mean", "last"):
        with pytest.raises(StudyError, match=r"c\.jpg changed"):
            Study.open(folder).analysed()


def test_index_by_patient(tmp_path: Path) -> None:
    folder = listed(tmp_path / "s")
    write_all_codes(Study.open(folder), {"a": 1.0, "b": 2.0, "c": 9.0, "d": 5.0})
    rows = by_patient(Study.open(folder).latents().index)
    assert rows["perceptual"].tolist() == [4.0, 5.0]
    assert rows["flags"].tolist() == ["Flag a.\nFlag b.", ""]


@pytest.mark.slow
def test_every_photo_is_embedded(tmp_path: Path, make_checkpoint: Callable[[], Checkpoint]) -> None:
    folder = listed(tmp_path / "s", aligned=True, preset="fast")
    study = Study.open(folder)
    report = embed(study, make_checkpoint())
    assert (report.total, report.new) == (4, 4)
    study = Study.open(folder)
    ws = study.latents().ws
    assert list(study.latents().index["photo_id"]) == ["b", "a", "c", "d"]
    codes, _ = study.analysed()
    np.testing.assert_allclose(codes[0], ws[:3].mean(axis=0, dtype=np.float64), atol=1e-6)
    assert codes_status(study, make_checkpoint()).state == "done"
    write_text(folder / "photos.csv", LIST + "P0003,e.jpg,\n")
    write_bytes(folder / "photos" / "e.jpg", encode_jpeg(face_like(7)))
    standing = codes_status(Study.open(folder), make_checkpoint())
    assert "1 photos have no code yet." in standing.reasons


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_intake_with_several_photos(tmp_path: Path) -> None:
    table = "patient_id,time_months,event,photo\nA,5,1,x.jpg; y.jpg\nA_2,6,0,z.jpg\n"
    photos = zipped(tmp_path / "p.zip", {f"{n}.jpg": encode_jpeg(face_like(i)) for i, n in enumerate("xyz")})
    folder, _ = intake(tmp_path / "studies", Settings(name="new", title="New"), table.encode(), photos)
    study = Study.open(folder)
    assert names(study, "A") == ["A.jpg", "A_3.jpg"], "A_2 is another patient"
    assert names(study, "A_2") == ["A_2.jpg"]
    assert study.photo_files["A"][1].path.read_bytes() == encode_jpeg(face_like(1))
    listed = "patient_id,photo,date\nA,x,2020-01-01\nA,y.jpg,2021-01-01\nB,z.jpg,\n"
    plan = Settings(name="dated", title="New", photo_rule="last")
    bare = table.replace(",photo", "").replace(",x.jpg; y.jpg", "").replace(",z.jpg", "")
    folder, findings = intake(
        tmp_path / "studies", plan, bare.encode(), photos, photo_list=listed.encode(), near="accept"
    )
    assert names(Study.open(folder), "A") == ["A_3.jpg"]
    assert any("photos.csv, row 4: patient 'B' is not in the table" in str(f) for f in findings)
    with pytest.raises(IntakeRefused, match="date is 'x'"):
        intake(
            tmp_path / "studies",
            replace(plan, name="third"),
            bare.encode(),
            photos,
            photo_list=listed.replace("2020-01-01", "x").encode(),
        )
    assert sorted(p.name for p in (tmp_path / "studies").iterdir()) == ["dated", "new"]


def picture(seed: int, size: int = 256) -> np.ndarray:
    """uint8 (size, size, 3): smooth noise with as much detail as a face."""
    noise = np.random.default_rng(seed).integers(0, 256, (24, 24, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC))


def test_near_copies_are_found_and_others_are_not(tmp_path: Path) -> None:
    faces = [picture(i) for i in range(60)]
    small = np.asarray(Image.fromarray(faces[7]).resize((150, 150)))
    stored = np.asarray(Image.open(io.BytesIO(encode_jpeg(small))))
    pixels = [*faces, stored, (faces[9] * 0.8 + 10).astype(np.uint8), np.full((64, 64, 3), 200, np.uint8)]
    pixels.append(np.full((64, 64, 3), 90, np.uint8))
    assert near_copies([fingerprint(p) for p in pixels]) == [(7, 60), (9, 61)]
    assert near_copies([]) == []


def test_check_tells_copies_of_other_patients_only(tmp_path: Path) -> None:
    table = patient_table(4)
    table.loc[0, "photo"] = "photos/P0001.jpg;photos/again.jpg"
    folder = write_study(tmp_path / "s", table, photos=4)
    face = Image.fromarray(picture(0))
    for name, side in (("again", 200), ("P0004", 160)):
        write_bytes(folder / "photos" / f"{name}.jpg", encode_jpeg(np.asarray(face.resize((side, side)))))
    _, findings = check(str(folder))
    [told] = [str(f) for f in findings if "looks like" in f.message]
    assert "row 5: P0004.jpg looks like" in told
    assert "Check whether one person is in the study twice." in told


def test_photo_dates_in_the_table(tmp_path: Path) -> None:
    columns = replace(Columns(), photo_date="taken", baseline_date="base")
    table = patient_table(3).assign(taken=["2020-01-05", "", "2020-02-30"], base="2020-01-01")
    folder = write_study(tmp_path / "s", table, photos=3, columns=columns)
    _, findings = inspect(folder)
    assert [str(f) for f in findings.errors] == [
        "patients.csv, row 4: taken is '2020-02-30', not a date. Write dates as 2026-05-31."
    ]
    write_text(folder / "patients.csv", csv_text(table.assign(taken=["2020-01-05", "", "2020-02-29"])))
    study = Study.open(folder)
    assert study.patients["photo_days"].tolist()[::2] == [4.0, 59.0]
