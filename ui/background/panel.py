"""The panel that shows a running task: a fragment that polls it, so the page never stands still."""

from __future__ import annotations

from typing import Any

import streamlit as st

from common.text import duration, number
from ui.background import missing, remedy
from ui.background.polling import poll
from ui.background.task import BackgroundTask, Snapshot
from ui.elements import pictures
from ui.elements.blocks import note
from ui.elements.escaping import plain
from ui.elements.text import elapsed
from ui.shell import theme


def watch(task: BackgroundTask[Any], what: str, preview: str = "", awaited: bool = False) -> None:
    """Show a running task until it ends, then run the page again. preview: alternative text of its picture, "" where
    the panel shows none. awaited: whether the page should also run again once there is a picture."""
    poll(_panel, task, what, preview, awaited)


def _panel(task: BackgroundTask[Any], what: str, preview: str, awaited: bool) -> None:
    seen = task.snapshot()
    if not seen.active or (awaited and seen.preview is not None):
        st.rerun()
    with st.container(border=True, key="job-panel"):
        if not preview:
            _progress(task, seen, what)
            return
        left, right = st.columns([1, 2], gap="large", vertical_alignment="center")
        with left:
            if seen.preview is None:
                st.skeleton(height=220)
            else:
                st.image(_encoded(task, seen), width="stretch", alt=f"{preview}, {seen.message}")
        with right:
            _progress(task, seen, what)


def _encoded(task: BackgroundTask[Any], seen: Snapshot) -> bytes:
    """The preview as a file, made once for each picture: the same bytes have the same address, so that the browser
    fetches a picture only when it has changed."""
    assert seen.preview is not None
    if task.shown is None or task.shown[0] != seen.version:
        task.shown = (seen.version, pictures.encode(seen.preview, "JPEG"))
    return task.shown[1]


def _progress(task: BackgroundTask[Any], seen: Snapshot, what: str) -> None:
    left = "" if seen.seconds_left is None else f" · about {duration(seen.seconds_left)} left"
    if seen.seconds_to_wait is not None:
        left = f" · about {duration(seen.seconds_to_wait)} to wait"
    st.markdown(f"**{plain(what)}**")
    st.progress(seen.fraction, text=f"{plain(seen.message)} · {elapsed(task.seconds())} so far{left}")
    for name, values in seen.losses.items():
        if len(values) < 2:
            continue
        alt = f"{name} over the steps, from {values[0]:.3f} to {values[-1]:.3f}"
        st.html(pictures.sparkline(values, alt, theme.palette().accent))
        note(f"{name}: {number(values[-1])} (at the start {number(values[0])}); lower is closer to the photo")
    stopping = task.stopping()
    st.button(
        "Stopping" if stopping else "Cancel",
        key=f"cancel-{task.name}",
        icon=":material/stop_circle:",
        on_click=task.cancel,
        disabled=stopping,
    )


def outcome(task: BackgroundTask[Any]) -> Snapshot:
    """Show why a task failed or was cancelled; returns its last snapshot."""
    seen = task.snapshot()
    if seen.state == "failed":
        st.error(plain(remedy.sentence(seen.error)), icon=":material/error:")
        missing.offer(seen.error, f"job-{task.name}")
    elif seen.state == "cancelled":
        st.info("Cancelled. Nothing was saved.", icon=":material/stop_circle:")
    return seen
