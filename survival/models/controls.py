"""Controls that any real model must beat: no covariates, and a random direction."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from survival.cox_regression.regression import cox_regression
from survival.curves import kaplan_meier
from survival.errors import Cancelled, SurvivalError
from survival.features.encoding import as_features, rows_of
from survival.models.base import CompressedModel, LinearModel, SurvivalModel, check_rows


class KaplanMeierNull(SurvivalModel):
    """Everyone gets the training patients' Kaplan-Meier curve: C is one half, the Brier score is the one to beat."""

    label = "Kaplan-Meier (no covariates)"

    def __init__(self, *, missing: str = "refuse") -> None:
        """missing : accepted as by the other models; no feature is read."""
        self.missing = missing

    def fit(
        self, X: Any, time: Any, event: Any, copies: Any = None, cancelled: Cancelled = None, entry: Any = None
    ) -> Self:
        _, t, e = check_rows(X, time, event)
        self._curve = kaplan_meier(t, e, entry)
        self.out_of_fold_ = np.zeros(len(t))
        return self

    def predict(self, X: Any) -> np.ndarray:
        return np.zeros(rows_of(as_features(X)))

    def predict_survival_function(self, X: Any, times: Any = None) -> tuple[np.ndarray, np.ndarray]:
        if not hasattr(self, "_curve"):
            raise SurvivalError(f"{self.label} has not been fitted yet: fit it first.")
        at = self._curve.times if times is None else np.atleast_1d(np.asarray(times, dtype=np.float64))
        return at, np.tile(self._curve.at(at), (rows_of(as_features(X)), 1))


class RandomDirection(CompressedModel, LinearModel):
    """Cox regression on one random direction of the features, drawn from the training patients' covariance.

    It moves faces as far as a health direction does. Its sign and size are fitted, so its concordance is what a single
    direction chosen without looking at the outcome reaches.
    """

    label = "Random direction"
    accepts_entry = True

    def __init__(self, *, n_components: int | None = None, **common: Any) -> None:
        super().__init__(n_components=n_components, **common)

    def _fit(self, flat: np.ndarray, time: np.ndarray, event: np.ndarray, copies: Any, cancelled: Cancelled) -> None:
        compression = self._compress(flat)
        draw = np.random.default_rng(self.seed).normal(size=(compression.scores.shape[1],))
        score = compression.scores @ draw
        coef = float(cox_regression(score, time, event, ties="breslow", entry=self._entry).coef[0])
        self._gradient = coef * compression.to_features(draw)
        self._offset = float(np.median(flat @ self._gradient))
        self._set_baseline(time, event, self._risk(flat))
