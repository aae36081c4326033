"""Gradient boosting on Cox's partial likelihood, from scikit-survival."""

from __future__ import annotations

from typing import Any

import numpy as np
from sksurv.ensemble import GradientBoostingSurvivalAnalysis
from sksurv.util import Surv

from survival.cox_regression.likelihood import log_likelihood
from survival.models.scaled import ScaledModel


class GradientBoosting(ScaledModel):
    """Boosted regression trees on Cox's partial likelihood (Ridgeway 1999); inner folds choose how many.

    Parameters
    ----------
    n_trees : at most. learning_rate, depth, subsample : of each tree.
    """

    label = "Gradient boosting"
    every = 10  # candidates: each tenth number of trees

    def __init__(
        self,
        *,
        n_trees: int = 150,
        learning_rate: float = 0.1,
        depth: int = 2,
        subsample: float = 0.7,
        folds: int = 3,
        **common: Any,
    ) -> None:
        super().__init__(folds=folds, **common)
        self.n_trees, self.learning_rate, self.depth, self.subsample = n_trees, learning_rate, depth, subsample

    def _grow(self, scores: np.ndarray, time: np.ndarray, event: np.ndarray) -> list[Any]:
        model = GradientBoostingSurvivalAnalysis(
            n_estimators=self.n_trees,
            learning_rate=self.learning_rate,
            max_depth=self.depth,
            subsample=self.subsample,
            max_features="sqrt",
            random_state=self.seed,
        )
        return [model.fit(scores, Surv.from_arrays(event, time))]

    def _candidates(self, fitted: list[Any], scores: np.ndarray) -> np.ndarray:
        stages = list(fitted[0].staged_predict(scores))
        return np.column_stack(stages[self.every - 1 :: self.every] or stages[-1:])

    def _criterion(
        self, time: np.ndarray, event: np.ndarray, train: np.ndarray, inside: np.ndarray, lp: np.ndarray
    ) -> np.ndarray:
        """Partial likelihood that the left-out patients add (Verweij and van Houwelingen), on which
        boosting is trained."""
        every_row = np.empty((len(time), lp.shape[1]))
        every_row[train], every_row[~train] = inside, lp
        return log_likelihood(time, event, every_row) - log_likelihood(time[train], event[train], inside)
