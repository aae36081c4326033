"""Unpenalised Cox regression for few covariates: coefficients with standard errors, and the tests that go with them.

log L(b) = sum over events of [x_i b - log S0], S0 = sum over the risk set of w_j exp(x_j b). Events at one time:
Breslow takes the same S0 for all (Breslow 1974); Efron subtracts l/d of the part of the d dying patients for the l-th,
l = 0 .. d-1 (Efron 1977). Strata: separate risk sets, one b for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from survival.cox_regression.risk_sets import Stratum, event_weight, information_matrix, risk_sums, stratum_of
from survival.errors import SurvivalError
from survival.outcome import check_entry, check_outcome
from survival.tails import Z95, ChiSquare, chi_square, chi_square_tail, normal_tail

TIES = ("efron", "breslow")
MAX_STEPS = 40
HALVINGS = 30
CONVERGED = 1e-11  # relative change of the log-likelihood
LARGE_EFFECT = 20.0  # |b| sd(x) beyond this is a coefficient on its way to infinity
RUNAWAY = 1e-3  # a step this long at a level likelihood


@dataclass(frozen=True, eq=False)
class CoxFit:
    """A fitted Cox regression.

    names: (p,). coef, se: (p,) log hazard ratios and their standard errors. covariance: (p, p). log_likelihood: of the
    fit; null: with all b = 0. score: score statistic at b = 0. n, events: rows and events. ties: "efron" or "breslow".
    centre: (p,) weighted column means; lp is x @ coef, not centred. delayed_entry: whether there were entry times.
    """

    names: tuple[str, ...]
    coef: np.ndarray
    covariance: np.ndarray
    log_likelihood: float
    null: float
    score: float
    n: int
    events: int
    ties: str
    _x: np.ndarray
    _weight: np.ndarray
    _parts: tuple[Stratum, ...]
    _labels: tuple[Any, ...]
    _time: np.ndarray
    _event: np.ndarray
    _entry: np.ndarray | None = None

    @property
    def delayed_entry(self) -> bool:
        return self._entry is not None

    @property
    def se(self) -> np.ndarray:
        return np.sqrt(np.diag(self.covariance))

    def linear_predictor(self) -> np.ndarray:
        """(n,) x @ coef of the rows that it was fitted to."""
        return np.asarray(self._x @ self.coef)

    def table(self) -> pd.DataFrame:
        """One row per covariate: name, coef, hr, low, high (95 % limits of the hazard ratio), se, z, p (Wald)."""
        z = self.coef / self.se
        return pd.DataFrame(
            {
                "name": self.names,
                "coef": self.coef,
                "hr": np.exp(self.coef),
                "low": np.exp(self.coef - Z95 * self.se),
                "high": np.exp(self.coef + Z95 * self.se),
                "se": self.se,
                "z": z,
                "p": 2 * normal_tail(np.abs(z)),
            }
        )

    def tests(self) -> pd.DataFrame:
        """Global tests that all b are 0: likelihood-ratio, Wald, score; columns test, chisq, df, p."""
        wald = float(self.coef @ np.linalg.solve(self.covariance, self.coef))
        chisq = np.array([2 * (self.log_likelihood - self.null), wald, self.score])
        p = chi_square_tail(chisq, len(self.coef))
        names = ["likelihood ratio", "Wald", "score"]
        return pd.DataFrame({"test": names, "chisq": chisq, "df": len(self.coef), "p": p})

    def baselines(self) -> dict[Any, tuple[np.ndarray, np.ndarray]]:
        """Stratum label -> (event times rising, cumulative baseline hazard at x = 0). One entry, None, without strata.

        Breslow's estimate, or Efron's with Efron ties.
        """
        lp = self._x @ self.coef
        hazards = {}
        for label, part in zip(self._labels, self._parts, strict=True):
            sums = risk_sums(part, self._x, self._weight, lp, 0.0)
            hazard = np.cumsum((event_weight(part, self._weight) / sums.s0)[::-1])
            times = part.time[::-1]
            last = np.r_[np.diff(times) > 0, True]
            hazards[label] = (times[last], hazard[last])
        return hazards

    def schoenfeld(self) -> tuple[np.ndarray, np.ndarray]:
        """(event times (E,) rising within strata, residuals (E, p)): x of the dying less the mean of x at risk."""
        lp, times, residuals = self._x @ self.coef, [], []
        for part in self._parts:
            mean = risk_sums(part, self._x, self._weight, lp, float(lp.max())).mean
            total = np.cumsum(np.vstack([np.zeros(mean.shape[1]), mean]), axis=0)
            count = (part.last - part.first + 1)[:, None]
            expected = (total[part.last + 1] - total[part.first]) / count
            times.append(part.time[::-1])
            residuals.append((self._x[part.rows[part.dies]] - expected)[::-1])
        return np.concatenate(times), np.vstack(residuals)


def cox_regression(
    x: Any,
    time: Any,
    event: Any,
    *,
    names: Sequence[str] | None = None,
    ties: str = "efron",
    strata: Any = None,
    weight: Any = None,
    entry: Any = None,
) -> CoxFit:
    """Maximise the partial likelihood by Newton's method with halved steps.

    Parameters
    ----------
    x : (n, p) covariates, or (n,) one; p well below the number of events. time, event : (n,).
    ties : "efron" or "breslow". strata : (n,) labels, each with a separate baseline hazard.
    weight : (n,) case weights >= 0, None: 1 each. Standard errors take them for numbers of patients.
    entry : (n,) when each patient came under observation (delayed entry), before `time`; None: all at 0.

    Raises
    ------
    SurvivalError
        covariates that are not finite, constant or copies of others; a coefficient that runs to infinity.
    """
    outcome = check_outcome(time, event)
    matrix = np.asarray(x, dtype=np.float64)
    matrix = matrix[:, None] if matrix.ndim == 1 else matrix
    n = len(outcome.time)
    if matrix.ndim != 2 or len(matrix) != n or matrix.shape[1] == 0:
        raise SurvivalError(f"The covariates have shape {matrix.shape} for {n} outcomes: give one row each.")
    if not np.isfinite(matrix).all():
        raise SurvivalError("A covariate is missing or not finite: fill it in or leave the row out.")
    if ties not in TIES:
        raise SurvivalError(f"There is no method for ties called {ties!r}: choose one of {', '.join(TIES)}.")
    labels = tuple(names) if names is not None else tuple(f"x{j + 1}" for j in range(matrix.shape[1]))
    w = np.ones(n) if weight is None else np.asarray(weight, dtype=np.float64)
    used = np.flatnonzero(w > 0)
    if len(labels) != matrix.shape[1] or w.shape != (n,) or not np.isfinite(w).all() or (w < 0).any():
        raise SurvivalError("Give one name per covariate and one weight, at least 0, per row.")
    start_time = None if entry is None else check_entry(entry, outcome.time)
    labels_of_parts, parts = _split(used, outcome.time, outcome.event, strata, ties, start_time)
    if not parts:
        raise SurvivalError("There is no event: a Cox regression needs some.")
    centre = np.average(matrix, axis=0, weights=w)
    scale = np.sqrt(np.average((matrix - centre) ** 2, axis=0, weights=w))
    flat = np.flatnonzero(scale <= 1e-10 * (1 + np.abs(centre)))
    if len(flat):
        raise SurvivalError(f"Covariate {labels[flat[0]]} is the same for all patients: leave it out.")
    z = (matrix - centre) / scale
    b, start, value, covariance, score = _maximise(z, w, parts, labels)
    return CoxFit(
        names=labels,
        coef=b / scale,
        covariance=covariance / np.outer(scale, scale),
        log_likelihood=value,
        null=start,
        score=score,
        n=n,
        events=int(outcome.event.sum()),
        ties=ties,
        _x=matrix,
        _weight=w,
        _parts=parts,
        _labels=labels_of_parts,
        _time=outcome.time,
        _event=outcome.event,
        _entry=start_time,
    )


def _split(
    used: np.ndarray, time: np.ndarray, event: np.ndarray, strata: Any, ties: str, entry: np.ndarray | None
) -> tuple[tuple[Any, ...], tuple[Stratum, ...]]:
    """Strata that have an event; the others have no part in the likelihood."""
    if strata is None:
        return ((None,), (stratum_of(used, time, event, ties, entry),)) if event[used].any() else ((), ())
    label = np.asarray(strata)
    if label.shape != time.shape or pd.isna(label).any():
        raise SurvivalError("Give every patient a stratum.")
    groups = [(name, used[label[used] == name]) for name in pd.unique(label[used])]
    groups = [(name, rows) for name, rows in groups if event[rows].any()]
    parts = tuple(stratum_of(rows, time, event, ties, entry) for _, rows in groups)
    return tuple(name.item() if isinstance(name, np.generic) else name for name, _ in groups), parts


def derivatives(
    z: np.ndarray, w: np.ndarray, parts: tuple[Stratum, ...], b: np.ndarray
) -> tuple[float, np.ndarray, Callable[[], np.ndarray]]:
    """Log-likelihood and gradient (p,) at b, and a function for the information (p, p). Not finite where b is so large
    that a risk set's sum is lost in rounding."""
    lp = z @ b
    shift = float(lp.max())
    value, gradient, terms = 0.0, np.zeros(len(b)), []
    for part in parts:
        with np.errstate(divide="ignore", invalid="ignore"):
            sums = risk_sums(part, z, w, lp, shift)
            factor, dying = event_weight(part, w), part.rows[part.dies]
            value += float(w[dying] @ lp[dying] - factor @ (np.log(sums.s0) + shift))
            gradient += w[dying] @ z[dying] - factor @ sums.mean
        terms.append((part, sums, factor))

    def information() -> np.ndarray:
        return sum(
            (information_matrix(part, sums, z, factor) for part, sums, factor in terms), np.zeros((len(b), len(b)))
        )

    return value, gradient, information


