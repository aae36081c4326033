"""The times at which a cohort's follow-up supports an estimate.

A survival probability, a Brier score or a calibration at time t rests on the events up to t and on the patients still
under observation after it. At the end of follow-up it depends on the last few patients. One rule for every
estimate at a time: at least 10 events by t, and at least 10 patients under observation beyond t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MIN_EVENTS = 10  # by a time
MIN_BEYOND = 10  # patients under observation after it
EVERY_PART = "nobody in some training part of the cross-validation is followed that long"
FROM_START = "it requires all patients to be followed from time 0, but some entered later"


@dataclass(frozen=True)
class Horizons:
    """carried: times with an estimate, in the given order. left_out: (time, reason), the reason as the end of a
    sentence."""

    carried: tuple[float, ...]
    left_out: tuple[tuple[float, str], ...] = ()

    def sentences(self, unit: str) -> tuple[str, ...]:
        """Why there is no estimate at the times left out, one sentence for each reason."""
        by_reason: dict[str, list[str]] = {}
        for time, reason in self.left_out:
            by_reason.setdefault(reason, []).append(f"{time:g}")
        return tuple(
            f"There is no estimate at {' and '.join(times)} {unit}: {reason}." for reason, times in by_reason.items()
        )


def carried_horizons(horizons: Sequence[float], time: Any, event: Any, entry: Any = None, fold: Any = None) -> Horizons:
    """Which of `horizons` the follow-up supports.

    time, event, entry: (n,), entry None without delayed entry. fold: (n,) or (repeats, n) labels of a
    cross-validation whose training parts must reach a time as well, None without one.
    """
    t, e = np.asarray(time, dtype=np.float64), np.asarray(event, dtype=bool)
    start = np.zeros(len(t)) if entry is None else np.asarray(entry, dtype=np.float64)
    parts = () if fold is None else [labels != k for labels in np.atleast_2d(fold) for k in np.unique(labels)]
    last = min((float(t[part].max()) for part in parts if part.any()), default=np.inf)
    carried, left_out = [], []
    for at in map(float, horizons):
        events, beyond = int((e & (t <= at)).sum()), int(((start < at) & (t > at)).sum())
        if beyond < MIN_BEYOND:
            left_out.append((at, f"{_only(beyond, 'patient is', 'patients are')} under observation afterwards"))
        elif events < MIN_EVENTS:
            left_out.append((at, f"{_only(events, 'event has', 'events have')} happened by then"))
        elif at >= last:
            left_out.append((at, EVERY_PART))
        else:
            carried.append(at)
    return Horizons(tuple(carried), tuple(left_out))


def _only(n: int, one: str, several: str) -> str:
    return f"no {one}" if n == 0 else f"only {n} {one if n == 1 else several}"
