"""Agreement with R's survival and glmnet on real cohorts; values and their versions are in tests/data/r."""

import numpy as np
import pytest

from survival.cox_regression.likelihood import breslow_hazard, log_likelihood
from survival.cox_regression.path import fit_path, penalty_grid
from survival.curves import kaplan_meier, logrank
from survival.metrics.calibration import calibration_slope
from survival.metrics.concordance import harrell_c
from survival.tails import Z95
from tests.survival.cohorts import COHORTS, load_cohort, reference, standardised, uno_c


def values(numbers: list) -> np.ndarray:
    return np.array([np.nan if v is None else v for v in numbers], dtype=float)


@pytest.fixture(params=sorted(COHORTS))
def cohort(request):
    features, time, event = load_cohort(request.param)
    expected = reference()[request.param]
    assert list(features.columns) == expected["columns"]
    assert (len(time), int(event.sum())) == (expected["n"], expected["events"])
    return features, time, event, expected


def test_kaplan_meier_and_log_log_limits(cohort):
    _, time, event, expected = cohort
    curve, km = kaplan_meier(time, event), expected["km"]
    np.testing.assert_array_equal(curve.times[1:], km["time"])
    np.testing.assert_array_equal(curve.at_risk[1:], km["n_risk"])
    np.testing.assert_array_equal(curve.events[1:], km["n_event"])
    np.testing.assert_array_equal(curve.censored[1:], km["n_censor"])
    np.testing.assert_allclose(curve.survival[1:], km["surv"], atol=1e-12)
    for ours, theirs in ((curve.low, km["lower"]), (curve.high, km["upper"])):
        known = np.isfinite(values(theirs))  # R leaves the limits open before the first event; ours are 1 there
        assert known.sum() > 0.9 * len(known)
        np.testing.assert_allclose(ours[1:][known], values(theirs)[known], atol=1e-12)
        np.testing.assert_array_equal(ours[1:][~known & (curve.survival[1:] == 1)], 1.0)
    median = curve.median()
    np.testing.assert_allclose([median.value, median.low, median.high], values(km["median"]))


def test_numbers_at_risk(cohort):
    _, time, event, expected = cohort
    table = kaplan_meier(time, event).table(expected["at_risk"]["time"])
    assert table["at_risk"].tolist() == expected["at_risk"]["n_risk"]
    assert (table[["at_risk", "censored", "events"]].sum(axis=1) == len(time)).all()


def test_logrank(cohort):
    _, time, event, expected = cohort
    test = logrank(time, event, expected["logrank"]["group"])
    assert test.df == expected["logrank"]["df"]
    assert test.statistic == pytest.approx(expected["logrank"]["chisq"], rel=1e-10)


def test_concordance(cohort):
    _, time, event, expected = cohort
    c, score = expected["concordance"], expected["score"]
    assert harrell_c(time, event, score) == pytest.approx(c["harrell"], abs=1e-12)
    assert uno_c(time, event, score) == pytest.approx(c["uno"], abs=1e-12)
    assert uno_c(time, event, score, tau=c["tau"]) == pytest.approx(c["uno_tau"], abs=1e-12)
    assert harrell_c(time, event, values(expected["coxph"]["lp"])) == pytest.approx(
        expected["coxph"]["concordance"], abs=1e-12
    )


def test_breslow_partial_likelihood(cohort):
    _, time, event, expected = cohort
    lp = values(expected["coxph"]["lp"])
    ours = log_likelihood(time, event, np.column_stack([np.zeros_like(lp), lp]))
    np.testing.assert_allclose(ours, expected["coxph"]["loglik"], rtol=1e-12)


def test_breslow_cumulative_hazard(cohort):
    _, time, event, expected = cohort
    lp = expected["slope"]["coef"] * np.array(expected["score"])
    times, hazard = breslow_hazard(time, event, lp)
    theirs = dict(zip(expected["basehaz"]["time"], expected["basehaz"]["hazard"], strict=True))
    np.testing.assert_allclose(hazard, [theirs[t] for t in times], rtol=1e-10)


def test_one_covariate_cox_regression(cohort):
    _, time, event, expected = cohort
    slope = calibration_slope(time, event, np.array(expected["score"], dtype=float))
    assert slope.value == pytest.approx(expected["slope"]["coef"], rel=1e-8)
    assert (slope.high - slope.low) / 2 / Z95 == pytest.approx(expected["slope"]["se"], rel=1e-8)


def test_glmnet_path(cohort):
    features, time, event, expected = cohort
    x = standardised(features)
    time = time + 0.5 * ~event  # as in reference.R
    for path in expected["glmnet"]:
        ratio = 1e-5 if path["l1_ratio"] < 0.01 else 1e-2
        grid = penalty_grid(x, time, event, path["l1_ratio"], 25, ratio)
        assert grid[0] == pytest.approx(path["lambda"][0], rel=1e-9)
        ours = fit_path(x, time, event, np.array(path["lambda"]), path["l1_ratio"])
        reached = len(ours.alphas)
        theirs = np.array(path["coef"])[:, :reached]
        assert reached >= 20
        np.testing.assert_allclose(ours.coef, theirs, atol=1e-3 * np.abs(theirs).max())
        np.testing.assert_allclose(ours.deviance_ratio, path["dev_ratio"][:reached], atol=1e-5)
