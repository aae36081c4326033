"""How often parts of a page refresh themselves."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from ui.background import panel, polling
from ui.background.task import BackgroundTask, Reporter, Snapshot

UI = Path(__file__).resolve().parents[3] / "ui"


def test_an_instant_refresh_comes_once_a_second_and_a_long_one_less_often() -> None:
    assert polling.interval(0.01) == 1.0
    assert polling.interval(0.2) == 1.0
    assert polling.interval(0.3) == 2.0
    assert polling.interval(1.5) == 8.0
    assert polling.interval(60.0) == polling.SLOWEST
    assert polling.interval(0.01, 0.2) == 1.0, "no faster than that, whatever is asked for"
    assert polling.interval(0.01, 30.0) == 30.0


@given(st.floats(0, 100), st.floats(0, 60))
def test_refreshing_takes_a_fifth_of_the_time_at_most(took: float, usual: float) -> None:
    seconds = polling.interval(took, usual)
    assert seconds >= max(polling.FASTEST, usual)
    assert took <= polling.SHARE * seconds or seconds >= polling.SLOWEST


def test_a_slow_part_asks_the_browser_for_a_longer_interval_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    monkeypatch.setattr(polling, "_ask_browser", lambda seconds: asked.append(seconds) or True)
    monkeypatch.setattr(polling.st, "session_state", {polling.INTERVAL: 1.0})
    clock = iter([0.0, 0.5, 10.0, 10.5, 20.0, 20.01])
    monkeypatch.setattr(polling.time, "perf_counter", lambda: next(clock))
    for _ in range(3):
        polling._refresh(lambda: None, (), 1.0)
    assert asked == [4.0, 1.0], "longer, nothing new, and the usual one again"


@pytest.mark.slow
def test_the_browser_is_asked_by_the_message_that_sets_an_interval() -> None:
    """The refreshing part runs in a real session; what is sent is what Streamlit itself sends for run_every."""

    def script() -> None:
        import streamlit as st
        from streamlit.runtime.scriptrunner_utils.script_run_context import get_script_run_ctx

        from ui.background import polling

        sent = []
        context = get_script_run_ctx()
        assert context is not None
        context._enqueue, before = (lambda message: (sent.append(message), before(message))), context._enqueue
        polling.interval = lambda took, usual: 8.0
        polling.poll(lambda: st.text("drawn"), every=2.0)
        reruns = [m.auto_rerun for m in sent if m.WhichOneof("type") == "auto_rerun"]
        st.json([[r.interval, r.fragment_id != "", r.fragment_id == reruns[0].fragment_id] for r in reruns])

    before = polling.interval
    try:
        ran = AppTest.from_function(script).run()
    finally:
        polling.interval = before
    assert not ran.exception
    assert ran.text[0].value == "drawn"
    assert ran.json[0].value == "[[2.0, true, true], [8.0, true, true]]"


def test_every_part_that_refreshes_itself_goes_by_this_rule() -> None:
    found = [
        f"{file.name}:{node.lineno}"
        for file in sorted(UI.rglob("*.py"))
        if file.name != "polling.py"
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.keyword) and node.arg == "run_every"
    ]
    assert found == []


def test_a_preview_has_a_version_and_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    seen: list[Snapshot] = []

    def work(report: Reporter) -> None:
        for preview in (picture, None, picture):
            report(0.5, "at work", preview=preview)
            seen.append(job._snapshot)

    job: BackgroundTask[None] = BackgroundTask("drawing", work)
    job.start()
    job.wait(10)
    assert [s.version for s in seen] == [1, 1, 2]
    encoded: list[int] = []
    monkeypatch.setattr(panel.pictures, "encode", lambda pixels, kind: encoded.append(1) or b"jpeg")
    for snapshot in seen:
        assert panel._encoded(job, snapshot) == b"jpeg"
    assert len(encoded) == 2
    other: BackgroundTask[None] = BackgroundTask("drawing", work)
    panel._encoded(other, seen[-1])
    assert len(encoded) == 3, "another job's picture is another one"
