"""A study's long jobs on any page: what is at work, how far it is, stop, resume, dismiss."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

import streamlit as st

from jobs.queue import PROJECT
from jobs.record import Job
from ui.background import job_row
from ui.background.polling import poll
from ui.background.start import STUDY_JOBS
from ui.elements import message
from ui.shell import resources

RECENT_SECONDS = 24 * 3600.0  # failures older than this are no news
OF_COHORT = (*STUDY_JOBS, "intake")  # verbs whose jobs the Cohort page shows


def of_study(jobs: Sequence[Job], path: str, verbs: Collection[str]) -> list[Job]:
    """Jobs with one of these verbs on the study whose folder a command names so: what is at work first.

    intake among the verbs: also studies being made, whatever their folder.
    """
    folder = (PROJECT / path).resolve()
    matching = [
        job
        for job in jobs
        if job.command[0] == "study"
        and job.command[1] in verbs
        and (job.command[1] == "intake" or (len(job.command) > 2 and (PROJECT / job.command[2]).resolve() == folder))
    ]
    newest = {job.command: job for job in reversed(matching)}  # a later run of the same command says more
    recent = [
        job
        for job in newest.values()
        if not job.active and job.state != "done" and time.time() - (job.ended or job.created) < RECENT_SECONDS
    ]
    return [job for job in matching if job.active] + recent


def section(path: str, verbs: Collection[str], key: str) -> None:
    """Jobs of this study, in one part that refreshes itself while one is active; nothing where there are none.

    key: of the page, in front of its widgets' keys.
    """
    queue = resources.queue()
    if not queue.root.is_dir():
        return
    job_row.wake(queue)
    jobs = of_study(queue.jobs()[0], path, verbs)
    st.session_state[f"{key}-seen"] = job_row.signature(jobs)
    every = job_row.REFRESH_SECONDS if any(job.active for job in jobs) else None
    poll(_live, path, tuple(verbs), key, every=every)


def _live(path: str, verbs: Collection[str], key: str) -> None:
    jobs = of_study(resources.queue().jobs()[0], path, verbs)
    if st.session_state.get(f"{key}-seen") != job_row.signature(jobs):
        st.rerun()  # all of the page: something is finished
    message.show()
    for job in jobs:
        job_row.show(job, key)
