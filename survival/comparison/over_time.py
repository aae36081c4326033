"""Measures of a comparison along time: AUC(t) and Brier(t) of every candidate with bands, and decision curves.

As in `evaluate`: means over the repeats, all from the same bootstrap samples of patients. Fewer samples than there,
because bands of a curve need less precision.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from survival.comparison.crossval import CrossValidation
from survival.errors import SurvivalError
from survival.metrics.bootstrap import resampled, sample_weights
from survival.metrics.decision import decision_curve
from survival.metrics.probability import auc_columns, brier_columns

BAND_SAMPLES = 200
NULL = "Kaplan-Meier null"
COLUMNS = ["model", "time", "value", "low", "high"]


def _rows(model: str, times: np.ndarray, values: np.ndarray) -> list[tuple[str, float, float, float, float]]:
    """values: (T, 1 + b), the patients as they are first; times without a value are left out."""
    pairs = zip(times, values, strict=True)
    known = [(float(t), resampled(row, 0).estimate()) for t, row in pairs if np.isfinite(row[0])]
    return [(model, t, e.value, e.low, e.high) for t, e in known]


def _names(comparison: CrossValidation, names: Sequence[str] | None) -> list[str]:
    chosen = list(comparison.scores) if names is None else list(names)
    absent = [name for name in chosen if name not in comparison.scores]
    if absent:
        raise SurvivalError(f"There are no scores of a candidate called {absent[0]!r} in this comparison.")
    return chosen


def auc_over_time(
    comparison: CrossValidation, names: Sequence[str] | None = None, samples: int = BAND_SAMPLES, seed: int = 0
) -> pd.DataFrame:
    """Columns model, time, value, low, high. Times without a case or a control are left out."""
    weight, rows = sample_weights(len(comparison.time), samples, seed), []
    for name in _names(comparison, names):
        risks = comparison.scores[name].log_risk
        values = [
            np.mean([auc_columns(comparison.time, comparison.event, risk, float(t), weight) for risk in risks], axis=0)
            for t in comparison.times
        ]
        rows += _rows(name, comparison.times, np.array(values))
    return pd.DataFrame(rows, columns=COLUMNS)


def brier_over_time(
    comparison: CrossValidation, names: Sequence[str] | None = None, samples: int = BAND_SAMPLES, seed: int = 0
) -> pd.DataFrame:
    """Columns model, time, value, low, high; NULL is the training folds' Kaplan-Meier curve."""
    chosen, weight = _names(comparison, names), sample_weights(len(comparison.time), samples, seed)
    each = [
        brier_columns(
            comparison.time,
            comparison.event,
            np.stack([*(comparison.scores[name].survival[r] for name in chosen), comparison.null[r]]),
            comparison.times,
            weight,
        )
        for r in range(len(comparison.fold))
    ]
    rows = []
    for name, values in zip([*chosen, NULL], np.mean(each, axis=0), strict=True):
        rows += _rows(name, comparison.times, values)
    return pd.DataFrame(rows, columns=COLUMNS)


def decision_over_thresholds(
    comparison: CrossValidation,
    horizon: float,
    names: Sequence[str],
    thresholds: np.ndarray,
    samples: int = BAND_SAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Decision curves of the first repeat at a time of the comparison; columns as of decision_curve."""
    place = int(np.argmin(np.abs(comparison.times - horizon)))
    if not np.isclose(comparison.times[place], horizon):
        raise SurvivalError("The horizon must be among the times that the comparison was made for.")
    risks = {name: 1 - comparison.scores[name].survival[0, :, place] for name in _names(comparison, names)}
    weight = sample_weights(len(comparison.time), samples, seed)
    return decision_curve(comparison.time, comparison.event, risks, horizon, thresholds, weight)
