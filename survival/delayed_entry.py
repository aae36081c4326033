"""Where a survival curve can begin with delayed entry (left truncation).

While few patients have entered, one event is a large step, and where all at risk have the event the product-limit
estimate is 0 for ever, whoever enters later (Klein and Moeschberger 2003, section 4.6; Lai and Ying, Ann Stat
1991;19:417, which leaves out events while the risk set is small). We estimate survival given that a patient was free of
the event at the time a from which on enough are at risk, S(t) / S(a), which is their conditional estimate and what R
gives for `survfit(..., start.time = a)`.
"""

from __future__ import annotations

import numpy as np

MIN_AT_RISK = 10  # fewer do not begin a curve; half the largest risk set where that is below twice as many


def curve_start(time: np.ndarray, event: np.ndarray, entry: np.ndarray | None) -> float:
    """The time a, 0 where the curve begins with the first event. time, event, entry: (n,), entry None: all at 0.

    a is the last event before the risk set first reaches MIN_AT_RISK; again from there where all at risk have the event
    while others have not entered.
    """
    if entry is None or not (entry > 0).any() or not event.any():
        return 0.0
    times, deaths = np.unique(time[event], return_counts=True)
    at_risk = np.searchsorted(np.sort(entry), times, side="left") - np.searchsorted(np.sort(time), times, side="left")
    enough = min(MIN_AT_RISK, int(at_risk.max() + 1) // 2)
    emptied = (deaths == at_risk) & (times <= entry.max())
    first = 0  # event from which on the curve is estimated
    while True:
        reached = np.flatnonzero(at_risk[first:] >= enough)
        first = first + int(reached[0]) if len(reached) else first
        lost = np.flatnonzero(emptied[first:])
        if not len(lost):
            return float(times[first - 1]) if first else 0.0
        first += int(lost[0]) + 1
        if first == len(times):
            return float(times[-1])


def delayed_start_words(time: np.ndarray, event: np.ndarray, entry: np.ndarray | None, unit: str) -> str:
    """A warning where the survival curve cannot begin at 0, one sentence, else ""."""
    start = curve_start(time, event, entry)
    if entry is None or start == 0:
        return ""
    before = np.unique(time[event & (time <= start)])
    fewest = min(int(((entry < t) & (time >= t)).sum()) for t in before)
    few = "1 patient is" if fewest == 1 else f"{fewest} patients are"
    return (
        f"Only {few} under observation when an early event happens, because of delayed entry: survival curves and "
        f"baseline hazards begin at {start:g} {unit}, where enough are at risk, and apply to patients free of the "
        "event then."
    )
