"""The study's long jobs (photos looked over, codes, model), each a process that outlives the page: start and watch."""

from __future__ import annotations

import html
import time
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from ui import page, resources
from ui.cohort_files import PROBLEM, Opened, problem
from ui.finetune_files import progress_of
from ui.finetune_queue import BADGES, LOG_LINES, POLL_SECONDS
from ui.job_record import Job, QueueError
from ui.processes import PROJECT, Queue
from ui.text import duration, percent

VERBS = {"quality": "Photos of {}", "embed": "Codes of {}", "fit": "Photo model of {}"}
SEEN = "cohort-seen"
RECENT_SECONDS = 24 * 3600.0  # failures older than this are no news


def of_study(jobs: Sequence[Job], words: str) -> list[Job]:
    """Jobs of the study whose folder a command names so, and studies being made: what is at work first."""
    folder = (PROJECT / words).resolve()
    own = [
        job
        for job in jobs
        if job.command[0] == "study"
        and (
            job.command[1] == "intake"
            or (job.command[1] in VERBS and len(job.command) > 2 and (PROJECT / job.command[2]).resolve() == folder)
        )
    ]
    newest = {job.command: job for job in reversed(own)}  # a later run of the same command tells more
    recent = [
        job
        for job in newest.values()
        if not job.active and job.state != "done" and time.time() - (job.ended or job.created) < RECENT_SECONDS
    ]
    return [job for job in own if job.active] + recent


def section(words: str) -> None:
    """Jobs of this study, in one part that refreshes itself while one is active; nothing where there are none."""
    queue = resources.queue()
    if not queue.root.is_dir():
        return
    try:
        queue.wake()
    except QueueError as error:
        st.error(str(error), icon=":material/error:")
    jobs = of_study(queue.jobs()[0], words)
    st.session_state[SEEN] = _signature(jobs)
    every = POLL_SECONDS if any(job.active for job in jobs) else None
    st.fragment(_live, run_every=every)(words)


def _signature(jobs: Sequence[Job]) -> tuple[tuple[str, str], ...]:
    return tuple((job.id, job.state) for job in jobs)


def _live(words: str) -> None:
    queue = resources.queue()
    jobs = of_study(queue.jobs()[0], words)
    if st.session_state.get(SEEN) != _signature(jobs):
        st.rerun()  # all of the page: something is finished
    problem()
    for job in jobs:
        _row(queue, job)


def _row(queue: Queue, job: Job) -> None:
    progress = progress_of(job, queue.tail(job.id, LOG_LINES))
    label, colour, icon = BADGES[progress.state]
    with st.container(border=True, key=f"cohort-job-{job.id}", gap="small"):
        state, words, buttons = st.columns([3, 10, 8], vertical_alignment="center")
        state.badge(label, icon=icon, color=colour)  # type: ignore[arg-type]
        since = f"for {duration(time.time() - job.started)}" if job.state == "running" and job.started else ""
        words.html(f'<p class="lh-job"><b>{html.escape(job.title)}</b> <small>{since}</small></p>')
        with buttons, st.container(horizontal=True, horizontal_alignment="right", gap="small"):
            _buttons(queue, job)
        if job.state == "running":
            share = "" if progress.share is None else f"{percent(progress.share)} · "
            st.progress(progress.share or 0.0, text=f"{share}{progress.sentence or 'Starting'}")
        elif job.state == "failed":
            st.error(progress.sentence or "It ended without a word; its log is on the Fine-tune page.")


def _buttons(queue: Queue, job: Job) -> None:
    if job.active:
        stopping = queue.stopping(job)
        _button("Stopping" if stopping else "Stop", job, ":material/stop_circle:", "stop", stopping)
        return
    _button("Resume", job, ":material/play_arrow:", "resume")
    _button("Dismiss", job, ":material/close:", "remove")


def _button(label: str, job: Job, icon: str, action: str, disabled: bool = False) -> None:
    st.button(
        label,
        key=f"cohort-{action}-{job.id}",
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


def start_button(found: Opened, verb: str, label: str, primary: bool = True, explanation: str = "") -> None:
    """A button that queues `python -m study VERB` for this study; disabled while it waits or runs."""
    command = _command(found, verb)
    queue = resources.queue()
    jobs = queue.jobs()[0] if queue.root.is_dir() else []
    busy = any(job.active and job.command[:3] == tuple(command[:3]) for job in jobs)
    st.button(
        "At work" if busy else label,
        key=f"cohort-start-{verb}",
        type="primary" if primary else "secondary",
        icon=":material/play_arrow:",
        on_click=_start,
        args=(verb, found.study.name, command),
        disabled=busy or not found.usable,
        help=explanation or None,
    )


def _command(found: Opened, verb: str) -> list[str]:
    command = ["study", verb, found.words]
    named = resources.checkpoints_root() / found.study.settings.checkpoint
    if verb == "embed" and named.is_dir():
        root = Path(PROJECT / "checkpoints").resolve()
        if named.resolve().parent != root or named.name != named.resolve().name:
            command += ["--checkpoint", str(named)]
    return command


def _start(verb: str, name: str, command: list[str]) -> None:
    """Queue a command, or go on with the one that was stopped (runs before the page)."""
    queue = resources.queue()
    try:
        for job in queue.jobs()[0]:
            if job.command == tuple(command) and job.state in ("stopped", "failed", "interrupted"):
                queue.resume(job.id)
                return
        queue.add(VERBS[verb].format(name), command)
    except QueueError as error:
        st.session_state[PROBLEM] = str(error)


def nothing_at_work(words: str) -> bool:
    """Whether no job of this study waits or runs."""
    queue = resources.queue()
    return not (queue.root.is_dir() and any(job.active for job in of_study(queue.jobs()[0], words)))


def standing(found: Opened) -> None:
    """Codes and model: done, out of date and why, or missing; with what starts them."""
    from study.standing import codes_standing, model_standing
    from ui import state
    from ui.cohort_files import checkpoint_of

    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Codes**")
        try:
            codes = codes_standing(found.study, checkpoint_of(found))
        except state.SENTENCES as error:
            page.unavailable("Codes cannot be made", str(error))
        else:
            _told(codes.state, f"{codes.done:,} of {codes.total:,} photos have a code", codes.reasons)
            if codes.facts:
                f = codes.facts
                page.note(
                    f"Checkpoint {f.get('checkpoint')}, effort “{f.get('preset')}”, {f.get('steps', '?')} steps, "
                    f"measured with {f.get('perceptual_name', '?')}."
                )
            label = (
                "Go on with the codes" if codes.begun else "Make the codes again" if codes.done else "Make the codes"
            )
            start_button(
                found, "embed", label, codes.state != "done", "Only what is missing or out of date is made anew."
            )
    with right:
        st.markdown("**Photo model**")
        model = model_standing(found.study)
        _told(model.state, f"fitted on {model.done:,} of {model.total:,} patients", model.reasons)
        page.note("Nested cross-validation by patient; takes minutes for hundreds of patients.")
        if found.study.has_latents:
            start_button(found, "fit", "Fit the photo model", model.state != "done")


def _told(state: str, done: str, reasons: Sequence[str]) -> None:
    label, colour, icon = {
        "done": ("Done", "green", ":material/check:"),
        "stale": ("Out of date", "orange", ":material/update:"),
        "none": ("Not there yet", "gray", ":material/hourglass_empty:"),
    }[state]
    st.badge(label, icon=icon, color=colour)  # type: ignore[arg-type]
    if state == "none":
        return
    page.note(f"{done[:1].upper()}{done[1:]}.")
    for reason in reasons:
        page.note(reason)
