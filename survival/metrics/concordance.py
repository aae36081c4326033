"""Discrimination with its uncertainty: Harrell's C, Uno's C, intervals by resampling patients.

Percentile bootstrap (Efron 1979): patients are drawn with replacement, all rows of a patient together, and the 2.5 and
97.5 % quantiles of the statistic over the draws are its 95 % interval. The model is not refitted: the interval tells
the uncertainty of the evaluation of these predictions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from survival.errors import SurvivalError
from survival.metrics.pairs import harrell_pairs, weighted_pairs
from survival.outcome import check_entry

LEVEL = (2.5, 97.5)
MIN_VALID = 0.9  # share of bootstrap samples that must have a value
METRICS = ("harrell", "uno")


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; n is the number of patients it rests on. nan: could not be estimated."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} (95 % CI {self.low:.3f} to {self.high:.3f}, n = {self.n})"


def unknown(n: int) -> Estimate:
    """A figure of n patients that is not defined for them."""
    return Estimate(float("nan"), float("nan"), float("nan"), n)


def harrell_c(time: Any, event: Any, risk: Any, entry: Any = None) -> float:
    """Harrell's C: share of comparable pairs in which the higher risk had the earlier event. (n,) each.

    Rows are patients. entry: when each came under observation; a pair is comparable only where the other was there at
    the event. Raises SurvivalError without a comparable pair.
    """
    t, e, r = _checked(time, event, risk)
    start = None if entry is None else check_entry(entry, t)
    return _ratio(*harrell_pairs(t, e, r, np.ones((len(t), 1)), start))


def uno_c(time: Any, event: Any, risk: Any, tau: float | None = None) -> float:
    """Uno's C: pairs weighted by 1 / G(t_i)^2, so that the censoring does not shape the answer (Uno et al. 2011).

    G is the Kaplan-Meier estimate of staying uncensored until just before t_i, from the same patients. Only events
    before tau count; None: all, which lets the few patients at risk at the end weigh a lot. Raises SurvivalError
    without a comparable pair.
    """
    t, e, r = _checked(time, event, risk)
    ones = np.ones((len(t), 1))
    return _ratio(*weighted_pairs(t, e, r, ones, _uno_weights(t, e, ones, tau)))


def concordance_ci(
    time: Any,
    event: Any,
    risk: Any,
    metric: str = "harrell",
    tau: float | None = None,
    n: int = 1000,
    seed: int = 0,
    entry: Any = None,
) -> Estimate:
    """C of patient-level risks with its bootstrap interval; rows are patients. G is estimated anew in every sample.

    entry: as of `harrell_c`; Uno's C has none, for its weights need everyone to be followed from time 0.
    """
    t, e, r = _checked(time, event, risk)
    if metric not in METRICS:
        raise SurvivalError(f"There is no concordance called {metric!r}: choose one of {', '.join(METRICS)}.")
    weight = np.column_stack([np.ones(len(t)), bootstrap_weights(len(t), n, seed)])
    start = None if entry is None else check_entry(entry, t)
    if metric == "uno" and start is not None:
        raise SurvivalError("Uno's C is not defined for patients who came under observation late: take Harrell's.")
    if metric == "uno":
        concordant, comparable = weighted_pairs(t, e, r, weight, _uno_weights(t, e, weight, tau))
    else:
        concordant, comparable = harrell_pairs(t, e, r, weight, start)
    values = np.divide(concordant, comparable, out=np.full(n + 1, np.nan), where=comparable > 0)
    return _estimate(_ratio(concordant, comparable), values[1:], len(t))


def bootstrap_weights(patients: int, n: int, seed: int) -> np.ndarray:
    """How often each patient is drawn in each of n bootstrap samples: (patients, n). One seed pairs comparisons."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(patients, np.full(patients, 1 / patients), size=n).T.astype(np.float64)


