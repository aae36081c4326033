"""How many threads this process uses, with regard to the other processes of this project on the machine.

Two processes with as many OpenMP threads as there are cores run four to eight times slower than with half of them:
each waits by spinning on the cores that the other needs. So every process that computes says how many threads it holds,
takes what the others leave, and waits passively. A number in OMP_NUM_THREADS, set by a person or by the parent process
of a pool, is never changed.

The record is a folder of one small file per process, locked by the kernel as long as that process lives: nothing has to
be cleaned up after a kill, and a process id that the system uses again does no harm. It is shared by all
processes of one user on one machine. Where it cannot be kept, nothing is counted.
"""

from __future__ import annotations

import atexit
import fcntl
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

FOLDER = "LATENT_HEALTH_THREADS"  # environment: another folder of the record
FIXED = "OMP_NUM_THREADS"
LIBRARIES = (FIXED, "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
WAITING = {"OMP_WAIT_POLICY": "PASSIVE"}  # read once, when OpenMP is loaded with torch
QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of work in a period, or "max"
MAX_BYTES = 100
LOOKS = 100  # tries to lock this process's file


@dataclass(frozen=True)
class Share:
    """Threads of this process; cores: what the others left when it began; and both in a sentence."""

    threads: int
    cores: int
    sentence: str


_mine: Share | None = None
_file: IO[str] | None = None  # open, and so locked, as long as this process lives


def cores() -> int:
    """Cores that this process may use: its affinity, and a container's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = QUOTA.read_text("utf-8").split()
        return max(1, min(count, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):
        return count


def fixed() -> int | None:
    """The number in OMP_NUM_THREADS; None where there is none."""
    text = os.environ.get(FIXED, "").partition(",")[0].strip()
    return int(text) if text.isdecimal() and int(text) > 0 else None


def left() -> int:
    """Cores that the processes on record leave, this one among them; at least 1."""
    return max(1, cores() - sum(_held().values()))


def hold(label: str, threads: int | None = None) -> Share:
    """Put this process on record, with all the cores that are left or with a number of threads. To be called before
    numpy and torch are imported, because it sets for their libraries how many threads to use and how to wait. Later
    calls change nothing.

    label: of the process, for the sentence. threads: what it holds on record; a server that computes now and then, and
    asks `left` each time, holds 1, and nothing is set for its libraries.
    """
    global _mine, _file
    if _mine is not None:
        return _mine
    for name, value in WAITING.items():  # in child processes, too; what a person has set stays
        os.environ.setdefault(name, value)
    with _turn() as folder:
        others = sum(_held().values())
        given, total = fixed(), cores()
        free = max(1, total - others)
        taken = given or threads or free
        if folder is not None:
            _file = _enter(folder, taken)
    if given is None and threads is None:
        os.environ.update(dict.fromkeys(LIBRARIES, str(taken)))
    _mine = Share(taken, free, _sentence(label, taken, total, others, given))
    return _mine


def announce(label: str, threads: int | None = None) -> None:
    """`hold`, and its sentence to stderr where that is a log and not a terminal, unless the number was fixed."""
    earlier, given = _mine is not None, fixed()
    chosen = hold(label, threads)
    if not earlier and given is None and not sys.stderr.isatty():
        print(chosen.sentence, file=sys.stderr, flush=True)


def to_compute() -> int:
    """Threads for a computation that begins now in a process which computes now and then: the fixed number, or what is
    left."""
    return fixed() or left()


def pool_size(workers: int | None = None, threads: int = 1) -> int:
    """Worker processes of `threads` threads for the cores of this process, or as many as are asked for; what they
    compute with goes on record in place of this process's own threads, which wait meanwhile."""
    size = workers or max(1, (left() if _mine is None else _mine.cores) // threads)
    if _file is not None:
        with suppress(OSError):
            _write(_file, size * threads)
    return size


def worker_environment(threads: int = 1) -> dict[str, str]:
    """Variables that a worker process of `threads` threads needs before it starts."""
    return {**dict.fromkeys(LIBRARIES, str(threads)), **WAITING}


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """os.environ with these in addition, for processes started inside."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _sentence(label: str, taken: int, total: int, others: int, given: int | None) -> str:
    count = f"{taken} {'thread' if taken == 1 else 'threads'} of {total} {'core' if total == 1 else 'cores'}"
    hold = f": other processes of this project hold {others}" if others else ""
    return f"{label} uses {count}{hold if given is None else ': OMP_NUM_THREADS is set'}."


def _folder() -> Path | None:
    """The folder of the record, of this user alone; None where it cannot be had."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    path = Path(os.environ.get(FOLDER) or Path(tempfile.gettempdir()) / f"latent-health-threads-{user}")
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        facts = path.lstat()
        return path if path.is_dir() and not path.is_symlink() and facts.st_uid == user else None
    except OSError:
        return None


@contextmanager
def _turn() -> Iterator[Path | None]:
    """The folder, held for an instant so that two processes that start together do not take the same cores."""
    folder = _folder()
    try:
        lock = None if folder is None else (folder / "lock").open("a")
    except OSError:
        folder, lock = None, None
    if lock is None:
        yield None
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _enter(folder: Path, threads: int) -> IO[str] | None:
    """This process's file, written and locked."""
    try:
        file = (folder / f"{os.getpid()}.share").open("a+", encoding="utf-8")
        for _ in range(LOOKS):
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _write(file, threads)
                atexit.register(file.close)
                return file
            time.sleep(0.01)  # another process looks at the file just now
        file.close()
    except OSError:
        pass
    return None


def _write(file: IO[str], threads: int) -> None:
    file.seek(0)
    file.truncate()
    file.write(f"{threads}\n")
    file.flush()


def _held() -> dict[str, int]:
    """Threads by file of every process on record that lives; files of others are removed."""
    folder = _folder()
    held: dict[str, int] = {}
    for path in sorted(folder.glob("*.share")) if folder is not None else ():
        with suppress(OSError), path.open("r+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                text = file.read(MAX_BYTES).strip()
                held[path.name] = int(text) if text.isdecimal() else 1
            else:
                # its process is gone, and not about to lock it
                if not (Path("/proc/self").exists() and Path(f"/proc/{path.stem}").exists()):
                    path.unlink()
    return held
