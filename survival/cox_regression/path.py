"""One descending penalty path, guarded.

Objective at penalty alpha (Simon, Friedman, Hastie, Tibshirani, J Stat Softw 2011;39(5)):
    - log L(beta) / n + alpha * (l1_ratio * |beta|_1 + (1 - l1_ratio) / 2 * |beta|_2^2)
solved by scikit-survival's coordinate descent, each penalty started from the solution of the next larger one. A fit
that starts cold at a small penalty diverges or returns garbage, so none is made.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from survival.cox_regression.likelihood import deviance_ratio, null_gradient
from survival.cox_regression.penalised import penalised
from survival.cox_regression.risk_sets import ALL_AT_RISK, AtRisk
from survival.errors import SurvivalError

FLAT = 0.999  # four penalties that explain no more than this ratio of each other: the path is at its end
# largest change left in a coefficient's weighted square, as a share of the null deviance
EXACT = 1e-9  # coefficients within 5e-4 of glmnet's, for the final model
QUICK = 1e-7  # within 2e-3 and several times faster, for a path that is only compared along its length
MAX_SWEEPS = 1_000_000  # over the whole path
SLACK = 1e-6  # by how much the explained deviance may fall from rounding and the solver's tolerance


@dataclass(frozen=True, eq=False)
class PenaltyPath:
    """alphas: (a,) falling. coef: (k, a). deviance_ratio: (a,) share of null deviance explained in training."""

    alphas: np.ndarray
    coef: np.ndarray
    deviance_ratio: np.ndarray


def penalty_grid(
    scores: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    l1_ratio: float,
    n_alphas: int,
    min_ratio: float,
    at_risk: AtRisk = ALL_AT_RISK,
) -> np.ndarray:
    """n_alphas penalties, falling evenly in log from the smallest one that leaves every coefficient at 0.

    scores: (n, k). alpha_max = max_j |scores_j' r| / (n l1_ratio), r the null model's residuals.
    """
    largest = float(np.abs(scores.T @ null_gradient(time, event, at_risk)).max()) / (len(time) * l1_ratio)
    if not largest > 0:
        raise SurvivalError(
            "No feature is associated with the outcome at all: check that the rows of both belong together."
        )
    return largest * np.geomspace(1.0, min_ratio, n_alphas)


def fit_path(
    scores: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    alphas: np.ndarray,
    l1_ratio: float,
    tolerance: float = EXACT,
    at_risk: AtRisk = ALL_AT_RISK,
) -> PenaltyPath:
    """Fit the penalties from the largest down, as far as the fits are sound; at least the first two.

    The path ends before the first penalty whose fit is not finite, explains a share of deviance outside [0, 1], or
    explains less than a larger penalty did. The solver gives up by itself once the explained deviance is flat; it
    computes that without ties, which stops it at once where many times are equal, so it is restarted from there. With
    delayed entry or strata the solver is `penalised`.

    Raises
    ------
    SurvivalError
        when not even two penalties can be fitted.
    """
    alphas = np.sort(alphas)[::-1]
    coef, ratio = np.empty((scores.shape[1], 0)), np.empty(0)
    for new, failed in _reached(scores, time, event, alphas, l1_ratio, tolerance, at_risk):
        coef = np.hstack([coef, new])
        ratio = np.concatenate([ratio, _ratio(time, event, scores, new, at_risk)])
        sound = _sound(ratio)
        if failed or sound < len(ratio) or is_flat(ratio):
            coef, ratio = coef[:, :sound], ratio[:sound]
            break
    if len(ratio) < 2:
        raise SurvivalError(
            "The Cox model could not be fitted even under strong penalties: look for extreme values or copies of the "
            "outcome among the features."
        )
    return PenaltyPath(alphas[: len(ratio)], coef, ratio)


def _reached(
    scores: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    alphas: np.ndarray,
    l1_ratio: float,
    tolerance: float,
    at_risk: AtRisk,
) -> Iterator[tuple[np.ndarray, bool]]:
    """Coefficients (k, a') of the next penalties that the solver reached, and whether it broke down on the way."""
    if not at_risk.plain:
        for coef in penalised(scores, time, event, alphas, l1_ratio, np.sqrt(tolerance), at_risk):
            yield coef[:, None], False
        return
    while len(alphas):
        coef, failed = _solve(scores, time, event, alphas, l1_ratio, tolerance)
        yield coef, failed
        alphas = alphas[coef.shape[1] :]


def _ratio(time: np.ndarray, event: np.ndarray, scores: np.ndarray, coef: np.ndarray, at_risk: AtRisk) -> np.ndarray:
    finite = np.isfinite(coef).all(axis=0)
    ratio = np.full(coef.shape[1], np.nan)
    ratio[finite] = deviance_ratio(time, event, scores @ coef[:, finite], at_risk)
    return ratio


def _sound(ratio: np.ndarray) -> int:
    good = (ratio >= -SLACK) & (ratio <= 1)  # False where nan
    good[1:] &= np.diff(ratio) >= -SLACK
    return int(np.argmin(good)) if not good.all() else len(good)


def is_flat(ratio: np.ndarray) -> bool:
    """Whether the last four penalties explained no more of the deviance: weaker ones would change nothing."""
    return len(ratio) > 4 and ratio[-5] > FLAT * ratio[-1] > 0


def _solve(
    scores: np.ndarray, time: np.ndarray, event: np.ndarray, alphas: np.ndarray, l1_ratio: float, tolerance: float
) -> tuple[np.ndarray, bool]:
    """As of _reached.

    A breakdown reaches Python as an exception without the part of the path before it, so a shorter one is tried.
    """
    # Imported here: reading a fitted model needs none of it, and it takes the better part of a second.
    from sklearn.exceptions import ConvergenceWarning
    from sksurv.linear_model import CoxnetSurvivalAnalysis
    from sksurv.util import Surv

    outcome = Surv.from_arrays(event, time)
    failed = False
    while len(alphas):
        solver = CoxnetSurvivalAnalysis(alphas=alphas, l1_ratio=l1_ratio, tol=tolerance, max_iter=MAX_SWEEPS)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="all coefficients are zero")
                warnings.filterwarnings("error", category=ConvergenceWarning)
                solver.fit(scores, outcome)
            return solver.coef_, failed
        except (ArithmeticError, AssertionError, ConvergenceWarning):
            failed = True
            alphas = alphas[: len(alphas) * 3 // 4]
    return np.empty((scores.shape[1], 0)), True
