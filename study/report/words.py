"""How numbers are written in a report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

import common.text
from common.text import listed
from survival.metrics.estimate import Estimate

LIMITS = ("value", "low", "high")


def interval(e: Any, digits: int = 3) -> str:
    """'0.674 (0.646 to 0.702)' of an Estimate or a table's row with value, low, high."""
    values = [e[key] if isinstance(e, Mapping | pd.Series) else getattr(e, key) for key in LIMITS]
    value, low, high = (math.nan if v is None else float(v) for v in values)  # JSON has null for what is not known
    return common.text.interval(value, low, high, digits)


def signed(e: Any, digits: int = 3) -> str:
    return ("+" if e.value > 0 else "") + interval(e, digits)


def reached(e: Estimate, unit: str, digits: int = 1) -> str:
    """A median with its limits, where the curve gets that far."""
    value, low, high = (f"{v:.{digits}f}" if math.isfinite(v) else "" for v in (e.value, e.low, e.high))
    if value:
        return f"{value} {unit} (95 % CI {low} to {high or 'not reached'})"
    return f"not reached (95 % CI from {low} {unit})" if low else "not reached"


def times(values: tuple[float, ...], unit: str) -> str:
    """'12, 24 and 60 months'."""
    return f"{listed([f'{t:g}' for t in values])} {unit}" if values else "no time"
