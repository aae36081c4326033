"""The panel that shows a running job: a fragment that polls it, so the page never stands still."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ui.background.polling import poll
from ui.background.task import Job, Snapshot
from ui.elements import pictures, remedy
from ui.elements.escaping import plain
from ui.elements.page import note
from ui.elements.text import duration, elapsed, number
from ui.shell import theme


def watch(job: Job[Any], what: str, preview: str = "") -> None:
    """Show a running job until it ends, then run the page again. preview: alternative text of its picture."""
    poll(_panel, job, what, preview)


def _panel(job: Job[Any], what: str, preview: str) -> None:
    seen = job.snapshot()
    if not seen.active:
        st.rerun()
    with st.container(border=True, key="job-panel"):
        if not preview:
            _progress(job, seen, what)
            return
        left, right = st.columns([1, 2], gap="large", vertical_alignment="center")
        with left:
            if seen.preview is None:
                st.skeleton(height=220)
            else:
                st.image(_encoded(job, seen), width="stretch", alt=f"{preview}, {seen.message}")
        with right:
            _progress(job, seen, what)


def _encoded(job: Job[Any], seen: Snapshot) -> bytes:
    """The preview as a file, made once for each picture: the same bytes have the same address, so that the browser
    fetches a picture only when it has changed."""
    assert seen.preview is not None
    if job.shown is None or job.shown[0] != seen.version:
        job.shown = (seen.version, pictures.encode(seen.preview, "JPEG"))
    return job.shown[1]


def _progress(job: Job[Any], seen: Snapshot, what: str) -> None:
    left = "" if seen.seconds_left is None else f" · about {duration(seen.seconds_left)} left"
    if seen.seconds_to_wait is not None:
        left = f" · about {duration(seen.seconds_to_wait)} to wait"
    st.markdown(f"**{plain(what)}**")
    st.progress(seen.fraction, text=f"{plain(seen.message)} · {elapsed(job.seconds())} so far{left}")
    for name, values in seen.losses.items():
        if len(values) < 2:
            continue
        told = f"{name} over the steps, from {values[0]:.3f} to {values[-1]:.3f}"
        st.html(pictures.sparkline(values, told, theme.palette().accent))
        note(f"{name}: {number(values[-1])} (at the start {number(values[0])}); lower is closer to the photo")
    stopping = job.stopping()
    st.button(
        "Stopping" if stopping else "Cancel",
        key=f"cancel-{job.name}",
        icon=":material/stop_circle:",
        on_click=job.cancel,
        disabled=stopping,
    )


def outcome(job: Job[Any]) -> Snapshot:
    """Say how a job ended where it did not end well; returns its last snapshot."""
    seen = job.snapshot()
    if seen.state == "failed":
        st.error(plain(remedy.sentence(seen.error)), icon=":material/error:")
        remedy.offer(seen.error, f"job-{job.name}")
    elif seen.state == "cancelled":
        st.info("Cancelled. Nothing was kept.", icon=":material/stop_circle:")
    return seen
