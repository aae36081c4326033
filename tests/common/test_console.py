"""Progress of long commands, with a clock that is set by hand."""

from __future__ import annotations

import sys

import pytest

from common import console
from common.console import ProgressLine
from common.text import duration


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_now_and_then_and_the_last(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    progress = ProgressLine("photos", 200)
    for done in range(1, 201):
        clock[0] += 1
        progress(done, note=", 3 refused" if done > 100 else "")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "5 of 200 photos, 3 min 15 s left"
    assert lines[-1] == "200 of 200 photos, 3 refused"
    assert len(lines) == 40


def test_the_time_left_follows_the_last_minute(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    """900 photos that were there already in a second, then one a second."""
    progress = ProgressLine("photos", 1100)
    clock[0] += 1
    progress(900)
    for done in range(901, 1061):
        clock[0] += 1
        progress(done)
    assert capsys.readouterr().err.splitlines()[-1] in {f"{1060 - k} of 1100 photos, {40 + k} s left" for k in range(5)}


def test_a_terminal_gets_one_line(
    clock: list[float], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress = ProgressLine("photos", 3)
    for done in (1, 2, 3):
        clock[0] += 1
        progress(done)
    said = capsys.readouterr().err
    assert said.count("\r") == 3
    assert said.endswith("3 of 3 photos\n")
    assert said.count("\n") == 1


def test_the_slowest_work_has_a_time_left_too(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    progress = ProgressLine("images", 4)
    for done in (1, 2, 3):
        clock[0] += 100
        progress(done)
    assert capsys.readouterr().err.splitlines() == [
        f"{n} of 4 images, {t} left" for n, t in ((1, "5 min 0 s"), (2, "3 min 20 s"), (3, "1 min 40 s"))
    ]


def test_durations() -> None:
    assert [duration(s) for s in (4.4, 89, 90, 3000, 9000)] == [
        "4 s",
        "1 min 29 s",
        "1 min 30 s",
        "50 min",
        "2 h 30 min",
    ]
