"""Kaplan-Meier curves, numbers at risk, medians, log-rank test, and a cohort split by its risk quartiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from survival.delayed_entry import curve_start
from survival.errors import SurvivalError
from survival.metrics.estimate import Estimate
from survival.outcome import check_entry, check_outcome
from survival.tails import Z95, ChiSquare, chi_square

QUARTILE_NAMES = ("Lowest risk", "Lower risk", "Higher risk", "Highest risk")
TOLERANCE = 1.5e-8  # a survival this near to one half is one half


@dataclass(frozen=True, eq=False)
class Curve:
    """A Kaplan-Meier estimate. Arrays (T,) over 0 and every observed time, rising.

    survival: S(t). low, high: 95 % limits by the log(-log) transform with Greenwood's variance, nan where S is 0.
    at_risk: patients under observation just before t. events, censored: at t. entry: (n,) when each patient came under
    observation, rising; None: all at 0. start: where the curve begins; before it too few are at
    risk (survival.delayed_entry), survival and limits are nan, and S is of those free of the event at `start`.
    """

    times: np.ndarray
    survival: np.ndarray
    low: np.ndarray
    high: np.ndarray
    at_risk: np.ndarray
    events: np.ndarray
    censored: np.ndarray
    entry: np.ndarray | None = None
    start: float = 0.0

    @property
    def n(self) -> int:
        return int(self.events.sum() + self.censored.sum())

    def at(self, times: Any) -> np.ndarray:
        """S at these times; nan after the last observed time and before the curve's start."""
        t = np.atleast_1d(np.asarray(times, dtype=np.float64))
        value = self.survival[np.maximum(np.searchsorted(self.times, t, side="right") - 1, 0)]
        return np.where((t > self.times[-1]) | (t < self.start), np.nan, value)

    def median(self) -> Estimate:
        """Median survival with its limits (Brookmeyer and Crowley 1982); nan means not reached."""
        value, low, high = (_half(self.times, s) for s in (self.survival, self.low, self.high))
        return Estimate(value, low, high, self.n)

    def table(self, times: Any) -> pd.DataFrame:
        """Columns time, at_risk, censored, events: up to just before each time, so that the three add up to n, or,
        with delayed entry, to those who have entered."""
        t = np.atleast_1d(np.asarray(times, dtype=np.float64))
        place = np.searchsorted(self.times, t, side="left")
        censored, events = (np.concatenate([[0], np.cumsum(x)])[place] for x in (self.censored, self.events))
        entered: Any = self.n
        if self.entry is not None:  # patients followed from the start count at time 0 already
            entered = np.searchsorted(self.entry, t, side="left") + np.where(t > 0, 0, np.sum(self.entry == 0))
        return pd.DataFrame({"time": t, "at_risk": entered - censored - events, "censored": censored, "events": events})

    def to_frame(self) -> pd.DataFrame:
        """Every number of the curve, for download."""
        names = ("times", "survival", "low", "high", "at_risk", "events", "censored")
        return pd.DataFrame({name: getattr(self, name) for name in names}).rename(columns={"times": "time"})


def kaplan_meier(time: Any, event: Any, entry: Any = None) -> Curve:
    """S(t) = prod_{s <= t} (1 - d_s / n_s). time, event: (n,). Raises SurvivalError on impossible outcomes.

    entry: (n,) when each patient came under observation; at risk at s are those with entry < s <= time. Where the first
    events fall among very few who have entered, the curve begins later (`survival.delayed_entry.curve_start`).
    """
    outcome = check_outcome(time, event)
    distinct, place = np.unique(outcome.time, return_inverse=True)
    events = np.bincount(place, weights=outcome.event).astype(np.int64)
    leaving = np.bincount(place)
    at_risk = np.cumsum(leaving[::-1])[::-1]
    start = None if entry is None else check_entry(entry, outcome.time)
    if start is not None:
        at_risk = at_risk - (len(start) - np.searchsorted(np.sort(start), distinct, side="left"))
    begin = curve_start(outcome.time, outcome.event, start)
    counted = np.where(distinct > begin, events, 0)
    survival = np.cumprod(1 - counted / np.maximum(at_risk, 1))
    low, high = _log_log_limits(survival, counted, at_risk)
    shown = np.concatenate([[0.0], distinct]) >= begin
    survival, low, high = (np.where(shown, np.concatenate([[1.0], s]), np.nan) for s in (survival, low, high))
    return Curve(
        times=np.concatenate([[0.0], distinct]),
        survival=survival,
        low=low,
        high=high,
        at_risk=np.concatenate([at_risk[:1], at_risk]),
        events=np.concatenate([[0], events]),
        censored=np.concatenate([[0], leaving - events]),
        entry=None if start is None else np.sort(start),
        start=begin,
    )


