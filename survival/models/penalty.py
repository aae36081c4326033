"""Choosing the penalty, and judging the choice: nested cross-validation by patient.

Inner loop, choose_penalty: folds over the patients it is given; in every fold scaling, PCA and one descending penalty
path on the training part; the penalty that predicts the left-out parts best wins.
Outer loop, nested_cross_validation: the inner loop is run on each outer training part alone and the winner's
predictions for the outer test part are kept. No patient's out-of-fold score has seen that patient's outcome, neither
through coefficients nor through the choice of penalty, components or scaling.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from survival.cox_regression.likelihood import log_likelihood
from survival.cox_regression.path import QUICK, fit_path, penalty_grid
from survival.cox_regression.risk_sets import ALL_AT_RISK, AtRisk
from survival.errors import FitCancelled, SurvivalError
from survival.features.reduction import Reduction, fit_reduction
from survival.metrics.pairs import harrell_columns
from survival.outcome import patient_folds

CRITERIA = ("partial-likelihood", "harrell")
RULES = ("best", "1se")
QUARTILES = (25, 50, 75)


@dataclass(frozen=True, eq=False)
class PathSettings:
    """How a path is laid out and its penalty chosen; see CoxModel for the meaning of each.

    weight: (p,) the standard deviation that each feature is scaled to before the components; None: 1.
    """

    l1_ratio: float
    n_components: int | None
    variance: float | None
    n_alphas: int
    alpha_min_ratio: float
    choose_by: str
    rule: str
    folds: int
    weight: np.ndarray | None = None

    def reduction(self, flat: np.ndarray) -> Reduction:
        """Scaling and components learned from these rows."""
        return fit_reduction(flat, self.n_components, self.variance, self.weight)


@dataclass(frozen=True, eq=False)
class Choice:
    """A chosen penalty and the model refitted with it on all patients given.

    alphas, score, score_se, concordance, deviance_ratio: (a,) the path: the criterion per left-out event (higher is
    better) and its standard error over folds, mean C of the folds, training deviance explained (never a result).
    best: index of the choice. gradient: (p,) d lp / d raw feature; offset: lp = x @ gradient - offset, training
    patients' median 0. out_of_fold: (m,) each patient's score at the chosen penalty from the fold without it,
    relative to that fold's training median. components: number of principal components in the refit.
    """

    alphas: np.ndarray
    score: np.ndarray
    score_se: np.ndarray
    concordance: np.ndarray
    deviance_ratio: np.ndarray
    best: int
    gradient: np.ndarray
    offset: float
    out_of_fold: np.ndarray
    components: int

    @property
    def alpha(self) -> float:
        return float(self.alphas[self.best])


@dataclass(frozen=True, eq=False)
class Nested:
    """Out-of-fold results of the outer loop, (m,) a patient, (k, ...) an outer fold.

    log_hr: relative to the median of the outer training patients. quartile: 0 (lowest risk) to 3, by cut-points
    (k, 3) that are the quartiles of the training patients' own inner out-of-fold scores. gradients: (k, p),
    offsets: (k,).
    """

    fold: np.ndarray
    log_hr: np.ndarray
    quartile: np.ndarray
    cuts: np.ndarray
    alphas: np.ndarray
    gradients: np.ndarray
    offsets: np.ndarray


class Ticker:
    """Counts fitted paths, tells how far the work is, and stops it when asked to."""

    def __init__(
        self,
        total: int,
        on_progress: Callable[[float, str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        self.total, self.done, self.message = total, 0, ""
        self._on_progress, self._cancelled = on_progress, cancelled

    def tick(self) -> None:
        """One more path is done. Raises FitCancelled when the person has asked to stop."""
        self.done += 1
        if self._on_progress is not None:
            self._on_progress(min(1.0, self.done / self.total), self.message)
        if self._cancelled is not None and self._cancelled():
            raise FitCancelled("The fit was stopped; the study is as it was before.")


def paths_needed(folds: int) -> int:
    """Penalty paths in a nested cross-validation with its final choice: (outer + 1) x (inner + refit)."""
    return (folds + 1) * (folds + 1)


def choose_penalty(
    flat: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    fold: np.ndarray,
    settings: PathSettings,
    ticker: Ticker,
    at_risk: AtRisk = ALL_AT_RISK,
) -> Choice:
    """Choose the penalty over the given folds and refit on everyone. flat: (m, p); the rest (m,)."""
    reduction = settings.reduction(flat)
    layout = (settings.l1_ratio, settings.n_alphas, settings.alpha_min_ratio)
    grid = penalty_grid(reduction.scores, time, event, *layout, at_risk)
    whole = fit_path(reduction.scores, time, event, grid, settings.l1_ratio, at_risk=at_risk)
    ticker.tick()
    reached = len(whole.alphas)
    lps = []
    for k in range(int(fold.max()) + 1):
        lp = _fold_lp(flat, time, event, fold != k, whole.alphas, settings, at_risk)
        reached = min(reached, lp.shape[1])
        lps.append(lp)
        ticker.tick()
    # only penalties that every fold reached can be compared; a shorter path would lend its last coefficients
    lps = [lp[:, :reached] for lp in lps]
    score, score_se, concordance = _judge(time, event, fold, lps, settings.choose_by, at_risk)
    best = _pick(score, score_se, settings.rule)
    out_of_fold = np.empty(len(time))
    for k, lp in enumerate(lps):
        out_of_fold[fold == k] = (lp[:, best] - np.median(lp[fold != k, best]))[fold == k]
    gradient = reduction.carry_back(whole.coef[:, best])
    return Choice(
        alphas=whole.alphas[:reached],
        score=score,
        score_se=score_se,
        concordance=concordance,
        deviance_ratio=whole.deviance_ratio[:reached],
        best=best,
        gradient=gradient,
        offset=float(np.median(flat @ gradient)),
        out_of_fold=out_of_fold,
        components=reduction.scores.shape[1],
    )


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


def _judge(
    time: np.ndarray, event: np.ndarray, fold: np.ndarray, lps: list[np.ndarray], choose_by: str, at_risk: AtRisk
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Criterion, its standard error over folds, and mean C, for each penalty.

    partial-likelihood: the left-out part's share log L(all) - log L(training) under the fold's coefficients, per
    left-out event (Verweij and van Houwelingen, Stat Med 1993;12:2305). harrell: C within the left-out part.
    """
    concordance = np.array(
        [
            harrell_columns(time[own], event[own], lp[own], at_risk.take(own))
            for k, lp in enumerate(lps)
            for own in [fold == k]
        ]
    )
    weight = np.array([event[fold == k].sum() for k in range(len(lps))], dtype=float)
    if choose_by == "harrell":
        each = concordance
    else:
        each = np.array(
            [
                (
                    log_likelihood(time, event, lp, at_risk)
                    - log_likelihood(time[train], event[train], lp[train], at_risk.take(train))
                )
                / weight[k]
                for k, lp in enumerate(lps)
                for train in [fold != k]
            ]
        )
    if not (np.isfinite(each).all() and np.isfinite(concordance).all()):
        raise SurvivalError("A cross-validation fold holds no comparable patients: use fewer folds or add events.")
    score = np.average(each, axis=0, weights=weight)
    spread = np.average((each - score) ** 2, axis=0, weights=weight)
    return score, np.sqrt(spread / (len(lps) - 1)), concordance.mean(axis=0)


