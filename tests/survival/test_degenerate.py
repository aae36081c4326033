"""Every statistic on small, tied, separated and late data: finite figures or SurvivalError, never a warning."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from survival.cox_regression.baseline import fit_baseline
from survival.cox_regression.proportional import TRANSFORMS, proportional_hazards_test
from survival.cox_regression.regression import cox_regression
from survival.cox_regression.schoenfeld import scaled_residuals, smooth_residuals
from survival.curves import kaplan_meier, logrank
from survival.errors import SurvivalError
from survival.metrics.bootstrap import sample_weights
from survival.metrics.calibration import calibration, calibration_slope
from survival.metrics.concordance import harrell_resampled
from survival.metrics.hazard_ratios import hazard_ratios


def cohort(seed: int) -> tuple[np.ndarray, ...]:
    """time, event, entry, covariates (n, p), score: ties, few events, separation, constants and copies are common."""
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(1, 40)), int(rng.integers(1, 4))
    time = rng.integers(1, int(rng.integers(2, 12)), n).astype(float)
    event = rng.random(n) < rng.choice([0.05, 0.3, 0.8, 1.0])
    entry = np.minimum(np.floor(time * rng.random(n)), time - 1)
    columns = [
        rng.standard_normal((n, p)),
        rng.integers(0, 2, (n, p)).astype(float),
        np.column_stack([time] * p) + rng.standard_normal((n, p)),
        np.column_stack([time] * p),
    ][int(rng.integers(0, 4))]
    return time, event, entry, columns, columns[:, 0]


def figures(compute: Callable[[], np.ndarray]) -> None:
    try:
        values = compute()
    except SurvivalError:
        return
    assert np.isfinite(np.asarray(values, dtype=np.float64)).all()


@pytest.mark.slow
@given(st.integers(0, 100_000), st.booleans(), st.sampled_from(["efron", "breslow"]))
def test_regressions_are_finite_or_refused(seed: int, late: bool, ties: str) -> None:
    time, event, entry, x, _ = cohort(seed)
    try:
        fit = cox_regression(x, time, event, ties=ties, entry=entry if late else None)
    except SurvivalError:
        return
    figures(lambda: fit.table().drop(columns="name").to_numpy())
    figures(lambda: fit.tests().drop(columns="test").to_numpy())
    figures(lambda: np.concatenate([hazard for _, hazard in fit.baselines().values()]))
    for transform in TRANSFORMS:
        figures(lambda t=transform: proportional_hazards_test(fit, t).drop(columns="name").to_numpy())
    figures(lambda: smooth_residuals(scaled_residuals(fit)).drop(columns="name").to_numpy())


@pytest.mark.slow
@given(st.integers(0, 100_000), st.booleans())
def test_figures_of_a_score_are_finite_or_refused(seed: int, late: bool) -> None:
    time, event, entry, x, score = cohort(seed)
    rng, came = np.random.default_rng(seed), entry if late else None
    curve = kaplan_meier(time, event, came)
    assert np.isfinite(curve.survival[curve.times >= curve.start]).all()
    figures(lambda: logrank(time, event, rng.integers(0, 3, len(time)), came).statistic)
    c = harrell_resampled(time, event, score, sample_weights(len(time), 20), came).estimate()
    assert 0 <= c.low <= c.high <= 1 or not c.known
    slope = calibration_slope(time, event, score, came)
    assert np.isfinite([slope.value, slope.low, slope.high]).all() or np.isnan(slope.value)
    table = pd.DataFrame(x, columns=[f"c{j}" for j in range(x.shape[1])])

    def ratios() -> np.ndarray:
        found, _ = hazard_ratios(score, rng.integers(0, 4, len(time)), time, event, table, came)
        return found.loc[found["hr"] != 1, ["hr", "low", "high", "p"]].to_numpy()

    figures(ratios)
    if event.any():
        known, survival = fit_baseline(time, event, score, came).survival([0.0, 1.0])
        assert np.isfinite(survival).all()
        assert len(known) == survival.shape[1]
    if not late:
        survival = 1 / (1 + np.exp(score))
        figures(lambda: calibration(time, event, survival, float(np.median(time)), samples=20).mean_predicted)
