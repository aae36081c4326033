"""A queue of command-line jobs on disk: one at a time, each a process of its own that outlives the page and the app.

On disk: `ROOT/ID/` with job.json, output.log, `stop` once a stop was asked for, and `upload/`, files that only this job
needs and that go when it is done. `jobs.runner` does the work; this module is what pages and the runner share. A job is
always `python -m MODULE ARGUMENTS` with a module of this project: no shell, no other program, whatever job.json says.

job.json changes only inside `Queue.turn`, a lock that is held for an instant, so pages and runner never overwrite each
other. A process is distinguished from a later one with the same number by when it was born.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.files import PLAIN
from common.parsing import json_value
from jobs.record import GRACE, Job, QueueError, born, checked

PROJECT = Path(__file__).resolve().parent.parent
RECORD, LOG, STOP, UPLOAD = "job.json", "output.log", "stop", "upload"
MAX_RECORD_BYTES = 1 << 16
TAIL_BYTES = 1 << 16
DRAFT_SECONDS = 3600.0  # a folder without job.json is an upload that never became a job
ID = re.compile(r"[0-9]{14}-[0-9a-f]{6}")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    """What the disk refuses becomes a QueueError that says what could not be done."""
    try:
        yield
    except OSError as error:
        raise QueueError(f"{what}: {error.strerror or error}.") from error


def command_path(path: Path) -> str:
    """A path as a command names it: relative within the project's folder."""
    whole = path.resolve()
    return str(whole.relative_to(PROJECT)) if whole.is_relative_to(PROJECT) else str(whole)


