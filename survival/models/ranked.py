"""Models from scikit-survival: random survival forest, gradient boosting, survival SVM.

Boosting and the SVM give scores on a scale of their own. Their scores from inner folds, which have not seen the
patient, set the scale: a Cox regression of the outcome on the score gives one factor and a baseline hazard.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sksurv.ensemble import GradientBoostingSurvivalAnalysis, RandomSurvivalForest
from sksurv.svm import FastSurvivalSVM
from sksurv.util import Surv

from survival.cox_regression.likelihood import log_likelihood
from survival.errors import SurvivalError
from survival.metrics.calibration import calibration_slope
from survival.metrics.pairs import harrell_columns
from survival.models.base import Cancelled, CompressedModel, HazardModel, inner_folds, stop_if


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
        scores = self._compression.transform(self._fitted().transform(X))
        survival = self._forest.predict_survival_function(scores, return_array=True)
        own = self._forest.unique_times_
        at = np.concatenate([[0.0], own]) if times is None else np.atleast_1d(np.asarray(times, dtype=np.float64))
        steps = np.column_stack([np.ones(len(survival)), survival])
        values = steps[:, np.searchsorted(own, at, side="right")]
        return at, np.where(at > self._last, np.nan, values)


class _ScaledModel(CompressedModel, HazardModel):
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
            criterion.append(self._judge(time, event, train, inside, lp))
        total = np.sum(criterion, axis=0)
        self.choice_ = int(np.argmax(total))
        out_of_fold = np.empty(len(time))
        for k, lp in enumerate(held_out):
            out_of_fold[fold == k] = lp[:, self.choice_]
        slope = calibration_slope(time, event, out_of_fold).value
        if not np.isfinite(slope) or slope < 0:
            slope = 0.0
            self.notes_ += ("Out of fold the scores do not tell who dies earlier: no risk is predicted.",)
        self._slope = slope
        self._compression = self._compress(flat)
        self._model = self._grow(self._compression.scores, time, event)
        self._centre = float(np.median(self._candidates(self._model, self._compression.scores)[:, self.choice_]))
        self.out_of_fold_ = slope * out_of_fold
        self._set_baseline(time, event, self.out_of_fold_)

    def _judge(
        self, time: np.ndarray, event: np.ndarray, train: np.ndarray, inside: np.ndarray, lp: np.ndarray
    ) -> np.ndarray:
        """(c,) concordance of the left-out patients, by their number of events."""
        return harrell_columns(time[~train], event[~train], lp) * event[~train].sum()

    def _risk(self, flat: np.ndarray) -> np.ndarray:
        scores = self._candidates(self._model, self._compression.transform(flat))[:, self.choice_]
        return self._slope * (scores - self._centre)


class GradientBoosting(_ScaledModel):
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

    def _judge(
        self, time: np.ndarray, event: np.ndarray, train: np.ndarray, inside: np.ndarray, lp: np.ndarray
    ) -> np.ndarray:
        """Partial likelihood that the left-out patients add (Verweij and van Houwelingen): boosting has its scale."""
        everyone = np.empty((len(time), lp.shape[1]))
        everyone[train], everyone[~train] = inside, lp
        return log_likelihood(time, event, everyone) - log_likelihood(time[train], event[train], inside)


class SurvivalSVM(_ScaledModel):
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
        """Of the scaled score, which is linear."""
        encoding, k = self._fitted(), self._compression.scores.shape[1]
        at = np.vstack([np.zeros((1, k)), np.eye(k)])
        values = self._candidates(self._model, at)[:, self.choice_]
        return encoding.carry_back(self._slope * self._compression.carry_back(values[1:] - values[0]))
