"""The learning curve of simulated patients that comes with the software, to compare a study's own with."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd

from common.parsing import json_value
from study.learning_curve.record import SHARE, C

FILE = Path(__file__).resolve().parents[2] / "docs" / "measurements" / "learning-curve.json"
WORDS = (
    "The grey curve is of simulated patients with rendered portraits (recorded in docs/measurements): it shows how "
    "such curves rise, not what this study should reach."
)


@cache
def reference(measure: str) -> pd.DataFrame | None:
    """patients, value, low, high of C or the recovered share; None where the record is not there or says otherwise."""
    name = {C: "c", SHARE: "share"}[measure]
    try:
        rows = json_value(FILE.read_bytes())["rows"]
        columns = {"patients": "patients", "value": name, "low": f"{name} low", "high": f"{name} high"}
        return pd.DataFrame({new: [float(row[old]) for row in rows] for new, old in columns.items()})
    except (OSError, ValueError, KeyError, TypeError):
        return None
