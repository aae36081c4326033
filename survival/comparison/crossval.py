"""Several models judged on the same patients: repeated nested cross-validation, an external test set.

Every model sees the same folds, so differences are paired. A fold's model learns everything (levels, scaling,
components, penalty, stopping) from the other folds alone; what it says of the fold's patients is kept. Work is one job
a model and fold, spread over processes of one thread each and kept in a folder under the digest of everything that
shaped it, so that a stopped comparison goes on and a repeated one costs nothing.
"""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from survival.comparison.job_cache import Digest, JobCache
from survival.comparison.workers import Job, JobResult, Pool, run_job
from survival.curves import kaplan_meier
from survival.errors import FitCancelled, SurvivalError
from survival.features.encoding import Features, FeatureSet, as_features, join_rows, rows_of
from survival.models.registry import model_entry
from survival.outcome import Outcome, check_entry, check_outcome, patient_folds, require_events

Progress = Callable[[int, int, float | None], None]


@dataclass(frozen=True)
class Candidate:
    """A model to be judged: name of this candidate, the registry's model, its settings, and the blocks it looks at."""

    name: str
    model: str
    blocks: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


def candidate_of(
    features: FeatureSet, model: str = "cox-ridge", settings: Mapping[str, Any] | None = None, name: str | None = None
) -> Candidate:
    """A candidate that looks at a feature set: blocks and missing values as the set says, late fusion as stacking.

    settings : of the model; under late fusion of each member. name : None: "set / model".
    """
    own = {"missing": features.missing, **(settings or {})}
    label = name or f"{features.name} / {model}"
    if features.fusion == "early" or len(features.blocks) == 1:
        return Candidate(label, model, features.blocks, own)
    members = {block: {"blocks": block, "model": model, "settings": own} for block in features.blocks}
    return Candidate(label, "late-fusion", features.blocks, {"members": members})


@dataclass(frozen=True, eq=False)
class Scores:
    """What a candidate says of patients it has not learned from. R repeats, m patients, T times.

    log_risk: (R, m), relative to its training median. survival: (R, m, T). quartile: (R, m) 0 (lowest) to 3 by the
    quartiles of the training patients' own out-of-fold scores (fitted ones for models of few coefficients), -1 where
    all are alike. notes: of all folds, each
    once. seconds: of work.
    """

    log_risk: np.ndarray
    survival: np.ndarray
    quartile: np.ndarray
    notes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """Out-of-fold (or external) scores of all candidates on the same m patients.

    time, event: (m,). fold: (R, m), -1 for an external set. times: (T,). null: (R, m, T) the training patients'
    Kaplan-Meier curve at the times. failed: candidate -> the sentence that says why it has no scores. entry: (m,) when
    each came under observation, where some came after time 0, else None.
    """

    time: np.ndarray
    event: np.ndarray
    fold: np.ndarray
    times: np.ndarray
    null: np.ndarray
    scores: dict[str, Scores]
    failed: dict[str, str]
    entry: np.ndarray | None = None


