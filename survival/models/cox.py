"""Cox regression in the common interface: penalised on scaled components or on readouts of codes, and unpenalised for
few covariates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from survival.cox_regression.baseline import Baseline, begun, fit_baseline
from survival.cox_regression.effective import effective_parameters
from survival.cox_regression.path import QUICK, fit_path, is_flat
from survival.cox_regression.regression import CoxFit, cox_regression
from survival.cox_regression.risk_sets import AtRisk
from survival.delayed_entry import curve_start
from survival.errors import Cancelled, SurvivalError, stop_if
from survival.features.encoding import Features, as_features
from survival.features.readout import Readout, fit_readout
from survival.models.base import LinearModel, inner_folds
from survival.models.hazard import Hazard, LinearHazard
from survival.models.penalty import RULES, PathSettings, PenaltySearch, choose_penalty

PENALTIES = {"ridge": 1e-3, "elastic-net": 0.5, "lasso": 1.0}  # name -> l1_ratio
# how far down the path goes: alpha_max is counted in l1, so the near-ridge path has to go further; with fewer features
# than patients the best penalty may be next to none
RIDGE_RATIO, WIDE_RATIO, NARROW_RATIO = 1e-5, 1e-2, 1e-4


class StratifiedCox(LinearModel):
    """What Cox models share: delayed entry, and strata with separate baseline hazards.

    strata : a column of a table block: its levels get separate baseline hazards and no coefficient, and patients are
        compared within them. New rows need the column; a level without an event in training has no curve (nan).
    """

    accepts_entry: ClassVar[bool] = True
    _baselines: dict[Any, Baseline]
    _labels: np.ndarray | None

    def __init__(self, *, strata: str | None = None, **common: Any) -> None:
        super().__init__(**common)
        self.strata = strata

    def fit(
        self, X: Any, time: Any, event: Any, copies: Any = None, cancelled: Cancelled = None, entry: Any = None
    ) -> Self:
        features, self._labels = self._split(as_features(X))
        return super().fit(features, time, event, copies, cancelled, entry)

    @property
    def baseline(self) -> Baseline:
        return self._baselines[None]

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
            return self.baseline.survival(log_hr, times)
        if times is None:
            times = np.unique(np.concatenate([[0.0], *(b.times for b in self._baselines.values())]))
        at = np.atleast_1d(np.asarray(times, dtype=np.float64))
        out = np.full((len(log_hr), len(at)), np.nan)
        for label, baseline in self._baselines.items():
            rows = labels == label
            out[rows] = baseline.survival(log_hr[rows], at)[1]
        return at, out

    def hazard(self) -> Hazard:
        if self.strata is not None:
            raise SurvivalError("A stratified Cox model has a baseline hazard for each stratum and cannot be saved.")
        return super().hazard()


class PenalisedCox(StratifiedCox):
    """Cox regression, ridge-like to lasso, on scaled principal components; inner folds choose the penalty.

    Parameters
    ----------
    penalty : "ridge" (l1_ratio 0.001), "elastic-net" (0.5) or "lasso" (1). Lasso picks components, not raw features.
    n_components : at most so many components are kept; None: no limit.
    variance : components that carry this share of the variance are kept; None: all.
    n_alphas : penalties on the path.
    folds : inner folds.
    rule : "best", or "1se": the strongest penalty within one standard error of the best.
    strata : as of StratifiedCox.
    missing : as of EncodedModel.
    seed : of the folds.

    Attributes after fit
    --------------------
    path_ : PenaltySearch.
    out_of_fold_ : (n,) log hazard ratios of the inner folds at the chosen penalty.
    notes_ : sentences for people.

    References
    ----------
    Simon et al., J Stat Softw 2011;39(5):1. Verweij, van Houwelingen, Stat Med 1993;12:2305.
    """

    label = "Penalised Cox"
    path_: PenaltySearch

    def __init__(
        self,
        *,
        penalty: str = "ridge",
        n_components: int | None = None,
        variance: float | None = 0.99,
        n_alphas: int = 50,
        folds: int = 5,
        rule: str = "best",
        strata: str | None = None,
        missing: str = "refuse",
        seed: int = 0,
    ) -> None:
        super().__init__(strata=strata, missing=missing, seed=seed)
        for what, value, allowed in (("penalty", penalty, PENALTIES), ("rule", rule, RULES)):
            if value not in allowed:
                raise SurvivalError(f"There is no {what} called {value!r}: choose one of {', '.join(allowed)}.")
        if variance is not None and not 0 < variance <= 1:
            raise SurvivalError(f"The share of variance is {variance:g}: give a number above 0 and at most 1.")
        if (n_components is not None and n_components < 1) or n_alphas < 5 or folds < 2:
            raise SurvivalError("Give at least 1 component, 5 penalties and 2 folds.")
        self.l1_ratio, self.n_components, self.variance = PENALTIES[penalty], n_components, variance
        self.n_alphas, self.folds, self.rule = n_alphas, folds, rule

    def _fit(self, flat: np.ndarray, time: np.ndarray, event: np.ndarray, copies: Any, cancelled: Cancelled) -> None:
        fold = inner_folds(event, copies, self.folds, self.seed)
        design = self._design(flat)
        choice = choose_penalty(design, time, event, fold, self._path_settings(design), self._at_risk, cancelled)
        self._gradient, self._offset = self._to_columns(choice.gradient), choice.offset
        self.path_, self.out_of_fold_ = choice.search, choice.out_of_fold
        self._baselines = self._breslow(time, event, choice.out_of_fold)
        table = choice.search.table
        if not np.any(choice.gradient):
            self.notes_ += ("No penalty predicts better than no model.",)
        elif choice.search.best == len(table) - 1 and not is_flat(table["deviance_ratio"].to_numpy()):
            self.notes_ += ("The best penalty is the weakest that could be fitted.",)

    def refitting(
        self, X: Any, time: np.ndarray, event: np.ndarray, cancelled: Cancelled = None, entry: np.ndarray | None = None
    ) -> Callable[[np.ndarray], Hazard]:
        """At the penalty, and on the components and readouts, that the fit to all patients chose: chosen again on a
        sample with copies, the penalty would be too strong, and the scores of the refits would spread less than the
        model's (see docs/methods.md)."""
        design = self._design(self.encoding.transform(X))
        reduction, alphas = self._path_settings(design).reduction(design), self.path_.table["alpha"].to_numpy()
        alphas = np.concatenate([[2 * alphas[0]], alphas[: self.path_.best + 1]])  # a path starts where all is 0

        def again(rows: np.ndarray) -> Hazard:
            stop_if(cancelled)
            at_risk = AtRisk(None if entry is None else entry[rows])
            path = fit_path(reduction.scores[rows], time[rows], event[rows], alphas, self.l1_ratio, QUICK, at_risk)
            gradient = reduction.to_features(path.coef[:, -1])
            offset = float(np.median(design[rows] @ gradient))
            return LinearHazard(self.encoding, self._to_columns(gradient), offset, self.baseline)

        return again

    def _breslow(self, time: np.ndarray, event: np.ndarray, log_hr: np.ndarray) -> dict[Any, Baseline]:
        """Stratum -> baseline hazard on out-of-fold scores: fitted scores are spread too widely."""
        if self._labels is None:
            return {None: fit_baseline(time, event, log_hr, self._entry)}
        baselines = {}
        for label in np.unique(self._labels[event]):
            rows = self._labels == label
            entry = None if self._entry is None else self._entry[rows]
            baselines[label] = fit_baseline(time[rows], event[rows], log_hr[rows], entry)
        return baselines

    def effective_parameters(self, X: Any, time: np.ndarray, event: np.ndarray) -> np.ndarray:
        """(a,) number of effective parameters at each penalty of path_. X, time, event: as given to fit."""
        flat = self._design(self.encoding.transform(self._split(as_features(X))[0]))
        settings, at_risk = self._path_settings(flat), self._at_risk
        scores, alphas = settings.reduction(flat).scores, self.path_.table["alpha"].to_numpy()
        path = fit_path(scores, time, event, alphas, settings.l1_ratio, QUICK, at_risk)
        df = np.full(len(alphas), np.nan)
        df[: len(path.alphas)] = effective_parameters(scores, time, event, path, settings.l1_ratio, at_risk)
        return df

    def _design(self, flat: np.ndarray) -> np.ndarray:
        """The columns that the penalty acts on, without a constant, of encoded rows (n, p)."""
        return flat

    def _to_columns(self, gradient: np.ndarray) -> np.ndarray:
        """Gradient by the columns of _design -> by the encoded ones, (p,)."""
        return gradient

    def _path_settings(self, flat: np.ndarray) -> PathSettings:
        wide = flat.shape[1] >= len(flat)
        return PathSettings(
            l1_ratio=self.l1_ratio,
            n_components=self.n_components,
            variance=self.variance,
            n_alphas=self.n_alphas,
            alpha_min_ratio=RIDGE_RATIO if self.l1_ratio < 0.1 else WIDE_RATIO if wide else NARROW_RATIO,
            rule=self.rule,
            weight=self.encoding.weights(),
        )


