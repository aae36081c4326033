"""Unpenalised Cox regression against R's coxph and cox.zph (tests/data/r/cox.json), and by law."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survival.cox_regression.likelihood import log_likelihood
from survival.cox_regression.proportional import TRANSFORMS, proportional_hazards_test, time_transform
from survival.cox_regression.regression import CoxFit, cox_regression, likelihood_ratio
from survival.curves import kaplan_meier, logrank
from survival.errors import SurvivalError
from survival.metrics.concordance import harrell_c
from tests.survival.cohorts import cox_reference, load_cohort

COHORTS = ("veteran", "gbsg2", "whas500", "flchain")


@pytest.fixture(params=COHORTS, scope="module")
def cohort(request):
    features, time, event = load_cohort(request.param)
    expected = cox_reference()[request.param]
    assert list(features.columns) == expected["columns"]
    assert (len(time), int(event.sum())) == (expected["n"], expected["events"])
    return features, time, event, expected


def fit_as(kind, features, time, event, stratum) -> CoxFit:
    if kind == "stratified":
        rest = features.drop(columns=stratum)
        return cox_regression(rest, time, event, names=list(rest.columns), strata=features[stratum].to_numpy())
    return cox_regression(features, time, event, names=list(features.columns), ties=kind)


@pytest.mark.parametrize("kind", ["efron", "breslow", "stratified"])
def test_coefficients_errors_and_tests_are_those_of_coxph(cohort, kind):
    features, time, event, expected = cohort
    fit, theirs = fit_as(kind, features, time, event, expected["stratum"]), expected[kind]
    table, tests = fit.table(), fit.tests()
    np.testing.assert_allclose(table["coef"], theirs["coef"], rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(table["se"], theirs["se"], rtol=1e-6)
    np.testing.assert_allclose(table["z"], theirs["z"], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(table["p"], theirs["p"], rtol=1e-3, atol=1e-12)
    np.testing.assert_allclose([fit.null, fit.log_likelihood], theirs["loglik"], rtol=1e-10)
    np.testing.assert_allclose(tests["chisq"], [theirs[k] for k in ("logtest", "waldtest", "sctest")], rtol=1e-6)
    if kind != "stratified":
        lp = features.to_numpy() @ fit.coef
        assert harrell_c(time, event, lp) == pytest.approx(theirs["concordance"], abs=1e-8)


@pytest.mark.parametrize("kind", ["efron", "breslow", "stratified"])
def test_baseline_hazard_and_schoenfeld_residuals(cohort, kind):
    features, time, event, expected = cohort
    fit, theirs = fit_as(kind, features, time, event, expected["stratum"]), expected[kind]
    ends = [hazard[-1] for _, (_, hazard) in sorted(fit.baselines().items(), key=lambda item: str(item[0]))]
    np.testing.assert_allclose(ends, np.atleast_1d(theirs["hazard_end"]), rtol=1e-6)
    times, residuals = fit.schoenfeld()
    assert len(times) == event.sum()
    np.testing.assert_allclose((residuals**2).sum(axis=0), theirs["schoenfeld_sum_of_squares"], rtol=1e-6)
    np.testing.assert_allclose(residuals.sum(axis=0), 0, atol=1e-6 * np.abs(residuals).max() * len(times))


@pytest.mark.parametrize("kind", ["efron", "breslow", "stratified"])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_proportional_hazards_test_is_cox_zph(cohort, kind, transform):
    features, time, event, expected = cohort
    fit = fit_as(kind, features, time, event, expected["stratum"])
    ours, theirs = proportional_hazards_test(fit, transform), expected[kind]["zph"][transform]
    np.testing.assert_allclose(ours["chisq"], theirs["chisq"], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(ours["p"], theirs["p"], rtol=1e-4, atol=1e-12)
    assert ours["name"].tolist() == [*fit.names, "GLOBAL"]


def test_case_weights(cohort):
    features, time, event, expected = cohort
    weight = 1 + np.arange(1, len(time) + 1) % 3
    fit, theirs = cox_regression(features, time, event, weight=weight), expected["weighted"]
    np.testing.assert_allclose(fit.coef, theirs["coef"], rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(fit.se, theirs["se"], rtol=1e-6)
    np.testing.assert_allclose([fit.null, fit.log_likelihood], theirs["loglik"], rtol=1e-10)


def test_likelihood_ratio_between_two_models(cohort):
    features, time, event, expected = cohort
    names = list(features.columns)
    small, large = (cox_regression(features[names[:k]], time, event, names=names[:k]) for k in (2, 4))
    test, theirs = likelihood_ratio(small, large), expected["anova"]
    assert (test.df, test.statistic) == (theirs["df"], pytest.approx(theirs["chisq"], rel=1e-6))
    assert test.p == pytest.approx(theirs["p"], rel=1e-4)
    with pytest.raises(SurvivalError, match="all its covariates and more"):
        likelihood_ratio(large, small)


def test_kaplan_meier_and_logrank_of_all_cohorts(cohort):
    features, time, event, expected = cohort
    curve, km = kaplan_meier(time, event), expected["km"]
    np.testing.assert_allclose(curve.at(km["time"]), km["surv"], atol=1e-10)
    place = np.searchsorted(curve.times, km["time"])
    np.testing.assert_allclose(curve.low[place], km["lower"], atol=1e-8)
    np.testing.assert_allclose(curve.high[place], km["upper"], atol=1e-8)
    np.testing.assert_array_equal(curve.at_risk[place], km["n_risk"])
    test = logrank(time, event, features[expected["stratum"]])
    assert test.statistic == pytest.approx(expected["logrank"], rel=1e-8)


def made(seed, n=60, p=3, decimals=1):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    time = np.round(rng.exponential(size=n) / np.exp(x @ np.linspace(0.8, -0.4, p)), decimals) + 0.1
    return x, time, rng.uniform(size=n) < 0.7


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 8]), st.sampled_from(["efron", "breslow"]))
@settings(max_examples=20)
def test_laws_of_the_fit(seed, decimals, ties):
    """A weight is a repeated patient (Breslow); units of a covariate change its coefficient alone; strata that are all
    one stratum change nothing; without ties both ways agree."""
    x, time, event = made(seed, decimals=decimals)
    fit = cox_regression(x, time, event, ties=ties)
    other = cox_regression(x * [10, 1, 1] + [0, 5, 0], time, event, ties=ties, strata=np.full(60, "a"))
    np.testing.assert_allclose(other.coef * [10, 1, 1], fit.coef, rtol=1e-6, atol=1e-9)
    assert other.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-8)
    if decimals == 8:
        assert cox_regression(x, time, event, ties="efron").coef == pytest.approx(fit.coef, abs=1e-9)
    if ties == "breslow":
        twice = np.r_[np.arange(60), np.arange(20)]
        weight = np.where(np.arange(60) < 20, 2.0, 1.0)
        repeated = cox_regression(x[twice], time[twice], event[twice], ties=ties)
        weighted = cox_regression(x, time, event, ties=ties, weight=weight)
        np.testing.assert_allclose(repeated.coef, weighted.coef, rtol=1e-6, atol=1e-9)
        lp = (x @ fit.coef)[:, None]
        assert log_likelihood(time, event, lp)[0] == pytest.approx(fit.log_likelihood, abs=1e-8)


def test_a_hazard_ratio_that_fades_is_found():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, size=(500, 1)).astype(float)
    time = rng.weibull(np.where(x[:, 0] == 1, 0.6, 1.6))
    found = proportional_hazards_test(cox_regression(x, time, np.ones(500)))
    kept = proportional_hazards_test(cox_regression(rng.normal(size=(500, 1)), time, np.ones(500)))
    assert found["p"].iloc[0] < 1e-6
    assert kept["p"].iloc[0] > 1e-3


def test_time_transforms_by_hand():
    time, event = np.array([1.0, 2.0, 2.0, 4.0]), np.array([True, True, False, True])
    np.testing.assert_allclose(time_transform(time, event, "km"), [-0.25, 0, 0, 0.25], atol=1e-15)
    np.testing.assert_allclose(time_transform(time, event, "rank"), np.array([1, 2.5, 2.5, 4]) - 2.5)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda x: np.column_stack([x, np.ones(len(x))]), "x4 is the same"),
        (lambda x: np.column_stack([x, x[:, 0] - x[:, 1]]), "redundant"),
        (lambda x: np.where(x == x[5, 0], np.nan, x), "missing or not finite"),
        (lambda x: x[:-1], "one row each"),
    ],
)
def test_covariates_that_cannot_be_fitted(change, sentence):
    x, time, event = made(1)
    with pytest.raises(SurvivalError, match=sentence):
        cox_regression(change(x), time, event)


def test_other_refusals():
    x, time, event = made(1)
    with pytest.raises(SurvivalError, match="no method for ties"):
        cox_regression(x, time, event, ties="exact")
    with pytest.raises(SurvivalError, match="no event"):
        cox_regression(x, time, np.zeros(60))
    with pytest.raises(SurvivalError, match="x1 separates"):
        cox_regression(-time, time, np.ones(60))
    with pytest.raises(SurvivalError, match="no transform"):
        proportional_hazards_test(cox_regression(x, time, event), "sqrt")
