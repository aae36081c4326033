"""Evaluation of a comparison: every measure of every candidate with its interval, and paired differences.

All measures come from the same bootstrap samples of patients, and from the mean over the repeats, so any two of them
can be subtracted.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
import pandas as pd

from survival.comparison.crossval import CrossValidation
from survival.cox_regression.regression import cox_regression, likelihood_ratio
from survival.errors import SurvivalError
from survival.metrics.bootstrap import Resampled, mean_of, resampled, sample_weights
from survival.metrics.calibration import Calibration, calibration, calibration_slope
from survival.metrics.concordance import harrell_resampled, uno_resampled
from survival.metrics.estimate import Estimate
from survival.metrics.probability import auc_columns, brier_scores
from survival.tails import ChiSquare

HARRELL, UNO, IBS, SCALED_IBS = "Harrell C", "Uno C", "IBS", "scaled IBS"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """measures: candidate -> measure -> Resampled: Harrell C, Uno C, AUC(t) and Brier(t) at each horizon, IBS,
    scaled IBS; with delayed entry Harrell C alone. tau: of Uno's C. horizons: (H,). calibrations:
    candidate -> one Calibration a horizon, of the first repeat. slopes: candidate -> Cox slope of the outcome on the
    log risk, first repeat. failed: candidate -> sentence.
    """

    measures: dict[str, dict[str, Resampled]]
    tau: float
    horizons: tuple[float, ...]
    calibrations: dict[str, tuple[Calibration, ...]]
    slopes: dict[str, Estimate]
    failed: dict[str, str]

    def table(self) -> pd.DataFrame:
        """One row per candidate and measure: model, measure, value, low, high, n; limits are nan with too few."""
        rows = [
            (model, measure, *astuple(value.estimate()))
            for model, measures in self.measures.items()
            for measure, value in measures.items()
        ]
        return pd.DataFrame(rows, columns=["model", "measure", "value", "low", "high", "n"])

    def difference(self, model: str, other: str, measure: str = HARRELL) -> Estimate:
        """Paired: the measure of one minus that of the other, with its 95 % interval."""
        for name in (model, other):
            if name not in self.measures:
                raise SurvivalError(self.failed.get(name, f"There is no candidate called {name!r} in this comparison."))
            if measure not in self.measures[name]:
                raise SurvivalError(f"There is no measure called {measure!r}: {', '.join(self.measures[name])}.")
        return (self.measures[model][measure] - self.measures[other][measure]).estimate()


def evaluate(
    comparison: CrossValidation,
    horizons: tuple[float, ...],
    *,
    samples: int = 1000,
    seed: int = 0,
    calibrate: bool = True,
) -> Evaluation:
    """All measures of all candidates.

    horizons : times of the comparison at which AUC, Brier and calibration are reported. samples, seed : of the
    bootstrap. calibrate : also calibration (the slowest part).

    With delayed entry Harrell's C and the slopes count each patient from entry on. The other measures weigh by a
    censoring that starts at time 0, or count the deaths by t among all, so there are none.
    """
    at = comparison.times
    places = [int(np.argmin(np.abs(at - h))) for h in horizons]
    if not horizons or any(not np.isclose(at[p], h) for p, h in zip(places, horizons, strict=True)):
        raise SurvivalError("Horizons must be among the times that the comparison was made for.")
    tau = float(at[-1])  # of Uno's C
    weight = sample_weights(len(comparison.time), samples, seed)
    measures = {name: _measures(comparison, name, places, tau, weight) for name in comparison.scores}
    calibrations, slopes = {}, {}
    for name, scores in comparison.scores.items():
        slopes[name] = calibration_slope(comparison.time, comparison.event, scores.log_risk[0], comparison.entry)
        if calibrate and comparison.entry is None:
            outcome, first = (comparison.time, comparison.event), scores.survival[0]
            calibrations[name] = tuple(
                calibration(*outcome, first[:, p], at[p], samples=samples, seed=seed) for p in places
            )
    return Evaluation(measures, tau, tuple(horizons), calibrations, slopes, dict(comparison.failed))


def _measures(
    comparison: CrossValidation, name: str, places: list[int], tau: float, weight: np.ndarray
) -> dict[str, Resampled]:
    """Means over the repeats."""
    time, event, at = comparison.time, comparison.event, comparison.times
    each: dict[str, list[Resampled]] = {}
    scores = comparison.scores[name]
    for r in range(len(comparison.fold)):
        risk, n = scores.log_risk[r], len(time)
        measures = concordances(comparison, risk, tau, weight)
        for p in places if comparison.entry is None else ():
            # of the log risk: a predicted risk by t carries its fold's baseline hazard, and a fold held out with
            # many events leaves a training part with few, so that folds would rank against each other the wrong way
            measures[f"AUC({at[p]:g})"] = resampled(auc_columns(time, event, risk, at[p], weight), n)
        if len(at) > 1 and comparison.entry is None:
            brier, ibs, scaled = brier_scores(time, event, scores.survival[r], comparison.null[r], at, weight)
            measures |= {f"Brier({at[p]:g})": brier[p] for p in places} | {IBS: ibs, SCALED_IBS: scaled}
        for measure, value in measures.items():
            each.setdefault(measure, []).append(value)
    return {measure: mean_of(parts) for measure, parts in each.items()}


def concordances(comparison: CrossValidation, risk: np.ndarray, tau: float, weight: np.ndarray) -> dict[str, Resampled]:
    """Harrell's C of risks (m,), and, without delayed entry, Uno's C up to tau, under the columns of sample_weights."""
    time, event = comparison.time, comparison.event
    measures = {HARRELL: harrell_resampled(time, event, risk, weight, comparison.entry)}
    if comparison.entry is None:
        measures[UNO] = uno_resampled(time, event, risk, tau, weight)
    return measures


def added_value(comparison: CrossValidation, base: str, added: str) -> ChiSquare:
    """Likelihood-ratio test of one candidate's out-of-fold score, adjusted for the base candidate's (first repeat).

    Both scores come from models that have not seen the patient, so the test is not flattered by their fitting.
    """
    scores = {}
    for name in (base, added):
        if name not in comparison.scores:
            raise SurvivalError(comparison.failed.get(name, f"There is no candidate called {name!r}."))
        scores[name] = comparison.scores[name].log_risk[0]
    outcome = (comparison.time, comparison.event)
    small = cox_regression(scores[base], *outcome, names=[base], entry=comparison.entry)
    both = np.column_stack([scores[base], scores[added]])
    large = cox_regression(both, *outcome, names=[base, added], entry=comparison.entry)
    return likelihood_ratio(small, large)
