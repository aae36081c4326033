"""Measures along time, hazard ratios of a score, scaled Schoenfeld residuals, effective parameters."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survival.comparison.crossval import CrossValidation, Scores
from survival.comparison.evaluate import evaluate
from survival.comparison.over_time import NULL, auc_over_time, brier_over_time, decision_over_thresholds
from survival.cox_regression.effective import effective_parameters
from survival.cox_regression.path import fit_path, penalty_grid
from survival.cox_regression.proportional import proportional_hazards_test
from survival.cox_regression.regression import cox_regression, derivatives
from survival.cox_regression.risk_sets import stratum_of
from survival.cox_regression.schoenfeld import scaled_residuals, smooth_residuals
from survival.curves import QUARTILE_NAMES
from survival.errors import SurvivalError
from survival.metrics.decision import TREAT_ALL
from survival.metrics.hazard_ratios import PER_SD, hazard_ratios


def outcomes(lp, seed=0, last=40.0):
    rng = np.random.default_rng(seed)
    event_time = 20 * rng.exponential(size=len(lp)) / np.exp(lp)
    censoring = np.minimum(rng.exponential(60, size=len(lp)), last)
    return np.minimum(event_time, censoring) + 0.01, event_time <= censoring


@pytest.fixture(scope="module")
def comparison():
    rng = np.random.default_rng(1)
    lp = rng.normal(size=200)
    time, event = outcomes(lp)
    times = np.array([5.0, 10.0, 20.0])
    scores = {}
    for name, noise in (("good", 0.3), ("poor", 3.0)):
        risk = np.stack([lp + noise * rng.normal(size=200) for _ in range(2)])
        survival = np.exp(-np.exp(0.5 * risk)[..., None] * times / 25)
        scores[name] = Scores(risk, survival, np.zeros((2, 200), dtype=np.int64), (), 0.0)
    null = np.tile(np.exp(-times / 25), (2, 200, 1))
    fold = np.tile(np.arange(200) % 5, (2, 1))
    return CrossValidation(time, event, fold, times, null, scores, {})


def test_along_time_agrees_with_the_figures(comparison):
    figures = evaluate(comparison, (10.0,), samples=50, calibrate=False).measures
    auc, brier = auc_over_time(comparison, samples=50), brier_over_time(comparison, samples=50)
    assert set(auc["model"]) == {"good", "poor"}
    assert set(brier["model"]) == {"good", "poor", NULL}
    for name in ("good", "poor"):
        for frame, measure in ((auc, "AUC(10)"), (brier, "Brier(10)")):
            row = frame[(frame["model"] == name) & (frame["time"] == 10)].iloc[0]
            estimate = figures[name][measure].estimate()
            assert row["value"] == pytest.approx(estimate.value, abs=1e-12)
            assert row["low"] == pytest.approx(estimate.low, abs=1e-12)
            assert row["high"] == pytest.approx(estimate.high, abs=1e-12)


def test_decision_curves_of_a_comparison(comparison):
    frame = decision_over_thresholds(comparison, 10.0, ["good"], np.linspace(0.01, 0.9, 20), samples=20)
    assert set(frame["model"]) == {"good", TREAT_ALL, "act on nobody"}
    assert frame["threshold"].nunique() == 20
    with pytest.raises(SurvivalError, match="among the times"):
        decision_over_thresholds(comparison, 11.0, ["good"], np.array([0.1]))
    with pytest.raises(SurvivalError, match="'other'"):
        auc_over_time(comparison, ["other"])


def test_hazard_ratios_are_those_of_the_plain_regression():
    rng = np.random.default_rng(3)
    confounder = rng.normal(size=500)
    score = confounder + rng.normal(size=500)
    time, event = outcomes(0.7 * confounder, seed=4)
    quartile = np.searchsorted(np.percentile(score, [25, 50, 75]), score)
    table, notes = hazard_ratios(score, quartile, time, event, pd.DataFrame({"age": confounder}))
    assert not notes
    assert table["label"].tolist() == [PER_SD, *QUARTILE_NAMES] * 2
    assert table["group"].unique().tolist() == ["Alone", "Adjusted for age"]
    z = (score - score.mean()) / score.std()
    alone = cox_regression(z, time, event).table().iloc[0]
    both = cox_regression(np.column_stack([z, confounder]), time, event).table().iloc[0]
    sd = table[table["label"] == PER_SD]
    np.testing.assert_allclose(sd["hr"], [alone["hr"], both["hr"]], rtol=1e-8)
    np.testing.assert_allclose(sd["high"], [alone["high"], both["high"]], rtol=1e-8)
    assert sd["low"].iloc[0] > 1  # the confounder's effect
    assert sd["low"].iloc[1] < 1 < sd["high"].iloc[1]
    reference = table[table["label"] == QUARTILE_NAMES[0]]
    assert (reference["hr"] == 1).all()
    assert reference["low"].isna().all()


def test_too_few_events_to_adjust_is_a_note():
    rng = np.random.default_rng(5)
    score = rng.normal(size=60)
    time, event = outcomes(score)
    covariates = pd.DataFrame(rng.normal(size=(60, 6)), columns=list("abcdef"))
    table, notes = hazard_ratios(score, np.full(60, -1), time, event, covariates)
    assert table["group"].tolist() == ["Alone"]  # no quartiles, no adjustment
    assert "36 events for 7 parameters (5.1 each" in notes[0], "six covariates and the score"
    with pytest.raises(SurvivalError, match="same for all"):
        hazard_ratios(np.ones(60), np.zeros(60), time, event)


def test_the_ratio_per_sd_is_adjusted_where_quartiles_cannot_be():
    """Two covariates and the score are 3 parameters, with three quartiles 5: 45 events carry the first."""
    rng = np.random.default_rng(5)
    score = rng.normal(size=60)
    time, _ = outcomes(score)
    event = np.arange(60) < 45
    covariates = pd.DataFrame(rng.normal(size=(60, 2)), columns=list("ab"))
    table, notes = hazard_ratios(score, np.arange(60) % 4, time, event, covariates)
    adjusted = table[table["group"] == "Adjusted for a, b"]
    assert adjusted["label"].tolist() == [PER_SD]
    assert len(table[table["group"] == "Alone"]) == 5
    assert notes == (
        "There are no hazard ratios of the quartiles (adjusted for a, b): 45 events for 5 parameters (9.0 each; at "
        "least 10 are needed).",
    )


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=20)
def test_scaled_residuals_have_the_coefficients_as_mean(seed, tied):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(80, 2))
    time, event = outcomes(x[:, 0], seed)
    time = np.ceil(time) if tied else time
    fit = cox_regression(x, time, event, names=["a", "b"])
    frame = scaled_residuals(fit)
    assert len(frame) == 2 * event.sum()
    means = frame.groupby("name")["residual"].mean()
    np.testing.assert_allclose(means[["a", "b"]], fit.coef, atol=1e-6)


def test_the_smooth_follows_an_effect_that_fades():
    rng = np.random.default_rng(7)
    x = rng.integers(0, 2, 3000).astype(float)
    # hazard 0.05 exp(1.5 x) up to t = 10, 0.05 after
    rate, u = 0.05 * np.exp(1.5 * x), rng.exponential(size=3000)
    time = np.where(u < 10 * rate, u / rate, 10 + (u - 10 * rate) / 0.05)
    event = time < 60
    time = np.minimum(time, 60)
    fit = cox_regression(x, time, event, names=["x"])
    assert proportional_hazards_test(fit)["p"].iloc[0] < 1e-6
    smooth = smooth_residuals(scaled_residuals(fit))
    early, late = smooth[smooth["time"] < 5], smooth[smooth["time"].between(20, 40)]
    assert early["value"].mean() == pytest.approx(1.5, abs=0.4)
    assert late["value"].mean() == pytest.approx(0.0, abs=0.4)
    assert (smooth["low"] < smooth["value"]).all()
    with pytest.raises(SurvivalError, match="too few"):
        smooth_residuals(pd.DataFrame({"name": "x", "time": np.arange(5.0), "residual": 0.0}))


def test_effective_parameters():
    rng = np.random.default_rng(9)
    x = rng.normal(size=(150, 8))
    x -= x.mean(axis=0)
    time, event = outcomes(x[:, 0] - x[:, 1], 9)
    for l1_ratio in (1e-3, 0.5, 1.0):
        grid = penalty_grid(x, time, event, l1_ratio, 12, 1e-5 if l1_ratio < 0.1 else 1e-2)
        path = fit_path(x, time, event, grid, l1_ratio)
        found = effective_parameters(x, time, event, path, l1_ratio)
        assert found[0] < 0.1
        assert (found <= 8 + 1e-9).all()
        assert (found <= (path.coef != 0).sum(axis=0) + 1e-9).all()
        if l1_ratio == 1:
            np.testing.assert_array_equal(found, (path.coef != 0).sum(axis=0))
        if l1_ratio < 0.1:
            assert (np.diff(found) > 0).all()
            # Gray's formula with the regression's own information matrix
            part = stratum_of(np.arange(150), time, event, "breslow")
            h = derivatives(x, np.ones(150), (part,), path.coef[:, 6])[2]()
            ridge = 150 * path.alphas[6] * (1 - l1_ratio) * np.eye(8)
            assert found[6] == pytest.approx(np.trace(h @ np.linalg.inv(h + ridge)), rel=1e-9)
            assert found[-1] > 7  # next to no penalty left
