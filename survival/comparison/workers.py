"""One job of a comparison (fit a model to some patients, score others), and processes that do such jobs.

A worker is started afresh (spawn), so it works beside torch and beside a running app; it has one thread, reads arrays
from memory-mapped files that all workers share, and is asked to stop through an event.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time as clock
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from common.threads import environment, worker_environment
from survival.errors import FitCancelled, SurvivalError
from survival.features.encoding import Block, Features, take_rows
from survival.models.base import SurvivalModel
from survival.models.registry import ModelEntry, build

QUARTILES = (25, 50, 75)
POLL = 0.3  # seconds between two questions whether to stop


@dataclass(frozen=True, eq=False)
class Job:
    """Fit `entry` with settings to blocks of the train rows, score the test rows at times (T,)."""

    model: str
    entry: ModelEntry
    settings: dict[str, Any]
    blocks: tuple[str, ...]
    train: np.ndarray
    test: np.ndarray
    times: np.ndarray


@dataclass(frozen=True, eq=False)
class JobResult:
    """log_risk, quartile: (m,), survival: (m, T) of the test rows. error: why there are none, else ''."""

    log_risk: np.ndarray
    survival: np.ndarray
    quartile: np.ndarray
    notes: tuple[str, ...]
    seconds: float
    error: str = ""


def run_job(
    job: Job,
    features: Features,
    time: np.ndarray,
    event: np.ndarray,
    cancelled: Callable[[], bool] | None = None,
    entry: np.ndarray | None = None,
) -> JobResult:
    """Do one job here. A model that cannot be fitted gives a result with its sentence; FitCancelled passes through."""
    start = clock.perf_counter()
    own = {name: features[name] for name in job.blocks}
    try:
        model = build(job.entry, job.model, job.settings)
        late = None if entry is None else entry[job.train]
        model.fit(take_rows(own, job.train), time[job.train], event[job.train], None, cancelled, late)
        new = take_rows(own, job.test)
        log_risk = np.asarray(model.predict(new), dtype=np.float64)
        survival = np.asarray(model.predict_survival_function(new, job.times)[1], dtype=np.float64)
        # where patients come late, a curve may begin after the first of the times
        curves = survival if entry is None else survival[:, -1:]
        if not (np.isfinite(log_risk).all() and np.isfinite(curves).all()):
            ends = " (the follow-up of a stratum ends before the times asked for)" if job.settings.get("strata") else ""
            raise SurvivalError(f"Model {job.model} predicted something that is not a number{ends}.")
    except FitCancelled:
        raise
    except SurvivalError as error:
        empty = np.empty(0)
        return JobResult(empty, empty, empty, (), clock.perf_counter() - start, str(error))
    quartile = _quartiles(model, take_rows(own, job.train), log_risk)
    return JobResult(log_risk, survival, quartile, tuple(model.notes_), clock.perf_counter() - start)


def _quartiles(model: SurvivalModel, train: Features, log_risk: np.ndarray) -> np.ndarray:
    """0 (lowest) to 3 by the quartiles of the training patients' out-of-fold scores; -1 where all are alike.

    A model without such scores has few coefficients, and its fitted scores stand in.
    """
    scores = model.predict(train) if model.out_of_fold_ is None else model.out_of_fold_
    if np.ptp(scores) == 0:
        return np.full(len(log_risk), -1, dtype=np.int64)
    return np.searchsorted(np.percentile(scores, QUARTILES), log_risk, side="right").astype(np.int64)


_shared: dict[str, Any] = {}  # of a worker process


def _start_worker(
    folder: str,
    arrays: tuple[str, ...],
    tables: dict[str, pd.DataFrame],
    time: np.ndarray,
    event: np.ndarray,
    entry: np.ndarray | None,
    stop: Any,
) -> None:
    threadpool_limits(limits=1)
    features: dict[str, Block] = dict(tables)
    for place, name in enumerate(arrays):
        features[name] = np.load(Path(folder) / f"{place}.npy", mmap_mode="r", allow_pickle=False)
    _shared.update(features=features, time=time, event=event, entry=entry, stop=stop)


def _work(job: Job) -> JobResult | None:
    try:
        own = (_shared["features"], _shared["time"], _shared["event"])
        return run_job(job, *own, _shared["stop"].is_set, _shared["entry"])
    except FitCancelled:
        return None


class Pool:
    """Worker processes over one data set; a context."""

    def __init__(
        self, features: Features, time: np.ndarray, event: np.ndarray, workers: int, entry: np.ndarray | None = None
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="survival-")
        arrays = tuple(name for name, block in features.items() if not isinstance(block, pd.DataFrame))
        for place, name in enumerate(arrays):
            np.save(Path(self._folder.name) / f"{place}.npy", features[name], allow_pickle=False)
        tables = {name: block for name, block in features.items() if isinstance(block, pd.DataFrame)}
        context = multiprocessing.get_context("spawn")
        self._stop = context.Event()
        self._workers = workers
        self._executor = ProcessPoolExecutor(
            workers, context, _start_worker, (self._folder.name, arrays, tables, time, event, entry, self._stop)
        )

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._folder.cleanup()

    def results(self, jobs: Mapping[Any, Job], cancelled: Callable[[], bool] | None) -> Iterator[tuple[Any, JobResult]]:
        """(name, result) of each job as it is done. Raises FitCancelled, or SurvivalError when a worker died."""
        waiting = list(jobs.items())[::-1]
        running: dict[Future[JobResult | None], Any] = {}
        while waiting or running:
            with environment(worker_environment()):  # processes are started as jobs come in, and inherit it
                while waiting and len(running) < 2 * self._workers:
                    name, job = waiting.pop()
                    running[self._executor.submit(_work, job)] = name
            if cancelled is not None and cancelled():
                raise FitCancelled("The comparison was stopped; finished folds are kept.")
            for future in wait(running, timeout=POLL, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                try:
                    result = future.result()
                except BrokenProcessPool:
                    raise SurvivalError(
                        "A worker process ended (most likely for lack of memory): use fewer workers."
                    ) from None
                if result is not None:
                    yield name, result