def _maximise(
    z: np.ndarray, w: np.ndarray, parts: tuple[Stratum, ...], names: tuple[str, ...]
) -> tuple[np.ndarray, float, float, np.ndarray, float]:
    """(b, log-likelihood at 0 and at b, covariance, score statistic at 0) on standardised covariates."""
    b = np.zeros(z.shape[1])
    value, gradient, information = derivatives(z, w, parts, b)
    start, score = value, 0.0
    for step in range(MAX_STEPS):
        move = np.linalg.solve(_regular(information()), gradient)
        if step == 0:
            score = float(gradient @ move)
        for _ in range(HALVINGS):
            new = derivatives(z, w, parts, b + move)
            if np.isfinite(new[0]) and new[0] >= value - 1e-12 * abs(value):
                break
            move = move / 2
        b = b + move
        level = abs(new[0] - value) <= CONVERGED * (1 + abs(value))
        done = level and float(np.abs(move).max()) < 1e-7
        value, gradient, information = new
        # a coefficient that keeps growing although the likelihood is level is on its way to infinity
        if np.abs(b).max() > LARGE_EFFECT or (level and np.abs(move).max() > RUNAWAY):
            raise _separated(names[int(np.abs(move).argmax())])
        if done:
            covariance = np.linalg.inv(_regular(information()))
            if np.diag(covariance).max() > LARGE_EFFECT**2:
                raise _separated(names[int(np.diag(covariance).argmax())])
            return b, start, value, covariance, score
    raise SurvivalError("The Cox regression did not converge: look for covariates that are nearly copies.")


def _separated(name: str) -> SurvivalError:
    return SurvivalError(f"Covariate {name} separates early from late events perfectly: merge or drop it.")


def _regular(information: np.ndarray) -> np.ndarray:
    """The information, which can be inverted; raises SurvivalError where it cannot."""
    values = np.linalg.eigvalsh(information)
    if not values[0] > 1e-10 * values[-1]:
        raise SurvivalError("The covariates are redundant (a column is a sum of others): leave one out.")
    return information


def likelihood_ratio(small: CoxFit, large: CoxFit) -> ChiSquare:
    """Whether the covariates that `large` has beyond `small` improve the fit; both on the same patients and strata."""
    same = (small.n, small.events, small.ties) == (large.n, large.events, large.ties)
    if not set(small.names) < set(large.names) or not same:
        raise SurvivalError("A likelihood-ratio test compares a model with one that has all its covariates and more.")
    if not np.isclose(small.null, large.null, rtol=1e-9):
        raise SurvivalError("The two models were fitted to other patients or strata: fit both to the same.")
    statistic = max(0.0, 2 * (large.log_likelihood - small.log_likelihood))
    return chi_square(statistic, len(large.names) - len(small.names))
