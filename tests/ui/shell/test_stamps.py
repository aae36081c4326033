"""A study of 20,000 patients on the pages; and large photo folders, which are not read again at every click."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from bench.cohort import write_large
from study.disk.places import SCRATCH
from study.files import write_bytes
from tests.ui.conftest import Places
from tests.ui.test_pages import words
from ui.shell import resources, stamps
from ui.shell.stamps import stamp


@pytest.mark.slow
def test_the_cohort_page_shows_it(open_app: Callable[..., AppTest], tmp_path: Path) -> None:
    write_large(tmp_path / "studies" / "large", 20_000, photos=False)
    app = open_app(studies=tmp_path / "studies").switch_page("pages/cohort.py").run()
    assert not app.exception
    said = words(app)
    assert "All (n = 20,000)" in said
    assert ">20,000</b>" in said
    app.segmented_control(key="cohort-view").set_value("Table check").run()
    assert not app.exception
    assert "the study has no photos" in words(app)


def test_a_large_folder_is_read_again_when_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamps, "LARGE_FOLDER", 3)
    clock = [100.0]
    monkeypatch.setattr(stamps.time, "monotonic", lambda: clock[0])
    photos = tmp_path / "study" / "photos"
    photos.mkdir(parents=True)
    for i in range(5):
        (photos / f"{i}.jpg").write_bytes(b"x")
        os.utime(photos / f"{i}.jpg", (1000 + i, 1000 + i))
    scans: list[str] = []
    scan = os.scandir
    monkeypatch.setattr(stamps.os, "scandir", lambda path: scans.append(str(path)) or scan(path))
    study = tmp_path / "study"
    first = stamp(study)
    assert stamp(study) == first
    assert scans.count(str(photos)) == 1, "the second time it is remembered"
    assert scans.count(str(study)) == 2, "small folders are read each time"
    os.utime(photos / "0.jpg", (2000, 2000))
    assert stamp(study) == first
    clock[0] += stamps.SCAN_SECONDS + 1
    second = stamp(study)
    assert second != first, "changed in place: seen after a few seconds"
    (photos / "new.jpg").write_bytes(b"x")
    os.utime(photos, (3000, 3000))
    third = stamp(study)
    assert third not in (first, second), "a new file: seen at once"
    os.replace(photos / "1.jpg", photos / "2.jpg")
    os.utime(photos, (4000, 4000))
    assert stamp(study) != third


@pytest.mark.parametrize("name", ["old.csv", "new.csv", "models/old.json"])
@pytest.mark.parametrize("change", ["deleted", "renamed", "older", "longer"])
def test_every_change_is_seen_whichever_file_is_the_newest(tmp_path: Path, name: str, change: str) -> None:
    (tmp_path / "models").mkdir()
    for i, file in enumerate(("old.csv", "models/old.json", "new.csv")):
        (tmp_path / file).write_text("x")
        os.utime(tmp_path / file, (1000 + i, 1000 + i))
    before, path = stamp(tmp_path), tmp_path / name
    if change == "deleted":
        path.unlink()
    elif change == "renamed":
        path.rename(path.with_suffix(".txt"))
    elif change == "older":
        os.utime(path, (500, 500))
    else:
        path.write_text("xy")
        os.utime(path, (1000, 1000))
    assert stamp(tmp_path) != before


def test_what_a_job_keeps_on_the_way_opens_no_study_again(places: Places, tmp_path: Path) -> None:
    """Under every name that a job of the study room uses, and under the temporary names of atomic writing."""
    study = Path(shutil.copytree(places.study.path, tmp_path / "s"))
    before = resources._files(study)
    for scratch in SCRATCH:
        write_bytes(study / scratch / "deeper" / "part.npz", b"x")
    (study / ".patients.csv.ab12cd34.tmp").write_text("half")
    assert resources._files(study) == before
    write_bytes(study / "comparisons" / "main" / "comparison.json", b"{}")
    of_study, of_results = resources._files(study)
    assert of_study == before[0], "a finished comparison changes results, not the study"
    assert of_results != before[1]
    write_bytes(study / "exclusions.csv", b"patient_id,reason,when\n")
    assert resources._files(study)[0] != of_study
