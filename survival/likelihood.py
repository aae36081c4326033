"""Cox's partial likelihood with Breslow ties, for many linear predictors at once, and what follows from it.

log L = sum over events i of [lp_i - log sum_{j: t_j >= t_i} exp(lp_j)]    (Breslow 1974; Cox 1975)
"""

from __future__ import annotations

import numpy as np

from survival.metrics import Estimate

NEWTON_STEPS = 50


def risk_set_ends(time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(order, end): rows sorted by falling time, and for each sorted place the last place with the same time."""
    order = np.argsort(-time, kind="stable")
    t = time[order]
    return order, np.searchsorted(-t, -t, side="right") - 1


def log_likelihood(time: np.ndarray, event: np.ndarray, lp: np.ndarray) -> np.ndarray:
    """Partial log-likelihood of each column of lp. time, event: (n,); lp: (n, a) -> (a,)."""
    order, end = risk_set_ends(time)
    sorted_lp = lp[order]
    log_risk = np.logaddexp.accumulate(sorted_lp, axis=0)[end]
    seen = event[order]
    return (sorted_lp[seen] - log_risk[seen]).sum(axis=0)


def saturated_log_likelihood(time: np.ndarray, event: np.ndarray) -> float:
    """Largest value that the partial likelihood can come near to with a parameter a row: - sum d_t log d_t."""
    _, deaths = np.unique(time[event], return_counts=True)
    return float(-(deaths * np.log(deaths)).sum())


def deviance_ratio(time: np.ndarray, event: np.ndarray, lp: np.ndarray) -> np.ndarray:
    """Share of the null deviance that each column of lp explains, counting ties (Simon et al. 2011, section 2.6)."""
    null = float(log_likelihood(time, event, np.zeros((len(time), 1)))[0])
    room = saturated_log_likelihood(time, event) - null
    return (log_likelihood(time, event, lp) - null) / room if room > 0 else np.zeros(lp.shape[1])


def null_gradient(time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """d log L / d lp at lp = 0, that is event minus expected events (martingale residuals of the null model). (n,)"""
    hazard = breslow_hazard(time, event, np.zeros(len(time)))
    steps = np.searchsorted(hazard[0], time, side="right")
    return event - np.concatenate([[0.0], hazard[1]])[steps]


def breslow_hazard(time: np.ndarray, event: np.ndarray, lp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Breslow's cumulative baseline hazard: (event times (T,) rising, cumulative hazard (T,)).

    H0(t) = sum_{event times s <= t} d_s / sum_{j: t_j >= s} exp(lp_j).
    """
    times, deaths = np.unique(time[event], return_counts=True)
    order = np.argsort(time, kind="stable")
    at_risk = np.cumsum(np.exp(lp[order])[::-1])[::-1]
    return times, np.cumsum(deaths / at_risk[np.searchsorted(time[order], times, side="left")])


def calibration_slope(time: np.ndarray, event: np.ndarray, lp: np.ndarray) -> Estimate:
    """Slope of a Cox regression of the outcome on lp, with its Wald 95 % interval.

    1: the differences in lp are as large as they should be. Below 1: too large (overfitting). For out-of-fold lp.
    Newton's method on the concave partial likelihood. nan where lp does not vary.
    """
    centred = lp - lp.mean()
    if float(np.ptp(centred)) < 1e-12:
        return Estimate(float("nan"), float("nan"), float("nan"), len(lp))
    slope, best = 0.0, -np.inf
    step = 0.0
    for _ in range(NEWTON_STEPS):
        value, gradient, information = _slope_derivatives(time, event, centred, slope)
        if value < best - 1e-12:  # overshot: halve
            step /= 2
            slope -= step
            continue
        best, step = value, gradient / information
        slope += step
        if abs(step) < 1e-10 * (1 + abs(slope)):
            break
    half = 1.959963984540054 / np.sqrt(_slope_derivatives(time, event, centred, slope)[2])
    return Estimate(float(slope), float(slope - half), float(slope + half), len(lp))


def _slope_derivatives(time: np.ndarray, event: np.ndarray, x: np.ndarray, b: float) -> tuple[float, float, float]:
    order, end = risk_set_ends(time)
    x, seen = x[order], event[order]
    shift = np.max(b * x)
    weight = np.exp(b * x - shift)
    s0, s1, s2 = (np.cumsum(weight * x**k)[end][seen] for k in range(3))
    value = (b * x[seen] - shift - np.log(s0)).sum()
    return float(value), float((x[seen] - s1 / s0).sum()), float((s2 / s0 - (s1 / s0) ** 2).sum())
