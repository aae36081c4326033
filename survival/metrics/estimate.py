"""An estimate with its 95 % interval, and the arithmetic of intervals that every measure shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEVEL = (2.5, 97.5)
MIN_VALID = 0.9  # share of bootstrap samples that must have a value


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; n is the number of patients it rests on. nan: could not be estimated."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} (95 % CI {self.low:.3f} to {self.high:.3f}, n = {self.n})"

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return bool(np.isfinite([self.low, self.high]).all())


def unknown(n: int) -> Estimate:
    """An estimate that is not defined for these n patients."""
    return Estimate(float("nan"), float("nan"), float("nan"), n)


def percentile_interval(value: float, samples: np.ndarray, n: int) -> Estimate:
    """With the percentile interval of bootstrap samples (b,) (Efron 1979); nan limits where too few have a value."""
    valid = samples[np.isfinite(samples)]
    if not np.isfinite(value) or len(valid) == 0 or len(valid) < MIN_VALID * len(samples):
        return Estimate(value, float("nan"), float("nan"), n)
    low, high = np.percentile(valid, LEVEL)
    return Estimate(value, float(low), float(high), n)
