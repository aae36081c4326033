"""Hazard ratios of an out-of-fold score, for a table and a forest plot: per standard deviation and per quartile.

A penalised coefficient has no ordinary interval, so the score enters an unpenalised Cox regression (Efron ties) as one
covariate: alone, and adjusted for the covariates that a person chose. The patients are not those it was fitted to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from common.text import listed
from survival.cox_regression.regression import cox_regression
from survival.curves import QUARTILE_NAMES
from survival.errors import SurvivalError
from survival.events_per_parameter import enough_events, too_few_words
from survival.features.encoding import fit_encoding

COLUMNS = ["group", "label", "hr", "low", "high", "p"]
PER_SD = "per SD of the score"


def hazard_ratios(
    score: Any, quartile: Any, time: Any, event: Any, adjust: pd.DataFrame | None = None, entry: Any = None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """(table, notes). Table: group (alone or adjusted), label, hr, low, high, p; a reference has hr 1 and nan.

    Parameters
    ----------
    score : (m,) log risks. quartile : (m,) 0 (lowest) to 3, -1 where there is none. time, event : (m,).
    adjust : (m,) rows of covariates, or None; missing values count as the mean or commonest level with an indicator.
    entry : (m,) when each patient came under observation; None: all at 0.

    Raises
    ------
    SurvivalError
        where even the score alone cannot be fitted. What cannot be adjusted for is a note.
    """
    scores, notes = np.asarray(score, dtype=np.float64), list[str]()
    spread = float(scores.std())
    if not spread > 0:
        raise SurvivalError("The score is the same for all patients: there is no hazard ratio.")
    z = (scores - scores.mean()) / spread
    q, seen = np.asarray(quartile), np.asarray(event, dtype=bool)
    rows = _fits(z, q, time, seen, None, "Alone", notes, entry)
    if adjust is not None and adjust.shape[1]:
        encoding = fit_encoding(adjust, "indicator")
        columns = encoding.transform(adjust)
        columns = columns[:, np.ptp(columns, axis=0) > 0]
        heading = f"Adjusted for {', '.join(map(str, adjust.columns))}"
        try:
            rows += _fits(z, q, time, seen, columns, heading, notes, entry)
        except SurvivalError as problem:
            notes.append(f"There is no adjusted hazard ratio: {problem}")
    return pd.DataFrame(rows, columns=COLUMNS), tuple(notes)


def _fits(
    z: np.ndarray,
    quartile: np.ndarray,
    time: Any,
    event: np.ndarray,
    covariates: np.ndarray | None,
    heading: str,
    notes: list[str],
    entry: Any,
) -> list[tuple[str, str, float, float, float, float]]:
    others, events = 0 if covariates is None else covariates.shape[1], int(event.sum())
    if others and not enough_events(events, 1 + others):
        raise SurvivalError(f"{too_few_words(events, 1 + others)}.")
    rows = [(heading, PER_SD, *_ratios(z[:, None], time, event, covariates, entry)[0])]
    groups = [k for k in range(4) if (quartile == k).any()]
    if len(groups) < 2 or (quartile < 0).any():
        return rows
    try:
        if empty := [QUARTILE_NAMES[k].lower() for k in groups if not event[quartile == k].any()]:
            raise SurvivalError(f"nobody had the event in the group {listed(empty)}.")
        parameters = len(groups) - 1 + others
        if others and not enough_events(events, parameters):
            raise SurvivalError(f"{too_few_words(events, parameters)}.")
        ratios = _ratios(np.column_stack([quartile == k for k in groups[1:]]), time, event, covariates, entry)
    except SurvivalError as problem:
        notes.append(f"There are no hazard ratios of the quartiles ({heading.lower()}): {problem}")
        return rows
    rows.append((heading, QUARTILE_NAMES[groups[0]], 1.0, np.nan, np.nan, np.nan))
    rows += [(heading, QUARTILE_NAMES[k], *ratio) for k, ratio in zip(groups[1:], ratios, strict=True)]
    return rows


def _ratios(
    x: np.ndarray, time: Any, event: np.ndarray, covariates: np.ndarray | None, entry: Any
) -> list[tuple[float, float, float, float]]:
    """(hr, low, high, p) of each column of x, adjusted for the covariates."""
    whole = x.astype(np.float64) if covariates is None else np.column_stack([x, covariates])
    table = cox_regression(whole, time, event, entry=entry).table()[["hr", "low", "high", "p"]]
    return list(table.head(x.shape[1]).astype(float).itertuples(index=False, name=None))
