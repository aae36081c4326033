"""Estimates with their values in bootstrap samples of patients, so that two from the same patients can be paired.

Patients are drawn with replacement. Models are not refitted: an interval is the uncertainty of the evaluation of these
predictions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from survival.errors import SurvivalError
from survival.metrics.estimate import Estimate, percentile_interval


@dataclass(frozen=True, eq=False)
class Resampled:
    """value: on the patients as they are. samples: (b,) in bootstrap samples. n: patients.

    Differences of two are paired where both come from the same weights: what the two models have in common (easy and
    difficult patients) cancels out.
    """

    value: float
    samples: np.ndarray
    n: int

    def estimate(self) -> Estimate:
        """With the percentile 95 % interval; nan limits where too few samples have a value."""
        return percentile_interval(self.value, self.samples, self.n)

    def __sub__(self, other: Resampled) -> Resampled:
        if len(self.samples) != len(other.samples) or self.n != other.n:
            raise SurvivalError("Only estimates from the same bootstrap samples can be compared in pairs.")
        return Resampled(self.value - other.value, self.samples - other.samples, self.n)


def resampled(values: np.ndarray, n: int) -> Resampled:
    """From values (1 + b,), those of the patients as they are first."""
    return Resampled(float(values[0]), np.asarray(values[1:], dtype=np.float64), n)


def mean_of(parts: list[Resampled]) -> Resampled:
    """Mean over repeats of a cross-validation, sample by sample."""
    return resampled(np.mean([np.concatenate([[p.value], p.samples]) for p in parts], axis=0), parts[0].n)


def sample_weights(patients: int, samples: int = 1000, seed: int = 0) -> np.ndarray:
    """(patients, 1 + samples): ones, then how often each patient is drawn. One seed for all that is compared."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(patients, np.full(patients, 1 / patients), size=samples).T
    return np.column_stack([np.ones(patients), drawn.astype(np.float64)])


def bootstrap_ci(statistic: Callable[[np.ndarray], float], patients: int, n: int = 1000, seed: int = 0) -> Estimate:
    """Any statistic of patients with its percentile interval.

    statistic : takes row indices (with repeats), returns a float; nan or SurvivalError where it has no value.
    """
    rng = np.random.default_rng(seed)
    values = np.empty(n)
    for b in range(n):
        try:
            values[b] = statistic(rng.integers(patients, size=patients))
        except SurvivalError:
            values[b] = np.nan
    return percentile_interval(float(statistic(np.arange(patients))), values, patients)
