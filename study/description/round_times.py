"""Round times for the axis of survival curves."""

from __future__ import annotations

STEPS = (0.1, 0.25, 0.5, 1, 2, 3, 6, 12, 24, 60, 90, 120, 180, 365, 730, 1825, 3650)
MOST_STEPS = 6.5  # columns of numbers that fit side by side at 350 px


def round_times(end: float) -> list[float]:
    """Four to seven round times from 0 to `end`, in steps people count in (months: 6, 12, 24)."""
    step = next((s for s in STEPS if end / s <= MOST_STEPS), end / 5)
    return [i * float(step) for i in range(int((end + 1e-9) / step) + 1)]
