"""A study of 20,000 patients on the pages; and large photo folders, which are not read again at every click."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from bench.cohort import write_large
from tests.ui.test_pages import words
from ui import resources


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
    monkeypatch.setattr(resources, "LARGE_FOLDER", 3)
    clock = [100.0]
    monkeypatch.setattr(resources.time, "monotonic", lambda: clock[0])
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(5):
        (photos / f"{i}.jpg").write_bytes(b"x")
        os.utime(photos / f"{i}.jpg", (1000 + i, 1000 + i))
    scans: list[str] = []
    scan = os.scandir
    monkeypatch.setattr(resources.os, "scandir", lambda path: scans.append(str(path)) or scan(path))
    assert resources._stamp(photos) == resources._stamp(photos) == 1004
    assert len(scans) == 1, "the second time it is remembered"
    os.utime(photos / "0.jpg", (2000, 2000))
    assert resources._stamp(photos) == 1004
    clock[0] += resources.SCAN_SECONDS + 1
    assert resources._stamp(photos) == 2000, "changed in place: seen after a few seconds"
    (photos / "new.jpg").write_bytes(b"x")
    os.utime(photos, (3000, 3000))
    assert resources._stamp(photos) > 3000, "a new file: seen at once"
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "study.toml").write_text("x")
    before = len(scans)
    assert resources._stamp(tmp_path / "few") == resources._stamp(tmp_path / "few")
    assert len(scans) == before + 2, "small folders are read each time"