def _log_log_limits(survival: np.ndarray, events: np.ndarray, at_risk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """S^exp(+-z s), s = sqrt(Greenwood) / |log S| (Kalbfleisch and Prentice 2002, section 1.4)."""
    low, high = np.ones_like(survival), np.ones_like(survival)
    low[survival <= 0], high[survival <= 0] = np.nan, np.nan
    alive = at_risk > events
    greenwood = np.cumsum(np.divide(events, at_risk * (at_risk - events), out=np.zeros_like(survival), where=alive))
    inside = (survival > 0) & (survival < 1)
    log_s = np.log(survival[inside])
    width = np.exp(Z95 * np.sqrt(greenwood[inside]) / -log_s)
    low[inside], high[inside] = np.exp(log_s * width), np.exp(log_s / width)
    return low, high


def _half(times: np.ndarray, survival: np.ndarray) -> float:
    """First time at or below one half; on a plateau at exactly one half, its middle. nan: never."""
    below = np.flatnonzero(survival < 0.5 + TOLERANCE)  # nan compares as False
    if len(below) == 0:
        return float("nan")
    first = below[0]
    lower = below[survival[below] < survival[first]]
    if abs(survival[first] - 0.5) < TOLERANCE and len(lower):
        return float((times[first] + times[lower[0]]) / 2)
    return float(times[first])


def quartile_curves(time: Any, event: Any, quartile: Any, entry: Any = None) -> dict[int, Curve]:
    """One curve for each risk quartile 0 (lowest) to 3 that has patients. (n,) each, rows are patients.

    The quartile is the model's (cohort_["quartile"]): cut-points from the training patients of each fold.
    entry: as of `kaplan_meier`.
    """
    t, e, q = np.asarray(time), np.asarray(event), np.asarray(quartile)
    if not (t.shape == e.shape == q.shape and t.ndim == 1):
        raise SurvivalError("Give one time, one event and one quartile per patient.")
    start = None if entry is None else np.asarray(entry)
    return {
        int(k): kaplan_meier(t[rows], e[rows], None if start is None else start[rows])
        for k in np.unique(q)
        for rows in [q == k]
    }


def logrank(time: Any, event: Any, group: Any, entry: Any = None) -> ChiSquare:
    """Log-rank test that all groups share one hazard (Mantel 1966; Peto and Peto 1972). group: (n,) labels.

    statistic = (O - E)' V^-1 (O - E), with the hypergeometric V, one group left out; chi-square with groups - 1.
    entry: (n,) when each patient came under observation, as in `kaplan_meier`.
    """
    outcome = check_outcome(time, event)
    labels, code = np.unique(np.asarray(group), return_inverse=True)
    if code.shape != outcome.time.shape or len(labels) < 2:
        raise SurvivalError("A log-rank test needs one group label per patient and at least two groups.")
    distinct, place = np.unique(outcome.time, return_inverse=True)
    counts = np.zeros((2, len(distinct), len(labels)))  # leaving, events
    np.add.at(counts[0], (place, code), 1)
    np.add.at(counts[1], (place, code), outcome.event)
    n_group = np.cumsum(counts[0][::-1], axis=0)[::-1]
    if entry is not None:
        start = check_entry(entry, outcome.time)
        for g in range(len(labels)):
            entries = np.sort(start[code == g])
            n_group[:, g] -= len(entries) - np.searchsorted(entries, distinct, side="left")
    n, d = n_group.sum(axis=1), counts[1].sum(axis=1)
    share = np.divide(n_group, n[:, None], out=np.zeros_like(n_group), where=n[:, None] > 0)  # n_gi / n_i
    excess = (counts[1] - d[:, None] * share).sum(axis=0)[1:]  # O - E
    weight = np.divide(d * (n - d), n - 1, out=np.zeros_like(n), where=n > 1)  # d_i (n_i - d_i) / (n_i - 1)
    share = share[:, 1:]
    variance = np.diag(weight @ share) - (share * weight[:, None]).T @ share  # V
    try:
        statistic = float(excess @ np.linalg.solve(variance, excess))
    except np.linalg.LinAlgError:
        raise SurvivalError("A group has nobody at risk when the first event happens: merge small groups.") from None
    return chi_square(statistic, len(labels) - 1)
