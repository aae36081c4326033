"""Cox regression in the common interface: penalised on scaled components, and unpenalised for few covariates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from survival.cox_regression.baseline import Baseline, begun, fit_baseline
from survival.cox_regression.effective import effective_parameters
from survival.cox_regression.path import QUICK, fit_path, is_flat
from survival.cox_regression.regression import CoxFit, cox_regression
from survival.cox_regression.risk_sets import AtRisk
from survival.errors import SurvivalError
from survival.features.encoding import Features, as_features
from survival.late_entry import curve_start
from survival.models.base import Cancelled, HazardModel, inner_folds
from survival.models.cox_model import CoxModel
from survival.models.penalty import PathSettings, Ticker, choose_penalty


class StratifiedCox(HazardModel):
    """What Cox models share: late entries, and strata, whose levels have baseline hazards of their own.

    strata : a column of a table block: its levels get baseline hazards of their own and no coefficient, and patients
        are compared within them. New rows need the column; a level without an event in training has no curve (nan).
    """

    takes_entry: ClassVar[bool] = True
    _baselines: dict[Any, Baseline]
    _labels: np.ndarray | None
    _gradient: np.ndarray
    _offset: float

    def __init__(self, *, strata: str | None = None, **common: Any) -> None:
        super().__init__(**common)
        self.strata = strata

    def fit(
        self, X: Any, time: Any, event: Any, copies: Any = None, cancelled: Cancelled = None, entry: Any = None
    ) -> Self:
        features, self._labels = self._split(as_features(X))
        return super().fit(features, time, event, copies, cancelled, entry)

    @property
    def _at_risk(self) -> AtRisk:
        """Of the training patients."""
        return AtRisk(self._entry, self._labels)

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

    def _risk(self, flat: np.ndarray) -> np.ndarray:
        return flat @ self._gradient - self._offset


class PenalisedCox(StratifiedCox):
    """Ridge, elastic-net or lasso Cox regression; the penalty is chosen by inner folds, one path a fold.

    Parameters
    ----------
    penalty, l1_ratio, n_components, variance, n_alphas, folds, choose_by, rule, seed : as of survival.cox.CoxModel.
    strata : as of StratifiedCox. missing, block_weights : as of EncodedModel.

    Attributes after fit: alpha_, path_ (DataFrame), out_of_fold_, notes_.
    """

    label = "Penalised Cox"

    def __init__(
        self,
        *,
        penalty: str = "ridge",
        missing: str = "refuse",
        block_weights: dict[str, float] | None = None,
        strata: str | None = None,
        seed: int = 0,
        **path: Any,
    ) -> None:
        super().__init__(strata=strata, missing=missing, block_weights=block_weights, seed=seed)
        self.cox = CoxModel(penalty, seed=seed, **path)

    def _fit(self, flat: np.ndarray, time: np.ndarray, event: np.ndarray, copies: Any, cancelled: Cancelled) -> None:
        fold = inner_folds(event, copies, self.cox.folds, self.seed)
        settings = self._path_settings(flat)
        ticker = Ticker(self.cox.folds + 1, None, cancelled)
        choice = choose_penalty(flat, time, event, fold, settings, ticker, self._at_risk)
        self.alpha_, self._gradient, self._offset = choice.alpha, choice.gradient, choice.offset
        self.path_ = pd.DataFrame(
            {name: getattr(choice, name) for name in ("alphas", "score", "score_se", "concordance", "deviance_ratio")}
        )
        self.out_of_fold_ = choice.out_of_fold
        self._baselines = self._breslow(time, event, choice.out_of_fold)
        if not np.any(choice.gradient):
            self.notes_ += ("No penalty predicts better than no model.",)
        elif choice.best == len(choice.alphas) - 1 and not is_flat(choice.deviance_ratio):
            self.notes_ += ("The best penalty is the weakest that could be fitted.",)

    def _breslow(self, time: np.ndarray, event: np.ndarray, log_hr: np.ndarray) -> dict[Any, Baseline]:
        """Stratum -> baseline hazard on out-of-fold scores: a fitted model's own are spread too widely."""
        if self._labels is None:
            return {None: fit_baseline(time, event, log_hr, self._entry)}
        found = {}
        for label in np.unique(self._labels[event]):
            rows = self._labels == label
            entry = None if self._entry is None else self._entry[rows]
            found[label] = fit_baseline(time[rows], event[rows], log_hr[rows], entry)
        return found

    def effective_parameters(self, X: Any, time: np.ndarray, event: np.ndarray) -> np.ndarray:
        """(a,) number of effective parameters at each penalty of path_. X, time, event: as given to fit."""
        flat = self._fitted().transform(self._split(as_features(X))[0])
        settings, at_risk = self._path_settings(flat), self._at_risk
        scores = settings.reduction(flat).scores
        path = fit_path(scores, time, event, self.path_["alphas"].to_numpy(), settings.l1_ratio, QUICK, at_risk)
        found = np.full(len(self.path_), np.nan)
        found[: len(path.alphas)] = effective_parameters(scores, time, event, path, settings.l1_ratio, at_risk)
        return found

    def _path_settings(self, flat: np.ndarray) -> PathSettings:
        weight = self._fitted().weights(self.block_weights)
        return replace(self.cox._settings(wide=flat.shape[1] >= len(flat)), weight=weight)


class PlainCox(StratifiedCox):
    """Unpenalised Cox regression; fit_ (CoxFit) has the table with errors and tests.

    Parameters
    ----------
    ties : "efron" or "breslow".
    strata : as of StratifiedCox.
    """

    label = "Cox, unpenalised"
    fit_: CoxFit

    def __init__(
        self, *, ties: str = "efron", strata: str | None = None, missing: str = "refuse", seed: int = 0
    ) -> None:
        super().__init__(strata=strata, missing=missing, seed=seed)
        self.ties = ties

    def _fit(self, flat: np.ndarray, time: np.ndarray, event: np.ndarray, copies: Any, cancelled: Cancelled) -> None:
        names, varies = np.array(self._fitted().names), np.ptp(flat, axis=0) > 0
        if varies.sum() >= event.sum():
            raise SurvivalError(
                f"There are {int(varies.sum())} covariates for {int(event.sum())} events: use a penalised Cox model."
            )
        self.fit_ = cox_regression(
            flat[:, varies],
            time,
            event,
            names=list(names[varies]),
            ties=self.ties,
            strata=self._labels,
            entry=self._entry,
        )
        self._gradient = np.zeros(flat.shape[1])
        self._gradient[varies] = self.fit_.coef
        self._offset = float(np.median(flat @ self._gradient))
        self._baselines = {
            label: self._begun(times, hazard * np.exp(self._offset), time, event, label)
            for label, (times, hazard) in self.fit_.baselines().items()
        }

    def _begun(
        self, times: np.ndarray, hazard: np.ndarray, time: np.ndarray, event: np.ndarray, label: Any
    ) -> Baseline:
        rows = np.ones(len(time), dtype=bool) if label is None else self._labels == label
        entry = None if self._entry is None else self._entry[rows]
        return Baseline(*begun(times, hazard, curve_start(time[rows], event[rows], entry)), float(time[rows].max()))
