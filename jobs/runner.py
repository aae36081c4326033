"""`python -m jobs.runner ROOT`: works through a queue of jobs, one at a time, and ends when none waits.

Started by `Queue.start_runner`, detached from the app. The kernel's lock on ROOT/runner.lock lets only one work. A
runner that was killed leaves its job's process running; the next runner takes that over and waits for it, so still
only one job runs.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import IO

from common.command import STOPPED, folder_argument
from jobs.queue import LOG, PROJECT, STOP, UPLOAD, Queue
from jobs.record import Job, QueueError, born

POLL_SECONDS = 0.2
UNKNOWN = None  # exit code of a process that another runner started


class Runner:
    """Takes one job after the other from `queue`."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.born = born(os.getpid())
        self._lock: IO[str] | None = None

    def run(self) -> None:
        """Work until no job waits; at once where another runner works."""
        if not self._begin():
            return
        while (job := self._next()) is not None:
            self._work(job)

    def _begin(self) -> bool:
        with self.queue.turn():
            file = (self.queue.root / "runner.lock").open("a+")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.close()
                return False
            file.truncate(0)
            file.write(f"{os.getpid()} {self.born}\n")
            file.flush()
            self._lock = file
        return True

    def _next(self) -> Job | None:
        """The running job of a runner that is gone, else the first that waits, marked as ours. With none the lock goes
        within the same turn: a job that is added later finds no runner and starts one."""
        with self.queue.turn():
            jobs = self.queue.jobs()[0]
            runner = {"runner": os.getpid(), "runner_born": self.born}
            for job in jobs:
                if job.state == "running":
                    return self.queue.change(job.id, **runner)
            for job in jobs:
                if job.state == "waiting":
                    return self.queue.change(job.id, state="running", started=time.time(), **runner)
            assert self._lock is not None
            self._lock.close()
            return None

    def _work(self, job: Job) -> None:
        if job.pid is not None:
            code, asked = self._wait(job, job.pid, lambda: job.alive(), lambda: UNKNOWN)
            self._end(job, code, asked)
            return
        try:
            process = self._start(job)
        except OSError as error:
            with (self.queue.folder(job.id) / LOG).open("a", encoding="utf-8") as log:
                log.write(f"The command could not be started: {error.strerror or error}.\n")
            self._end(job, 127, False)
            return
        with self.queue.turn():
            job = self.queue.change(job.id, pid=process.pid, born=born(process.pid))
        code, asked = self._wait(job, process.pid, lambda: process.poll() is None, process.poll)
        self._end(job, code, asked)

    def _start(self, job: Job) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", *job.command]
        with (self.queue.folder(job.id) / LOG).open("ab") as log:
            line = f"[{time.strftime('%Y-%m-%d %H:%M:%S')}] python -m {shlex.join(job.command)}\n"
            log.write(line.encode("utf-8", "replace"))
            log.flush()
            return subprocess.Popen(
                words,
                cwd=self.queue.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # what ends the runner does not end the job
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    def _wait(
        self, job: Job, pid: int, runs: Callable[[], bool], code: Callable[[], int | None]
    ) -> tuple[int | None, bool]:
        """Exit code once the process has ended, and whether a stop was asked for."""
        stop = self.queue.folder(job.id) / STOP
        asked, forced = 0.0, False
        while runs():
            if not asked and stop.exists():
                asked = time.monotonic()
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            elif asked and not forced and time.monotonic() - asked > job.grace:
                forced = True
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            time.sleep(POLL_SECONDS)
        return code(), bool(asked) or stop.exists()

    def _end(self, job: Job, code: int | None, asked: bool) -> None:
        # A run also stops by itself, where a file `stop` or Ctrl-C asks it to, and says so by its exit code.
        asked = asked or code == STOPPED
        state = "stopped" if asked else "interrupted" if code is UNKNOWN else "failed" if code else "done"
        folder = self.queue.folder(job.id)
        with self.queue.turn():
            if state == "done":
                shutil.rmtree(folder / UPLOAD, ignore_errors=True)
            (folder / STOP).unlink(missing_ok=True)
            self.queue.change(job.id, state=state, ended=time.time(), exit_code=code)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m jobs.runner", description=__doc__)
    parser.add_argument("root", type=folder_argument, help="folder of the queue")
    parser.add_argument("--home", type=folder_argument, default=PROJECT, help="folder in which the commands run")
    given = parser.parse_args(arguments)
    try:
        Runner(Queue(given.root, given.home)).run()
    except (QueueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
