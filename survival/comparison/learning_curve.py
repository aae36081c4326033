"""How well a model predicts by the number of patients that it learns from, and how many a target would take.

The folds are those of a cross-validation of the whole cohort. Each fold's model is fitted to a random part of its
training patients, events and censored in the cohort's proportion, a larger part holding the smaller one. So every size
is evaluated on the same patients, and at the full size the curve is the cross-validation itself. The curve through the
sizes is an inverse power law, limit - drop * n^-power (Cortes et al., NIPS 1993; Figueroa et al., BMC Med Inform Decis
Mak 2012;12:8).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from survival.comparison.crossval import Candidate, run_jobs
from survival.comparison.fold_job import Data, FoldJob
from survival.errors import Cancelled, SurvivalError
from survival.features.encoding import as_features
from survival.metrics.bootstrap import Resampled, sample_weights
from survival.metrics.concordance import harrell_resampled, recovered_share
from survival.metrics.estimate import LEVEL, Estimate
from survival.outcome import Outcome, check_entry, check_outcome

MIN_EVENTS = 10  # among the patients that a model is fitted to
MIN_SIZES = 3
FIRST_EVENTS, STEPS = 20, 6  # of the sizes chosen when none are given
BEYOND = 4  # times the cohort: no curve is drawn further than this
POWERS = np.linspace(0.3, 1.5, 25)


@dataclass(frozen=True)
class Size:
    """A point of the curve: a cohort of `patients` with `events`, of which the folds' models learn from all but one
    fold. harrell: C of all patients, out of fold. share: of what the true hazard would reach; None where that is not
    known. spread: standard deviation of C over the random parts; nan for one."""

    patients: int
    events: int
    harrell: Estimate
    share: Estimate | None
    spread: float


@dataclass(frozen=True, eq=False)
class PowerLaw:
    """limit - drop * n^-power: of the cohort's values, and of each of the b bootstrap samples. (1 + b,) each."""

    limit: np.ndarray
    drop: np.ndarray
    power: np.ndarray

    def at(self, patients: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values at these numbers of patients, and the limits of their 95 % intervals, (k,) each."""
        n = np.atleast_1d(np.asarray(patients, dtype=np.float64))
        values = self.limit[:, None] - self.drop[:, None] * n ** -self.power[:, None]
        low, high = np.percentile(values[1:], LEVEL, axis=0)
        return values[0], low, high

    def needed(self, target: float) -> tuple[float, float, float]:
        """Patients at which the curve reaches a value, with the 95 % interval; inf where it does not reach it."""
        room = self.limit - target
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            patients = np.where(room > 0, (self.drop / room) ** (1 / self.power), np.inf)
        low, high = (np.percentile(patients[1:], level, method="nearest") for level in LEVEL)
        return float(patients[0]), float(low), float(high)


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """sizes: rising. harrell, share: the curves through their values; share is None without a true hazard.
    ceiling: C of the true hazard, None without one. notes: sizes that are left out, and why."""

    sizes: tuple[Size, ...]
    harrell: PowerLaw
    share: PowerLaw | None
    ceiling: Estimate | None
    notes: tuple[str, ...] = ()


def default_sizes(event: np.ndarray, folds: int) -> tuple[int, ...]:
    """Up to STEPS sizes, evenly spaced in log, from FIRST_EVENTS events to learn from up to all m patients."""
    m = len(event)
    first = min(m, int(np.ceil(FIRST_EVENTS / event.mean() * folds / (folds - 1)))) if event.any() else m
    return tuple(dict.fromkeys(round(n) for n in np.geomspace(first, m, STEPS)))


def check_sizes(sizes: Sequence[int], event: np.ndarray, folds: int) -> tuple[int, ...]:
    """The sizes in rising order. Raises SurvivalError for one with too few events to learn from, or beyond m."""
    m, ordered = len(event), tuple(sorted(set(map(int, sizes))))
    if len(ordered) < MIN_SIZES:
        raise SurvivalError(f"A learning curve needs at least {MIN_SIZES} different numbers of patients.")
    least = int(np.ceil(MIN_EVENTS / event.mean() * folds / (folds - 1))) if event.any() else m + 1
    if least > m:
        raise SurvivalError(
            f"There are only {int(event.sum())} events among {m} patients, too few for a learning curve: models need "
            f"{MIN_EVENTS} to learn from. Add patients, or wait for events."
        )
    if ordered[0] < least:
        raise SurvivalError(
            f"{ordered[0]} patients have fewer than {MIN_EVENTS} events to learn from in {folds}-fold "
            f"cross-validation: give numbers from {least} to {m}."
        )
    if ordered[-1] > m:
        raise SurvivalError(f"There are {m} patients, not {ordered[-1]}: give numbers from {least} to {m}.")
    return ordered


def learning_curve(
    candidate: Candidate,
    X: Any,
    time: Any,
    event: Any,
    fold: np.ndarray,
    sizes: Sequence[int] = (),
    *,
    truth: np.ndarray | None = None,
    entry: Any = None,
    samples: int = 1000,
    seed: int = 0,
    cache: Path | None = None,
    workers: int = 1,
    on_progress: Callable[[int, int, float | None], None] | None = None,
    cancelled: Cancelled = None,
) -> LearningCurve:
    """The curve of one model over the folds (R, m) of draw_folds, another random part in each repeat.

    X : named blocks, m rows. sizes : numbers of patients, (): default_sizes. truth : (m,) true log hazards of
    simulated patients. entry, cache, workers, on_progress, cancelled : as of cross_validate. samples, seed : of the
    bootstrap over patients and repeats together, and of the random parts. Raises SurvivalError; FitCancelled.
    """
    outcome, features = check_outcome(time, event), as_features(X)
    folds = int(fold.max()) + 1
    chosen = check_sizes(sizes or default_sizes(outcome.event, folds), outcome.event, folds)
    start = None if entry is None else check_entry(entry, outcome.time)
    jobs = _jobs(candidate, outcome, fold, chosen, seed)
    data = Data(features, outcome.time, outcome.event, start)
    done = run_jobs(jobs, data, cache, workers, on_progress, cancelled)
    weight = sample_weights(len(outcome), samples, seed)
    ceiling = None if truth is None else harrell_resampled(outcome.time, outcome.event, truth, weight, start)
    points, harrell, share, notes = list[Size](), list[Resampled](), list[Resampled](), list[str]()
    for size in chosen:
        results = {place: result for (name, place), result in done.items() if name == size}
        if error := next((result.error for result in results.values() if result.error), ""):
            notes.append(f"{size} patients: not every part of the cohort could be fitted. {error}")
            continue
        risks = np.empty(fold.shape)
        for (r, k), result in results.items():
            risks[r, fold[r] == k] = result.log_risk
        parts = [harrell_resampled(outcome.time, outcome.event, risk, weight, start) for risk in risks]
        c = _over_repeats(parts, seed)
        harrell.append(c)
        share += [recovered_share(c, ceiling)] if ceiling is not None else []
        spread = float(np.std([part.value for part in parts], ddof=1)) if len(parts) > 1 else float("nan")
        events = round(size * outcome.event.mean())
        points.append(Size(size, events, c.estimate(), share[-1].estimate() if share else None, spread))
    if len(points) < MIN_SIZES:
        raise SurvivalError(f"Too few sizes could be fitted for a learning curve. {notes[0]}")
    sizes = [point.patients for point in points]
    return LearningCurve(
        tuple(points),
        fit_power_law(sizes, harrell, 1.0 if ceiling is None else ceiling.value),
        fit_power_law(sizes, share, 1.0) if share else None,
        None if ceiling is None else ceiling.estimate(),
        tuple(notes),
    )


def _jobs(
    candidate: Candidate, outcome: Outcome, fold: np.ndarray, sizes: Sequence[int], seed: int
) -> dict[tuple[int, tuple[int, int]], FoldJob]:
    """(size, (repeat, fold)) -> its job."""
    parts = {}
    for r, labels in enumerate(fold):
        for k in range(int(fold.max()) + 1):
            train = np.flatnonzero(labels != k)
            order = stratified_order(outcome.event[train], np.random.default_rng([seed, r, k]))
            for size in sizes:
                parts[size, (r, k)] = np.sort(train[order[: round(size / len(outcome) * len(train))]])
    # no survival curve is read, but a job wants a time, which every part must reach
    at = np.array([min(float(outcome.time[part].max()) for part in parts.values())])
    settings = dict(candidate.settings)
    return {
        (size, (r, k)): FoldJob(candidate.model, settings, candidate.blocks, part, np.flatnonzero(fold[r] == k), at)
        for (size, (r, k)), part in parts.items()
    }


def stratified_order(event: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order of n rows whose every beginning has events in the proportion of the whole, to within one."""
    place = np.empty(len(event))
    for group in (np.flatnonzero(event), np.flatnonzero(~event)):
        place[rng.permutation(group)] = (np.arange(len(group)) + 0.5) / max(1, len(group))
    return np.argsort(place, kind="stable")


def _over_repeats(parts: Sequence[Resampled], seed: int) -> Resampled:
    """Mean over repeats; in each bootstrap sample of patients the repeats are drawn with replacement as well, since
    other random parts would have given other values."""
    values = np.stack([part.samples for part in parts])
    drawn = np.random.default_rng([seed, 1]).integers(len(parts), size=values.shape)
    samples = np.take_along_axis(values, drawn, axis=0).mean(axis=0)
    return Resampled(float(np.mean([part.value for part in parts])), samples, parts[0].n)


def fit_power_law(sizes: Sequence[int], values: Sequence[Resampled], top: float = 1.0) -> PowerLaw:
    """Weighted least squares over the sizes, in the cohort and in each bootstrap sample; the weights are the inverse
    variances of the values. drop >= 0; limit at most `top`, the power one of POWERS."""
    n = np.asarray(sizes, dtype=np.float64)
    y = np.stack([np.concatenate([[v.value], v.samples]) for v in values])  # (s, 1 + b)
    y = np.where(np.isfinite(y), y, y[:, :1])
    variance = y[:, 1:].var(axis=1)
    weight = 1 / np.maximum(variance, max(float(variance.max()) * 1e-4, 1e-12))
    weight /= weight.sum()
    best = np.full(y.shape[1], np.inf)
    limit, drop, power = (np.zeros(y.shape[1]) for _ in range(3))
    for exponent in POWERS:
        x = n**-exponent
        mean_x, mean_y = float(weight @ x), weight @ y
        slope = (weight * (x - mean_x)) @ (y - mean_y) / float(weight @ (x - mean_x) ** 2)
        slope = np.minimum(slope, 0.0)
        start = mean_y - slope * mean_x
        over = start > top
        slope = np.where(over, np.minimum((weight * x) @ (y - top) / float(weight @ x**2), 0.0), slope)
        start = np.minimum(start, top)
        left = weight @ (y - start - x[:, None] * slope) ** 2
        better = left < best
        best = np.where(better, left, best)
        limit, drop, power = (
            np.where(better, new, old)
            for new, old in ((start, limit), (-slope, drop), (np.full_like(slope, exponent), power))
        )
    return PowerLaw(limit, drop, power)
