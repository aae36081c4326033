"""How numbers are written for people. One home, so that pages, reports and command lines say the same."""

from __future__ import annotations

import math
from collections.abc import Sequence

DASH = "\u2013"  # stands for a value that is not known
MINUS = "\u2212"


def probability(p: float, space: str = " ") -> str:
    """A modelled or estimated probability, 0 to 1, in whole per cent: "63 %", "< 1 %", "> 99 %"; a dash for nan.

    No model of a cohort can distinguish 0.4 % from 0: a probability is never written as 0 % or 100 %.
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


def number(value: float, digits: int = 3, sign: bool = False) -> str:
    """'0.674', '−0.012'; a dash for what is not known, the sign for infinity. sign : a plus before a gain."""
    if math.isnan(value):
        return DASH
    rounded = value if math.isinf(value) else round(value, digits) or 0.0  # no minus before a zero
    text = "\u221e" if math.isinf(value) else f"{abs(rounded):.{digits}f}"
    return f"{MINUS if rounded < 0 else '+' if sign and rounded > 0 else ''}{text}"


def limits(low: float, high: float, digits: int = 3, sign: bool = False) -> str:
    """'0.646 to 0.702'; '' where a limit is not known."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"{number(low, digits, sign)} to {number(high, digits, sign)}"


def interval(value: float, low: float, high: float, digits: int = 3, sign: bool = False) -> str:
    """'0.674 (0.646 to 0.702)'; the value alone where it has no interval."""
    between = limits(low, high, digits, sign)
    if not (between and math.isfinite(value)):
        return number(value, digits, sign)
    return f"{number(value, digits, sign)} ({between})"


def p_value(p: float, named: bool = False) -> str:
    """'0.031', '< 0.001'; named : 'p = 0.031', 'p < 0.001'; a dash for nan."""
    if math.isnan(p):
        return DASH
    if p < 0.001:
        return "p < 0.001" if named else "< 0.001"
    return f"p = {p:.3f}" if named else f"{p:.3f}"


def count(n: int, thing: str, things: str | None = None) -> str:
    """'1 patient', '1,600 patients'."""
    return f"{n:,} {thing if n == 1 else things or thing + 's'}"


def listed(items: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'; 'none'."""
    return f"{', '.join(items[:-1])} and {items[-1]}" if len(items) > 1 else items[0] if items else "none"


def duration(seconds: float) -> str:
    """'8 s', '1 min 20 s', '50 min', '2 h 5 min'."""
    whole = max(0, round(seconds))
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    if whole >= 600:
        return f"{whole // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"
