"""Several models on the same patients: repeated nested cross-validation, external validation.

Every model sees the same folds, so differences are paired. A fold's model learns everything (levels, scaling,
components, penalty, stopping) from the other folds alone and scores the fold's patients. Work is one job per model and
fold, spread over processes of one thread each and kept in a folder under the digest of everything that shaped it, so
that a stopped comparison resumes and a repeated one costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from common.text import count
from survival.comparison.fold_job import Data, FoldJob, FoldResult, results
from survival.comparison.job_cache import Digest, JobCache
from survival.curves import kaplan_meier
from survival.errors import Cancelled, SurvivalError
from survival.features.encoding import Features, as_features, join_rows, rows_of
from survival.metrics.probability import evaluation_times
from survival.models.registry import model_entry
from survival.outcome import Outcome, check_entry, check_outcome, patient_folds, require_events

Progress = Callable[[int, int, float | None], None]


@dataclass(frozen=True)
class Candidate:
    """A model to be compared: name of the candidate, the registry's model, its settings, and the blocks it uses."""

    name: str
    model: str
    blocks: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Scores:
    """A candidate's scores of patients that it has not learned from. R repeats, m patients, T times.

    log_risk: (R, m), relative to its training median. survival: (R, m, T). quartile: (R, m) 0 (lowest) to 3 by the
    quartiles of the training patients' out-of-fold scores (fitted ones for models of few coefficients), -1 where all
    are alike. notes: of all folds, each once. seconds: of work. fold_cosine: mean cosine between the gradients of the
    first repeat's folds, nan where there are none, or where the scores were read from disk.
    """

    log_risk: np.ndarray
    survival: np.ndarray
    quartile: np.ndarray
    notes: tuple[str, ...]
    seconds: float
    fold_cosine: float = float("nan")


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Out-of-fold (or external) scores of all candidates on the same m patients.

    time, event: (m,). fold: (R, m), -1 for an external set. times: (T,). null: (R, m, T) the training patients'
    Kaplan-Meier curve at the times. failed: candidate -> the sentence that says why it has no scores. entry: (m,) with
    delayed entry, else None.
    """

    time: np.ndarray
    event: np.ndarray
    fold: np.ndarray
    times: np.ndarray
    null: np.ndarray
    scores: dict[str, Scores]
    failed: dict[str, str]
    entry: np.ndarray | None = None


def draw_folds(outcome: Outcome, folds: int, repeats: int, seed: int = 0) -> np.ndarray:
    """(repeats, m) fold of each patient, stratified on the event; repeat r depends on seed and r alone."""
    require_events(outcome, folds)
    if repeats < 1:
        raise SurvivalError("Give at least 1 repeat.")
    return np.stack([patient_folds(outcome.event, folds, np.random.default_rng([seed, r])) for r in range(repeats)])


def draw_folds_and_times(
    outcome: Outcome, folds: int, repeats: int, seed: int = 0, n: int = 20
) -> tuple[np.ndarray, np.ndarray]:
    """(folds of draw_folds, n evaluation times inside the follow-up of each part of every repeat).

    Raises SurvivalError, with the largest number of folds that works where one does.
    """
    fold = draw_folds(outcome, folds, repeats, seed)
    if (times := _common_times(outcome, fold, n)) is not None:
        return fold, times
    fewer = range(folds - 1, 1, -1)
    works = next((k for k in fewer if _common_times(outcome, draw_folds(outcome, k, repeats, seed), n) is not None), 0)
    events = int(outcome.event.sum())
    remedy = f"use {works} folds" if works else "add patients or wait for events"
    raise SurvivalError(
        f"With {events} events, some of {folds} folds, drawn {count(repeats, 'time')}, have no range of event "
        f"times in common, in which models could be compared: {remedy}."
    )


def _common_times(outcome: Outcome, fold: np.ndarray, n: int) -> np.ndarray | None:
    try:
        return evaluation_times(outcome.time, outcome.event, fold, n)
    except SurvivalError:
        return None


def cross_validate(
    candidates: Sequence[Candidate],
    X: Any,
    time: Any,
    event: Any,
    times: np.ndarray,
    fold: np.ndarray,
    *,
    entry: Any = None,
    cache: Path | str | None = None,
    workers: int = 1,
    on_progress: Progress | None = None,
    cancelled: Cancelled = None,
) -> CrossValidation:
    """Score every patient by models that have not seen it.

    Parameters
    ----------
    candidates : with different names. X : named blocks, one row per patient. time, event : (m,).
    times : (T,) at which survival is wanted, inside every training part's follow-up (probability.evaluation_times).
    fold : (repeats, m), of draw_folds. entry : (m,) when each came under observation, None: all at 0.
    cache : folder for finished jobs; None: none are kept. workers : processes; 1: this one.
    on_progress : called with jobs done, jobs in all, and seconds left (None: unknown).
    cancelled : asked often; True stops with FitCancelled. Finished jobs stay in the cache.

    Raises
    ------
    SurvivalError
        where the data do not fit each other. A candidate that cannot be fitted in some fold is in `failed` instead.
    """
    features, outcome = _checked(candidates, X, time, event)
    table = np.atleast_2d(fold)
    if table.shape[1:] != (len(outcome),):
        raise SurvivalError(f"The folds have shape {table.shape} for {len(outcome)} patients.")
    parts = [(r, int(k)) for r in range(len(table)) for k in np.unique(table[r])]
    train = {part: np.flatnonzero(table[part[0]] != part[1]) for part in parts}
    test = {part: np.flatnonzero(table[part[0]] == part[1]) for part in parts}
    at = _checked_times(times, outcome, list(train.values()))
    jobs = {
        (c.name, part): FoldJob(c.model, dict(c.settings), c.blocks, train[part], test[part], at)
        for c in candidates
        for part in parts
    }
    start = None if entry is None else check_entry(entry, outcome.time)
    data = Data(features, outcome.time, outcome.event, start)
    done = run_jobs(jobs, data, cache, workers, on_progress, cancelled)
    null = np.empty((*table.shape, len(at)))
    for (r, k), rows in train.items():
        entered = None if start is None else start[rows]
        null[r, test[r, k]] = kaplan_meier(outcome.time[rows], outcome.event[rows], entered).at(at)
    scores, failed = _collect(candidates, test, done, null.shape)
    return CrossValidation(outcome.time, outcome.event, table, at, null, scores, failed, start)


def external_test(
    candidates: Sequence[Candidate],
    X: Any,
    time: Any,
    event: Any,
    X_new: Any,
    time_new: Any,
    event_new: Any,
    times: np.ndarray,
    **work: Any,
) -> CrossValidation:
    """External validation: fit on one cohort, score another. R is 1, the patients are the new ones. work: as of
    cross_validate."""
    old, outcome = _checked(candidates, X, time, event)
    new, outcome_new = _checked(candidates, X_new, time_new, event_new)
    if set(old) != set(new):
        raise SurvivalError("The external set and the cohort have different blocks of features.")
    n, m = len(outcome), len(outcome_new)
    both = Data(
        {name: join_rows(old[name], new[name]) for name in old},
        np.r_[outcome.time, outcome_new.time],
        np.r_[outcome.event, outcome_new.event],
    )
    train, test = np.arange(n), np.arange(n, n + m)
    at = _checked_times(times, outcome, [train])
    jobs = {(c.name, (0, -1)): FoldJob(c.model, dict(c.settings), c.blocks, train, test, at) for c in candidates}
    done = run_jobs(jobs, both, **{"cache": None, "workers": 1, "on_progress": None, "cancelled": None, **work})
    null = np.tile(kaplan_meier(outcome.time, outcome.event).at(at), (1, m, 1))
    scores, failed = _collect(candidates, {(0, -1): np.arange(m)}, done, null.shape)
    return CrossValidation(outcome_new.time, outcome_new.event, np.full((1, m), -1), at, null, scores, failed)


def _checked(candidates: Sequence[Candidate], X: Any, time: Any, event: Any) -> tuple[Features, Outcome]:
    features, outcome = as_features(X), check_outcome(time, event)
    if rows_of(features) != len(outcome):
        raise SurvivalError(f"There are {rows_of(features)} rows of features but {len(outcome)} outcomes.")
    if not candidates or len({c.name for c in candidates}) < len(candidates):
        raise SurvivalError("Give at least one candidate, each with a different name.")
    for c in candidates:
        model_entry(c.model)
        absent = [b for b in c.blocks if b not in features]
        if absent or not c.blocks:
            raise SurvivalError(f"Candidate {c.name} needs the block {absent[0] if absent else '(none named)'}.")
    return features, outcome


def _checked_times(times: np.ndarray, outcome: Outcome, parts: list[np.ndarray]) -> np.ndarray:
    at = np.atleast_1d(np.asarray(times, dtype=np.float64))
    last = min(float(outcome.time[rows].max()) for rows in parts)
    if not np.isfinite(at).all() or (np.diff(at) <= 0).any() or at[0] < 0 or at[-1] > last:
        raise SurvivalError(
            f"Times must increase and lie between 0 and {last:g}, the shortest follow-up of a training part."
        )
    return at


def run_jobs(
    jobs: Mapping[Any, FoldJob],
    data: Data,
    cache: Path | str | None,
    workers: int,
    on_progress: Progress | None,
    cancelled: Cancelled,
) -> dict[Any, FoldResult]:
    """Results of all jobs, from the cache where it has them. jobs: by (name, part)."""
    store = JobCache(Path(cache)) if cache is not None else None
    keys: dict[Any, str] = {}
    done: dict[Any, FoldResult] = {}
    if store is not None:
        digest = Digest(data)
        keys = {name: digest.of(job) for name, job in jobs.items()}
        cached = {name: store.read(key, jobs[name]) for name, key in keys.items()}
        done = {name: result for name, result in cached.items() if result is not None}
    if on_progress is not None:
        on_progress(len(done), len(jobs), _seconds_left(jobs, done, workers))
    open_jobs = {name: job for name, job in jobs.items() if name not in done}
    for name, result in results(open_jobs, data, workers, cancelled) if open_jobs else ():
        done[name] = result
        if store is not None:
            store.write(keys[name], result)
        if on_progress is not None:
            on_progress(len(done), len(jobs), _seconds_left(jobs, done, workers))
    return done


def _seconds_left(jobs: Mapping[Any, FoldJob], done: Mapping[Any, FoldResult], workers: int) -> float | None:
    """By what each candidate's finished folds took; cached ones count as well."""
    if len(done) == len(jobs):
        return 0.0
    taken: dict[str, list[float]] = {}
    for (name, _), result in done.items():
        taken.setdefault(name, []).append(result.seconds)
    if not taken:
        return None
    overall = float(np.mean([s for each in taken.values() for s in each]))
    left = [name for name, part in jobs if (name, part) not in done]
    return sum(float(np.mean(taken[n])) if n in taken else overall for n in left) / max(1, workers)


