"""Opening studies: photos, codes, truth and models, and everything that must be refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.files import safe_cell
from study.__main__ import main
from study.disk.latents import INDEX, LATENTS
from study.disk.photos import find_photos, photo_name
from study.disk.places import resolve, studies_root
from study.disk.store import Study, inspect
from study.errors import Findings, StudyError
from study.files import csv_text, replacing, replacing_folder, write_bytes, write_text
from study.settings import Settings
from tests.study.conftest import patient_table, write_codes, write_study
from ui.shell import resources


def codes(n: int = 12) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, 4, 6)).astype(np.float16).astype(np.float32)


def test_open(tiny_study: Study) -> None:
    assert len(tiny_study.patients) == 12
    assert tiny_study.photo_path("P0003").name == "P0003.jpg"
    assert tiny_study.horizons == (12, 24, 60)
    assert tiny_study.truth is None
    assert not tiny_study.has_latents
    with pytest.raises(StudyError, match=r"is not in patients\.csv"):
        tiny_study.photo_path("nobody")
    with pytest.raises(StudyError, match=r"no W\+ codes yet"):
        tiny_study.latents()
    with pytest.raises(StudyError, match="no model 'photo' yet"):
        tiny_study.model()
    with pytest.raises(StudyError, match="cannot be a model's name"):
        tiny_study.model("../photo")


def test_command_line_and_app_look_in_the_same_folder(
    tiny_study: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LATENT_HEALTH_STUDIES", str(tiny_study.path.parent))
    assert resolve("tiny") == tiny_study.path
    assert main(["check", "tiny"]) == 0
    assert "12 patients" in capsys.readouterr().out
    assert resources.studies_root() == studies_root() == tiny_study.path.parent
    assert main(["example", "veteran"]) == 0
    assert (tiny_study.path.parent / "veteran" / "study.toml").is_file()
    monkeypatch.delenv("LATENT_HEALTH_STUDIES")
    assert studies_root() == Path("studies")
    assert resources.studies_root() == resources.ROOT / "studies"


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="There is no study"):
        Study.open(tmp_path / "none")
    with pytest.raises(StudyError, match="settings file is missing"):
        Study.open(tmp_path)
    write_text(tmp_path / "study.toml", 'name = "x"\ntitle = "t"\n')
    with pytest.raises(StudyError, match="patient table is missing"):
        Study.open(tmp_path)


@pytest.mark.parametrize(
    "cell",
    [
        *("../secret.jpg", "/etc/passwd.jpg", "photos/../../x.jpg", "photos/a/b.jpg", "a/b.jpg", "..", "photos/"),
        *("C:x.jpg", "..\\x.jpg", "photos", ".hid.jpg", "http://x/y.jpg"),
    ],
)
def test_no_way_out_of_the_photo_folder(cell: str, tmp_path: Path) -> None:
    table = patient_table(3)
    table.loc[1, "photo"] = cell
    _, findings = inspect(write_study(tmp_path / "s", table, photos=3))
    assert [f.row for f in findings.errors] == [3]
    with pytest.raises(StudyError, match="row 3"):
        Study.open(tmp_path / "s")


def test_photo_names() -> None:
    assert photo_name("photos/a.jpg") == "a.jpg"
    assert photo_name("a.jpg") == "a.jpg"
    assert photo_name("./a.jpg") == "a.jpg"
    assert photo_name("photos/..") is None


def test_links_are_refused(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", patient_table(3), photos=3)
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"x")
    (folder / "photos" / "P0002.jpg").unlink()
    os.symlink(secret, folder / "photos" / "P0002.jpg")
    with pytest.raises(StudyError, match=r"row 3: photos/P0002.jpg is a link"):
        Study.open(folder)


def test_missing_and_shared_photos(tmp_path: Path) -> None:
    table = patient_table(5)
    table.loc[4, "photo"] = ""
    folder = write_study(tmp_path / "s", table, photos=3)
    study = Study.open(folder)
    assert list(study.photos) == ["P0001", "P0002", "P0003"]
    assert [f.row for f in study.findings if f.severity == "warning" and f.row] == [5, 6]
    table.loc[1, "photo"] = "photos/P0001.jpg"
    write_text(folder / "patients.csv", csv_text(table))
    with pytest.raises(StudyError, match=r"row 3: photo P0001\.jpg already belongs to row 2"):
        Study.open(folder)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from(
            ["a.jpg", "photos/a.jpg", "b.PNG", "photos/b.PNG", "c.jpg", "c.png", "x;y.jpg", "gone.jpg", "../a.jpg", ""]
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_look_at_whole_columns_finds_what_a_look_at_each_row_does(tmp_path: Path, cells: list[str]) -> None:
    (tmp_path / "photos").mkdir(exist_ok=True)
    for name in ("a.jpg", "b.PNG", "c.jpg", "c.png", "x;y.jpg"):
        (tmp_path / "photos" / name).write_bytes(b"x")
    ids = [f"P{i}" for i in range(len(cells))]
    table = pd.DataFrame({"patient_id": ids, "photo": cells, "row": range(2, len(cells) + 2)})
    told, plain = Findings(), Findings()
    one = find_photos(tmp_path, table, Settings("s", "s"), told, "patients.csv")
    closely = pd.DataFrame({**table, "baseline_date": pd.Series([pd.NaT] * len(cells), dtype="datetime64[ns]")})
    other = find_photos(tmp_path, closely, Settings("s", "s"), plain, "patients.csv")
    assert {p: [f.path for f in some] for p, some in one.items()} == {
        p: [f.path for f in some] for p, some in other.items()
    }
    assert told.items == plain.items


def test_latents_round_trip(tiny_study: Study) -> None:
    ws = codes()
    write_codes(tiny_study, ws)
    opened = Study.open(tiny_study.path)
    back, index = opened.latents().ws, opened.latents().index
    assert isinstance(back, np.memmap)
    assert not back.flags.writeable
    np.testing.assert_array_equal(back, ws)
    assert list(index["patient_id"]) == list(opened.photos)
    matrix, table = opened.analysed()
    np.testing.assert_array_equal(matrix, ws)
    assert list(table["patient_id"]) == list(index["patient_id"])
    with pytest.raises(StudyError, match="another checkpoint"):
        opened.latents(checkpoint_sha256="d" * 64)


def test_codes_made_before_st_lpips_are_read(tiny_study: Study) -> None:
    write_codes(tiny_study, np.zeros((len(tiny_study.photos), 2, 3)))
    index = tiny_study.latents().index
    assert (index["st_lpips"] == 0.3).all()
    path = tiny_study.path / INDEX
    table = pq.read_table(path)
    record = {b"embedding": pq.read_metadata(path).metadata[b"embedding"]}
    pq.write_table(table.drop_columns(["st_lpips"]).replace_schema_metadata(record), path)
    before = Study.open(tiny_study.path).latents().index
    assert list(before) == list(index)
    assert before["st_lpips"].isna().all()
    pd.testing.assert_frame_equal(before.drop(columns="st_lpips"), index.drop(columns="st_lpips"))
    pq.write_table(table.drop_columns(["psnr"]).replace_schema_metadata(record), path)
    with pytest.raises(StudyError, match="damaged or not ours"):
        Study.open(tiny_study.path).latents()


def test_analysed_follows_the_table_not_the_index(tiny_study: Study) -> None:
    ws = codes()
    write_codes(tiny_study, ws)
    table = pd.read_csv(tiny_study.path / "patients.csv").iloc[::-1].iloc[2:]
    write_text(tiny_study.path / "patients.csv", csv_text(table))
    matrix, rows = Study.open(tiny_study.path).analysed()
    assert list(rows["patient_id"]) == list(table["patient_id"])
    np.testing.assert_array_equal(matrix, ws[::-1][2:])


@pytest.mark.parametrize("limit", [2**29, 0])
def test_changed_photo_is_refused(tiny_study: Study, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where there are too many bytes to hash all photos: a photo written after the codes is."""
    monkeypatch.setattr("study.disk.store.VERIFY_BYTES", limit)
    write_codes(tiny_study, codes())
    assert len(Study.open(tiny_study.path).latents().ws) == 12
    write_bytes(tiny_study.photo_path("P0004"), tiny_study.photo_path("P0005").read_bytes())
    with pytest.raises(StudyError, match=r"photos/P0004.jpg changed after it was embedded"):
        Study.open(tiny_study.path).latents()


