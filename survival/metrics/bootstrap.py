"""A figure with its values in bootstrap samples, so that two from the same patients can be compared in pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from survival.errors import SurvivalError
from survival.metrics.concordance import LEVEL, MIN_VALID, Estimate, bootstrap_weights


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
        """With the percentile 95 % interval. Raises SurvivalError where too few samples have a value."""
        valid = self.samples[np.isfinite(self.samples)]
        if not np.isfinite(self.value) or len(valid) < MIN_VALID * len(self.samples) or len(valid) == 0:
            raise SurvivalError("There are too few events to say how certain this number is: add patients.")
        low, high = np.percentile(valid, LEVEL)
        return Estimate(self.value, float(low), float(high), self.n)

    def __sub__(self, other: Resampled) -> Resampled:
        if len(self.samples) != len(other.samples) or self.n != other.n:
            raise SurvivalError("Only figures from the same bootstrap samples can be compared in pairs.")
        return Resampled(self.value - other.value, self.samples - other.samples, self.n)


def resampled(values: np.ndarray, n: int) -> Resampled:
    """From values (1 + b,), those of the patients as they are first."""
    return Resampled(float(values[0]), np.asarray(values[1:], dtype=np.float64), n)


def mean_of(parts: list[Resampled]) -> Resampled:
    """Mean over repeats of a cross-validation, sample by sample."""
    values = np.mean([np.concatenate([[p.value], p.samples]) for p in parts], axis=0)
    return resampled(values, parts[0].n)


def sample_weights(patients: int, samples: int = 1000, seed: int = 0) -> np.ndarray:
    """(patients, 1 + samples): ones, then how often each patient is drawn. One seed for all that is compared."""
    return np.column_stack([np.ones(patients), bootstrap_weights(patients, samples, seed)])
