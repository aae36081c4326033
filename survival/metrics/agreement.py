"""How well repeated measurements of the same people agree: the intraclass correlation ICC(2,1).

Shrout and Fleiss, Psychological Bulletin 1979;86:420-428: people and conditions both drawn at random, absolute
agreement, a single measurement. 1: the conditions change nothing; 0: they hide all differences between people.
"""

from __future__ import annotations

import numpy as np

from survival.errors import SurvivalError
from survival.metrics.bootstrap import bootstrap_ci
from survival.metrics.estimate import Estimate


def intraclass(values: np.ndarray) -> float:
    """ICC(2,1) of values (n people, k conditions); nan where nobody differs from anybody.

    With mean squares of people P, conditions C and the rest E: (P - E) / (P + (k - 1) E + k (C - E) / n).
    """
    n, k = values.shape
    if n < 2 or k < 2:
        raise SurvivalError("Agreement needs at least 2 people, each measured in 2 conditions.")
    total = values.mean()
    people, conditions = values.mean(axis=1), values.mean(axis=0)
    rest = values - people[:, None] - conditions[None] + total
    mean_people = k * np.square(people - total).sum() / (n - 1)
    mean_conditions = n * np.square(conditions - total).sum() / (k - 1)
    error = np.square(rest).sum() / ((n - 1) * (k - 1))
    below = mean_people + (k - 1) * error + k * (mean_conditions - error) / n
    return float((mean_people - error) / below) if below > 0 else float("nan")


def intraclass_ci(values: np.ndarray, samples: int = 1000, seed: int = 0) -> Estimate:
    """ICC(2,1) with a bootstrap interval over people. nan limits where people hardly differ."""
    return bootstrap_ci(lambda rows: intraclass(values[rows]), len(values), samples, seed)
