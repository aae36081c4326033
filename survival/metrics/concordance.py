"""Discrimination: Harrell's C and Uno's C, in every column of bootstrap weights at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from survival.errors import SurvivalError
from survival.metrics.bootstrap import Resampled, resampled
from survival.metrics.pairs import harrell_pairs, weighted_pairs
from survival.outcome import check_entry


def harrell_c(time: Any, event: Any, risk: Any, entry: Any = None) -> float:
    """Harrell's C: share of comparable pairs in which the higher risk had the earlier event. (n,) each.

    Rows are patients. entry: when each came under observation; a pair is comparable only where the other was under
    observation at the event. Raises SurvivalError without a comparable pair.
    """
    t, e = np.asarray(time, dtype=np.float64), np.asarray(event).astype(bool)
    r = np.asarray(risk, dtype=np.float64)
    if not (t.shape == e.shape == r.shape and t.ndim == 1 and len(t)):
        raise SurvivalError(
            f"Time, event and risk have shapes {t.shape}, {e.shape}, {r.shape}: give one of each per row."
        )
    if not (np.isfinite(t).all() and np.isfinite(r).all()):
        raise SurvivalError("A time or a risk is missing or not finite: leave those patients out first.")
    start = None if entry is None else check_entry(entry, t)
    value = harrell_resampled(t, e, r, np.ones((len(t), 1)), start).value
    if np.isnan(value):
        raise SurvivalError("No two patients can be compared (no event before another patient's time): add events.")
    return value


def harrell_resampled(
    time: np.ndarray, event: np.ndarray, risk: np.ndarray, weight: np.ndarray, entry: np.ndarray | None = None
) -> Resampled:
    """Harrell's C under the columns of sample_weights; nan without a comparable pair."""
    return resampled(_share(*harrell_pairs(time, event, risk, weight, entry)), len(time))


def uno_resampled(
    time: np.ndarray, event: np.ndarray, risk: np.ndarray, tau: float | None, weight: np.ndarray
) -> Resampled:
    """Uno's C under the columns of sample_weights; nan without a comparable pair.

    Pairs are weighted by 1 / G(t_i)^2, so that the censoring does not shape the answer (Uno et al. 2011). G is the
    Kaplan-Meier estimate of staying uncensored until just before t_i, from the same patients, in each column. Only
    events before tau count; None: all, which lets the few patients at risk at the end weigh a lot.
    """
    survival = censoring_survival(time, event, weight)
    counts = event & (time < tau) if tau is not None else event
    inverse = np.divide(1.0, survival**2, out=np.zeros_like(survival), where=counts[:, None] & (survival > 0))
    return resampled(_share(*weighted_pairs(time, event, risk, weight, inverse)), len(time))


def recovered_share(c: Resampled, truth: Resampled) -> Resampled:
    """(C - 0.5) / (C_true - 0.5) of simulated patients, both C from the same bootstrap samples."""
    with np.errstate(divide="ignore", invalid="ignore"):
        values = [np.divide(a - 0.5, b - 0.5) for a, b in ((c.value, truth.value), (c.samples, truth.samples))]
    return Resampled(float(values[0]), np.asarray(values[1]), c.n)


def _share(concordant: np.ndarray, comparable: np.ndarray) -> np.ndarray:
    return np.divide(concordant, comparable, out=np.full(len(concordant), np.nan), where=comparable > 0)


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

    Events leave the risk set before the censored of the same time do, and G is taken just before t_i: a patient with an
    event at t_i need not have escaped censoring at t_i itself. (R's survival does the same; scikit-survival takes
    G(t_i), which differs where an event and a censoring share a time.)
    """
    order = np.argsort(time, kind="stable")
    t, stay = censoring_steps(time[order], event[order], weight[order])
    before = np.concatenate([np.ones((1, weight.shape[1])), np.cumprod(stay, axis=0)[:-1]])
    out = np.empty_like(weight)
    out[order] = before[np.searchsorted(t, time[order])]
    return out
