"""How numbers are written for people. One home, so that pages, reports and command lines say the same."""

from __future__ import annotations

import math

DASH = "\u2013"  # stands for a figure that is not known
MINUS = "\u2212"


def probability(p: float, space: str = " ") -> str:
    """A modelled or estimated probability, 0 to 1, in whole per cent: "63 %", "< 1 %", "> 99 %"; a dash for nan.

    No model of a cohort can tell 0.4 % from 0: a probability is never written as 0 % or 100 %.
    space: what stands before the sign.
    """
    if math.isnan(p):
        return DASH
    if p < 0.01:
        return f"<{space}1{space}%"
    if p > 0.99:
        return f">{space}99{space}%"
    return f"{100 * p:.0f}{space}%"


def percent(share: float, digits: int = 0, space: str = " ") -> str:
    """A share of a whole, 0 to 1, such as of patients counted: "12.5 %". Only what is exactly 0 or 1 is written so:
    a smaller share is "< 0.1 %", a larger one "> 99.9 %". A dash for nan."""
    if math.isnan(share):
        return DASH
    least = 10.0**-digits  # per cent
    shown = f"{abs(100 * share):.{digits}f}"
    if 0 < share < 1 and float(shown) == 0:
        return f"<{space}{least:.{digits}f}{space}%"
    if 0 < share < 1 and float(shown) == 100:
        return f">{space}{100 - least:.{digits}f}{space}%"
    sign = MINUS if share < 0 and float(shown) else ""
    return f"{sign}{shown}{space}%"


def sentence_case(words: str) -> str:
    """With a capital, the rest as it is."""
    return words[:1].upper() + words[1:]
