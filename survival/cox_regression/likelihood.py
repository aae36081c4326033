"""Cox's partial likelihood with Breslow ties, for many linear predictors at once, and what follows from it.

log L = sum over events i of [lp_i - log sum_{j at risk at t_i} exp(lp_j)]    (Breslow 1974; Cox 1975)

At risk at t are those of the same stratum who came under observation before t and are followed up to t or beyond.
"""

from __future__ import annotations

import numpy as np

from survival.cox_regression.risk_sets import ALL_AT_RISK, AtRisk, Stratum, parts_of, risk_sums, while_at_risk


def log_likelihood(time: np.ndarray, event: np.ndarray, lp: np.ndarray, at_risk: AtRisk = ALL_AT_RISK) -> np.ndarray:
    """Partial log-likelihood of each column of lp, summed over strata. time, event: (n,); lp: (n, a) -> (a,).

    With delayed entry the sum over a risk set is a difference; nan where it is lost in rounding, at absurd lps.
    """
    if not at_risk.plain:
        parts = parts_of(time, event, "breslow", at_risk)
        return np.array([sum((_of_part(part, column) for part in parts), 0.0) for column in lp.T])
    order = np.argsort(-time, kind="stable")
    sorted_lp, falling = lp[order], -time[order]
    last = np.searchsorted(falling, falling, side="right") - 1  # place with the same time
    log_risk = np.logaddexp.accumulate(sorted_lp, axis=0)[last]
    seen = event[order]
    return (sorted_lp[seen] - log_risk[seen]).sum(axis=0)


def _of_part(part: Stratum, lp: np.ndarray) -> float:
    shift = float(lp.max())
    s0 = _sums(part, lp, shift)
    if not (s0 > 0).all():
        return float("nan")
    return float(lp[part.rows[part.dies]].sum() - (np.log(s0) + shift).sum())


def _sums(part: Stratum, lp: np.ndarray, shift: float) -> np.ndarray:
    """(E,) sum over the risk set of each event of exp(lp - shift)."""
    return risk_sums(part, np.empty((len(lp), 0)), np.ones(len(lp)), lp, shift).s0


def deviance_ratio(time: np.ndarray, event: np.ndarray, lp: np.ndarray, at_risk: AtRisk = ALL_AT_RISK) -> np.ndarray:
    """Share of the null deviance that each column of lp explains, counting ties (Simon et al. 2011, section 2.6).

    With a parameter a row the partial likelihood comes near to - sum d_t log d_t, d_t events of a stratum at time t.
    """
    null = float(log_likelihood(time, event, np.zeros((len(time), 1)), at_risk)[0])
    strata = np.zeros(len(time)) if at_risk.stratum is None else np.unique(at_risk.stratum, return_inverse=True)[1]
    _, deaths = np.unique(np.stack([strata[event], time[event]]), axis=1, return_counts=True)
    room = float(-(deaths * np.log(deaths)).sum()) - null
    return (log_likelihood(time, event, lp, at_risk) - null) / room if room > 0 else np.zeros(lp.shape[1])


def null_gradient(time: np.ndarray, event: np.ndarray, at_risk: AtRisk = ALL_AT_RISK) -> np.ndarray:
    """d log L / d lp at lp = 0, that is event minus expected events (martingale residuals of the null model). (n,)"""
    if not at_risk.plain:
        return lp_derivatives(parts_of(time, event, "breslow", at_risk), event, np.zeros(len(time)))[0]
    hazard = breslow_hazard(time, event, np.zeros(len(time)))
    steps = np.searchsorted(hazard[0], time, side="right")
    return event - np.concatenate([[0.0], hazard[1]])[steps]


def lp_derivatives(parts: tuple[Stratum, ...], event: np.ndarray, lp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(d log L / d lp_i, - d2 log L / d lp_i^2) of each row, (n,) each; Breslow ties. With A_i and B_i the sums of
    1 / S0 and 1 / S0^2 over the events that row i is at risk for: event_i - r_i A_i and r_i A_i - r_i^2 B_i,
    r_i = exp(lp_i)."""
    gradient, curvature = event.astype(np.float64), np.zeros(len(lp))
    shift = float(lp.max())
    apart = np.ones(len(lp), dtype=bool)  # of strata without an event
    for part in parts:
        s0, risk = _sums(part, lp, shift), np.exp(lp[part.rows] - shift)
        expected = risk * while_at_risk(part, 1 / s0)
        gradient[part.rows] -= expected
        curvature[part.rows] = np.maximum(expected - risk**2 * while_at_risk(part, 1 / s0**2), 0.0)
        apart[part.rows] = False
    gradient[apart] = 0.0
    return gradient, curvature


def breslow_hazard(
    time: np.ndarray, event: np.ndarray, lp: np.ndarray, entry: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Breslow's cumulative baseline hazard: (event times (T,) rising, cumulative hazard (T,)).

    H0(t) = sum_{event times s <= t} d_s / sum_{j: entry_j < s <= t_j} exp(lp_j).
    """
    times, deaths = np.unique(time[event], return_counts=True)
    at_risk = _from_then_on(time, lp, times)
    if entry is not None:
        at_risk = at_risk - _from_then_on(entry, lp, times)
    return times, np.cumsum(deaths / at_risk)


def _from_then_on(place: np.ndarray, lp: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(T,) sum of exp(lp) over the rows with place >= t."""
    order = np.argsort(place, kind="stable")
    total = np.concatenate([np.cumsum(np.exp(lp[order])[::-1])[::-1], [0.0]])
    return total[np.searchsorted(place[order], times, side="left")]