def _collect(
    candidates: Sequence[Candidate],
    test: Mapping[tuple[int, int], np.ndarray],
    done: Mapping[Any, FoldResult],
    shape: tuple[int, ...],
) -> tuple[dict[str, Scores], dict[str, str]]:
    scores, failed = {}, {}
    for c in candidates:
        folds = {part: done[c.name, part] for part in test}
        errors = [result.error for result in folds.values() if result.error]
        if errors:
            failed[c.name] = errors[0]
            continue
        log_risk, survival = np.empty(shape[:2]), np.empty(shape)
        quartile = np.empty(shape[:2], dtype=np.int64)
        for (r, k), result in folds.items():
            rows = test[r, k]
            log_risk[r, rows], survival[r, rows] = result.log_risk, result.survival
            quartile[r, rows] = result.quartile
        notes = tuple(dict.fromkeys(note for result in folds.values() for note in result.notes))
        seconds = sum(result.seconds for result in folds.values())
        cosine = mean_cosine([result.gradient for (r, _), result in folds.items() if r == 0])
        scores[c.name] = Scores(log_risk, survival, quartile, notes, seconds, cosine)
    return scores, failed


def mean_cosine(gradients: Sequence[np.ndarray]) -> float:
    """Mean cosine between all pairs; a gradient of zeros (the null model) counts 0. nan where there are no pairs."""
    if len(gradients) < 2 or any(len(gradient) == 0 for gradient in gradients):
        return float("nan")
    rows = np.stack(gradients).astype(np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
    return float((unit @ unit.T)[np.triu_indices(len(unit), 1)].mean())
