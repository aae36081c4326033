"""What is left of a fitted model when it is put to use: a hazard function as plain numbers that can be saved.

Scaling, components, penalties, supports and the join of a late fusion all become one number per column, so that every
model with a linear log hazard ratio becomes a LinearHazard and predicts what the fitted one did. A model that is not
linear but can be saved (DeepSurv) is a Hazard itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from survival.cox_regression.baseline import Baseline
from survival.errors import SurvivalError
from survival.features.encoding import Encoding, encoding_from

Parts = tuple[dict[str, Any], dict[str, np.ndarray]]  # values for JSON, arrays for npz


class Hazard(Protocol):
    """S(t | x) = exp(-H0(t) exp(log_hr(x))), H0 the baseline."""

    @property
    def encoding(self) -> Encoding:
        """The blocks it needs, and how they become columns."""

    @property
    def baseline(self) -> Baseline: ...

    def predict(self, X: Any) -> np.ndarray:
        """(n,) log hazard ratios."""

    def log_hr_gradient(self) -> dict[str, np.ndarray]:
        """d log_hr / d x by block, in the shape of one row."""

    def to_parts(self) -> Parts: ...


@dataclass(frozen=True, eq=False)
class LinearHazard:
    """log_hr(x) = <gradient, encoded x> - offset. gradient: (p,), a number an encoded column."""

    encoding: Encoding
    gradient: np.ndarray
    offset: float
    baseline: Baseline

    def predict(self, X: Any) -> np.ndarray:
        return np.asarray(self.encoding.transform(X) @ self.gradient - self.offset)

    def log_hr_gradient(self) -> dict[str, np.ndarray]:
        return self.encoding.by_block(self.gradient)

    def to_parts(self) -> Parts:
        values, arrays = baseline_parts(self.baseline)
        return (
            {"encoding": self.encoding.as_dict(), "offset": self.offset, **values},
            {"gradient": np.asarray(self.gradient, dtype=np.float64), **arrays},
        )

    @classmethod
    def from_parts(cls, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> LinearHazard:
        """From to_parts. Raises KeyError, TypeError or ValueError where the parts do not fit each other."""
        encoding = encoding_from(values["encoding"])
        if arrays["gradient"].shape != (len(encoding.names),):
            raise ValueError("gradient")
        return cls(encoding, arrays["gradient"], float(values["offset"]), baseline_from(values, arrays))


def weighted_sum(
    hazards: Sequence[LinearHazard], weights: Sequence[float], offset: float, baseline: Baseline
) -> LinearHazard:
    """sum of weight * log_hr - offset, of hazards on different blocks, as one linear hazard. Raises SurvivalError."""
    parts = [hazard.encoding.as_dict() for hazard in hazards]
    blocks = [block for part in parts for block in part["shapes"]]
    if len(set(blocks)) < len(blocks) or len({part["missing"] for part in parts}) > 1:
        raise SurvivalError("Members of a late fusion that share features cannot be saved as one linear model.")
    joined = {
        "shapes": {block: shape for part in parts for block, shape in part["shapes"].items()},
        "columns": {block: columns for part in parts for block, columns in part["columns"].items()},
        "missing": parts[0]["missing"],
        "notes": [note for part in parts for note in part["notes"]],
    }
    pairs = list(zip(hazards, map(float, weights), strict=True))
    gradient = np.concatenate([weight * hazard.gradient for hazard, weight in pairs])
    total = sum((weight * hazard.offset for hazard, weight in pairs), offset)
    return LinearHazard(encoding_from(joined), gradient, float(total), baseline)


def baseline_parts(baseline: Baseline) -> Parts:
    arrays = {"baseline_times": baseline.times, "baseline_hazard": baseline.cumulative_hazard}
    return {"last_time": baseline.last_time}, arrays


def baseline_from(values: dict[str, Any], arrays: dict[str, np.ndarray]) -> Baseline:
    """From baseline_parts. Raises KeyError, TypeError or ValueError."""
    times, hazard = arrays["baseline_times"], arrays["baseline_hazard"]
    last = float(values["last_time"])
    if times.ndim != 1 or times.shape != hazard.shape or len(times) == 0 or not np.isfinite(last):
        raise ValueError("baseline")
    if (np.diff(times) <= 0).any() or (np.diff(hazard) < 0).any() or times[0] <= 0 or hazard[0] < 0:
        raise ValueError("baseline")
    return Baseline(times, hazard, last)