class Queue:
    """The jobs under `root`. home: the folder in which their commands run."""

    def __init__(self, root: Path, home: Path = PROJECT) -> None:
        self.root, self.home = root.resolve(), home.resolve()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the queue for an instant. Raises QueueError where the folder cannot be written."""
        with _refusing(f"The queue {self.root} cannot be written"):
            self.root.mkdir(parents=True, exist_ok=True)
            file = (self.root / "queue.lock").open("a")
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def folder(self, name: str) -> Path:
        """Folder of a job. Raises QueueError for any other name."""
        if not ID.fullmatch(name):
            raise QueueError(f"{name[:40]!r} is not a job of this queue.")
        return self.root / name

    def draft(self) -> tuple[str, Path]:
        """Id of a job to come and its folder for uploads, empty; `add` makes it a job."""
        name = f"{time.time_ns() // 100_000:014d}-{secrets.token_hex(3)}"
        upload = self.folder(name) / UPLOAD
        with _refusing(f"The upload cannot be stored in {self.root}"):
            upload.mkdir(parents=True, mode=0o700)
        return name, upload

    def add(
        self, title: str, command: Sequence[str], name: str | None = None, grace: float = GRACE, start: bool = True
    ) -> Job:
        """Queue `python -m` of these words; `name` is that of a draft. start: have a runner look at once.

        Raises QueueError where it is not a job.
        """
        if name is None:
            name = self.draft()[0]
        now = time.time()
        job = checked({"title": title, "command": list(command), "rank": now, "created": now, "grace": grace}, name)
        with self.turn():
            self._write(job)
        if start:
            self.start_runner()
        return job

    def jobs(self) -> tuple[list[Job], list[str]]:
        """Running, then waiting in their order, then ended ones, the newest first; and a sentence for each folder that
        cannot be read as a job, which is left alone."""
        readable, problems = [], []
        names = sorted(entry.name for entry in os.scandir(self.root)) if self.root.is_dir() else []
        for name in names:
            if not ID.fullmatch(name) or not os.path.lexists(self.root / name / RECORD):
                continue
            try:
                readable.append(self.read(name))
            except QueueError as error:
                problems.append(str(error))
        running = [job for job in readable if job.state == "running"]
        waiting = sorted((job for job in readable if job.state == "waiting"), key=lambda job: (job.rank, job.id))
        ended = sorted((job for job in readable if not job.active), key=lambda job: -(job.ended or job.created))
        return running + waiting + ended, problems

    def read(self, name: str) -> Job:
        """A job as it is now: one that says running and has neither process nor runner was interrupted.

        Raises QueueError where job.json is missing, damaged, or asks for what a job cannot be.
        """
        folder = self.folder(name)
        if folder.is_symlink() or (folder / RECORD).is_symlink():
            raise QueueError(f"Job {name} was left out: it is a link to another place. Delete it by hand.")
        try:
            with (folder / RECORD).open("rb") as file:
                data = file.read(MAX_RECORD_BYTES + 1)
            record = json_value(data) if len(data) <= MAX_RECORD_BYTES else None
        except (OSError, ValueError, RecursionError) as error:
            raise QueueError(f"Job {name} was left out: its job.json cannot be read. Delete its folder.") from error
        job = checked(record, name)
        if job.state == "running" and not job.alive() and not job.watched():
            return dataclasses.replace(job, state="interrupted")
        return job

    def change(self, name: str, **changes: Any) -> Job:
        """Write a job again with some fields changed; inside `turn`."""
        job = dataclasses.replace(self.read(name), **changes)
        self._write(job)
        return job

    def _write(self, job: Job) -> None:
        record = dataclasses.asdict(job)
        del record["id"]
        with _refusing(f"Job {job.id} could not be written"):
            PLAIN.write_json(self.folder(job.id) / RECORD, record)

    def stop(self, name: str) -> None:
        """Take a waiting job out of the line; ask a running one to end, by force after its grace. Else nothing."""
        with self.turn():
            job = self.read(name)
            if job.state == "waiting":
                self.change(name, state="stopped", ended=time.time())
            elif job.state == "running":
                (self.folder(name) / STOP).touch()
        if job.state == "running" and not job.watched():
            self.start_runner()  # whoever takes it over sees the stop

    def stopping(self, job: Job) -> bool:
        """Whether it was asked to stop and has not ended yet."""
        return job.state == "running" and (self.folder(job.id) / STOP).exists()

    def resume(self, name: str) -> None:
        """Put a job that was stopped, failed or interrupted at the end of the line: the same command once more.

        Raises QueueError where it is not one of these.
        """
        with self.turn():
            if self.read(name).state not in ("stopped", "failed", "interrupted"):
                raise QueueError("Only a job that stopped, failed or was interrupted can be resumed.")
            (self.folder(name) / STOP).unlink(missing_ok=True)
            fresh: dict[str, Any] = dict.fromkeys(("started", "ended", "pid", "born", "runner", "runner_born"))
            self.change(name, state="waiting", rank=time.time(), exit_code=None, **fresh)
        self.start_runner()

    def to_front(self, name: str) -> None:
        """Make a waiting job the next one."""
        with self.turn():
            waiting = [job for job in self.jobs()[0] if job.state == "waiting"]
            if any(job.id == name for job in waiting):
                self.change(name, rank=waiting[0].rank - 1.0)

    def remove(self, name: str) -> None:
        """Delete a job that does not run: record, log and uploads. Raises QueueError where it runs."""
        with self.turn():
            if self.read(name).state == "running":
                raise QueueError("A running job cannot be removed: stop it first.")
            with _refusing(f"Job {name} could not be deleted"):
                shutil.rmtree(self.folder(name))

    def tail(self, name: str, lines: int = 200) -> str:
        """The newest lines of what a job printed, without control characters; '' where it printed nothing."""
        try:
            with (self.folder(name) / LOG).open("rb") as file:
                start = max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES)
                file.seek(start)
                text = file.read(TAIL_BYTES).decode("utf-8", "replace")
        except OSError:
            return ""
        printed = [CONTROL.sub("", line.rstrip("\r").rpartition("\r")[2]) for line in text.split("\n")]
        return "\n".join(printed[1 if start else 0 :][-lines - 1 :]).rstrip()

    def clear_drafts(self) -> None:
        """Delete uploads that never became a job, an hour after they were begun."""
        for folder in self.root.glob("*-*") if self.root.is_dir() else ():
            old = ID.fullmatch(folder.name) and not (folder / RECORD).exists() and not folder.is_symlink()
            if old and time.time() - folder.stat().st_mtime > DRAFT_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)

    def start_runner(self) -> None:
        """Start a runner in a session of its own; a second one ends at once. Raises QueueError where it cannot."""
        words = [sys.executable, "-m", "jobs.runner", str(self.root), "--home", str(self.home)]
        with _refusing("The queue could not be started"):
            self.root.mkdir(parents=True, exist_ok=True)
            with (self.root / "runner.log").open("ab") as log:
                process = subprocess.Popen(
                    words, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
        # Collected when it ends, so that the app leaves no dead entries in the process table.
        threading.Thread(target=process.wait, name="runner of the queue", daemon=True).start()

    def wake(self) -> None:
        """Start a runner where jobs wait and none is at work, as after a restart of the machine."""
        jobs = self.jobs()[0]
        if any(job.state == "waiting" for job in jobs) and not self.runner_lives():
            self.start_runner()

    def runner_lives(self) -> bool:
        """Whether a runner is at work on this queue."""
        try:
            pid, _, since = (self.root / "runner.lock").read_text("utf-8").strip().partition(" ")
            return bool(since) and born(int(pid)) == since
        except (OSError, ValueError):
            return False