def test_half_replaced_pair_is_refused(tiny_study: Study) -> None:
    write_codes(tiny_study, codes())
    old = (tiny_study.path / INDEX).read_bytes()
    write_codes(tiny_study, codes() + 1)
    write_bytes(tiny_study.path / INDEX, old)
    with pytest.raises(StudyError, match="do not belong together"):
        Study.open(tiny_study.path).latents()


@pytest.mark.parametrize("damage", ["truncated", "pickle", "shape", "dtype", "empty", "index"])
def test_damaged_codes_are_refused(tiny_study: Study, damage: str) -> None:
    write_codes(tiny_study, codes())
    path = tiny_study.path / LATENTS
    if damage == "truncated":
        write_bytes(path, path.read_bytes()[:-100])
    elif damage == "pickle":
        with path.open("wb") as file:
            np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    elif damage == "shape":
        np.save(path, codes(11))
    elif damage == "dtype":
        np.save(path, codes().astype(np.float64))
    elif damage == "empty":
        write_bytes(path, b"")
    else:
        write_bytes(tiny_study.path / INDEX, b"PAR1 no PAR1")
    with pytest.raises(StudyError, match="Run `python -m study embed "):
        Study.open(tiny_study.path).latents()


def test_codes_that_are_not_finite(tiny_study: Study) -> None:
    ws = codes()
    ws[3, 1, 1] = np.nan
    write_codes(tiny_study, ws)
    with pytest.raises(StudyError, match="not finite"):
        Study.open(tiny_study.path).analysed()


