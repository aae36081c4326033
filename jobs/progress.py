"""How far a job is, from its command, the end of its log and, for a training run, the status that the run writes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from jobs.queue import PROJECT
from jobs.record import Job

TRAINING = ("finetune", "warmstart")  # verbs that train; the second is the former name of the first
COUNTED = re.compile(r"(\d+) of (\d+) \w+")
FRESH_SECONDS = 2.0  # clocks of files and records may differ by this much


@dataclass(frozen=True)
class Progress:
    """Where a job is: state as the person should read it, share done (None while unknown), seconds left, one
    sentence."""

    state: str
    share: float | None = None
    seconds_left: float | None = None
    sentence: str = ""


def is_number(value: object) -> TypeGuard[float]:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def option(command: Sequence[str], flag: str) -> str | None:
    """The value that follows a flag of a command."""
    return command[command.index(flag) + 1] if flag in command[:-1] else None


def verb(job: Job) -> str:
    """finetune, dataset, evaluate, ..."""
    return job.command[1]


def trains(job: Job) -> bool:
    """Whether a job makes a checkpoint from a start and a training set."""
    return verb(job) in TRAINING


def run_folder(job: Job) -> Path | None:
    """Folder of the run that a job trains or evaluates; None for any other job."""
    path = option(job.command, "--run") if trains(job) else option(job.command, "--out")
    if path is None or verb(job) not in (*TRAINING, "evaluate"):
        return None
    return (PROJECT / (path if trains(job) else Path(path).parent)).resolve()


def progress_of(job: Job, log: str, status: Mapping[str, Any] | None = None) -> Progress:
    """Progress from the end of a job's log. status: of a training run, {} before it has written one; None for any
    other job."""
    if status is not None:
        return _training(job, status, log)
    last = log.rpartition("\n")[2]
    sentence = last if job.state == "failed" or (job.state == "running" and not last.startswith("[")) else ""
    counted = COUNTED.match(last)
    share = min(1.0, int(counted[1]) / max(1, int(counted[2]))) if counted and job.state == "running" else None
    return Progress(job.state, share, None, sentence)


def _training(job: Job, status: Mapping[str, Any], log: str) -> Progress:
    current = is_number(status.get("time")) and status["time"] > (job.started or math.inf) - FRESH_SECONDS
    share, left = (status.get(name) if is_number(status.get(name)) else None for name in ("progress", "seconds_left"))
    message = str(status.get("message", ""))
    if job.state == "failed":
        # A command that was refused before it touched the run has said so in its log alone.
        sentence = message if current and status.get("state") == "failed" else log.rpartition("\n")[2]
        return Progress("failed", share, None, sentence)
    if job.state == "interrupted" and current and status.get("state") in ("done", "stopped"):
        return Progress(str(status["state"]), share, None, message)
    if job.state == "running":
        return Progress("running", share, left if current else None, message if current else "Starting")
    return Progress(job.state, share, None, message if job.state == "done" else "")
