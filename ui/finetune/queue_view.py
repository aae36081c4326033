"""The jobs of the queue with their buttons, and the run that is looked at, in one part that refreshes itself."""

from __future__ import annotations

import html
import time
from collections.abc import Callable

import streamlit as st

from jobs.queue import Queue
from jobs.record import Job, QueueError
from latent.errors import LatentError
from ui.background.polling import poll
from ui.elements import page
from ui.elements.escaping import plain, trusted
from ui.elements.text import duration, percent
from ui.finetune import run_view as watch
from ui.finetune import runs as files
from ui.finetune.runs import Progress
from ui.shell import resources

REFRESH_SECONDS = 2.0  # at least; the page asks the disk
LOG_LINES = 5  # enough to know how far a job is and why it failed
RECENT = 4  # ended jobs that are shown at once
SEEN = "finetune-seen"
BADGES = {
    "waiting": ("Waiting", "gray", ":material/schedule:"),
    "running": ("Running", "blue", ":material/autorenew:"),
    "done": ("Done", "green", ":material/check:"),
    "failed": ("Failed", "red", ":material/error:"),
    "stopped": ("Stopped", "orange", ":material/stop:"),
    "interrupted": ("Interrupted", "orange", ":material/bolt:"),
}
INTERRUPTED = "Its process was ended from outside, or the machine went down. Resume goes on from the last report."


def section() -> None:
    """Queue and runs; asks the disk again while a job is active."""
    queue = resources.queue()
    try:
        queue.wake()
    except QueueError as error:
        st.error(plain(error), icon=":material/error:")
    jobs = queue.jobs()[0]
    st.session_state[SEEN] = _signature(jobs)
    poll(_live, every=REFRESH_SECONDS if any(job.active for job in jobs) else None)


def problem() -> None:
    """Why something that was asked for a moment ago could not be done."""
    told = st.session_state.pop("finetune-problem", "")
    if told:
        st.error(plain(told), icon=":material/error:")


def _signature(jobs: list[Job]) -> tuple[tuple[str, str], ...]:
    return tuple((job.id, job.state) for job in jobs)


def _live() -> None:
    queue = resources.queue()
    jobs, damaged = queue.jobs()
    if st.session_state.get(SEEN) != _signature(jobs):
        st.rerun()  # all of the page: a set or a checkpoint may be there now
    problem()
    for sentence in damaged:
        st.warning(plain(sentence), icon=":material/report:")
    waiting = [job for job in jobs if job.state == "waiting"]
    ended = [job for job in jobs if not job.active]
    if not jobs:
        page.note("Nothing waits and nothing runs.")
    for job in jobs:
        if job.active:
            _row(queue, job, waiting)
    for job in ended[:RECENT]:
        _row(queue, job, waiting)
    if ended[RECENT:]:
        with st.expander(f"Earlier ({len(ended) - RECENT})"):
            for job in ended[RECENT:]:
                _row(queue, job, waiting)
    if watch.names(jobs):
        page.section("4. The run")
        watch.show(*watch.choose(jobs))


def _row(queue: Queue, job: Job, waiting: list[Job]) -> None:
    progress = files.progress_of(job, queue.tail(job.id, LOG_LINES))
    label, colour, icon = BADGES[progress.state]
    with st.container(border=True, key=f"job-{job.id}", gap="small"):
        state, words, buttons = st.columns([3, 10, 8], vertical_alignment="center")
        state.badge(trusted(label), icon=icon, color=colour)  # type: ignore[arg-type]
        when = html.escape(_when(job, progress, waiting))
        words.html(f'<p class="lh-job"><b>{html.escape(job.title)}</b> <small>{when}</small></p>')
        with buttons, st.container(horizontal=True, horizontal_alignment="right", gap="small"):
            _buttons(queue, job, progress, waiting)
        if job.state == "running":
            left = "" if progress.seconds_left is None else f" · about {duration(progress.seconds_left)} left"
            share = "" if progress.share is None else f"{percent(progress.share)} · "
            st.progress(progress.share or 0.0, text=f"{share}{plain(progress.sentence.rstrip('.'))}{left}")
        elif progress.state == "failed":
            st.error(plain(progress.sentence) or "It ended without a word; the log below may tell more.")
        elif progress.state == "interrupted":
            page.note(INTERRUPTED)


def _when(job: Job, progress: Progress, waiting: list[Job]) -> str:
    if job.state == "waiting":
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


def _buttons(queue: Queue, job: Job, progress: Progress, waiting: list[Job]) -> None:
    if job.state == "waiting" and waiting[0].id != job.id:
        _button("To the front", "front", job, ":material/vertical_align_top:", queue.to_front)
    if job.active:
        stopping = queue.stopping(job)
        told = "It ends the step at hand, writes its state and stops." if stopping else ""
        _button("Stopping" if stopping else "Stop", "stop", job, ":material/stop_circle:", queue.stop, stopping, told)
    if progress.state in ("stopped", "failed", "interrupted"):
        told = "The same command once more; it goes on from where it was."
        _button("Resume", "resume", job, ":material/play_arrow:", queue.resume, explanation=told)
    if not job.active:
        with st.popover("Remove", icon=":material/delete:", type="tertiary", key=f"remove-{job.id}"):
            page.note(_what_goes(job))
            st.button("Remove for good", key=f"gone-{job.id}", on_click=_remove, args=(job,))


def _button(
    label: str,
    key: str,
    job: Job,
    icon: str,
    action: Callable[[str], None],
    disabled: bool = False,
    explanation: str = "",
) -> None:
    st.button(
        trusted(label),
        key=f"{key}-{job.id}",
        icon=icon,
        on_click=_do,
        args=(action, job.id),
        disabled=disabled,
        help=trusted(explanation) or None,
    )


def _do(action: Callable[[str], None], name: str) -> None:
    """Change the queue (runs before the page)."""
    try:
        action(name)
    except QueueError as error:
        st.session_state["finetune-problem"] = str(error)


def _what_goes(job: Job) -> str:
    if files.trains(job):
        return (
            "Deletes the entry, its log, and the run's folder with samples and states, so that it cannot go on. A "
            "checkpoint that it has written stays."
        )
    return "Deletes the entry, its log and what was uploaded for it. What it has made stays."


def _remove(job: Job) -> None:
    """Delete a job and, for a training run, its folder (runs before the page)."""
    name = files.run_of(job) if files.trains(job) else None
    try:
        if name is not None and files.read_run(name).status.get("state") == "running":
            raise QueueError(f"The run {name} is at work in another process: stop that first.")
        resources.queue().remove(job.id)
        if name is not None:
            files.delete_folder(files.finetune_root() / name, files.finetune_root())
    except (QueueError, LatentError) as error:
        st.session_state["finetune-problem"] = str(error)
