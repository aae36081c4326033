"""Harrell's bootstrap: how much better a model looks on the patients that it was fitted to.

For each of B bootstrap samples of patients the whole model is fitted again, and its measure on the sample less that on
all patients is one draw of the optimism. corrected = apparent - mean optimism.
(Harrell, Lee, Mark, Stat Med 1996;15:361)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from survival.errors import FitCancelled, SurvivalError, stop_if
from survival.features.encoding import as_features, rows_of, take_rows
from survival.metrics.concordance import harrell_c
from survival.models import SurvivalModel, make_model
from survival.outcome import check_outcome

MIN_VALID = 0.8  # share of the samples in which the model can be fitted


@dataclass(frozen=True, eq=False)
class Optimism:
    """apparent: on the patients fitted to. optimism: (b,) by sample. corrected: apparent minus the mean optimism."""

    apparent: float
    optimism: np.ndarray

    @property
    def corrected(self) -> float:
        return self.apparent - float(self.optimism.mean())


def bootstrap_optimism(
    model: str,
    settings: Mapping[str, Any],
    X: Any,
    time: Any,
    event: Any,
    *,
    samples: int = 200,
    seed: int = 0,
    measure: Callable[[np.ndarray, np.ndarray, np.ndarray], float] = harrell_c,
    on_progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Optimism:
    """Of a model of the registry. measure: (time, event, log risk) -> a number, higher is better.

    Copies of a patient stay in one inner fold, else the penalty would be chosen on patients it has seen.
    Raises SurvivalError where the model cannot be fitted to most samples.
    """
    features, outcome = as_features(X), check_outcome(time, event)
    n = rows_of(features)
    if n != len(outcome) or samples < 1:
        raise SurvivalError(f"There are {n} rows of features, {len(outcome)} outcomes, {samples} samples to draw.")

    def fitted(rows: np.ndarray, copies: np.ndarray | None) -> SurvivalModel:
        drawn = take_rows(features, rows)
        return make_model(model, **settings).fit(drawn, outcome.time[rows], outcome.event[rows], copies, cancelled)

    apparent = measure(outcome.time, outcome.event, fitted(np.arange(n), None).predict(features))
    rng, draws, failed = np.random.default_rng(seed), list[float](), 0
    for b in range(samples):
        stop_if(cancelled)
        rows = rng.integers(n, size=n)
        try:
            other = fitted(rows, rows)
            inside = other.predict(take_rows(features, rows))
            whole = other.predict(features)
            draws.append(
                measure(outcome.time[rows], outcome.event[rows], inside) - measure(outcome.time, outcome.event, whole)
            )
        except FitCancelled:
            raise
        except SurvivalError:
            failed += 1
        if on_progress is not None:
            on_progress(b + 1, samples)
    if len(draws) < MIN_VALID * samples:
        raise SurvivalError(f"The model could not be fitted to {failed} of {samples} bootstrap samples: add patients.")
    return Optimism(float(apparent), np.array(draws))
