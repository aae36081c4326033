"""How numbers are written on pages. What terms mean: ui/elements/glossary.py."""

from __future__ import annotations

from collections.abc import Callable

import common.text
from common.text import duration

THIN = "\u2009"


def interval(low: float, high: float, digits: int = 3, sign: bool = False) -> str:
    """'95 % CI 0.646 to 0.702'. sign: a plus before a gain."""
    between = common.text.limits(low, high, digits, sign)
    return f"95 % CI {between}" if between else "too few events for an interval"


def ratio(value: float) -> str:
    """A hazard ratio with three digits: \u00d7 1.23. The scrubber writes them alike."""
    digits = 1 if value >= 9.995 else 2 if value >= 0.9995 else 3
    return f"\u00d7{THIN}{value:.{digits}f}"


def percent(share: float) -> str:
    """A share 0-1 as a percentage, one decimal where it is small. For a survival probability: `probability`."""
    return common.text.percent(share, 0 if share > 0.0995 else 1, THIN)


def probability(p: float) -> str:
    """A modelled probability in whole per cent, never 0 or 100: < 1 %."""
    return common.text.probability(p, THIN)


def short_ratio(hr: float) -> str:
    """A hazard ratio with two digits or so, for a sentence: 1.2."""
    return f"{hr:.0f}" if hr >= 9.95 else f"{hr:.1f}" if hr >= 0.95 else f"{hr:.2f}"


def times_hazard(hr: float) -> str:
    """A hazard ratio to the cohort's median in words."""
    shown = short_ratio(hr)
    if shown == "1.0":
        return "about the risk of the typical patient"
    return f"{shown} times the risk of the typical patient"


def ordinal(value: float) -> str:
    """A percentile: 1st, 2nd, 43rd; never the 0th or the 100th."""
    whole = round(value)
    if whole <= 0:
        return f"<{THIN}1st"
    if whole >= 100:
        return f">{THIN}99th"
    ending = "th" if 10 <= whole % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(whole % 10, "th")
    return f"{whole}{ending}"


def place(value: float) -> str:
    """A percentile without its ending, as limits are written: 43."""
    return ordinal(value).rstrip("ndrsth")


def between(low: float, high: float, write: Callable[[float], str]) -> str:
    """'48 to 74', '24 to 45 %': limits written like their value, a unit that both have only once."""
    first, last = write(float(low)), write(float(high))
    unit = f"{THIN}%"
    return f"{first.removesuffix(unit) if last.endswith(unit) else first} to {last}"


def elapsed(seconds: float) -> str:
    """Time so far for people: with tenths under ten seconds, so that a page that is polled is seen to be at work."""
    return f"{max(0.0, seconds):.1f} s" if seconds < 9.95 else duration(seconds)


def plain_time(value: float) -> str:
    """A horizon without needless decimals: 12, 1.5."""
    return f"{value:g}"
