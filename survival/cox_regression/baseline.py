"""A baseline hazard, and from it the survival curve of anyone with a log hazard ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from survival.cox_regression.likelihood import breslow_hazard
from survival.delayed_entry import curve_start
from survival.errors import SurvivalError


@dataclass(frozen=True, eq=False)
class Baseline:
    """Breslow's cumulative hazard at log_hr 0. times: (T,) rising event times; cumulative_hazard: (T,).

    last_time: end of follow-up; beyond it survival is unknown, nan. Where, with delayed entry, the
    curve cannot begin at 0 (survival.delayed_entry), times and hazard begin with (start, 0); survival is nan before.
    """

    times: np.ndarray
    cumulative_hazard: np.ndarray
    last_time: float

    @property
    def start(self) -> float:
        """Where survival begins at 1."""
        return float(self.times[0]) if len(self.times) and self.cumulative_hazard[0] == 0 else 0.0

    def survival(self, log_hr: Any, times: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """S(t) = exp(-H0(t) exp(log_hr)) of each of n people: (times (T,), S (n, T)), at times as of `hazard`.

        1 before the first event. S never rises with t and never with log_hr.
        """
        at, hazard = self.hazard(times)
        # in logs, so that hazard 0 stays 0 at any risk and a hazard beyond float64 becomes a survival of 0
        with np.errstate(divide="ignore", over="ignore"):
            product = np.exp(np.log(hazard) + np.atleast_1d(np.asarray(log_hr, dtype=np.float64))[:, None])
        return at, np.exp(-product)

    def hazard(self, times: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """(times (T,), H0 (T,)), a step function. times None: start, every event time, the end of follow-up. nan after
        the end of follow-up and before start."""
        at = (
            np.unique(np.concatenate([[self.start], self.times, [self.last_time]]))
            if times is None
            else np.atleast_1d(np.asarray(times, dtype=np.float64))
        )
        if not np.isfinite(at).all() or (at < 0).any():
            raise SurvivalError(
                "A survival curve is asked for at a time that is negative or not finite: give times >= 0."
            )
        hazard = np.concatenate([[0.0], self.cumulative_hazard])[np.searchsorted(self.times, at, side="right")]
        return at, np.where((at > self.last_time) | (at < self.start), np.nan, hazard)


def fit_baseline(time: np.ndarray, event: np.ndarray, log_hr: np.ndarray, entry: np.ndarray | None = None) -> Baseline:
    """Breslow's estimate. With out-of-fold log_hr the curves of new people are right on average: see docs/methods."""
    times, hazard = breslow_hazard(time, event, log_hr, entry)
    return Baseline(*begun(times, hazard, curve_start(time, event, entry)), float(time.max()))


def begun(times: np.ndarray, hazard: np.ndarray, start: float) -> tuple[np.ndarray, np.ndarray]:
    """A cumulative hazard (T,) from `start`, one of its times, on: 0 there. As it is where start is 0."""
    if start == 0:
        return times, hazard
    place = int(np.searchsorted(times, start))
    return times[place:], hazard[place:] - hazard[place]
