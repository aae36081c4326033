"""The jobs of the queue, and the run that is looked at, in one part that refreshes itself."""

from __future__ import annotations

import streamlit as st

from jobs.progress import trains
from jobs.record import Job, QueueError
from latent.errors import LatentError
from ui.background import job_row
from ui.background.polling import poll
from ui.elements import blocks, message
from ui.elements.escaping import plain
from ui.finetune import run_view, runs
from ui.shell import resources

RECENT = 4  # ended jobs that are shown at once
SEEN = "finetune-seen"


def section() -> None:
    """Queue and runs; asks the disk again while a job is active."""
    queue = resources.queue()
    job_row.wake(queue)
    jobs = queue.jobs()[0]
    st.session_state[SEEN] = job_row.signature(jobs)
    poll(_live, every=job_row.REFRESH_SECONDS if any(job.active for job in jobs) else None)


def _live() -> None:
    jobs, damaged = resources.queue().jobs()
    if st.session_state.get(SEEN) != job_row.signature(jobs):
        st.rerun()  # all of the page: a set or a face model may be finished
    message.show()
    for sentence in damaged:
        st.warning(plain(sentence), icon=":material/report:")
    waiting = [job for job in jobs if job.state == "waiting"]
    ended = [job for job in jobs if not job.active]
    if not jobs:
        blocks.note("No job is waiting or running.")
    for job in [*(job for job in jobs if job.active), *ended[:RECENT]]:
        job_row.show(job, waiting=waiting, remove=_removal)
    if ended[RECENT:]:
        with st.expander(f"Earlier ({len(ended) - RECENT})"):
            for job in ended[RECENT:]:
                job_row.show(job, waiting=waiting, remove=_removal)
    if run_view.names(jobs):
        blocks.section("4. The run")
        run_view.show(*run_view.choose(jobs))


def _removal(job: Job) -> None:
    """What removes an ended job, after a second click."""
    with st.popover("Remove", icon=":material/delete:", type="tertiary", key=f"remove-{job.id}"):
        blocks.note(
            "Deletes the entry, its log, and the run's folder with samples and saved states, so that it cannot be "
            "resumed. A face model that it has produced is kept."
            if trains(job)
            else "Deletes the entry, its log and what was uploaded for it. What it has made is kept."
        )
        st.button("Remove for good", key=f"gone-{job.id}", on_click=_remove, args=(job,))


def _remove(job: Job) -> None:
    """Delete a job and, for a training run, its folder (runs before the page)."""
    name = runs.run_of(job) if trains(job) else None
    with message.left_by(QueueError, LatentError):
        if name is not None and runs.read_run(name).status.get("state") == "running":
            raise QueueError(f"The run {name} is still active in another process: stop that first.")
        resources.queue().remove(job.id)
        if name is not None:
            runs.delete_folder(runs.finetune_root() / name, runs.finetune_root())
