"""A fitted model as what is left of it when its log hazard ratio is linear: an encoding, a gradient, a baseline hazard.

Scaling, components, penalties, supports and the join of a late fusion all fold into one number a column, so such a
model is saved as plain numbers and predicts what the fitted one did.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from survival.cox_regression.baseline import Baseline
from survival.errors import SurvivalError
from survival.features.encoding import Encoding, encoding_from
from survival.models.base import Cancelled, EncodedModel, HazardModel, SurvivalModel
from survival.models.controls import RandomDirection
from survival.models.cox import PenalisedCox, PlainCox, StratifiedCox
from survival.models.fusion import LateFusion
from survival.models.ranked import SurvivalSVM

LINEAR = (PenalisedCox, PlainCox, RandomDirection, SurvivalSVM)


class LinearHazard(HazardModel):
    """log_hr(x) = <gradient, encoded x> - offset, S(t | x) = exp(-H0(t) exp(log_hr(x))). Made by linear_of, not fitted.

    gradient : (p,) by encoded column.
    """

    label = "Linear hazard model"

    def __init__(self, encoding: Encoding, gradient: np.ndarray, offset: float, baseline: Baseline) -> None:
        super().__init__(missing=encoding.missing)
        self._encoding, self._gradient, self._offset, self._baseline = encoding, gradient, offset, baseline
        self.notes_ = encoding.notes

    def fit(
        self, X: Any, time: Any, event: Any, copies: Any = None, cancelled: Cancelled = None, entry: Any = None
    ) -> Self:
        raise SurvivalError("A saved model is not fitted again: compare models of the study and choose one.")

    def _fit(self, flat: np.ndarray, time: np.ndarray, event: np.ndarray, copies: Any, cancelled: Cancelled) -> None:
        raise NotImplementedError

    def _risk(self, flat: np.ndarray) -> np.ndarray:
        return flat @ self._gradient - self._offset

    def log_hr_gradient(self) -> dict[str, np.ndarray]:
        return self._encoding.carry_back(self._gradient)

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the blocks it looks at."""
        return tuple(self._encoding.shapes)

    @property
    def baseline(self) -> Baseline:
        return self._baseline

    def to_parts(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """(values for JSON, arrays for npz)."""
        meta = {
            "encoding": self._encoding.as_dict(),
            "offset": self._offset,
            "last_time": self._baseline.last_time,
        }
        arrays = {
            "gradient": np.asarray(self._gradient, dtype=np.float64),
            "baseline_times": self._baseline.times,
            "baseline_hazard": self._baseline.cumulative_hazard,
        }
        return meta, arrays

    @classmethod
    def from_parts(cls, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> LinearHazard:
        """From to_parts. Raises KeyError, TypeError or ValueError where the parts do not fit each other."""
        encoding = encoding_from(meta["encoding"])
        if arrays["gradient"].shape != (len(encoding.names),):
            raise ValueError("gradient")
        return cls(encoding, arrays["gradient"], float(meta["offset"]), baseline_from(meta, arrays))


def baseline_from(meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> Baseline:
    """A baseline hazard from its parts. Raises KeyError or ValueError."""
    times, hazard = arrays["baseline_times"], arrays["baseline_hazard"]
    last = float(meta["last_time"])
    if times.ndim != 1 or times.shape != hazard.shape or len(times) == 0 or not np.isfinite(last):
        raise ValueError("baseline")
    if (np.diff(times) <= 0).any() or (np.diff(hazard) < 0).any() or times[0] <= 0 or hazard[0] < 0:
        raise ValueError("baseline")
    return Baseline(times, hazard, last)


def linear_of(model: SurvivalModel) -> LinearHazard:
    """The linear form of a fitted model; SurvivalError, one sentence, where it has none."""
    if isinstance(model, LateFusion):
        return _joined(model)
    if isinstance(model, StratifiedCox) and model.strata is not None:
        raise SurvivalError(
            "A stratified Cox model has a baseline hazard for each site and cannot be saved: compare with sites pooled."
        )
    if not isinstance(model, LINEAR):
        raise SurvivalError(f"{model.label} has no linear form.")
    encoding = model._fitted()
    baseline = model._baselines[None] if isinstance(model, StratifiedCox) else model._baseline
    return LinearHazard(encoding, _flat_gradient(model, encoding), _offset(model, encoding), baseline)


def _flat_gradient(model: EncodedModel, encoding: Encoding) -> np.ndarray:
    by_block = model.log_hr_gradient()
    return np.concatenate([np.asarray(by_block[name], dtype=np.float64).ravel() for name in encoding.slices])


def _offset(model: EncodedModel, encoding: Encoding) -> float:
    return -float(model._risk(np.zeros((1, len(encoding.names))))[0])


def _joined(model: LateFusion) -> LinearHazard:
    """Members' gradients times their weights in the join, side by side."""
    members = [linear_of(model._fitted[name]) for name in model.used_]
    shapes: dict[str, Any] = {"shapes": {}, "columns": {}, "missing": members[0].missing, "notes": []}
    gradient, offset = [], model._offset
    for member, weight in zip(members, model.join_.coef, strict=True):
        told = member._encoding.as_dict()
        if set(told["shapes"]) & set(shapes["shapes"]) or told["missing"] != shapes["missing"]:
            raise SurvivalError("Members of a late fusion that share features cannot be saved as one linear model.")
        shapes["shapes"] |= told["shapes"]
        shapes["columns"] |= told["columns"]
        shapes["notes"] += told["notes"]
        gradient.append(weight * member._gradient)
        offset += float(weight) * member._offset
    return LinearHazard(encoding_from(shapes), np.concatenate(gradient), float(offset), model._baseline)
