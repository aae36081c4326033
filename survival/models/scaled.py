"""Models whose scores have an arbitrary scale, brought to log hazard ratios by inner folds.

Scores from inner folds, which have not seen the patient, set the scale: a Cox regression of the outcome on the score
gives one factor and a baseline hazard.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from survival.errors import Cancelled, SurvivalError, stop_if
from survival.metrics.calibration import calibration_slope
from survival.metrics.pairs import harrell_columns
from survival.models.base import CompressedModel, HazardModel, inner_folds

NO_RANKING = "Out of fold the scores do not rank patients by risk: no risk is predicted."


def scale_factor(time: np.ndarray, event: np.ndarray, out_of_fold: np.ndarray) -> float:
    """The factor that brings out-of-fold scores to log hazard ratios; 0 where they rank nobody, or the wrong way."""
    slope = calibration_slope(time, event, out_of_fold).value
    return slope if np.isfinite(slope) and slope > 0 else 0.0


class ScaledModel(CompressedModel, HazardModel):
    """Scores on an unknown scale, brought to log hazard ratios by inner folds.

    folds : inner folds, which also choose among the candidates (columns of _candidates).
    """

    def __init__(self, *, folds: int = 5, **common: Any) -> None:
        super().__init__(**common)
        if folds < 2:
            raise SurvivalError("Give at least 2 inner folds.")
        self.folds = folds

    @abstractmethod
    def _grow(self, scores: np.ndarray, time: np.ndarray, event: np.ndarray) -> list[Any]:
        """Fit; what is returned gives the candidates."""

    @abstractmethod
    def _candidates(self, fitted: list[Any], scores: np.ndarray) -> np.ndarray:
        """(n, c) scores of each candidate setting."""

    def _fit(self, flat: np.ndarray, time: np.ndarray, event: np.ndarray, copies: Any, cancelled: Cancelled) -> None:
        fold = inner_folds(event, copies, self.folds, self.seed)
        held_out, criterion = [], []
        for k in range(self.folds):
            stop_if(cancelled)
            train = fold != k
            compression = self._compress(flat[train])
            fitted = self._grow(compression.scores, time[train], event[train])
            lp = self._candidates(fitted, compression.transform(flat[~train]))
            inside = self._candidates(fitted, compression.scores)
            held_out.append(lp - np.median(inside, axis=0))
            criterion.append(self._criterion(time, event, train, inside, lp))
        total = np.sum(criterion, axis=0)
        self.choice_ = int(np.argmax(total))
        out_of_fold = np.empty(len(time))
        for k, lp in enumerate(held_out):
            out_of_fold[fold == k] = lp[:, self.choice_]
        slope = scale_factor(time, event, out_of_fold)
        if slope == 0:
            self.notes_ += (NO_RANKING,)
        self._slope = slope
        self._compression = self._compress(flat)
        self._model = self._grow(self._compression.scores, time, event)
        self._centre = float(np.median(self._candidates(self._model, self._compression.scores)[:, self.choice_]))
        self.out_of_fold_ = slope * out_of_fold
        self._set_baseline(time, event, self.out_of_fold_)

    def _criterion(
        self, time: np.ndarray, event: np.ndarray, train: np.ndarray, inside: np.ndarray, lp: np.ndarray
    ) -> np.ndarray:
        """(c,) concordance of the left-out patients, by their number of events."""
        return harrell_columns(time[~train], event[~train], lp) * event[~train].sum()

    def _risk(self, flat: np.ndarray) -> np.ndarray:
        scores = self._candidates(self._model, self._compression.transform(flat))[:, self.choice_]
        return self._slope * (scores - self._centre)
