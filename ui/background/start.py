"""What queues a job: a button for a study's command, and a command whose files were uploaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import streamlit as st

from faces.errors import FaceError
from jobs.queue import PROJECT
from jobs.record import QueueError
from ui.elements import message
from ui.elements.escaping import plain, trusted
from ui.shell import resources
from ui.shell.resources import OpenedStudy

STUDY_JOBS = {  # verb -> title of the job
    "quality": "Photos of {}",
    "embed": "Face codes of {}",
    "fit": "Photo model of {}",
}


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
    queue = resources.queue()
    jobs = queue.jobs()[0] if queue.root.is_dir() else []
    busy = any(job.active and job.command[:3] == tuple(command[:3]) for job in jobs)
    st.button(
        "Running" if busy else trusted(label),
        key=key,
        type="primary" if primary else "secondary",
        icon=":material/play_arrow:",
        on_click=_start,
        args=(title, tuple(command)),
        disabled=busy or disabled,
        help=trusted(explanation) or None,
    )


def study_button(
    opened: OpenedStudy, verb: str, label: str, primary: bool = True, explanation: str = "", key: str = ""
) -> None:
    """A button that queues one of STUDY_JOBS for this study."""
    command = ["study", verb, opened.path]
    named = resources.checkpoints_root() / opened.study.settings.checkpoint
    if verb == "embed" and named.is_dir():
        root = Path(PROJECT / "checkpoints").resolve()
        if named.resolve().parent != root or named.name != named.resolve().name:
            command += ["--checkpoint", str(named)]
    start_button(
        STUDY_JOBS[verb].format(opened.study.name),
        command,
        label,
        key or f"cohort-start-{verb}",
        primary=primary,
        disabled=not opened.usable,
        explanation=explanation,
    )


def _start(title: str, command: tuple[str, ...]) -> None:
    """Queue a command, or resume the one that was stopped (runs before the page)."""
    queue = resources.queue()
    with message.left_by(QueueError):
        for job in queue.jobs()[0]:
            if job.command == command and job.state in ("stopped", "failed", "interrupted"):
                queue.resume(job.id)
                return
        queue.add(title, command)


def local_path(text: str) -> Path | None:
    """The folder or file at a path that a person typed; None, with a message where there is none."""
    path = Path(text).expanduser()
    if path.is_absolute() and (path.is_dir() or path.is_file()):
        return path
    if text:
        st.error(f"There is no folder or file {plain(text[:200])} on this machine: give its whole path.")
    return None


def add_with_upload(title: str, store: Callable[[Path], Sequence[str]]) -> bool:
    """Queue a command that reads uploaded files; False, with a message for the person, where it cannot be queued.

    store: writes the files into the folder that it is given, the job's own, and returns the command. It may raise
    FaceError for a file that is refused.
    """
    queue = resources.queue()
    upload: Path | None = None
    try:
        queue.clear_drafts()
        job, upload = queue.draft()
        queue.add(title, store(upload), name=job)
    except (QueueError, FaceError, OSError) as error:
        if upload is not None:
            shutil.rmtree(upload.parent, ignore_errors=True)
        reason = error.strerror or error if isinstance(error, OSError) else None
        message.leave(f"The upload could not be stored: {reason}." if reason else error)
        return False
    return True
