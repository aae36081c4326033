"""Sentences that page and report both print next to the results of a comparison."""

from __future__ import annotations

from collections.abc import Sequence

from study.comparison.record import Comparison


def wrong_way(comparison: Comparison, names: Sequence[str]) -> str:
    """On candidates that rank worse than guessing, "" where there are none: the likelihood-ratio test of added value
    has no direction, so their p may be small too."""
    worse = [comparison.candidate(name).label for name in names if comparison.estimate(name).value < 0.5]
    if not worse:
        return ""
    return f"For {' and '.join(worse)}, with a C below 0.5, the test only says that the score points the wrong way."
