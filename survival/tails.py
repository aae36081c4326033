"""Tail probabilities of tests. scipy is loaded when one is computed: a page that shows only curves does without it."""

from __future__ import annotations

from typing import Any

Z95 = 1.959963984540054  # the normal distribution's 97.5 % point


def normal_tail(z: Any) -> Any:
    """P(Z > z), z of any shape."""
    from scipy.stats import norm

    return norm.sf(z)


def chi_square_tail(statistic: Any, df: int) -> Any:
    """P(X > statistic) of a chi-square distribution with df degrees of freedom, statistic of any shape."""
    from scipy.stats import chi2

    return chi2.sf(statistic, df)
