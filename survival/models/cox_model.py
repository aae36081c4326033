"""A penalised Cox model from high-dimensional rows (W+ codes) to a log hazard ratio, with honest numbers about itself.

lambda(t | x) = lambda0(t) exp(log_hr(x)), log_hr(x) = <gradient, x> - offset, 0 at the cohort's median.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from survival.cohort_scores import CohortScores
from survival.cox_regression.baseline import Baseline, fit_baseline
from survival.cox_regression.path import is_flat
from survival.cox_regression.risk_sets import AtRisk
from survival.errors import SurvivalError
from survival.features.reduction import flatten, mean_by_patient
from survival.metrics.calibration import calibration_slope
from survival.metrics.concordance import Estimate, concordance_ci, unknown
from survival.models.cox_file import from_parts, to_parts
from survival.models.penalty import (
    CRITERIA,
    QUARTILES,
    RULES,
    Choice,
    PathSettings,
    Ticker,
    choose_penalty,
    nested_cross_validation,
    paths_needed,
)
from survival.outcome import Outcome, check_outcome, entry_by_patient, patient_folds, require_events
from survival.storage import read_model, write_model

PENALTIES = {"ridge": 1e-3, "elastic-net": 0.5, "lasso": 1.0}  # name -> default l1_ratio
TAU_SHARE = 0.1  # beyond the time that fewer patients than this reach, single patients would decide Uno's C
KIND = "cox-1"
# how far down the path goes: alpha_max is counted in l1, so the near-ridge path has to go further; with fewer features
# than patients the best penalty may be next to none
RIDGE_RATIO, WIDE_RATIO, NARROW_RATIO = 1e-5, 1e-2, 1e-4


class CoxModel(CohortScores):
    """Cox regression, ridge-like to lasso, on scaled principal components.

    Parameters
    ----------
    penalty : "ridge" (l1_ratio 0.001), "elastic-net" (0.5) or "lasso" (1).
    l1_ratio : overrides the name's value; in (0, 1]. Lasso picks components, not raw features.
    n_components, variance : how many components are kept: at most so many, and so many as carry this share of the
        variance. None: no limit.
    n_alphas : penalties on the path.
    folds : outer and inner folds, dealt by patient and stratified on the event.
    choose_by : "partial-likelihood" (cross-validated, Verweij and van Houwelingen) or "harrell".
    rule : "best", or "1se": the strongest penalty within one standard error of the best.
    seed : of the folds and the bootstrap.

    Attributes, after fit or load
    -----------------------------
    alphas_, alpha_ : the path of the final fit, and the choice. path_ : DataFrame, one row a penalty: alpha, score
        (criterion per left-out event), score_se, concordance (mean over folds; chosen on these folds, so not a
        result), deviance_ratio (training).
    oof_log_hr_ : (n,) a row: nested out-of-fold log hazard ratios.
    oof_c_, oof_uno_ : Estimate, Harrell's C and Uno's C up to uno_tau_, by patient.
    calibration_slope_ : Estimate: Cox slope of the outcome on oof_log_hr_.
    cohort_ : DataFrame, one row a patient: patient, time, event, log_hr (out of fold, mean over photos), fold,
        quartile (0 lowest risk to 3), and entry where some came under observation late.
    cuts_ : (3,) quartiles of the cohort's out-of-fold scores, for new faces.
    baseline : Baseline at log_hr 0. fold_cosine_ : mean cosine between the outer folds' gradients.
    n_patients_, n_events_, n_components_, feature_shape_, notes_ (sentences for people).

    References
    ----------
    Simon et al., J Stat Softw 2011;39(5):1. Verweij, van Houwelingen, Stat Med 1993;12:2305. Breslow, Biometrics
    1974;30:89.
    """

    alphas_: np.ndarray
    alpha_: float
    path_: pd.DataFrame
    oof_log_hr_: np.ndarray
    oof_c_: Estimate
    oof_uno_: Estimate
    calibration_slope_: Estimate
    cohort_: pd.DataFrame
    cuts_: np.ndarray
    baseline: Baseline
    fold_cosine_: float
    fold_alphas_: np.ndarray
    uno_tau_: float
    n_patients_: int
    n_events_: int
    n_components_: int
    feature_shape_: tuple[int, ...]
    notes_: tuple[str, ...]

    def __init__(
        self,
        penalty: str = "ridge",
        *,
        l1_ratio: float | None = None,
        n_components: int | None = None,
        variance: float | None = 0.99,
        n_alphas: int = 50,
        folds: int = 5,
        choose_by: str = "partial-likelihood",
        rule: str = "best",
        seed: int = 0,
    ) -> None:
        if penalty not in PENALTIES:
            raise SurvivalError(f"There is no penalty called {penalty!r}: choose one of {', '.join(PENALTIES)}.")
        if choose_by not in CRITERIA:
            raise SurvivalError(f"There is no criterion called {choose_by!r}: choose one of {', '.join(CRITERIA)}.")
        if rule not in RULES:
            raise SurvivalError(f"There is no rule called {rule!r}: choose one of {', '.join(RULES)}.")
        self.penalty = penalty
        self.l1_ratio = PENALTIES[penalty] if l1_ratio is None else float(l1_ratio)
        self.n_components, self.variance, self.n_alphas = n_components, variance, n_alphas
        self.folds, self.choose_by, self.rule, self.seed = folds, choose_by, rule, seed
        if not 0 < self.l1_ratio <= 1:
            raise SurvivalError(f"l1_ratio is {self.l1_ratio:g}: give a number above 0 and at most 1.")
        if variance is not None and not 0 < variance <= 1:
            raise SurvivalError(f"The share of variance is {variance:g}: give a number above 0 and at most 1.")
        if (n_components is not None and n_components < 1) or n_alphas < 5 or folds < 2:
            raise SurvivalError("Give at least 1 component, 5 penalties and 2 folds.")

    def fit(
        self,
        X: Any,
        time: Any,
        event: Any,
        groups: Any = None,
        on_progress: Callable[[float, str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        entry: Any = None,
    ) -> CoxModel:
        """Fit, with nested cross-validation.

        Parameters
        ----------
        X : (n, ...) features, flattened inside. Several rows of one patient are averaged for fitting.
        time, event : (n,) outcomes in the study's unit. groups : (n,) patient ids, None: every row is a patient.
        on_progress : called with the fraction done and a message. cancelled : asked after every path.
        entry : (n,) when each patient came under observation (left truncation), None: all at 0. Likelihood, baseline
            hazard, Harrell's C and slope count each from then on; there is no Uno's C (nan) then.

        Raises
        ------
        SurvivalError (FitCancelled when stopped); the model is then as before.
        """
        flat = flatten(X)
        outcome = check_outcome(time, event, groups)
        if len(flat) != len(outcome.patient):
            raise SurvivalError(
                f"There are {len(flat)} rows of features but {len(outcome.patient)} outcomes: give one each."
            )
        require_events(outcome, self.folds)
        people = flat if outcome.rows_are_patients else mean_by_patient(flat, outcome.patient, len(outcome))
        at_risk = AtRisk(None if entry is None else entry_by_patient(entry, outcome))
        ticker = Ticker(paths_needed(self.folds), on_progress, cancelled)
        rng = np.random.default_rng(self.seed)
        fold = patient_folds(outcome.event, self.folds, rng)
        settings = self._settings(wide=people.shape[1] >= len(people))
        nested = nested_cross_validation(people, outcome.time, outcome.event, fold, settings, rng, ticker, at_risk)
        ticker.message = "Fitting the final model"
        choice = choose_penalty(people, outcome.time, outcome.event, fold, settings, ticker, at_risk)
        rows_fold = fold[outcome.patient]
        oof = np.empty(len(flat))
        for k in range(self.folds):
            # a patient's mean photo scores the mean of its photos' scores, so offsets carry over to single rows
            of_fold = rows_fold == k
            oof[of_fold] = flat[of_fold] @ nested.gradients[k] - nested.offsets[k]
        cohort = pd.DataFrame(
            {
                "patient": outcome.names,
                "time": outcome.time,
                "event": outcome.event,
                "log_hr": nested.log_hr,
                "fold": fold,
                "quartile": nested.quartile,
                **({} if at_risk.entry is None else {"entry": at_risk.entry}),
            }
        )
        self._set(choice, outcome, cohort, np.shape(X)[1:])
        self.oof_log_hr_, self.fold_alphas_ = oof, nested.alphas
        self.fold_cosine_ = mean_cosine(nested.gradients)
        self.notes_ = self._notes(choice)
        return self

    def _settings(self, wide: bool) -> PathSettings:
        return PathSettings(
            l1_ratio=self.l1_ratio,
            n_components=self.n_components,
            variance=self.variance,
            n_alphas=self.n_alphas,
            alpha_min_ratio=RIDGE_RATIO if self.l1_ratio < 0.1 else WIDE_RATIO if wide else NARROW_RATIO,
            choose_by=self.choose_by,
            rule=self.rule,
            folds=self.folds,
        )

    def _set(self, choice: Choice, outcome: Outcome, cohort: pd.DataFrame, shape: tuple[int, ...]) -> None:
        time, event, log_hr = outcome.time, outcome.event, cohort["log_hr"].to_numpy()
        self.alphas_, self.alpha_ = choice.alphas, choice.alpha
        self.path_ = pd.DataFrame(
            {name: getattr(choice, name) for name in ("score", "score_se", "concordance", "deviance_ratio")}
        )
        self.path_.insert(0, "alpha", choice.alphas)
        self._gradient, self._offset = choice.gradient, choice.offset
        self.cohort_, self.cuts_ = cohort, np.percentile(log_hr, QUARTILES)
        entry = cohort["entry"].to_numpy() if "entry" in cohort else None
        self.oof_c_ = concordance_ci(time, event, log_hr, seed=self.seed, entry=entry)
        self.uno_tau_ = uno_horizon(time)
        self.oof_uno_ = (
            concordance_ci(time, event, log_hr, metric="uno", tau=self.uno_tau_, seed=self.seed)
            if entry is None
            else unknown(len(outcome))
        )
        self.calibration_slope_ = calibration_slope(time, event, log_hr, entry)
        self.baseline = fit_baseline(time, event, log_hr, entry)
        self.n_patients_, self.n_events_ = len(outcome), int(event.sum())
        self.n_components_, self.feature_shape_ = choice.components, tuple(int(s) for s in shape)

    def _notes(self, choice: Choice) -> tuple[str, ...]:
        if choice.best == 0 or not np.any(choice.gradient):
            return ("No penalty predicts better than no model: these features tell nothing about survival here.",)
        if choice.best == len(choice.alphas) - 1 and not is_flat(choice.deviance_ratio):
            return ("The best penalty is the weakest that could be fitted; a still weaker one might be better.",)
        return ()

    def predict(self, X: Any) -> np.ndarray:
        """Log hazard ratio of each row relative to the cohort's median. X: (n, ...) or one row (...) -> (n,).

        For rows of the cohort itself this is an in-sample value; oof_log_hr_ is the honest one.
        """
        self._require_fitted()
        array = np.asarray(X)
        flat = flatten(array[None] if array.shape == self.feature_shape_ else array)
        if array.shape[-len(self.feature_shape_) :] != self.feature_shape_ or flat.shape[1] != len(self._gradient):
            raise SurvivalError(
                f"The features have shape {array.shape}, the model was fitted to {self.feature_shape_} a row: "
                "embed the photos with the study's own checkpoint."
            )
        return flat @ self._gradient - self._offset

    def predict_survival_function(self, X: Any, times: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """(times (T,), S (n, T)) of each row; times None: 0, event times, end of follow-up. nan beyond it."""
        return self.survival(self.predict(X), times)

    def survival(self, log_hr: Any, times: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """(times (T,), S (n, T)) of people with these log hazard ratios relative to the cohort's median."""
        self._require_fitted()
        return self.baseline.survival(log_hr, times)

    def log_hr_gradient(self) -> np.ndarray:
        """d log_hr / d x in the shape of one row of X, float64. The model is linear: it holds at every x."""
        self._require_fitted()
        return self._gradient.reshape(self.feature_shape_).copy()

    def save(self, folder: Path | str) -> None:
        """Write folder/model.json and folder/model.npz, each replaced at once or not at all."""
        self._require_fitted()
        write_model(Path(folder), KIND, *to_parts(self))

    @classmethod
    def load(cls, folder: Path | str) -> CoxModel:
        """Read a saved model; it predicts to the last bit what the saved one did. Raises SurvivalError."""
        return from_parts(cls, *read_model(Path(folder), KIND))

    def _require_fitted(self) -> None:
        if not hasattr(self, "_gradient"):
            raise SurvivalError("The Cox model has not been fitted yet: fit or load it first.")


def mean_cosine(gradients: np.ndarray) -> float:
    """Mean cosine between all pairs of rows; a row of zeros (the null model) agrees with nothing and counts 0."""
    length = np.linalg.norm(gradients, axis=1, keepdims=True)
    unit = np.divide(gradients, length, out=np.zeros_like(gradients), where=length > 0)
    return float((unit @ unit.T)[np.triu_indices(len(unit), 1)].mean())


def uno_horizon(time: np.ndarray) -> float:
    """tau for Uno's C: the last time at which a tenth of the patients is still followed."""
    return float(np.quantile(time, 1 - TAU_SHARE, method="lower"))