class ReadoutCox(PenalisedCox):
    """Ridge Cox regression on readouts of the codes (survival.features.readout).

    `fit` takes the block of codes and one or more arrays of measurements of the same rows, a row of which may be
    missing (nan); predictions need the codes alone, and the gradient is by the codes.

    Parameters
    ----------
    codes : name of the block of codes. Others: as of PenalisedCox.
    """

    label = "Cox on readouts"
    _measured: tuple[np.ndarray, ...] = ()
    _readout: Readout

    def __init__(self, *, codes: str = "photo", variance: float | None = None, **penalised: Any) -> None:
        super().__init__(variance=variance, **penalised)
        self.codes = codes

    def fit(
        self, X: Any, time: Any, event: Any, copies: Any = None, cancelled: Cancelled = None, entry: Any = None
    ) -> Self:
        features = as_features(X)
        measured = {k: v for k, v in features.items() if k != self.codes and isinstance(v, np.ndarray)}
        if self.codes not in features or not measured:
            raise SurvivalError(f"{self.label} needs the block {self.codes} and measurements of the same photos.")
        self._measured = tuple(block.reshape(len(block), -1) for block in measured.values())
        try:
            rest = {k: v for k, v in features.items() if k not in measured}
            return super().fit(rest, time, event, copies, cancelled, entry)
        finally:
            self._measured = ()

    def _design(self, flat: np.ndarray) -> np.ndarray:
        if self._measured:
            self._readout = fit_readout(flat, self._measured)
        return self._readout.transform(flat)

    def _to_columns(self, gradient: np.ndarray) -> np.ndarray:
        return self._readout.to_readouts @ gradient

    def _path_settings(self, flat: np.ndarray) -> PathSettings:
        return replace(super()._path_settings(flat), weight=self._readout.spread)


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
        names, varies = np.array(self.encoding.names), np.ptp(flat, axis=0) > 0
        if varies.sum() >= event.sum():
            raise SurvivalError(
                f"There are {int(varies.sum())} covariates for {int(event.sum())} events: use a penalised Cox model."
            )
        how: dict[str, Any] = {"ties": self.ties, "strata": self._labels, "entry": self._entry}
        self.fit_ = cox_regression(flat[:, varies], time, event, names=list(names[varies]), **how)
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
