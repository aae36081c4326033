"""Quality control: measures, flags, thumbnails; a stopped run against a whole one; damaged files."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from skimage.data import astronaut

import study.photos.aligned_store as aligned_store
import study.photos.quality as quality
from faces.align import already_aligned
from faces.appearance.covered import Seen
from faces.flags import KINDS, read_flags
from faces.photo import Photo, load_photo
from faces.quality import measure
from study.disk.store import Study
from study.errors import Findings, StudyError
from study.files import write_bytes
from study.simulation.simulate import encode_jpeg
from tests.study.conftest import face_like, patient_table, write_study


@pytest.fixture
def aligned(tmp_path: Path) -> Study:
    folder = write_study(tmp_path / "s", patient_table(5), photos=4, aligned=True)
    write_bytes(folder / "photos" / "P0004.jpg", b"no photo at all")
    write_bytes(folder / "photos" / "P0005.jpg", (folder / "photos" / "P0001.jpg").read_bytes())
    return Study.open(folder)


def test_measures_are_those_of_the_gate(aligned: Study) -> None:
    assert quality.measure_study(aligned) == (5, 1)
    table = quality.read_quality(aligned)
    assert table is not None
    assert list(table["patient_id"]) == list(aligned.photos)
    face = already_aligned(load_photo(aligned.photos["P0002"]), 256)
    assert table["sharpness"][1] == face.quality.sharpness
    assert read_flags(table["flags"][1]) == face.quality.flags
    assert (table["problem"][3], table["reason"][3] != "") == (aligned_store.NO_PHOTO, True)
    files = quality.thumbnails(aligned, [4, 3, 0])
    assert files[1] == b""
    assert files[0] == files[2], "the same photo under two names"
    with Image.open(io.BytesIO(files[0])) as image:
        assert image.size == (quality.THUMBNAIL, quality.THUMBNAIL)


def test_what_is_found_in_photos_is_told_by_row(aligned: Study) -> None:
    findings = Findings()
    quality.photo_findings(aligned, measured(aligned), findings)
    assert [(f.row, f.severity) for f in findings] == [(5, "warning"), (6, "warning")]
    assert findings.items[1].message == "P0005 has the same photo as P0001."


def test_a_photo_without_a_face_keeps_a_picture_and_a_face_is_found(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", patient_table(2))
    write_bytes(folder / "photos" / "P0001.jpg", encode_jpeg(astronaut()))
    write_bytes(folder / "photos" / "P0002.jpg", encode_jpeg(face_like(1, 256)))
    study = Study.open(folder)
    quality.measure_study(study)
    table = quality.read_quality(study)
    assert table is not None
    assert list(table["problem"]) == ["", aligned_store.NO_FACE]
    assert table["face_px"][0] > 100
    assert all(quality.thumbnails(study, [0, 1]))


def test_a_stopped_run_gives_what_a_whole_one_does(aligned: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measured(aligned)
    (aligned.path / quality.FILE_NAME).unlink()
    shutil.rmtree(aligned.path / aligned_store.FOLDER)
    seen, real = [], aligned_store.load_photo

    def broken_off(path: Path, name: str) -> Photo:
        seen.append(path.name)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return real(path, name)

    monkeypatch.setattr(aligned_store, "load_photo", broken_off)
    with pytest.raises(KeyboardInterrupt):
        quality.measure_study(aligned)
    assert not (aligned.path / quality.FILE_NAME).exists()
    pd.testing.assert_frame_equal(measured(aligned), whole)
    assert [seen.count(f"P000{i}.jpg") for i in (1, 2, 3, 5)] == [1, 1, 2, 0]
    write_bytes(aligned.photos["P0002"], encode_jpeg(face_like(9)))
    again = measured(aligned)
    assert seen.count("P0002.jpg") == 2, "a photo with other bytes is another photo"
    assert seen.count("P0001.jpg") == 1
    assert again["sharpness"][1] != whole["sharpness"][1]


def measured(study: Study) -> pd.DataFrame:
    quality.measure_study(study)
    table = quality.read_quality(study)
    assert table is not None
    return table


def test_a_damaged_file_is_said_and_made_anew(aligned: Study) -> None:
    assert quality.read_quality(aligned) is None
    write_bytes(aligned.path / quality.FILE_NAME, b"PAR1 not really")
    with pytest.raises(StudyError, match="damaged"):
        quality.read_quality(aligned)
    with pytest.raises(StudyError, match="damaged"):
        quality.thumbnails(aligned, [0])
    assert len(measured(aligned)) == 5
    with pytest.raises(StudyError, match="damaged"):
        quality.thumbnails(aligned, [99])


def test_every_flag_of_the_pixels_has_a_kind() -> None:
    flat = np.full((256, 256, 3), 250, np.uint8)
    grey = np.full((256, 256, 3), 120, np.uint8)
    noise = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    soft = np.asarray(Image.fromarray(noise).resize((256, 256), Image.Resampling.BICUBIC))
    covered = Seen(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    found = []
    for pixels, pose, px, outside, seen in (
        (flat, (40.0, 30.0, 40.0), 50.0, (0.2, 0.2), covered),
        (grey, (0.0, -30.0, 0.0), 300.0, (0.0, 0.0), None),
        (np.zeros((256, 256, 3), np.uint8), None, 300.0, (0.0, 0.0), None),
        (soft, None, 300.0, (0.0, 0.0), None),
    ):
        found += [flag.kind for flag in measure(pixels, pose, px, outside, seen).flags]
    assert set(found) == set(KINDS) - {"uncertain detection", "several faces", "on its side", "face chosen"}


def test_copies_of_another_patients_photo_are_told(tmp_path: Path) -> None:
    table = patient_table(4)
    folder = write_study(tmp_path / "s", table, photos=4, aligned=True)
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3)).astype(np.uint8)
    face = Image.fromarray(noise).resize((256, 256), Image.Resampling.BICUBIC)
    for name, side in (("P0002", 256), ("P0004", 160)):
        write_bytes(folder / "photos" / f"{name}.jpg", encode_jpeg(np.asarray(face.resize((side, side)))))
    study = Study.open(folder)
    quality.measure_study(study)
    measured = quality.read_quality(study)
    assert measured is not None
    assert measured["copy_of"].tolist() == ["", "", "", "P0002"]
    findings = Findings()
    quality.photo_findings(study, measured, findings)
    [told] = [str(f) for f in findings if "looks like" in f.message]
    assert told.startswith("patients.csv, row 5: the photo of P0004 looks like that of P0002.")


def test_a_file_of_an_earlier_kind_is_made_anew(tiny_study: Study) -> None:
    quality.measure_study(tiny_study)
    path = tiny_study.path / "quality.parquet"
    old = pq.read_table(path).drop_columns(["copy_of"])
    marks = pa.array(["1 detected"] * len(old))
    pq.write_table(old.set_column(old.column_names.index("mark"), "mark", marks), path)
    table = quality.read_quality(tiny_study)
    assert table is not None
    assert table.empty
    findings = Findings()
    quality.photo_findings(tiny_study, table, findings)
    assert not findings.items
    assert len(measured(tiny_study)) == 12