def deal_folds(outcome: Outcome, folds: int, repeats: int, seed: int = 0) -> np.ndarray:
    """(repeats, m) fold of each patient, stratified on the event; repeat r depends on seed and r alone."""
    require_events(outcome, folds)
    if repeats < 1:
        raise SurvivalError("Give at least 1 repeat.")
    return np.stack([patient_folds(outcome.event, folds, np.random.default_rng([seed, r])) for r in range(repeats)])


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
    cancelled: Callable[[], bool] | None = None,
) -> Comparison:
    """Score every patient by models that have not seen it.

    Parameters
    ----------
    candidates : with names of their own. X : named blocks, one row a patient. time, event : (m,).
    times : (T,) at which survival is wanted, inside every training part's follow-up (probability.evaluation_times).
    fold : (repeats, m), of deal_folds. entry : (m,) when each came under observation, None: all at 0.
    cache : folder for finished jobs; None: none are kept. workers : processes; 1: in this one.
    on_progress : called with jobs done, jobs in all, and seconds left (None: not known yet).
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
        (c.name, part): Job(c.model, model_entry(c.model), dict(c.settings), c.blocks, train[part], test[part], at)
        for c in candidates
        for part in parts
    }
    late = None if entry is None else check_entry(entry, outcome.time)
    done = _run(jobs, features, outcome, late, cache, workers, on_progress, cancelled)
    null = np.empty((*table.shape, len(at)))
    for (r, k), rows in train.items():
        came = None if late is None else late[rows]
        null[r, test[r, k]] = kaplan_meier(outcome.time[rows], outcome.event[rows], came).at(at)
    scores, failed = _collect(candidates, parts, test, done, null.shape)
    return Comparison(outcome.time, outcome.event, table, at, null, scores, failed, late)


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
) -> Comparison:
    """Fit on one cohort, score another: R is 1, the patients are the new ones. work: as of cross_validate."""
    old, outcome = _checked(candidates, X, time, event)
    new, outcome_new = _checked(candidates, X_new, time_new, event_new)
    if set(old) != set(new):
        raise SurvivalError("The external set has other blocks of features than the cohort.")
    features = {name: join_rows(old[name], new[name]) for name in old}
    n, m = len(outcome), len(outcome_new)
    both = check_outcome(np.r_[outcome.time, outcome_new.time], np.r_[outcome.event, outcome_new.event])
    train, test, part = np.arange(n), np.arange(n, n + m), (0, -1)
    at = _checked_times(times, outcome, [train])
    jobs = {
        (c.name, part): Job(c.model, model_entry(c.model), dict(c.settings), c.blocks, train, test, at)
        for c in candidates
    }
    options = {"cache": None, "workers": 1, "on_progress": None, "cancelled": None, **work}
    done = _run(jobs, features, both, None, **options)
    null = np.tile(kaplan_meier(outcome.time, outcome.event).at(at), (1, m, 1))
    scores, failed = _collect(candidates, [part], {part: np.arange(m)}, done, null.shape)
    return Comparison(outcome_new.time, outcome_new.event, np.full((1, m), -1), at, null, scores, failed)


def _checked(candidates: Sequence[Candidate], X: Any, time: Any, event: Any) -> tuple[Features, Outcome]:
    features, outcome = as_features(X), check_outcome(time, event)
    if rows_of(features) != len(outcome):
        raise SurvivalError(f"There are {rows_of(features)} rows of features but {len(outcome)} outcomes.")
    if not candidates or len({c.name for c in candidates}) < len(candidates):
        raise SurvivalError("Give at least one candidate, each with a name of its own.")
    for c in candidates:
        absent = [b for b in c.blocks if b not in features]
        if absent or not c.blocks:
            raise SurvivalError(f"Candidate {c.name} needs the block {absent[0] if absent else '(none named)'}.")
    return features, outcome


def _checked_times(times: np.ndarray, outcome: Outcome, parts: list[np.ndarray]) -> np.ndarray:
    at = np.atleast_1d(np.asarray(times, dtype=np.float64))
    last = min(float(outcome.time[rows].max()) for rows in parts)
    if not np.isfinite(at).all() or (np.diff(at) <= 0).any() or at[0] < 0 or at[-1] > last:
        raise SurvivalError(
            f"Times must rise and lie between 0 and {last:g}, the shortest follow-up of a training part."
        )
    return at


def _run(
    jobs: Mapping[Any, Job],
    features: Features,
    outcome: Outcome,
    entry: np.ndarray | None,
    cache: Path | str | None,
    workers: int,
    on_progress: Progress | None,
    cancelled: Callable[[], bool] | None,
) -> dict[Any, JobResult]:
    """Results of all jobs, from the cache where it has them."""
    store = JobCache(Path(cache)) if cache is not None else None
    digest = Digest(features, outcome, entry) if store is not None else None
    keys = {name: digest.of(job) for name, job in jobs.items()} if digest is not None else {}
    done: dict[Any, JobResult] = {}
    for name, key in keys.items():
        found = store.read(key, jobs[name]) if store is not None else None
        if found is not None:
            done[name] = found
    estimate = _Remaining(jobs, done, max(1, workers))
    if on_progress is not None:
        on_progress(len(done), len(jobs), estimate.seconds(done))
    open_jobs = {name: job for name, job in jobs.items() if name not in done}
    for name, result in _results(open_jobs, features, outcome, entry, workers, cancelled):
        done[name] = result
        if store is not None:
            store.write(keys[name], result)
        if on_progress is not None:
            on_progress(len(done), len(jobs), estimate.seconds(done))
    return done


def _results(
    jobs: Mapping[Any, Job],
    features: Features,
    outcome: Outcome,
    entry: np.ndarray | None,
    workers: int,
    cancelled: Callable[[], bool] | None,
) -> Iterator[tuple[Any, JobResult]]:
    if not jobs:
        return
    if workers <= 1:
        for name, job in jobs.items():
            if cancelled is not None and cancelled():
                raise FitCancelled("The comparison was stopped; finished folds are kept.")
            yield name, run_job(job, features, outcome.time, outcome.event, cancelled, entry)
        return
    if cancelled is not None and cancelled():
        raise FitCancelled("The comparison was stopped before it began.")
    with Pool(features, outcome.time, outcome.event, min(workers, len(jobs)), entry) as pool:
        yield from pool.results(jobs, cancelled)


class _Remaining:
    """Seconds left, by what each candidate's finished folds took; what was cached counts as well."""

    def __init__(self, jobs: Mapping[Any, Job], cached: Mapping[Any, JobResult], workers: int) -> None:
        self.jobs, self.workers, self.started = jobs, workers, clock.perf_counter()
        self.cached = len(cached)

    def seconds(self, done: Mapping[Any, JobResult]) -> float | None:
        if len(done) == len(self.jobs):
            return 0.0
        taken: dict[str, list[float]] = {}
        for (name, _), result in done.items():
            taken.setdefault(name, []).append(result.seconds)
        if not taken:
            return None
        overall = float(np.mean([s for each in taken.values() for s in each]))
        left = [name for name, part in self.jobs if (name, part) not in done]
        return sum(float(np.mean(taken[n])) if n in taken else overall for n in left) / self.workers


def _collect(
    candidates: Sequence[Candidate],
    parts: list[tuple[int, int]],
    test: Mapping[tuple[int, int], np.ndarray],
    done: Mapping[Any, JobResult],
    shape: tuple[int, ...],
) -> tuple[dict[str, Scores], dict[str, str]]:
    scores, failed = {}, {}
    for c in candidates:
        results = {part: done[c.name, part] for part in parts}
        errors = [result.error for result in results.values() if result.error]
        if errors:
            failed[c.name] = errors[0]
            continue
        log_risk, survival = np.empty(shape[:2]), np.empty(shape)
        quartile = np.empty(shape[:2], dtype=np.int64)
        for (r, k), result in results.items():
            rows = test[r, k]
            log_risk[r, rows], survival[r, rows] = result.log_risk, result.survival
            quartile[r, rows] = result.quartile
        notes = tuple(dict.fromkeys(note for result in results.values() for note in result.notes))
        scores[c.name] = Scores(log_risk, survival, quartile, notes, sum(x.seconds for x in results.values()))
    return scores, failed