def _pick(score: np.ndarray, score_se: np.ndarray, rule: str) -> int:
    best = int(np.argmax(score))  # of equals the first, which is the most penalised
    if rule == "1se":
        best = int(np.flatnonzero(score >= score[best] - score_se[best])[0])
    return best


def nested_cross_validation(
    flat: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    fold: np.ndarray,
    settings: PathSettings,
    rng: np.random.Generator,
    ticker: Ticker,
    at_risk: AtRisk = ALL_AT_RISK,
) -> Nested:
    """Outer loop over the given folds; the inner folds are dealt afresh within each training part."""
    folds = int(fold.max()) + 1
    log_hr, quartile = np.empty(len(time)), np.empty(len(time), dtype=np.int64)
    cuts, gradients = np.empty((folds, 3)), np.empty((folds, flat.shape[1]))
    alphas, offsets = np.empty(folds), np.empty(folds)
    for k in range(folds):
        train = fold != k
        ticker.message = f"Outer fold {k + 1} of {folds}"
        inner = patient_folds(event[train], settings.folds, rng)
        choice = choose_penalty(flat[train], time[train], event[train], inner, settings, ticker, at_risk.take(train))
        log_hr[~train] = flat[~train] @ choice.gradient - choice.offset
        cuts[k] = np.percentile(choice.out_of_fold, QUARTILES)
        quartile[~train] = np.searchsorted(cuts[k], log_hr[~train], side="right")
        alphas[k], gradients[k], offsets[k] = choice.alpha, choice.gradient, choice.offset
    return Nested(fold, log_hr, quartile, cuts, alphas, gradients, offsets)
