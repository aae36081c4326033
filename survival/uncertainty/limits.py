"""Limits of one score from its spread over refits of the model and over photos of the person.

With s_b the score under refit b, sd_b the standard deviation of the difference between two photos' scores under it, and
r_b(t) the baseline hazard of its sample by the mean of all samples,

    log hazard ratio   s +- z sqrt(var_b s_b + mean_b sd_b^2)
    survival           exp(-H0(t) exp(s +- z sqrt(var_b (s_b + r_b(t)) + mean_b sd_b^2)))

r_b(t) stands for its logarithm, first order around 1. The limits lie around the score and not around the refits: a
penalty draws these towards 0, so that they tell the variance and not the place. Normal limits, because some twenty
refits give a standard deviation and not the tails of a distribution (Efron, Tibshirani 1993, section 6.4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from survival.cox_regression.baseline import Baseline
from survival.tails import Z90
from survival.uncertainty.refits import Refits

LEVEL = 0.90


@dataclass(frozen=True, eq=False)
class Limits:
    """low and high: numbers, or (T,) along a curve."""

    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True, eq=False)
class Spread:
    """scores: (B,) of one row under each refit. hazard_ratio: (B, T) as of Refits. photo: variance of the difference
    between the scores of two photos, 0 where it is not known."""

    scores: np.ndarray
    hazard_ratio: np.ndarray
    photo: float

    def log_hr(self, estimate: float) -> Limits:
        reach = Z90 * np.sqrt(self.scores.var(ddof=1) + self.photo)
        return Limits(estimate - reach, estimate + reach)

    def survival(self, estimate: float, baseline: Baseline, times: np.ndarray) -> Limits:
        """(T',) limits of S(t) at some times; nan where the baseline has no curve. They never rise with t."""
        at, hazard = baseline.hazard(times)
        variance = (self.scores[:, None] + self.hazard_ratio).var(axis=0, ddof=1) + self.photo
        reach = Z90 * np.sqrt(variance)  # at the baseline's times
        with np.errstate(over="ignore"):
            low, high = (
                np.concatenate(
                    [[0.0], np.maximum.accumulate(baseline.cumulative_hazard * np.exp(estimate + side * reach))]
                )
                for side in (-1, 1)
            )
        place = np.searchsorted(baseline.times, at, side="right")
        return Limits(*(np.where(np.isnan(hazard), np.nan, np.exp(-each[place])) for each in (high, low)))


def spread_of(refits: Refits, flat: np.ndarray, sd: np.ndarray | None = None) -> Spread:
    """Of one encoded row (1, p). sd: (B,) of the difference between two photos' scores under each refit."""
    photo = 0.0 if sd is None else float(np.mean(np.square(sd)))
    return Spread(refits.predict(flat)[:, 0], refits.hazard_ratio, photo)
