"""A study's long jobs on any page: what is at work, how far it is, stop, resume, dismiss; and what starts one."""

from __future__ import annotations

import html
import time
from collections.abc import Collection, Sequence

import streamlit as st

from jobs.queue import PROJECT, Queue
from jobs.record import Job, QueueError
from ui.background.polling import poll
from ui.cohort.opened import PROBLEM, problem
from ui.elements import remedy
from ui.elements.escaping import plain, trusted
from ui.elements.text import duration, percent
from ui.finetune.queue_view import BADGES, LOG_LINES, REFRESH_SECONDS
from ui.finetune.runs import progress_of
from ui.shell import resources

RECENT_SECONDS = 24 * 3600.0  # failures older than this are no news


def of_study(jobs: Sequence[Job], words: str, verbs: Collection[str]) -> list[Job]:
    """Jobs with one of these verbs on the study whose folder a command names so: what is at work first.

    intake among the verbs: also studies being made, whatever their folder.
    """
    folder = (PROJECT / words).resolve()
    own = [
        job
        for job in jobs
        if job.command[0] == "study"
        and job.command[1] in verbs
        and (job.command[1] == "intake" or (len(job.command) > 2 and (PROJECT / job.command[2]).resolve() == folder))
    ]
    newest = {job.command: job for job in reversed(own)}  # a later run of the same command tells more
    recent = [
        job
        for job in newest.values()
        if not job.active and job.state != "done" and time.time() - (job.ended or job.created) < RECENT_SECONDS
    ]
    return [job for job in own if job.active] + recent


def section(words: str, verbs: Collection[str], key: str) -> None:
    """Jobs of this study, in one part that refreshes itself while one is active; nothing where there are none.

    key: of the page, in front of its widgets' keys.
    """
    queue = resources.queue()
    if not queue.root.is_dir():
        return
    try:
        queue.wake()
    except QueueError as error:
        st.error(plain(error), icon=":material/error:")
    jobs = of_study(queue.jobs()[0], words, verbs)
    st.session_state[f"{key}-seen"] = _signature(jobs)
    every = REFRESH_SECONDS if any(job.active for job in jobs) else None
    poll(_live, words, tuple(verbs), key, every=every)


def _signature(jobs: Sequence[Job]) -> tuple[tuple[str, str], ...]:
    return tuple((job.id, job.state) for job in jobs)


def _live(words: str, verbs: Collection[str], key: str) -> None:
    queue = resources.queue()
    jobs = of_study(queue.jobs()[0], words, verbs)
    if st.session_state.get(f"{key}-seen") != _signature(jobs):
        st.rerun()  # all of the page: something is finished
    problem()
    for job in jobs:
        _row(queue, job, key)


def _row(queue: Queue, job: Job, key: str) -> None:
    progress = progress_of(job, queue.tail(job.id, LOG_LINES))
    label, colour, icon = BADGES[progress.state]
    with st.container(border=True, key=f"{key}-job-{job.id}", gap="small"):
        state, words, buttons = st.columns([3, 10, 8], vertical_alignment="center")
        state.badge(trusted(label), icon=icon, color=colour)  # type: ignore[arg-type]
        since = f"for {duration(time.time() - job.started)}" if job.state == "running" and job.started else ""
        words.html(f'<p class="lh-job"><b>{html.escape(job.title)}</b> <small>{since}</small></p>')
        with buttons, st.container(horizontal=True, horizontal_alignment="right", gap="small"):
            _buttons(queue, job, key)
        if job.state == "running":
            share = "" if progress.share is None else f"{percent(progress.share)} · "
            st.progress(progress.share or 0.0, text=f"{share}{plain(progress.sentence) or 'Starting'}")
        elif job.state == "failed":
            told = remedy.sentence(progress.sentence or "")
            st.error(plain(told) or "It ended without a message; its log is on the page Fine-tune.")
            remedy.offer(progress.sentence or "", f"{key}-{job.id}", live=False)


def _buttons(queue: Queue, job: Job, key: str) -> None:
    if job.active:
        stopping = queue.stopping(job)
        _button("Stopping" if stopping else "Stop", job, ":material/stop_circle:", "stop", key, stopping)
        return
    _button("Resume", job, ":material/play_arrow:", "resume", key)
    _button("Dismiss", job, ":material/close:", "remove", key)


def _button(label: str, job: Job, icon: str, action: str, key: str, disabled: bool = False) -> None:
    st.button(
        trusted(label),
        key=f"{key}-{action}-{job.id}",
        icon=icon,
        on_click=_do,
        args=(action, job.id),
        disabled=disabled,
        help="What is finished is kept; it goes on from there." if action == "resume" else None,
    )


def _do(action: str, name: str) -> None:
    """Stop, resume or forget a job (runs before the page)."""
    try:
        getattr(resources.queue(), action)(name)
    except QueueError as error:
        st.session_state[PROBLEM] = str(error)


def at_work(command: Sequence[str]) -> bool:
    """Whether a job with the same verb on the same study waits or runs."""
    queue = resources.queue()
    jobs = queue.jobs()[0] if queue.root.is_dir() else []
    return any(job.active and job.command[:3] == tuple(command[:3]) for job in jobs)


def start_button(
    title: str,
    command: Sequence[str],
    label: str,
    key: str,
    *,
    primary: bool = True,
    disabled: bool = False,
    explanation: str = "",
) -> None:
    """A button that queues `python -m` of these words; disabled while the same verb is at work on the study."""
    busy = at_work(command)
    st.button(
        "At work" if busy else trusted(label),
        key=key,
        type="primary" if primary else "secondary",
        icon=":material/play_arrow:",
        on_click=_start,
        args=(title, tuple(command)),
        disabled=busy or disabled,
        help=trusted(explanation) or None,
    )


def _start(title: str, command: tuple[str, ...]) -> None:
    """Queue a command, or go on with the one that was stopped (runs before the page)."""
    queue = resources.queue()
    try:
        for job in queue.jobs()[0]:
            if job.command == command and job.state in ("stopped", "failed", "interrupted"):
                queue.resume(job.id)
                return
        queue.add(title, command)
    except QueueError as error:
        st.session_state[PROBLEM] = str(error)
