"""Random survival forest, from scikit-survival."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sksurv.ensemble import RandomSurvivalForest
from sksurv.util import Surv

from survival.errors import Cancelled, stop_if
from survival.models.base import CompressedModel


class SurvivalForest(CompressedModel):
    """Random survival forest (Ishwaran et al. 2008): log-rank splits, cumulative hazards averaged over trees.

    The log risk is the log of the expected number of events over the follow-up ("mortality"). Out-of-fold scores are
    those of the trees whose bootstrap sample lacks the patient.

    Parameters
    ----------
    n_trees, min_leaf, max_features : of the forest; min_leaf in patients.
    """

    label = "Random survival forest"

    def __init__(
        self, *, n_trees: int = 200, min_leaf: int = 15, max_features: str | int | float | None = "sqrt", **common: Any
    ) -> None:
        super().__init__(**common)
        self.n_trees, self.min_leaf, self.max_features = n_trees, min_leaf, max_features

    def _fit(self, flat: np.ndarray, time: np.ndarray, event: np.ndarray, copies: Any, cancelled: Cancelled) -> None:
        stop_if(cancelled)
        self._compression = self._compress(flat)
        self._forest = RandomSurvivalForest(
            n_estimators=self.n_trees,
            min_samples_leaf=self.min_leaf,
            min_samples_split=2 * self.min_leaf,
            max_features=self.max_features,
            oob_score=True,
            random_state=self.seed,
        )
        with warnings.catch_warnings():  # few trees leave a patient in all of them; the median stands in below
            warnings.filterwarnings("ignore", message="Some inputs do not have OOB scores")
            self._forest.fit(self._compression.scores, Surv.from_arrays(event, time))
        self._last, self._offset = float(time.max()), 0.0
        self._offset = float(np.median(self._risk(flat)))
        outside = np.log(np.maximum(self._forest.oob_prediction_, 1e-12))
        middle = np.nanmedian(outside)
        self.out_of_fold_ = np.where(np.isfinite(outside), outside, middle) - middle

    def _risk(self, flat: np.ndarray) -> np.ndarray:
        mortality = self._forest.predict(self._compression.transform(flat))
        return np.log(np.maximum(mortality, 1e-12)) - self._offset

    def predict_survival_function(self, X: Any, times: Any = None) -> tuple[np.ndarray, np.ndarray]:
        scores = self._compression.transform(self.encoding.transform(X))
        survival = self._forest.predict_survival_function(scores, return_array=True)
        event_times = self._forest.unique_times_
        default = np.concatenate([[0.0], event_times])
        at = default if times is None else np.atleast_1d(np.asarray(times, dtype=np.float64))
        steps = np.column_stack([np.ones(len(survival)), survival])
        values = steps[:, np.searchsorted(event_times, at, side="right")]
        return at, np.where(at > self._last, np.nan, values)
