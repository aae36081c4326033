"""Choosing the penalty of a Cox model by cross-validation.

Folds over the patients that are given; in every fold scaling, PCA and one descending penalty path on the training part;
the penalty that predicts the left-out parts best is chosen. Run on the training part of an outer fold
(survival.comparison.crossval) this is the inner loop of a nested cross-validation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from survival.cox_regression.likelihood import log_likelihood
from survival.cox_regression.path import QUICK, fit_path, penalty_grid
from survival.cox_regression.risk_sets import ALL_AT_RISK, AtRisk
from survival.errors import Cancelled, SurvivalError, stop_if
from survival.features.reduction import Reduction, fit_reduction
from survival.metrics.pairs import harrell_columns

RULES = ("best", "1se")
PATH_COLUMNS = ("alpha", "score", "score_se", "concordance", "deviance_ratio")


@dataclass(frozen=True, eq=False)
class PathSettings:
    """How a path is laid out and its penalty chosen; survival.models.cox.PenalisedCox says what each means.

    weight: (p,) the standard deviation that each feature is scaled to before the components; None: 1.
    """

    l1_ratio: float
    n_components: int | None
    variance: float | None
    n_alphas: int
    alpha_min_ratio: float
    rule: str
    weight: np.ndarray | None = None

    def reduction(self, flat: np.ndarray) -> Reduction:
        """Scaling and components learned from these rows."""
        return fit_reduction(flat, self.n_components, self.variance, self.weight)


@dataclass(frozen=True, eq=False)
class PenaltySearch:
    """The penalties that were compared, and the choice.

    table: PATH_COLUMNS, one row a penalty: the criterion per left-out event (score, higher is better) and its standard
    error over folds, mean C of the folds (chosen on these folds, so not a result), training deviance explained.
    best: row of the choice. components: number of principal components in the refit.
    """

    table: pd.DataFrame
    best: int
    components: int

    @property
    def alpha(self) -> float:
        return float(self.table["alpha"].iloc[self.best])


@dataclass(frozen=True, eq=False)
class Choice:
    """A chosen penalty and the model refitted with it on all patients given.

    gradient: (p,) d lp / d raw feature; offset: lp = x @ gradient - offset, training patients' median 0.
    out_of_fold: (m,) each patient's score at the chosen penalty from the fold without it, relative to that fold's
    training median.
    """

    search: PenaltySearch
    gradient: np.ndarray
    offset: float
    out_of_fold: np.ndarray


def choose_penalty(
    flat: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    fold: np.ndarray,
    settings: PathSettings,
    at_risk: AtRisk = ALL_AT_RISK,
    cancelled: Cancelled = None,
) -> Choice:
    """Choose the penalty over the given folds and refit on everyone. flat: (m, p); the rest (m,). Raises FitCancelled
    after a path where `cancelled` says so."""
    reduction = settings.reduction(flat)
    layout = (settings.l1_ratio, settings.n_alphas, settings.alpha_min_ratio)
    grid = penalty_grid(reduction.scores, time, event, *layout, at_risk)
    whole = fit_path(reduction.scores, time, event, grid, settings.l1_ratio, at_risk=at_risk)
    stop_if(cancelled)
    reached = len(whole.alphas)
    lps = []
    for k in range(int(fold.max()) + 1):
        lp = _fold_lp(flat, time, event, fold != k, whole.alphas, settings, at_risk)
        reached = min(reached, lp.shape[1])
        lps.append(lp)
        stop_if(cancelled)
    # only penalties that every fold reached can be compared; a shorter path would lend its last coefficients
    lps = [lp[:, :reached] for lp in lps]
    score, score_se, concordance = _criterion(time, event, fold, lps, at_risk)
    best = int(np.argmax(score))  # of equals the first, which is the most penalised
    if settings.rule == "1se":
        best = int(np.flatnonzero(score >= score[best] - score_se[best])[0])
    out_of_fold = np.empty(len(time))
    for k, lp in enumerate(lps):
        out_of_fold[fold == k] = (lp[:, best] - np.median(lp[fold != k, best]))[fold == k]
    gradient = reduction.to_features(whole.coef[:, best])
    columns = (whole.alphas[:reached], score, score_se, concordance, whole.deviance_ratio[:reached])
    table = pd.DataFrame(dict(zip(PATH_COLUMNS, columns, strict=True)))
    search = PenaltySearch(table, best, reduction.scores.shape[1])
    return Choice(search, gradient, float(np.median(flat @ gradient)), out_of_fold)


def _fold_lp(
    flat: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    train: np.ndarray,
    alphas: np.ndarray,
    settings: PathSettings,
    at_risk: AtRisk,
) -> np.ndarray:
    """Linear predictors (m, a') of all patients under the path fitted to the training patients alone."""
    reduction = settings.reduction(flat[train])
    path = fit_path(reduction.scores, time[train], event[train], alphas, settings.l1_ratio, QUICK, at_risk.take(train))
    lp = np.empty((len(flat), len(path.alphas)))
    lp[train] = reduction.scores @ path.coef
    lp[~train] = reduction.transform(flat[~train]) @ path.coef
    return lp


def _criterion(
    time: np.ndarray, event: np.ndarray, fold: np.ndarray, lps: list[np.ndarray], at_risk: AtRisk
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Criterion, its standard error over folds, and mean C within the left-out parts, for each penalty.

    Criterion: the left-out part's share log L(all) - log L(training) under the fold's coefficients, per left-out event
    (Verweij and van Houwelingen, Stat Med 1993;12:2305).
    """
    weight = np.array([event[fold == k].sum() for k in range(len(lps))], dtype=float)
    concordance, each = np.empty((2, len(lps), lps[0].shape[1]))
    for k, lp in enumerate(lps):
        rows, train = fold == k, fold != k
        concordance[k] = harrell_columns(time[rows], event[rows], lp[rows], at_risk.take(rows))
        trained = log_likelihood(time[train], event[train], lp[train], at_risk.take(train))
        each[k] = (log_likelihood(time, event, lp, at_risk) - trained) / weight[k]
    if not (np.isfinite(each).all() and np.isfinite(concordance).all()):
        raise SurvivalError("A cross-validation fold holds no comparable patients: use fewer folds or add events.")
    score = np.average(each, axis=0, weights=weight)
    spread = np.average((each - score) ** 2, axis=0, weights=weight)
    return score, np.sqrt(spread / (len(lps) - 1)), concordance.mean(axis=0)
