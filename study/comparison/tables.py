"""The tables of a comparison: which there are, their columns, and their way into JSON and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

INTERVAL = ("value", "low", "high")

# table -> columns, each a float (nan: not estimable) but for those in _DTYPES.
TABLES: dict[str, tuple[str, ...]] = {
    # Every measure of every candidate, mean over repeats, with the 95 % bootstrap interval over patients: Harrell C,
    # Uno C, AUC(t) and Brier(t) at the horizons, IBS, scaled IBS, Cox slope.
    "figures": ("candidate", "measure", *INTERVAL, "n"),
    # candidate less other, paired: same patients, folds and bootstrap samples. Each pair once, the other way round is
    # the negative (Comparison.difference). Measures: Harrell C, Uno C, IBS, scaled IBS, AUC(t).
    "differences": ("candidate", "other", "measure", *INTERVAL),
    # Likelihood-ratio test of the out-of-fold score of `added`, adjusted for that of `base`.
    "added_value": ("base", "added", "chisq", "df", "p"),
    # At each horizon: measure in mean predicted, observed, ratio, intercept, slope, ici, e50, e90. First repeat.
    "calibration": ("candidate", "horizon", "measure", *INTERVAL),
    "calibration_curves": ("candidate", "horizon", "predicted", "observed", "low", "high"),
    # Tenths of predicted risk: n, events by the horizon, mean predicted and Kaplan-Meier observed risk.
    "calibration_groups": ("candidate", "horizon", "n", "events", "predicted", "observed", "low", "high"),
    # measure "AUC" or "Brier" at each of the comparison's times, mean over repeats.
    "over_time": ("candidate", "measure", "time", *INTERVAL),
    # Net benefit at each threshold; candidates and survival.metrics.decision's TREAT_ALL and TREAT_NONE. First repeat.
    "decision": ("candidate", "horizon", "threshold", "net_benefit", "low", "high"),
    # Penalised Cox models on all patients: a row a penalty. score: cross-validated partial log-likelihood an event,
    # concordance: mean over folds at that penalty, effective: number of effective parameters, chosen: the choice.
    "paths": ("candidate", "alpha", "score", "score_se", "concordance", "deviance_ratio", "effective", "chosen"),
    # Hazard ratios of out-of-fold scores, unpenalised Cox. adjusted: "" or names of covariates. term: "per SD",
    # "quartile 2".."quartile 4" against quartile 1 (first repeat). patients, events: of that term's group or of all.
    "hazards": ("candidate", "adjusted", "term", "hr", "low", "high", "p", "patients", "events"),
    # Unpenalised Cox models of the clinical sets fitted to all patients: coefficients (in-sample).
    "coefficients": ("candidate", "name", "coef", "hr", "low", "high", "se", "z", "p"),
    # Grambsch and Therneau's test of proportional hazards (transform km): of the clinical Cox models and of each
    # model's out-of-fold score alone (name "score"). A row GLOBAL where there are several.
    "proportionality": ("candidate", "name", "chisq", "df", "p"),
    # Scaled Schoenfeld residuals, coefficient added, an event a row: their mean at a time estimates log HR there.
    "schoenfeld": ("candidate", "name", "time", "residual"),
    # Harrell C of each permutation of the outcomes (study.comparison.measuring.shuffles).
    "shuffles": ("shuffle", "harrell"),
    # Every measure of every model within subgroups (survival.comparison.subgroups): "all patients" first. A
    # subgroup under ten events has one row with candidate and measure "" and no value.
    "subgroups": ("variable", "level", "n", "events", "candidate", "measure", *INTERVAL),
    # Simulated studies only: measure "C of the true face hazard", "C of the true hazard" (candidate ""), and of each
    # model with a photo alone "share recovered", (C - 0.5) / (C of the true face hazard - 0.5).
    "truth": ("candidate", "measure", *INTERVAL),
}
_TEXTS = ("candidate", "measure", "other", "base", "added", "adjusted", "term", "name", "variable", "level")
_COUNTS = ("n", "events", "df", "patients", "shuffle")
_DTYPES: dict[str, type] = {**dict.fromkeys(_TEXTS, object), **dict.fromkeys(_COUNTS, np.int64), "chosen": bool}


def plain(column: pd.Series) -> list[Any]:
    """Values for JSON: nan and other gaps are null."""
    return [None if pd.isna(v) else v.item() if isinstance(v, np.generic) else v for v in column]


def packed(table: pd.DataFrame) -> dict[str, Any]:
    """A table for JSON: columns of text as levels and places among them, numbers with seven digits."""
    out: dict[str, Any] = {}
    for column in table.columns:
        values = plain(table[column])
        if values and all(isinstance(v, str) for v in values):
            levels = list(dict.fromkeys(values))
            place = {level: i for i, level in enumerate(levels)}
            out[str(column)] = {"levels": levels, "places": [place[v] for v in values]}
        else:
            out[str(column)] = [float(f"{v:.7g}") if isinstance(v, float) else v for v in values]
    return out


def unpacked(columns: dict[str, Any]) -> dict[str, list[Any]]:
    """Columns from `packed`. Raises KeyError, TypeError, IndexError or ValueError where they are not."""
    out = {}
    for name, column in columns.items():
        if isinstance(column, dict):
            levels, places = column["levels"], column["places"]
            if any(type(i) is not int or not 0 <= i < len(levels) for i in places):
                raise ValueError(name)
            column = [levels[i] for i in places]
        out[str(name)] = list(column)
    return out


def table_of(name: str, rows: Sequence[Sequence[Any]] = ()) -> pd.DataFrame:
    """A table from rows in the order of its columns."""
    return frame_of(name, {column: [row[i] for row in rows] for i, column in enumerate(TABLES[name])})


def frame_of(name: str, columns: dict[str, list[Any]]) -> pd.DataFrame:
    """A table from its columns. Raises ValueError, TypeError or KeyError where they do not fit."""
    if set(columns) != set(TABLES[name]) or len({len(values) for values in columns.values()}) > 1:
        raise ValueError(f"columns of {name}")
    out: dict[str, np.ndarray] = {}
    for column in TABLES[name]:
        values, dtype = columns[column], _DTYPES.get(column, np.float64)
        if dtype is object and not all(isinstance(v, str) for v in values):
            raise TypeError(f"{name}, {column}")
        gaps_as_nan = [np.nan if v is None else v for v in values] if dtype is np.float64 else values
        out[column] = np.array(gaps_as_nan, dtype=dtype)
    return pd.DataFrame(out)