def bootstrap_ci(statistic: Callable[[np.ndarray], float], patients: Any, n: int = 1000, seed: int = 0) -> Estimate:
    """Any statistic of rows with a patient-level bootstrap interval.

    Parameters
    ----------
    statistic : takes row indices (with repeats), returns a float; nan or SurvivalError where it has no value.
    patients : (rows,) patient ids, or the number of patients where every row is one.
    """
    ids = np.arange(patients) if isinstance(patients, int | np.integer) else np.asarray(patients)
    _, code = np.unique(ids, return_inverse=True)
    rows = np.split(np.argsort(code, kind="stable"), np.cumsum(np.bincount(code))[:-1])
    rng = np.random.default_rng(seed)
    values = np.empty(n)
    for b in range(n):
        drawn = np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))])
        try:
            values[b] = statistic(drawn)
        except SurvivalError:
            values[b] = np.nan
    return _estimate(float(statistic(np.arange(len(ids)))), values, len(rows))


def _estimate(value: float, samples: np.ndarray, patients: int) -> Estimate:
    valid = samples[np.isfinite(samples)]
    if len(valid) < MIN_VALID * len(samples):
        raise SurvivalError("There are too few events to say how certain this number is: add patients.")
    low, high = np.percentile(valid, LEVEL)
    return Estimate(value, float(low), float(high), patients)


def censoring_steps(time: np.ndarray, event: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rising distinct times (k,) of rows in order of time, and the factor of each in Kaplan-Meier's G, (k, b)."""
    starts = np.flatnonzero(np.r_[True, np.diff(time) > 0])
    at_risk = np.cumsum(weight[::-1], axis=0)[::-1][starts]
    deaths = np.add.reduceat(np.where(event[:, None], weight, 0.0), starts, axis=0)
    censored = np.add.reduceat(np.where(event[:, None], 0.0, weight), starts, axis=0)
    room = at_risk - deaths
    return time[starts], 1 - np.divide(censored, room, out=np.zeros_like(room), where=room > 0)


def censoring_survival(time: np.ndarray, event: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Kaplan-Meier estimate G(t_i-) of P(censoring >= t_i) at each row's own time, per column of weights. (n, b).

    Events leave the risk set before the censored of the same time do, and G is taken just before t_i: whoever has an
    event at t_i need not have escaped censoring at t_i itself. (R's survival does the same; scikit-survival takes
    G(t_i), which differs where an event and a censoring share a time.)
    """
    order = np.argsort(time, kind="stable")
    t, stay = censoring_steps(time[order], event[order], weight[order])
    before = np.concatenate([np.ones((1, weight.shape[1])), np.cumprod(stay, axis=0)[:-1]])
    out = np.empty_like(weight)
    out[order] = before[np.searchsorted(t, time[order])]
    return out


def _uno_weights(time: np.ndarray, event: np.ndarray, weight: np.ndarray, tau: float | None) -> np.ndarray:
    survival = censoring_survival(time, event, weight)
    counts = event & (time < tau) if tau is not None else event
    return np.divide(1.0, survival**2, out=np.zeros_like(survival), where=counts[:, None] & (survival > 0))


def _checked(time: Any, event: Any, risk: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    t, e = np.asarray(time, dtype=np.float64), np.asarray(event).astype(bool)
    r = np.asarray(risk, dtype=np.float64)
    if not (t.shape == e.shape == r.shape and t.ndim == 1 and len(t)):
        raise SurvivalError(
            f"Time, event and risk have shapes {t.shape}, {e.shape}, {r.shape}: give one of each a row."
        )
    if not (np.isfinite(t).all() and np.isfinite(r).all()):
        raise SurvivalError("A time or a risk is missing or not finite: leave those patients out first.")
    return t, e, r


def _ratio(concordant: np.ndarray, comparable: np.ndarray) -> float:
    if not comparable[0] > 0:
        raise SurvivalError("No two patients can be compared (no event before another patient's time): add events.")
    return float(concordant[0] / comparable[0])
