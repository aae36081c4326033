"""Models that any real one must beat: no covariates, a random direction, an outcome dealt to the wrong people."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from survival.cox_regression.regression import cox_regression
from survival.curves import kaplan_meier
from survival.errors import SurvivalError
from survival.features.encoding import as_features, rows_of
from survival.models.base import Cancelled, CompressedModel, HazardModel, SurvivalModel, check_rows


class KaplanMeierNull(SurvivalModel):
    """Everyone gets the training patients' Kaplan-Meier curve: C is one half, the Brier score is the one to beat."""

    label = "Kaplan-Meier (no covariates)"

    def __init__(self, *, missing: str = "refuse") -> None:
        """missing : taken as other models take it; no feature is read."""
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


class RandomDirection(CompressedModel, HazardModel):
    """Cox regression on one random direction of the features, drawn from the training patients' own covariance.

    It moves faces as far as a health direction does. Its sign and size are fitted, so its concordance is what a single
    direction chosen without looking at the outcome reaches.
    """

    label = "Random direction"
    takes_entry = True

    def __init__(self, *, n_components: int | None = None, **common: Any) -> None:
        super().__init__(n_components=n_components, **common)

    def _fit(self, flat: np.ndarray, time: np.ndarray, event: np.ndarray, copies: Any, cancelled: Cancelled) -> None:
        compression = self._compress(flat)
        draw = np.random.default_rng(self.seed).normal(size=(compression.scores.shape[1],))
        score = compression.scores @ draw
        coef = float(cox_regression(score, time, event, ties="breslow", entry=self._entry).coef[0])
        self._gradient = coef * compression.carry_back(draw)
        self._offset = float(np.median(flat @ self._gradient))
        self._set_baseline(time, event, self._risk(flat))

    def _risk(self, flat: np.ndarray) -> np.ndarray:
        return flat @ self._gradient - self._offset

    def log_hr_gradient(self) -> dict[str, np.ndarray]:
        return self._fitted().carry_back(self._gradient)


class ShuffledOutcome(SurvivalModel):
    """Any model, fitted to outcomes dealt to other people: out of fold its C must be about one half.

    Parameters
    ----------
    model, settings : name and settings of the model. seed : of the shuffle.
    """

    label = "Shuffled outcome"

    def __init__(
        self,
        *,
        model: str = "cox-ridge",
        settings: dict[str, Any] | None = None,
        missing: str = "refuse",
        seed: int = 0,
    ) -> None:
        from survival.models.registry import make_model

        self.inner, self.seed = make_model(model, **{"missing": missing, **(settings or {})}), seed

    def fit(
        self, X: Any, time: Any, event: Any, copies: Any = None, cancelled: Cancelled = None, entry: Any = None
    ) -> Self:
        features, t, e = check_rows(X, time, event)
        order = np.random.default_rng(self.seed).permutation(len(t))
        late = None if entry is None else np.asarray(entry)[order]
        self.inner.fit(features, t[order], e[order], copies, cancelled, late)
        self.out_of_fold_, self.notes_ = self.inner.out_of_fold_, self.inner.notes_
        return self

    def predict(self, X: Any) -> np.ndarray:
        return self.inner.predict(X)

    def predict_survival_function(self, X: Any, times: Any = None) -> tuple[np.ndarray, np.ndarray]:
        return self.inner.predict_survival_function(X, times)

    def log_hr_gradient(self) -> dict[str, np.ndarray]:
        return self.inner.log_hr_gradient()
