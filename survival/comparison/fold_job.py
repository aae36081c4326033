"""One job of a comparison: fit a model to some patients, score others; here, or in worker processes."""

from __future__ import annotations

import tempfile
import time as clock
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from common.pool import Pool, PoolStopped, WorkerDied
from survival.errors import Cancelled, FitCancelled, SurvivalError, stop_if
from survival.features.encoding import Features, take_rows
from survival.models.base import SurvivalModel
from survival.models.registry import make_model

QUARTILES = (25, 50, 75)
STOPPED = "The comparison was stopped; finished folds are kept."


@dataclass(frozen=True, eq=False)
class Data:
    """What all jobs of a comparison share. time, event: (m,). entry: (m,), None where all were followed from 0."""

    features: Features
    time: np.ndarray
    event: np.ndarray
    entry: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class FoldJob:
    """Fit `model` with settings to blocks of the train rows, score the test rows at times (T,)."""

    model: str
    settings: dict[str, Any]
    blocks: tuple[str, ...]
    train: np.ndarray
    test: np.ndarray
    times: np.ndarray


@dataclass(frozen=True, eq=False)
class FoldResult:
    """log_risk, quartile: (m,), survival: (m, T) of the test rows. gradient: (p,) float32, d log_hr / d x of the array
    blocks one after the other; empty where the model has none. error: why there are none, else ""."""

    log_risk: np.ndarray
    survival: np.ndarray
    quartile: np.ndarray
    gradient: np.ndarray
    notes: tuple[str, ...]
    seconds: float
    error: str = ""


def run_job(job: FoldJob, data: Data, cancelled: Cancelled = None) -> FoldResult:
    """A model that cannot be fitted gives a result with its sentence; FitCancelled passes through."""
    start = clock.perf_counter()
    blocks = {name: data.features[name] for name in job.blocks}
    train = take_rows(blocks, job.train)
    try:
        entry = None if data.entry is None else data.entry[job.train]
        model = make_model(job.model, **job.settings)
        model.fit(train, data.time[job.train], data.event[job.train], None, cancelled, entry)
        new = take_rows(blocks, job.test)
        log_risk = np.asarray(model.predict(new), dtype=np.float64)
        survival = np.asarray(model.predict_survival_function(new, job.times)[1], dtype=np.float64)
        # with delayed entry a curve may begin after the first of the times
        curves = survival if entry is None else survival[:, -1:]
        if not (np.isfinite(log_risk).all() and np.isfinite(curves).all()):
            ends = " (the follow-up of a stratum ends before the times asked for)" if job.settings.get("strata") else ""
            raise SurvivalError(f"Model {job.model} predicted something that is not a number{ends}.")
        gradient = _gradient(model, blocks)
    except FitCancelled:
        raise
    except SurvivalError as error:
        empty = np.empty(0)
        return FoldResult(empty, empty, empty, empty, (), clock.perf_counter() - start, str(error))
    quartile = _quartiles(model, train, log_risk)
    return FoldResult(log_risk, survival, quartile, gradient, tuple(model.notes_), clock.perf_counter() - start)


def _gradient(model: SurvivalModel, blocks: Features) -> np.ndarray:
    try:
        by_block = model.log_hr_gradient()
    except SurvivalError:
        return np.empty(0, np.float32)
    arrays = [name for name, block in blocks.items() if name in by_block and isinstance(block, np.ndarray)]
    return np.concatenate([np.empty(0), *(by_block[name].ravel() for name in arrays)]).astype(np.float32)


def _quartiles(model: SurvivalModel, train: Features, log_risk: np.ndarray) -> np.ndarray:
    """0 (lowest) to 3 by the quartiles of the training patients' out-of-fold scores; -1 where all are alike.

    A model without such scores has few coefficients, and its fitted scores stand in.
    """
    scores = model.predict(train) if model.out_of_fold_ is None else model.out_of_fold_
    if np.ptp(scores) == 0:
        return np.full(len(log_risk), -1, dtype=np.int64)
    return np.searchsorted(np.percentile(scores, QUARTILES), log_risk, side="right").astype(np.int64)


def results(
    jobs: Mapping[Any, FoldJob], data: Data, workers: int, cancelled: Cancelled
) -> Iterator[tuple[Any, FoldResult]]:
    """(name, result) of each job as it is done, from `workers` processes of one thread, or from this one.

    Raises FitCancelled, or SurvivalError where a worker died.
    """
    stop_if(cancelled, STOPPED)
    if workers <= 1:
        for name, job in jobs.items():
            stop_if(cancelled, STOPPED)
            yield name, run_job(job, data, cancelled)
        return
    with tempfile.TemporaryDirectory(prefix="survival-") as folder:
        arrays = tuple(name for name, block in data.features.items() if isinstance(block, np.ndarray))
        for place, name in enumerate(arrays):
            np.save(Path(folder) / f"{place}.npy", data.features[name], allow_pickle=False)
        tables = {name: block for name, block in data.features.items() if name not in arrays}
        shared = _OnDisk(Path(folder), arrays, replace(data, features=tables))
        try:
            for name, result in Pool(_worker, [shared] * min(workers, len(jobs))).run(jobs.items(), cancelled):
                if isinstance(result, WorkerDied):
                    raise SurvivalError(f"A model could not be fitted: {result}. Use fewer workers.")
                yield name, result
        except PoolStopped:
            raise FitCancelled(STOPPED) from None


@dataclass(frozen=True, eq=False)
class _OnDisk:
    """Data whose arrays lie in files that all workers map into memory."""

    folder: Path
    arrays: tuple[str, ...]
    rest: Data


def _worker(shared: _OnDisk) -> Callable[[FoldJob], FoldResult]:
    """What a worker process does with a job."""
    features = dict(shared.rest.features)
    for place, name in enumerate(shared.arrays):
        features[name] = np.load(shared.folder / f"{place}.npy", mmap_mode="r", allow_pickle=False)
    return partial(run_job, data=replace(shared.rest, features=features))
