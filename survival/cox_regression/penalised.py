"""Penalised Cox regression with delayed entry and strata, penalty by penalty.

The objective of `survival.cox_regression.path` with the partial likelihood summed over strata, without patients who
have not entered: scikit-survival's solver supports neither. With u and w the first derivative of log L by the linear
predictors and the negative second one (its diagonal), log L is near lp that of a least-squares problem with weights w
and responses lp + u / w, whose elastic net scikit-learn solves; repeated until the gradient shows that it is the
optimum (Simon et al., J Stat Softw 2011;39(5), section 2). A step that makes the objective worse is halved.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np

from survival.cox_regression.likelihood import log_likelihood, lp_derivatives
from survival.cox_regression.risk_sets import AtRisk, Stratum, parts_of

ROUNDS = 200  # of one penalty
HALVINGS = 20
INNER_TOLERANCE = 1e-15
INNER_SWEEPS = 10_000


def penalised(
    scores: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    alphas: np.ndarray,
    l1_ratio: float,
    tolerance: float,
    at_risk: AtRisk,
) -> Iterator[np.ndarray]:
    """Coefficients (k,) at each of the falling penalties (a,), each from the one before; ends where one is not reached.

    scores: (n, k). time, event: (n,). tolerance: largest part of the objective's gradient that is left, as a share of
    its largest part at 0.
    """
    problem = _Problem(scores, time, event, l1_ratio, at_risk)
    coef = np.zeros(scores.shape[1])
    for alpha in alphas:
        solution = problem.solve(float(alpha), coef, tolerance)
        if solution is None:
            return
        coef = solution
        yield coef


class _Problem:
    """minimise - log L(x b) / n + alpha (r |b|_1 + (1 - r) / 2 |b|^2)."""

    def __init__(
        self, scores: np.ndarray, time: np.ndarray, event: np.ndarray, l1_ratio: float, at_risk: AtRisk
    ) -> None:
        # the likelihood does not know a constant, and least squares without one converge faster
        self.x = np.asfortranarray(scores - scores.mean(axis=0))
        self.time, self.event, self.r, self.at_risk = time, event, l1_ratio, at_risk
        self.parts: tuple[Stratum, ...] = parts_of(time, event, "breslow", at_risk)
        self.largest = float(np.abs(self.x.T @ self._derivatives(np.zeros(len(time)))[0]).max()) / len(time)

    def _derivatives(self, lp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(all="ignore"):  # sums lost in rounding are looked for by the caller
            return lp_derivatives(self.parts, self.event, lp)

    def solve(self, alpha: float, coef: np.ndarray, tolerance: float) -> np.ndarray | None:
        """From coef to the optimum at alpha; None where it is not reached."""
        value = self._objective(coef, alpha)
        for _ in range(ROUNDS):
            u, w = self._derivatives(self.x @ coef)
            if not (np.isfinite(u).all() and np.isfinite(w).all() and np.isfinite(value)):
                return None
            if self._left(coef, u, alpha) <= tolerance * self.largest:
                return coef
            target = self._least_squares(coef, u, w, alpha)
            if target is None:
                return None
            coef, value = self._step(coef, target, value, alpha)
        return None

    def _left(self, coef: np.ndarray, u: np.ndarray, alpha: float) -> float:
        """How far the gradient is from one of the optimum."""
        slope = self.x.T @ u / len(u) - alpha * (1 - self.r) * coef
        limit = alpha * self.r
        at_zero = np.maximum(np.abs(slope) - limit, 0.0)
        return float(np.where(coef == 0, at_zero, np.abs(slope - limit * np.sign(coef))).max())

    def _least_squares(self, coef: np.ndarray, u: np.ndarray, w: np.ndarray, alpha: float) -> np.ndarray | None:
        from sklearn.exceptions import ConvergenceWarning  # not at the top: see survival.path
        from sklearn.linear_model import ElasticNet

        rows = w > 1e-12 * w.max()
        root = np.sqrt(w[rows])
        response = root * (self.x[rows] @ coef) + u[rows] / root
        # scikit-learn divides by the rows that it sees; the others count as well
        net = ElasticNet(
            alpha=alpha * len(u) / rows.sum(),
            l1_ratio=self.r,
            fit_intercept=False,
            tol=INNER_TOLERANCE,
            max_iter=INNER_SWEEPS,
            warm_start=True,
        )
        net.coef_ = coef.copy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the next round starts from there
            net.fit(np.asfortranarray(root[:, None] * self.x[rows]), response)
        solution = np.asarray(net.coef_, dtype=np.float64)
        return solution if np.isfinite(solution).all() else None

    def _step(self, coef: np.ndarray, target: np.ndarray, value: float, alpha: float) -> tuple[np.ndarray, float]:
        for _ in range(HALVINGS):
            new = self._objective(target, alpha)
            if new <= value + 1e-14 * abs(value):
                return target, new
            target = (coef + target) / 2
        return coef, value

    def _objective(self, coef: np.ndarray, alpha: float) -> float:
        likelihood = float(log_likelihood(self.time, self.event, (self.x @ coef)[:, None], self.at_risk)[0])
        penalty = alpha * (self.r * np.abs(coef).sum() + (1 - self.r) / 2 * float(coef @ coef))
        return penalty - likelihood / len(self.time)
