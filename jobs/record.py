"""One job of the queue as job.json describes it, and how its process is distinguished from others."""

from __future__ import annotations

import dataclasses
import math
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

State = Literal["waiting", "running", "done", "failed", "stopped", "interrupted"]
STATES = ("waiting", "running", "done", "failed", "stopped", "interrupted")
MODULES = ("latent", "study")  # what a job may run
GRACE = 20.0  # seconds between SIGTERM and SIGKILL, where a job does not ask for more
MAX_WORDS, MAX_WORD, MAX_TITLE = 200, 4096, 200


class QueueError(Exception):
    """A job could not be queued, changed or read; the message says what was wrong and what to do."""


@dataclass(frozen=True)
class Job:
    """One command. command: module and arguments. rank: waiting jobs run in this order. Times in seconds since 1970.

    pid, born: its process; runner, runner_born: the one that waits for it. exit_code: negative for a signal, None
    while unknown. grace: seconds that a stop leaves it to end by itself.
    """

    id: str
    title: str
    command: tuple[str, ...]
    state: State = "waiting"
    rank: float = 0.0
    created: float = 0.0
    started: float | None = None
    ended: float | None = None
    pid: int | None = None
    born: str | None = None
    runner: int | None = None
    runner_born: str | None = None
    exit_code: int | None = None
    grace: float = GRACE

    @property
    def active(self) -> bool:
        return self.state in ("waiting", "running")

    def alive(self) -> bool:
        """Whether its process runs."""
        return self.pid is not None and self.born is not None and born(self.pid) == self.born

    def watched(self) -> bool:
        """Whether the runner that started it still waits for it."""
        return self.runner is not None and self.runner_born is not None and born(self.runner) == self.runner_born


def born(pid: int) -> str | None:
    """When a process began, in words that no other process with its number shares; None where there is none.

    A process that has ended and only waits to be collected counts as none.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return None if fields[0] in "ZXx" else f"{boot} {fields[19]}"
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except (OSError, IndexError):
        return None
    ended = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, since = ended.stdout.strip().partition(" ")
    return None if not since or state.startswith("Z") else since.strip()


def checked(record: object, name: str) -> Job:
    """A job from the contents of job.json. Raises QueueError for anything else."""

    def require(fine: bool, what: str) -> None:
        if not fine:
            raise QueueError(f"Job {name} was left out: {what}. Delete its folder.")

    if not isinstance(record, dict):
        raise QueueError(f"Job {name} was left out: its job.json is not a record of a job. Delete its folder.")
    values: dict[str, Any] = record
    names = {field.name for field in dataclasses.fields(Job)} - {"id"}
    require({"title", "command"} <= set(values) <= names, "its job.json does not have the fields of a job")
    title, command = values["title"], values["command"]
    require(isinstance(title, str) and 0 < len(title) <= MAX_TITLE and title.isprintable(), "it has no title")
    words = isinstance(command, list) and 2 <= len(command) <= MAX_WORDS
    require(words and all(isinstance(w, str) and len(w) <= MAX_WORD and "\0" not in w for w in command), "no command")
    require(command[0] in MODULES, f"its command is not python -m {' or '.join(MODULES)}")
    require(values.get("state", "waiting") in STATES, "its state is unknown")
    for field in ("rank", "created", "started", "ended", "grace"):
        value = values.get(field, 0.0)
        optional = value is None and field in ("started", "ended")
        require(optional or (type(value) in (int, float) and math.isfinite(value)), f"its {field} is not a number")
    for field in ("pid", "runner", "exit_code"):
        value = values.get(field)
        fits = type(value) is int and (value > 1 or field == "exit_code")
        require(value is None or fits, f"its {field} is not a number")
    for field in ("born", "runner_born"):
        require(isinstance(values.get(field, ""), str | None), f"its {field} is not text")
    return Job(**{**values, "id": name, "command": tuple(command)})
