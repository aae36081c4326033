"""How far a face is moved along the health direction: as far as scores of the cohort spread, and no further.

A model that tells little spreads its scores little, so a doubling of its hazard would take a face to where no code of
a person lies, and the generator would draw nothing but colours there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ui.elements.text import THIN

if TYPE_CHECKING:
    from ui.shell.resources import Cohort

DEVIATIONS = 4.0  # standard deviations of the cohort's out-of-fold log-HR that a face is moved by, at most
PARTS = {8.0: 3, 4.0: 2, 2.0: 2, 1.5: 2, 1.2: 2, 1.1: 2, 1.05: 1, 1.02: 1}  # end of the range: labels on either side


def end_of(scores: NDArray[np.float64]) -> float:
    """The hazard ratio at which the range ends, for a cohort with these log-HRs: 8 where they spread enough."""
    widest = DEVIATIONS * float(np.std(scores))
    return next((end for end in PARTS if np.log(end) <= widest), min(PARTS))


def steps_to(end: float, a_side: int) -> NDArray[np.float64]:
    """(2 a_side + 1,) steps in log-HR, evenly from HR 1 / end to `end`, the unedited face exactly in the middle."""
    from study.scoring.direction import log_hr_steps

    return log_hr_steps(float(np.log(end)), 2 * a_side + 1)


def marks(steps: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Labels under a slider of such steps: index of the step, hazard ratio in words."""
    middle = len(steps) // 2
    end = min(PARTS, key=lambda known: abs(known - float(np.exp(steps[-1]))))
    parts = PARTS[end]
    each = middle // parts
    return [
        {"index": middle + k * each, "label": label(float(np.exp(steps[middle + k * each]))), "major": True}
        for k in range(-parts, parts + 1)
    ]


def label(hazard_ratio: float) -> str:
    """'start', '× 1/4', '× 2', '× 1.22'."""
    if hazard_ratio == 1.0:
        return "start"
    for whole in (2, 4, 8):
        if abs(hazard_ratio - whole) < 1e-6:
            return f"\u00d7{THIN}{whole}"
        if abs(hazard_ratio * whole - 1) < 1e-6:
            return f"\u00d7{THIN}1/{whole}"
    return f"\u00d7{THIN}{hazard_ratio:.2f}"


def bounds(cohort: Cohort) -> str:
    """A sentence where the range is narrower than usual, else nothing."""
    scores = cohort.model.oof_log_hr_
    end = end_of(scores)
    if end == max(PARTS):
        return ""
    return (
        f"The range ends at \u00d7{THIN}{end:g}: scores of this cohort spread by {np.std(scores):.2g} in log-HR "
        f"(standard deviation), and {DEVIATIONS:g} of them are as far as a face is moved. "
    )
