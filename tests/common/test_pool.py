"""Worker processes: every job once, a death costs its job alone, and none is left."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from common.pool import Pool, PoolStopped, WorkerDied
from common.threads import FIXED
from tests.waiting import wait_until


def start(folder: Path) -> Callable[[str], str]:
    """Notes its process in the folder; then echoes, dies or waits."""
    (folder / str(os.getpid())).touch()

    def work(job: str) -> str:
        if job == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if job == "exit":
            os._exit(3)
        while job == "wait":
            signal.pause()
        return f"{job} with {os.environ[FIXED]}"

    return work


def alive(folder: Path) -> list[int]:
    pids = [int(path.name) for path in folder.iterdir()]
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.mark.slow
def test_every_job_is_done_and_no_process_is_left(tmp_path: Path) -> None:
    jobs = [(i, f"job {i}") for i in range(7)]
    found = dict(Pool(start, [tmp_path] * 2, threads=3).run(jobs))
    assert found == {i: f"job {i} with 3" for i in range(7)}
    assert len(list(tmp_path.iterdir())) == 2
    assert not alive(tmp_path)
    assert list(Pool(start, [tmp_path]).run([])) == []


@pytest.mark.slow
def test_a_process_that_dies_costs_its_job_and_is_replaced(tmp_path: Path) -> None:
    jobs = [("a", "die"), ("b", "x"), ("c", "exit"), ("d", "y")]
    found = dict(Pool(start, [tmp_path]).run(jobs))
    assert found["a"] == WorkerDied(-signal.SIGKILL)
    assert "signal 9" in str(found["a"])
    assert found["c"] == WorkerDied(3)
    assert (found["b"], found["d"]) == ("x with 1", "y with 1")
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.slow
def test_a_run_that_is_stopped_or_given_up_leaves_no_process(tmp_path: Path) -> None:
    pool = Pool(start, [tmp_path] * 2)
    with pytest.raises(PoolStopped):
        list(pool.run([(0, "wait"), (1, "wait")], lambda: len(alive(tmp_path)) == 2))
    wait_until(lambda: not alive(tmp_path))
    run = pool.run([(0, "x"), (1, "wait")])
    assert next(run) == (0, "x with 1")
    run.close()
    wait_until(lambda: not alive(tmp_path))
