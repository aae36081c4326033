"""Cox regression in the common interface: penalised on scaled components, and unpenalised for few covariates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd

from survival.baseline import Baseline
from survival.blocks import Features, as_features
from survival.cox import CoxModel
from survival.effective import effective_parameters
from survival.errors import SurvivalError
from survival.models.base import Cancelled, HazardModel, inner_folds
from survival.path import QUICK, fit_path, is_flat
from survival.regression import CoxFit, cox_regression
from survival.validate import PathSettings, Ticker, choose_penalty


class PenalisedCox(HazardModel):
    """Ridge, elastic-net or lasso Cox regression; the penalty is chosen by inner folds, one path a fold.

    Parameters
    ----------
    penalty, l1_ratio, n_components, variance, n_alphas, folds, choose_by, rule, seed : as of survival.cox.CoxModel.
    missing, block_weights : as of EncodedModel.

    Attributes after fit: alpha_, path_ (DataFrame), out_of_fold_, notes_.
    """

    label = "Penalised Cox"

    def __init__(
        self,
        *,
        penalty: str = "ridge",
        missing: str = "refuse",
        block_weights: dict[str, float] | None = None,
        seed: int = 0,
        **path: Any,
    ) -> None:
        super().__init__(missing=missing, block_weights=block_weights, seed=seed)
        self.cox = CoxModel(penalty, seed=seed, **path)

    def _fit(self, flat: np.ndarray, time: np.ndarray, event: np.ndarray, copies: Any, cancelled: Cancelled) -> None:
        fold = inner_folds(event, copies, self.cox.folds, self.seed)
        settings = self._path_settings(flat)
        ticker = Ticker(self.cox.folds + 1, None, cancelled)
        choice = choose_penalty(flat, time, event, fold, settings, ticker)
        self.alpha_, self._gradient, self._offset = choice.alpha, choice.gradient, choice.offset
        self.path_ = pd.DataFrame(
            {name: getattr(choice, name) for name in ("alphas", "score", "score_se", "concordance", "deviance_ratio")}
        )
        self.out_of_fold_ = choice.out_of_fold
        self._set_baseline(time, event, choice.out_of_fold)
        if not np.any(choice.gradient):
            self.notes_ += ("No penalty predicts better than no model.",)
        elif choice.best == len(choice.alphas) - 1 and not is_flat(choice.deviance_ratio):
            self.notes_ += ("The best penalty is the weakest that could be fitted.",)

    def effective_parameters(self, X: Any, time: np.ndarray, event: np.ndarray) -> np.ndarray:
        """(a,) number of effective parameters at each penalty of path_. X, time, event: as given to fit."""
        flat = self._fitted().transform(X)
        settings = self._path_settings(flat)
        scores = settings.reduction(flat).scores
        path = fit_path(scores, time, event, self.path_["alphas"].to_numpy(), settings.l1_ratio, QUICK)
        found = np.full(len(self.path_), np.nan)
        found[: len(path.alphas)] = effective_parameters(scores, time, event, path, settings.l1_ratio)
        return found

    def _path_settings(self, flat: np.ndarray) -> PathSettings:
        weight = self._fitted().weights(self.block_weights)
        return replace(self.cox._settings(wide=flat.shape[1] >= len(flat)), weight=weight)

    def _risk(self, flat: np.ndarray) -> np.ndarray:
        return flat @ self._gradient - self._offset

    def log_hr_gradient(self) -> dict[str, np.ndarray]:
        return self._fitted().carry_back(self._gradient)


class PlainCox(HazardModel):
    """Unpenalised Cox regression; fit_ (CoxFit) has the table with errors and tests.

    Parameters
    ----------
    ties : "efron" or "breslow".
    strata : a column of a table block: its levels get baseline hazards of their own and no coefficient. New rows need
        the column; a level without an event in training has no curve (nan).
    """

    label = "Cox, unpenalised"
    fit_: CoxFit

    def __init__(
        self, *, ties: str = "efron", strata: str | None = None, missing: str = "refuse", seed: int = 0
    ) -> None:
        super().__init__(missing=missing, seed=seed)
        self.ties, self.strata = ties, strata

    def fit(self, X: Any, time: Any, event: Any, copies: Any = None, cancelled: Cancelled = None) -> Self:
        features, self._labels = self._split(as_features(X))
        return super().fit(features, time, event, copies, cancelled)

    def _split(self, features: Features) -> tuple[Features, np.ndarray | None]:
        """Blocks without the column of strata, and the column."""
        if self.strata is None:
            return features, None
        for name, block in features.items():
            if isinstance(block, pd.DataFrame) and self.strata in block.columns:
                label = block[self.strata]
                if label.isna().any():
                    raise SurvivalError(f"Column {self.strata} has missing values: every patient needs a stratum.")
                rest = block.drop(columns=self.strata)
                others = {k: v for k, v in features.items() if k != name}
                return ({**others, name: rest} if rest.shape[1] else others), label.astype(str).to_numpy()
        raise SurvivalError(f"No table has a column {self.strata} to stratify by.")

    def _fit(self, flat: np.ndarray, time: np.ndarray, event: np.ndarray, copies: Any, cancelled: Cancelled) -> None:
        names, varies = np.array(self._fitted().names), np.ptp(flat, axis=0) > 0
        if varies.sum() >= event.sum():
            raise SurvivalError(
                f"There are {int(varies.sum())} covariates for {int(event.sum())} events: use a penalised Cox model."
            )
        self.fit_ = cox_regression(
            flat[:, varies], time, event, names=list(names[varies]), ties=self.ties, strata=self._labels
        )
        self._gradient = np.zeros(flat.shape[1])
        self._gradient[varies] = self.fit_.coef
        self._offset = float(np.median(flat @ self._gradient))
        last = float(time.max())
        self._baselines = {
            label: Baseline(
                times, hazard * np.exp(self._offset), last if label is None else _last(time, self._labels, label)
            )
            for label, (times, hazard) in self.fit_.baselines().items()
        }

    def _risk(self, flat: np.ndarray) -> np.ndarray:
        return flat @ self._gradient - self._offset

    def predict(self, X: Any) -> np.ndarray:
        return super().predict(self._split(as_features(X))[0])

    def predict_survival_function(self, X: Any, times: Any = None) -> tuple[np.ndarray, np.ndarray]:
        features, labels = self._split(as_features(X))
        log_hr = super().predict(features)
        if labels is None:
            return self._baselines[None].survival(log_hr, times)
        if times is None:
            times = np.unique(np.concatenate([[0.0], *(b.times for b in self._baselines.values())]))
        at = np.atleast_1d(np.asarray(times, dtype=np.float64))
        out = np.full((len(log_hr), len(at)), np.nan)
        for label, baseline in self._baselines.items():
            rows = labels == label
            out[rows] = baseline.survival(log_hr[rows], at)[1]
        return at, out

    def log_hr_gradient(self) -> dict[str, np.ndarray]:
        return self._fitted().carry_back(self._gradient)


def _last(time: np.ndarray, labels: np.ndarray | None, label: Any) -> float:
    return float(time.max() if labels is None else time[labels == label].max())
