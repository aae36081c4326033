"""One job of the queue as a row: what it is, how far, and the buttons that stop, resume and remove it."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from common.text import duration
from jobs.progress import Progress, progress_of, run_folder, trains
from jobs.queue import Queue
from jobs.record import Job, QueueError
from latent.errors import LatentError
from ui.background import remedy
from ui.elements import message
from ui.elements.blocks import note
from ui.elements.escaping import plain, trusted
from ui.elements.text import percent
from ui.shell import resources

LOG_LINES = 5  # enough to know how far a job is and why it failed
REFRESH_SECONDS = 2.0  # at least; the page asks the disk
BADGES = {
    "waiting": ("Waiting", "gray", ":material/schedule:"),
    "running": ("Running", "blue", ":material/autorenew:"),
    "done": ("Done", "green", ":material/check:"),
    "failed": ("Failed", "red", ":material/error:"),
    "stopped": ("Stopped", "orange", ":material/stop:"),
    "interrupted": ("Interrupted", "orange", ":material/bolt:"),
}
INTERRUPTED = "Its process was killed, or the machine shut down. Resume continues from the last report."
Remove = Callable[[Job], None]


def signature(jobs: Sequence[Job]) -> tuple[tuple[str, str], ...]:
    """Changes when a job came, went or has another state."""
    return tuple((job.id, job.state) for job in jobs)


def wake(queue: Queue) -> None:
    """Start a runner where jobs wait and none is at work; say so where it cannot be started."""
    try:
        queue.wake()
    except QueueError as error:
        st.error(plain(error), icon=":material/error:")


def show(job: Job, key: str = "", waiting: Sequence[Job] = (), remove: Remove | None = None) -> None:
    """The row. key: of the page, in front of its widgets' keys. waiting: all that wait, in order, where the row says
    the job's place. remove: draws what removes an ended job; None: a button that dismisses it at once."""
    queue = resources.queue()
    progress = progress_of(job, queue.tail(job.id, LOG_LINES), run_status(job))
    label, colour, icon = BADGES[progress.state]
    prefix = f"{key}-" if key else ""
    with st.container(border=True, key=f"{prefix}job-{job.id}", gap="small"):
        state, words, buttons = st.columns([3, 10, 8], vertical_alignment="center")
        state.badge(trusted(label), icon=icon, color=colour)  # type: ignore[arg-type]
        when = html.escape(_when(job, progress, waiting))
        words.html(f'<p class="lh-job"><b>{html.escape(job.title)}</b> <small>{when}</small></p>')
        with buttons, st.container(horizontal=True, horizontal_alignment="right", gap="small"):
            _buttons(queue, job, progress, prefix, waiting, remove)
        if job.state == "running":
            left = "" if progress.seconds_left is None else f" · about {duration(progress.seconds_left)} left"
            share = "" if progress.share is None else f"{percent(progress.share)} · "
            st.progress(
                progress.share or 0.0, text=f"{share}{plain(progress.sentence.rstrip('.')) or 'Starting'}{left}"
            )
        elif progress.state == "failed":
            why = plain(remedy.sentence(progress.sentence))
            st.error(why or "It ended without a message. Its log is on the Fine-tune page.")
            remedy.offer(progress.sentence, f"{prefix}{job.id}")
        elif progress.state == "interrupted":
            note(INTERRUPTED)


def run_status(job: Job) -> dict[str, Any] | None:
    """What a training run says of itself, {} before it says anything; None for any other job."""
    from latent.training.run_folder import read_status

    folder = run_folder(job) if trains(job) else None
    if folder is None:
        return None
    try:
        return read_status(folder)
    except LatentError:
        return {}


def _when(job: Job, progress: Progress, waiting: Sequence[Job]) -> str:
    if job.state == "waiting" and waiting:
        place = [other.id for other in waiting].index(job.id)
        return "next in line" if place == 0 else f"number {place + 1} in line"
    if job.started is None:
        return ""
    if job.state == "running":
        return f"for {duration(time.time() - job.started)}"
    at = time.strftime("%d %b %H:%M", time.localtime(job.ended or job.started))
    took = "" if job.ended is None else f", after {duration(job.ended - job.started)}"
    share = "" if progress.state == "done" or progress.share is None else f", at {percent(progress.share)}"
    return f"{at}{took}{share}"


def _buttons(
    queue: Queue, job: Job, progress: Progress, prefix: str, waiting: Sequence[Job], remove: Remove | None
) -> None:
    def button(action: str, label: str, icon: str, disabled: bool = False, explanation: str = "") -> None:
        st.button(
            trusted(label),
            key=f"{prefix}{action}-{job.id}",
            icon=f":material/{icon}:",
            on_click=_do,
            args=(action, job.id),
            disabled=disabled,
            help=trusted(explanation) or None,
        )

    if job.state == "waiting" and waiting and waiting[0].id != job.id:
        button("to_front", "Move to the front", "vertical_align_top")
    if job.active:
        stopping = queue.stopping(job)
        why = "It finishes the current step, saves its state and stops." if stopping else ""
        button("stop", "Stopping" if stopping else "Stop", "stop_circle", stopping, why)
    if progress.state in ("stopped", "failed", "interrupted"):
        button("resume", "Resume", "play_arrow", explanation="Runs the same command again; finished work is kept.")
    if not job.active:
        if remove is None:
            button("remove", "Dismiss", "close")
        else:
            remove(job)


def _do(action: str, name: str) -> None:
    """Change the queue (runs before the page)."""
    with message.left_by(QueueError):
        getattr(resources.queue(), action)(name)
