"""What a comparison's scores say of each patient: risk groups with their curves, and predicted risk at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from study.comparison.record import Comparison
from survival.curves import QUARTILE_NAMES, Curve, logrank, quartile_curves
from survival.tails import ChiSquare


@dataclass(frozen=True, eq=False)
class RiskGroups:
    """Kaplan-Meier curves of the quarters by out-of-fold risk, the lowest first. test: whether they differ.

    curves: name -> curve. quarters: index of each, 0 to 3. last: the longest time of a patient in them.
    """

    curves: dict[str, Curve]
    quarters: tuple[int, ...]
    test: ChiSquare
    last: float


def risk_groups(result: Comparison, name: str) -> RiskGroups | None:
    """The groups of a model's scores (first repeat); None where it gives everyone the same risk."""
    scores = result.scores
    quarter = scores.scores[name].quartile[0]
    known = quarter >= 0
    if len(np.unique(quarter[known])) < 2:
        return None
    entry = None if scores.entry is None else scores.entry[known]
    time, event, quarter = scores.time[known], scores.event[known], quarter[known]
    curves = quartile_curves(time, event, quarter, entry)
    named = {QUARTILE_NAMES[k]: curve for k, curve in curves.items()}
    return RiskGroups(named, tuple(curves), logrank(time, event, quarter, entry), float(time.max()))


def predicted_risk(result: Comparison, name: str, horizon: float) -> NDArray[np.float64]:
    """(m,) predicted probability of the event by the time nearest to `horizon` (first repeat)."""
    place = int(np.argmin(np.abs(result.scores.times - horizon)))
    return np.asarray(1 - result.scores.scores[name].survival[0, :, place])
