"""How good predicted risks and probabilities are at a time: cumulative/dynamic AUC, Brier score and its integral.

Whether patients censored before t died by t is unknown. They get no weight, and the others the inverse of the chance to
have stayed uncensored (IPCW): w_i = 1 / G(T_i-) for those who died by t, 1 / G(t) for those followed beyond t, G the
Kaplan-Meier estimate of the censoring, from the same patients. All functions take columns of patient weights (m, b),
bootstrap samples as numbers of draws, and estimate G in each.
"""

from __future__ import annotations

import numpy as np

from survival.errors import SurvivalError
from survival.metrics.bootstrap import Resampled, resampled
from survival.metrics.concordance import censoring_steps, censoring_survival

LOW, HIGH = 10, 80  # percentiles of event times between which censoring weights are steady


def evaluation_times(time: np.ndarray, event: np.ndarray, fold: np.ndarray | None = None, n: int = 20) -> np.ndarray:
    """n times, evenly between the 10th and 80th percentile of event times, inside every part's follow-up.

    fold: (m,) or (repeats, m) labels: times stay inside the range of event times of each fold and of its training part.
    """
    parts = [np.ones(len(time), dtype=bool)]
    for labels in np.atleast_2d(fold) if fold is not None else []:
        parts += [rows for k in np.unique(labels) for rows in (labels == k, labels != k)]
    bounds = []
    for rows in parts:
        seen = time[rows & event]
        if len(seen) < 2:
            raise SurvivalError("A part of the cross-validation has fewer than two events: use fewer folds.")
        low, high = np.percentile(seen, (LOW, HIGH))
        bounds.append((max(low, seen.min()), min(high, np.nextafter(time[rows].max(), 0))))
    low, high = max(b[0] for b in bounds), min(b[1] for b in bounds)
    if not low < high:
        raise SurvivalError("The folds have no common range of event times: use fewer folds.")
    return np.linspace(low, high, n)


def survival_at(time: np.ndarray, event: np.ndarray, weight: np.ndarray, t: float) -> np.ndarray:
    """Kaplan-Meier S(t) of each column of weights, (b,); nan where t lies beyond the follow-up of those with weight."""
    order = np.argsort(time, kind="stable")
    s, w, seen = time[order], weight[order], event[order]
    starts = np.flatnonzero(np.r_[True, np.diff(s) > 0])
    at_risk = np.cumsum(w[::-1], axis=0)[::-1][starts]
    deaths = np.add.reduceat(np.where(seen[:, None], w, 0.0), starts, axis=0)
    share = np.divide(deaths, at_risk, out=np.zeros_like(deaths), where=at_risk > 0)
    value = np.prod(1 - share[s[starts] <= t], axis=0)
    followed = w[s >= t].sum(axis=0) > 0
    return np.where(followed | (value <= 0), value, np.nan)


def known_status(
    time: np.ndarray, event: np.ndarray, weight: np.ndarray, t: float, before: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """IPCW weights at t, patient weights included: (died by t, followed beyond t), (m, b) each, 0 elsewhere.

    before: G(T_i-) of censoring_survival, where the caller has it already.
    """
    before = censoring_survival(time, event, weight) if before is None else before
    order = np.argsort(time, kind="stable")
    at, stay = censoring_steps(time[order], event[order], weight[order])
    g = np.prod(stay[at <= t], axis=0)  # G(t), censorings at t included
    dead, alive = event & (time <= t), time > t
    cases = np.divide(weight, before, out=np.zeros_like(weight), where=dead[:, None] & (before > 0))
    controls = np.where(alive[:, None] & (g > 0), weight / np.where(g > 0, g, 1.0), 0.0)
    return cases, controls


def auc_columns(time: np.ndarray, event: np.ndarray, risk: np.ndarray, t: float, weight: np.ndarray) -> np.ndarray:
    """AUC at t of each column of weights, (b,); nan without a case or a control.

    P(risk_i > risk_j | T_i <= t < T_j), ties half (Uno et al. 2007; Hung and Chiang 2010).
    """
    cases, controls = known_status(time, event, weight, t)
    distinct, rank = np.unique(risk, return_inverse=True)
    mass = np.zeros((2, len(distinct), weight.shape[1]))
    np.add.at(mass[0], rank, cases)
    np.add.at(mass[1], rank, controls)
    below = np.cumsum(mass[1], axis=0) - 0.5 * mass[1]
    total = mass[0].sum(axis=0) * mass[1].sum(axis=0)
    return np.divide((mass[0] * below).sum(axis=0), total, out=np.full(len(total), np.nan), where=total > 0)


def brier_columns(
    time: np.ndarray, event: np.ndarray, survival: np.ndarray, times: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Brier score at each time under each column of weights: survival (..., m, T) -> (..., T, b) (Graf et al. 1999).

    Several models at once share the censoring weights, which cost most.
    """
    out = np.empty((*survival.shape[:-2], len(times), weight.shape[1]))
    before, total = censoring_survival(time, event, weight), weight.sum(axis=0)
    for j, t in enumerate(times):
        cases, controls = known_status(time, event, weight, float(t), before)
        s = survival[..., j]
        out[..., j, :] = (s**2 @ cases + (1 - s) ** 2 @ controls) / total
    return out


def integrate(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Mean over the range of times by the trapezoid rule: (T, b) -> (b,)."""
    if len(times) < 2:
        raise SurvivalError("An integrated score needs at least two times.")
    width = np.diff(times)[:, None]
    return (width * (values[1:] + values[:-1]) / 2).sum(axis=0) / (times[-1] - times[0])


def brier_scores(
    time: np.ndarray,
    event: np.ndarray,
    survival: np.ndarray,
    null: np.ndarray,
    times: np.ndarray,
    weight: np.ndarray,
) -> tuple[list[Resampled], Resampled, Resampled]:
    """(Brier at each time, IBS, scaled IBS = 1 - IBS / IBS of the null) with their bootstrap values.

    survival, null: (m, T) predicted for each patient, null by the Kaplan-Meier curve of its training patients.
    """
    for name, given in (("predictions", survival), ("null", null)):
        if given.shape != (len(time), len(times)) or not np.isfinite(given).all():
            raise SurvivalError(
                f"The {name} have shape {given.shape} or hold no number somewhere: give S for every patient at every "
                "time, all inside the follow-up."
            )
    ours, theirs = brier_columns(time, event, np.stack([survival, null]), times, weight)
    ibs, base = integrate(ours, times), integrate(theirs, times)
    n = len(time)
    scaled = 1 - np.divide(ibs, base, out=np.full_like(ibs, np.nan), where=base > 0)
    return [resampled(row, n) for row in ours], resampled(ibs, n), resampled(scaled, n)
