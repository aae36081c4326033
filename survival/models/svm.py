"""Survival support vector machine, from scikit-survival."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sksurv.svm import FastSurvivalSVM
from sksurv.util import Surv

from survival.models.hazard import LinearHazard
from survival.models.scaled import ScaledModel


class SurvivalSVM(ScaledModel):
    """Linear ranking support vector machine (Pölsterl et al. 2015); inner folds choose the penalty by concordance.

    Parameters
    ----------
    alphas : weights of the ranking loss against the squared norm.
    """

    label = "Survival SVM"

    def __init__(self, *, alphas: tuple[float, ...] = (1e-5, 1e-3, 1e-1), folds: int = 3, **common: Any) -> None:
        super().__init__(folds=folds, **common)
        self.alphas = tuple(alphas)

    def _grow(self, scores: np.ndarray, time: np.ndarray, event: np.ndarray) -> list[Any]:
        outcome = Surv.from_arrays(event, time)
        fitted = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            for alpha in self.alphas:
                svm = FastSurvivalSVM(alpha=alpha, rank_ratio=1.0, max_iter=50, random_state=self.seed)
                fitted.append(svm.fit(scores, outcome))
        return fitted

    def _candidates(self, fitted: list[Any], scores: np.ndarray) -> np.ndarray:
        return np.column_stack([svm.predict(scores) for svm in fitted])

    def log_hr_gradient(self) -> dict[str, np.ndarray]:
        return self.encoding.by_block(self._gradient())

    def hazard(self) -> LinearHazard:
        offset = -float(self._risk(np.zeros((1, len(self.encoding.names))))[0])
        return LinearHazard(self.encoding, self._gradient(), offset, self.baseline)

    def _gradient(self) -> np.ndarray:
        """(p,) of the scaled score, which is linear."""
        k = self._compression.scores.shape[1]
        values = self._candidates(self._model, np.vstack([np.zeros((1, k)), np.eye(k)]))[:, self.choice_]
        return self._slope * self._compression.to_features(values[1:] - values[0])
