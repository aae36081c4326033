"""Risk sets of a Cox model and the sums over them, with Breslow or Efron ties, in strata, with case weights.

With delayed entry (entry > 0, left truncation) a patient is at risk at times t with entry < t <= time: sums over those
still followed at t, less sums over those who have not entered by then.

At a time with d events, S the sum over the risk set and D the events' own part of it: Breslow takes S for each event,
Efron S - (l / d) D for the l-th of them, l = 0 .. d - 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class AtRisk:
    """Who is compared with whom, apart from time and event. entry: (n,) start of observation, None: all at 0.
    stratum: (n,) labels, each with a separate baseline hazard, None: one for all."""

    entry: np.ndarray | None = None
    stratum: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> AtRisk:
        """Of some rows, given as places or as a mask."""
        return AtRisk(*(None if own is None else own[rows] for own in (self.entry, self.stratum)))

    @property
    def plain(self) -> bool:
        """Whether everyone is at risk from time 0, and compared with everyone."""
        return self.entry is None and self.stratum is None


ALL_AT_RISK = AtRisk()


@dataclass(frozen=True, eq=False)
class Stratum:
    """Risk sets of one stratum. Rows in falling time, E events in the same order, the d events of a time together.

    rows: (m,) places in the input. end: (E,) last place in rows that is at risk with the event. dies: (E,) the event's
    place in rows. first, last: (E,) where the events of its time begin and end among the E. share: (E,) l / d.
    reach: (m,) how many of the E events each row is still at risk for, counted from the end. With entry times:
    entering: (m,) rows in falling entry; not_entered: (E,) how many of those by the event; before: (m,) the
    first of the E events that is at or before the row's entry.
    """

    rows: np.ndarray
    end: np.ndarray
    dies: np.ndarray
    first: np.ndarray
    last: np.ndarray
    share: np.ndarray
    reach: np.ndarray
    time: np.ndarray
    entering: np.ndarray | None = None
    not_entered: np.ndarray | None = None
    before: np.ndarray | None = None


def stratum_of(
    rows: np.ndarray, time: np.ndarray, event: np.ndarray, ties: str, entry: np.ndarray | None = None
) -> Stratum:
    rows = rows[np.argsort(-time[rows], kind="stable")]
    falling = -time[rows]
    dies = np.flatnonzero(event[rows])
    at = falling[dies]
    first, last = np.searchsorted(at, at, side="left"), np.searchsorted(at, at, side="right") - 1
    share = (np.arange(len(dies)) - first) / (last - first + 1)
    delayed: dict[str, np.ndarray] = {}
    if entry is not None:
        entering = rows[np.argsort(-entry[rows], kind="stable")]
        not_entered = np.searchsorted(-entry[entering], at, side="right")
        before = np.searchsorted(at, -entry[rows], side="left")
        delayed = {"entering": entering, "not_entered": not_entered, "before": before}
    return Stratum(
        rows=rows,
        end=np.searchsorted(falling, at, side="right") - 1,
        dies=dies,
        first=first,
        last=last,
        share=share if ties == "efron" else np.zeros(len(dies)),
        reach=np.searchsorted(at, falling, side="left"),
        time=-at,
        **delayed,
    )


def parts_of(time: np.ndarray, event: np.ndarray, ties: str, at_risk: AtRisk) -> tuple[Stratum, ...]:
    """Strata that have an event; the others have no part in the likelihood. time, event: (n,)."""
    everyone = np.arange(len(time))
    groups = [everyone]
    if at_risk.stratum is not None:
        groups = [everyone[at_risk.stratum == label] for label in np.unique(at_risk.stratum)]
    return tuple(stratum_of(rows, time, event, ties, at_risk.entry) for rows in groups if event[rows].any())


@dataclass(frozen=True, eq=False)
class RiskSums:
    """At one b: S0 (E,) and the risk sets' mean covariates (E, p), one row an event (a step of Efron's)."""

    s0: np.ndarray
    mean: np.ndarray
    risk: np.ndarray  # (m,) w exp(lp), in the stratum's order


def risk_sums(part: Stratum, x: np.ndarray, weight: np.ndarray, lp: np.ndarray, shift: float) -> RiskSums:
    risk = weight[part.rows] * np.exp(lp[part.rows] - shift)
    dying = risk[part.dies]
    columns = np.column_stack([np.ones(len(risk)), x[part.rows]])
    s = np.cumsum(risk[:, None] * columns, axis=0)[part.end]
    if part.entering is not None:
        waiting = weight[part.entering] * np.exp(lp[part.entering] - shift)
        later = waiting[:, None] * np.column_stack([np.ones(len(waiting)), x[part.entering]])
        s = s - np.vstack([np.zeros(columns.shape[1]), np.cumsum(later, axis=0)])[part.not_entered]
    tied = np.cumsum(np.vstack([np.zeros(columns.shape[1]), dying[:, None] * columns[part.dies]]), axis=0)
    s = s - part.share[:, None] * (tied[part.last + 1] - tied[part.first])
    return RiskSums(s[:, 0], s[:, 1:] / s[:, :1], risk)


def event_weight(part: Stratum, weight: np.ndarray) -> np.ndarray:
    """Weight of each of the E terms: the mean weight of the events of its time, as R has it."""
    dying = weight[part.rows[part.dies]]
    total = np.concatenate([[0.0], np.cumsum(dying)])
    return (total[part.last + 1] - total[part.first]) / (part.last - part.first + 1)


def while_at_risk(part: Stratum, values: np.ndarray) -> np.ndarray:
    """(m,) of each row, in the stratum's order, the sum of values (E,) over the events that it is at risk for."""
    after = np.concatenate([np.cumsum(values[::-1])[::-1], [0.0]])  # from event e (falling time) to the earliest
    total = after[part.reach]
    return total if part.before is None else total - after[part.before]


def information_matrix(part: Stratum, sums: RiskSums, x: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Sum over events of factor times the covariance of x in the risk set, (p, p), without an (n, p, p) array.

    sum_e f_e S2_e / S0_e = sum_j risk_j x_j x_j' A_j, A_j the sum of f_e / S0_e over the events j is at risk for, less
    Efron's share for the events at j's own time.
    """
    rate = factor / sums.s0
    total = while_at_risk(part, rate)
    shared = np.concatenate([[0.0], np.cumsum(rate * part.share)])
    total[part.dies] -= shared[part.last + 1] - shared[part.first]
    rows = x[part.rows]
    return (rows * (sums.risk * total)[:, None]).T @ rows - (sums.mean * factor[:, None]).T @ sums.mean