def test_truth_must_fit(tiny_study: Study) -> None:
    write_text(tiny_study.path / "truth.csv", "patient_id,face_log_hazard\nP0001,1\n")
    with pytest.raises(StudyError, match="does not fit"):
        _ = Study.open(tiny_study.path).truth


def test_damaged_report(tiny_study: Study) -> None:
    write_text(tiny_study.path / "models" / "photo" / "report.json", "[")
    with pytest.raises(StudyError, match="damaged"):
        tiny_study.report()


def test_model_of_other_codes_is_refused(tiny_study: Study) -> None:
    write_codes(tiny_study, codes())
    report = {"checkpoint_sha256": "e" * 64, "preset": "balanced"}
    write_text(tiny_study.path / "models" / "photo" / "report.json", json.dumps(report))
    with pytest.raises(StudyError, match="fitted on other codes"):
        tiny_study.model()


def test_failed_writes_leave_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def half_a_file() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    def half_a_folder() -> None:
        with replacing_folder(folder) as new:
            (new / "x").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half_a_file()
    assert path.read_text() == "old"
    folder = tmp_path / "f"
    write_text(folder / "x", "old")
    with pytest.raises(ZeroDivisionError):
        half_a_folder()
    assert (folder / "x").read_text() == "old"
    with replacing_folder(folder) as new:
        (new / "y").write_text("new")
    assert [p.name for p in folder.iterdir()] == ["y"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "f"]


def test_disk_errors_are_sentences(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "x")
    with pytest.raises(StudyError, match="could not be written"):
        write_text(tmp_path / "file" / "below.txt", "x")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "  =1"])
def test_formulas_are_escaped(text: str) -> None:
    assert safe_cell(text) == f"'{text}"
    assert safe_cell("face.jpg") == "face.jpg"
