"""Refits of a fitted model to bootstrap samples of its patients: how much its scores owe to who was in the study.

Patients are drawn with replacement, outcome and features together (Efron, JASA 1981;76:312). A penalised model has a
bias that no bootstrap shows: refits tell its variance alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from survival.cox_regression.baseline import Baseline
from survival.cox_regression.likelihood import breslow_hazard
from survival.errors import Cancelled, FitCancelled, SurvivalError, stop_if
from survival.models.base import SurvivalModel
from survival.models.hazard import LinearHazard
from survival.uncertainty.refits import Refits

REFITS = 20
FEWEST = 10  # refits that could be made, below which there is no interval


def bootstrap_refits(
    model: SurvivalModel,
    X: Any,
    time: np.ndarray,
    event: np.ndarray,
    log_hr: np.ndarray,
    entry: np.ndarray | None = None,
    *,
    refits: int = REFITS,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
    cancelled: Cancelled = None,
) -> Refits | None:
    """Of a model fitted to these n patients; None for one that is not linear, and where too few samples can be fitted.

    log_hr : (n,) out of fold, on which the samples' baseline hazards rest. Sample b depends on seed and b alone.
    Raises FitCancelled.
    """
    hazard = model.hazard()
    if not isinstance(hazard, LinearHazard) or refits < FEWEST:
        return None
    again = model.refitting(X, time, event, cancelled, entry)
    made: list[tuple[np.ndarray, float, np.ndarray]] = []
    for b in range(refits):
        stop_if(cancelled)
        rows = np.random.default_rng([seed, b]).integers(len(time), size=len(time))
        try:
            one = again(rows)
        except FitCancelled:
            raise
        except SurvivalError:
            continue  # for instance a sample without events
        finally:
            if on_progress is not None:
                on_progress(b + 1, refits)
        if isinstance(one, LinearHazard):
            entered = None if entry is None else entry[rows]
            sample = breslow_hazard(time[rows], event[rows], log_hr[rows], entered)
            made.append((_on_columns(one, hazard), one.offset, _on_times(*sample, hazard.baseline)))
    if len(made) < FEWEST:
        return None
    gradients, offsets, hazards = zip(*made, strict=True)
    return Refits(
        np.stack(gradients).astype(np.float32), np.asarray(offsets, np.float64), np.stack(hazards).astype(np.float32)
    )


def _on_columns(refit: LinearHazard, hazard: LinearHazard) -> np.ndarray:
    """(p,) a refit's gradient on the model's columns; a block that the refit did not use counts 0."""
    blocks = refit.log_hr_gradient()
    gradient = np.zeros(len(hazard.encoding.names))
    for name, part in hazard.encoding.slices.items():
        if name in blocks:
            gradient[part] = blocks[name].ravel()
    return gradient


def _on_times(times: np.ndarray, hazard: np.ndarray, baseline: Baseline) -> np.ndarray:
    """(T,) a cumulative hazard at the baseline's times, counted from where the baseline begins."""
    steps = np.concatenate([[0.0], hazard])
    start = steps[np.searchsorted(times, baseline.start, side="right")] if baseline.start else 0.0
    return np.maximum(steps[np.searchsorted(times, baseline.times, side="right")] - start, 0.0)
