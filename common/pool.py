"""Worker processes of one job at a time, for work that holds the interpreter or the memory of a process.

A worker is a fresh process (spawn), so it works alongside torch and a running app; it has a fixed number of threads
and ends with its parent. One that dies is replaced and its job reported, so that one photo or one fit that takes the
memory of a machine does not end all others. However a run ends, no worker is left.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from common.threads import environment, worker_environment

POLL_SECONDS = 0.3  # between two checks whether to stop
ORPHAN_SECONDS = 2.0  # after which a worker notices that its parent is gone
Work = Callable[[Any], Any]


class PoolStopped(Exception):
    """`cancelled` said so; jobs that were running are lost."""


@dataclass(frozen=True)
class WorkerDied:
    """In place of a result. exit_code: of the process, negative where a signal ended it."""

    exit_code: int | None

    def __str__(self) -> str:
        if self.exit_code is not None and self.exit_code < 0:
            return f"its worker process was ended by signal {-self.exit_code}, perhaps for lack of memory"
        return f"its worker process ended with exit code {self.exit_code}"


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    argument: Any
    key: Any = None
    busy: bool = False


class Pool:
    """start(argument) is called in each process and returns the function that does its jobs; both are sent by name,
    so they stand at a module's top level. arguments: one per process. threads: of each process. variables: of its
    environment, in addition."""

    def __init__(
        self,
        start: Callable[[Any], Work],
        arguments: Sequence[Any],
        threads: int = 1,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.start, self.arguments, self.threads, self.variables = start, arguments, threads, variables or {}

    def run(
        self, jobs: Iterable[tuple[Any, Any]], cancelled: Callable[[], bool] | None = None
    ) -> Generator[tuple[Any, Any], None, None]:
        """(key, job) -> (key, result or WorkerDied), as they are done. Raises PoolStopped."""
        waiting, workers = iter(jobs), list[_Worker]()
        try:
            for argument in self.arguments:
                if (job := next(waiting, None)) is None:
                    break
                workers.append(self._started(argument))
                self._send(workers[-1], job)
            while busy := [worker for worker in workers if worker.busy]:
                if cancelled is not None and cancelled():
                    raise PoolStopped
                ready = set(wait([worker.pipe for worker in busy], POLL_SECONDS))
                for worker in [worker for worker in busy if worker.pipe in ready]:
                    yield worker.key, self._receive(worker)
                    if (job := next(waiting, None)) is None:
                        continue
                    if not worker.process.is_alive():
                        worker.pipe.close()
                        workers[workers.index(worker)] = worker = self._started(worker.argument)
                    self._send(worker, job)
        finally:
            for worker in workers:
                worker.process.kill()
            for worker in workers:
                worker.process.join()
                worker.pipe.close()

    def _started(self, argument: Any) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_life, args=(theirs, os.getpid(), self.start, argument), daemon=True)
        with environment({**worker_environment(self.threads), **self.variables}):
            process.start()
        theirs.close()
        return _Worker(process, ours, argument)

    @staticmethod
    def _send(worker: _Worker, job: tuple[Any, Any]) -> None:
        worker.key, worker.busy = job[0], True
        try:
            worker.pipe.send(job[1])
        except OSError:
            return  # it has just died: what is read from the pipe says so

    @staticmethod
    def _receive(worker: _Worker) -> Any:
        worker.busy = False
        try:
            return worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join()
            return WorkerDied(worker.process.exitcode)


def _life(pipe: Connection, parent: int, start: Callable[[Any], Work], argument: Any) -> None:
    """What a worker process does. Ctrl-C is for the parent, which ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    work = start(argument)
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        pipe.send(work(job))


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_SECONDS)
    os._exit(1)
