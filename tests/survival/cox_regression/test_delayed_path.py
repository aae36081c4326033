"""Penalised Cox paths with late entries and strata, against R's glmnet (tests/data/r/delayed_path.json) and our own
unpenalised regression, which is itself compared with R's coxph."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survival.cox_regression.likelihood import breslow_hazard, log_likelihood, lp_derivatives, null_gradient
from survival.cox_regression.path import fit_path, penalty_grid
from survival.cox_regression.penalised import penalised
from survival.cox_regression.regression import cox_regression
from survival.cox_regression.risk_sets import AtRisk, parts_of
from survival.errors import SurvivalError
from survival.metrics.calibration import calibration_slope
from tests.survival.cohorts import COHORTS, load_cohort, made_up, standardised

VALUES = json.loads((Path(__file__).parents[2] / "data" / "r" / "delayed_path.json").read_text())
STRATUM = {"veteran": "celltype_smallcell", "gbsg2": "horth_yes", "whas500": "gender_1"}


@pytest.fixture(scope="module")
def late():
    """(scores, time, event, at_risk) with entries, strata and ties."""
    study = made_up(n=150, shape=(30,))
    x = study["X"].astype(float)
    time = np.ceil(study["time"])
    entry = np.floor(time * (np.arange(150) % 4) / 5)
    return (x - x.mean(axis=0)) / x.std(axis=0), time, study["event"], AtRisk(entry, np.arange(150) % 3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["late", "stratified", "both"])
@pytest.mark.parametrize("name", sorted(COHORTS))
def test_glmnet_path(name, kind):
    features, time, event = load_cohort(name)
    entry = np.floor(time * (np.arange(1, len(time) + 1) % 4) / 5)
    stratum = features[STRATUM[name]].to_numpy()
    x = standardised(features.drop(columns=STRATUM[name]))
    at_risk = AtRisk(entry if kind != "stratified" else None, stratum if kind != "late" else None)
    for path in VALUES[name][kind]:
        grid = penalty_grid(x, time, event, path["l1_ratio"], 20, 1e-2, at_risk)
        assert grid[0] == pytest.approx(path["lambda"][0], rel=1e-6)
        ours = fit_path(x, time, event, np.array(path["lambda"]), path["l1_ratio"], at_risk=at_risk)
        reached = len(ours.alphas)
        assert reached >= 15
        theirs = np.array(path["coef"])[:, :reached]
        # glmnet stops by the change of the deviance, up to 8e-4 of the largest gradient from the optimum, we at 3e-5
        np.testing.assert_allclose(ours.coef, theirs, atol=3e-3 * np.abs(theirs).max())
        np.testing.assert_allclose(ours.deviance_ratio, path["dev_ratio"][:reached], atol=1e-5)


@pytest.mark.parametrize("l1_ratio", [1e-3, 0.5, 1.0])
def test_entries_at_the_start_and_one_stratum_change_nothing(late, l1_ratio):
    x, time, event, _ = late
    grid = penalty_grid(x, time, event, l1_ratio, 12, 1e-2)
    everyone = AtRisk(np.zeros(len(time)), np.zeros(len(time)))
    np.testing.assert_allclose(penalty_grid(x, time, event, l1_ratio, 12, 1e-2, everyone), grid, rtol=1e-10)
    known, ours = fit_path(x, time, event, grid, l1_ratio), fit_path(x, time, event, grid, l1_ratio, at_risk=everyone)
    np.testing.assert_allclose(ours.coef, known.coef, atol=3e-3 * np.abs(known.coef).max())
    np.testing.assert_allclose(ours.deviance_ratio, known.deviance_ratio, atol=1e-4)


def test_next_to_no_penalty_is_the_unpenalised_regression(late):
    x, time, event, at_risk = late
    x = x[:, :5]
    *_, coef = penalised(x, time, event, np.geomspace(1.0, 1e-8, 30), 0.5, 1e-6, at_risk)
    fit = cox_regression(x, time, event, ties="breslow", strata=at_risk.stratum, entry=at_risk.entry)
    np.testing.assert_allclose(coef, fit.coef, atol=1e-4)
    lp = x @ fit.coef
    likelihood = log_likelihood(time, event, np.column_stack([0 * lp, lp]), at_risk)
    np.testing.assert_allclose(likelihood, [fit.null, fit.log_likelihood], rtol=1e-10)


def test_optimality_conditions_hold_along_the_path(late):
    """By finite differences of the likelihood, which the solver's own derivatives have no part in."""
    x, time, event, at_risk = late
    n, k = x.shape
    for l1_ratio in (1e-3, 1.0):
        path = fit_path(
            x, time, event, penalty_grid(x, time, event, l1_ratio, 8, 1e-2, at_risk), l1_ratio, at_risk=at_risk
        )
        assert len(path.alphas) == 8
        for alpha, coef in zip(path.alphas, path.coef.T, strict=True):
            ends = np.concatenate([coef + 1e-5 * np.eye(k), coef - 1e-5 * np.eye(k)])
            up, down = np.split(log_likelihood(time, event, x @ ends.T, at_risk) / n, 2)
            gradient = (up - down) / 2e-5 - alpha * (1 - l1_ratio) * coef
            assert np.abs(gradient).max() <= alpha * l1_ratio + 1e-4
            active = coef != 0
            np.testing.assert_allclose(gradient[active], alpha * l1_ratio * np.sign(coef[active]), atol=1e-4)


@given(st.integers(0, 10_000), st.integers(1, 3))
@settings(max_examples=40)
def test_derivatives_by_the_linear_predictor(seed, strata):
    rng = np.random.default_rng(seed)
    time, event = rng.integers(2, 9, 14).astype(float), rng.random(14) < 0.7
    at_risk = AtRisk(np.floor(time * rng.random(14)), rng.integers(0, strata, 14))
    event[0] = True
    lp = rng.normal(size=14)
    gradient, curvature = lp_derivatives(parts_of(time, event, "breslow", at_risk), event, lp)
    for i in range(14):
        move = 1e-4 * (np.arange(14) == i)
        down, here, up = log_likelihood(time, event, np.column_stack([lp - move, lp, lp + move]), at_risk)
        assert (up - down) / 2e-4 == pytest.approx(gradient[i], abs=1e-5)
        assert -(up - 2 * here + down) / 1e-8 == pytest.approx(curvature[i], abs=1e-4)
    assert null_gradient(time, event, at_risk).sum() == pytest.approx(0, abs=1e-9), "observed are expected events"


def test_baseline_and_slope_with_entries_are_those_of_the_regression(late):
    x, time, event, at_risk = late
    score = x[:, 0]
    fit = cox_regression(score, time, event, ties="breslow", entry=at_risk.entry)
    slope = calibration_slope(time, event, score, at_risk.entry)
    assert slope.value == pytest.approx(fit.coef[0], rel=1e-6)
    assert slope.high - slope.value == pytest.approx(1.959964 * fit.se[0], rel=1e-5)
    times, hazard = breslow_hazard(time, event, fit.linear_predictor(), at_risk.entry)
    known_times, known = fit.baselines()[None]
    np.testing.assert_array_equal(times, known_times)
    np.testing.assert_allclose(hazard, known, rtol=1e-9)


@pytest.mark.slow
def test_a_copy_of_the_outcome_ends_in_a_sentence(late):
    _, time, event, at_risk = late
    x = np.column_stack([np.where(event, 1e6 / time, 0.0), np.ones(len(time))])
    with pytest.raises(SurvivalError, match="could not be fitted"):
        fit_path(1e300 * x, time, event, np.geomspace(1, 0.1, 5), 0.5, at_risk=at_risk)
