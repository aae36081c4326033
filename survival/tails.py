"""Tail probabilities of tests, Holm's rule, exact limits of a count.

scipy is loaded when one is computed: a page that shows only curves does without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Z95 = 1.959963984540054  # the normal distribution's 97.5 % point
Z90 = 1.6448536269514722  # its 95 % point: limits of a 90 % interval


@dataclass(frozen=True)
class ChiSquare:
    """A chi-square statistic, its degrees of freedom and p."""

    statistic: float
    df: int
    p: float


def chi_square(statistic: float, df: int) -> ChiSquare:
    return ChiSquare(statistic, df, float(chi_square_tail(statistic, df)))


def normal_tail(z: Any) -> Any:
    """P(Z > z), z of any shape."""
    from scipy.stats import norm

    return norm.sf(z)


def chi_square_tail(statistic: Any, df: int) -> Any:
    """P(X > statistic) of a chi-square distribution with df degrees of freedom, statistic of any shape."""
    from scipy.stats import chi2

    return chi2.sf(statistic, df)


def holm_rejects(p: Sequence[float], alpha: float = 0.05) -> list[bool]:
    """Which hypotheses Holm's step-down rule rejects at a familywise level alpha (Scand J Stat 1979;6:65)."""
    rejected, order = [False] * len(p), sorted(range(len(p)), key=lambda i: p[i])
    for step, i in enumerate(order):
        if not p[i] < alpha / (len(p) - step):
            break
        rejected[i] = True
    return rejected


def poisson_limits(events: int) -> tuple[float, float]:
    """Exact 95 % limits of the expected number of events (Garwood 1936)."""
    from scipy.stats import chi2

    low = float(chi2.ppf(0.025, 2 * events)) / 2 if events else 0.0
    return low, float(chi2.ppf(0.975, 2 * (events + 1))) / 2
