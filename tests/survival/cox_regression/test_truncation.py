"""Patients who come under observation late, against R's Surv(start, stop, event) (tests/data/r/truncation.json)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survival.cox_regression.baseline import fit_baseline
from survival.cox_regression.proportional import TRANSFORMS, proportional_hazards_test
from survival.cox_regression.regression import cox_regression
from survival.curves import kaplan_meier, logrank
from survival.delayed_entry import curve_start
from survival.errors import SurvivalError
from survival.metrics.concordance import harrell_c
from tests.survival.cohorts import COHORTS, load_cohort

VALUES = json.loads((Path(__file__).parents[2] / "data" / "r" / "truncation.json").read_text())


@pytest.fixture(params=sorted(COHORTS), scope="module")
def cohort(request):
    """(features, time, event, entry, values): entries in whole days as truncation.R makes them."""
    features, time, event = load_cohort(request.param)
    entry = np.floor(time * (np.arange(1, len(time) + 1) % 4) / 5)
    expected = VALUES[request.param]
    assert list(features.columns) == expected["columns"]
    assert entry.sum() == expected["entry_sum"]
    return features, time, event, entry, expected


def fit_as(kind, features, time, event, entry, stratum):
    if kind == "stratified":
        rest = features.drop(columns=stratum)
        return cox_regression(
            rest, time, event, names=list(rest.columns), strata=features[stratum].to_numpy(), entry=entry
        )
    return cox_regression(features, time, event, names=list(features.columns), ties=kind, entry=entry)


@pytest.mark.parametrize("kind", ["efron", "breslow", "stratified"])
def test_cox_regression(cohort, kind):
    features, time, event, entry, expected = cohort
    fit, theirs = fit_as(kind, features, time, event, entry, expected["stratum"]), expected[kind]
    np.testing.assert_allclose(fit.coef, theirs["coef"], rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(fit.se, theirs["se"], rtol=1e-6)
    np.testing.assert_allclose([fit.null, fit.log_likelihood], theirs["loglik"], rtol=1e-10)
    chisq = fit.tests()["chisq"]
    np.testing.assert_allclose(chisq, [theirs[k] for k in ("logtest", "waldtest", "sctest")], rtol=1e-6)
    ends = [hazard[-1] for _, (_, hazard) in sorted(fit.baselines().items(), key=lambda item: str(item[0]))]
    np.testing.assert_allclose(ends, np.atleast_1d(theirs["hazard_end"]), rtol=1e-6)
    residuals = fit.schoenfeld()[1]
    np.testing.assert_allclose((residuals**2).sum(axis=0), theirs["schoenfeld_sum_of_squares"], rtol=1e-6)


@pytest.mark.parametrize("kind", ["efron", "breslow", "stratified"])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_proportional_hazards(cohort, kind, transform):
    features, time, event, entry, expected = cohort
    fit = fit_as(kind, features, time, event, entry, expected["stratum"])
    ours, theirs = proportional_hazards_test(fit, transform), expected[kind]["zph"][transform]
    np.testing.assert_allclose(ours["chisq"], theirs["chisq"], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(ours["p"], theirs["p"], rtol=1e-4, atol=1e-12)


def test_kaplan_meier(cohort):
    _, time, event, entry, expected = cohort
    curve, km = kaplan_meier(time, event, entry), expected["km"]
    np.testing.assert_array_equal(curve.times[1:], km["time"])
    for ours, theirs in ((curve.at_risk, "n_risk"), (curve.events, "n_event"), (curve.censored, "n_censor")):
        np.testing.assert_array_equal(ours[1:], km[theirs])
    np.testing.assert_allclose(curve.survival[1:], km["surv"], atol=1e-12)
    for ours, name in ((curve.low, "lower"), (curve.high, "upper")):
        theirs = np.array([np.nan if v is None else v for v in km[name]], dtype=float)
        known = np.isfinite(theirs)
        assert known.sum() > 0.9 * len(known)
        np.testing.assert_allclose(ours[1:][known], theirs[known], atol=1e-12)
    median = curve.median()
    theirs = [np.nan if v is None else v for v in km["median"]]
    np.testing.assert_allclose([median.value, median.low, median.high], theirs)
    table = curve.table(curve.times[1:])
    np.testing.assert_array_equal(table["at_risk"], curve.at_risk[1:])


def test_a_curve_begins_where_enough_are_at_risk():
    """One patient is at risk, dies, and 40 come later: S is 0 for ever, unless the curve begins after that."""
    rng = np.random.default_rng(0)
    time = np.r_[2.0, 5.0 + rng.exponential(10, 40)]
    entry = np.r_[0.0, np.full(40, 5.0)]
    event = np.r_[True, rng.random(40) < 0.7]
    curve = kaplan_meier(time, event, entry)
    later = kaplan_meier(time[1:], event[1:], entry[1:])
    assert curve.start == 2
    assert np.isnan(curve.at([0, 1.9])).all()
    assert curve.at([2, 4])[1] == 1
    at = np.sort(time[1:])
    np.testing.assert_allclose(curve.at(at), later.at(at), rtol=0, atol=1e-12)
    np.testing.assert_allclose(curve.low[2:], later.low[1:], rtol=0, atol=1e-12)
    assert curve.median().value == later.median().value
    np.testing.assert_array_equal(curve.table([0, 3, 6])["events"], [0, 1, 1 + (event[1:] & (time[1:] < 6)).sum()])
    baseline = fit_baseline(time, event, np.zeros(41), entry)
    assert baseline.start == 2
    other = fit_baseline(time[1:], event[1:], np.zeros(40), entry[1:])
    np.testing.assert_allclose(baseline.survival(0.3, at)[1], other.survival(0.3, at)[1], rtol=0, atol=1e-12)
    assert np.isnan(baseline.survival(0.0, [1.0])[1]).all()


def test_a_curve_that_begins_late_is_that_of_r():
    """survfit(..., start.time) and basehaz from then on; without a start, R's curve is 0 from the first event on."""
    data = Path(__file__).parents[2] / "data"
    expected = json.loads((data / "r" / "late_start.json").read_text())
    table = pd.read_csv(data / "tables" / "empty_risk.csv")
    time, event, entry = (table[name].to_numpy(float) for name in ("time_months", "event", "entered"))
    curve = kaplan_meier(time, event, entry)
    assert curve.start == expected["start"]
    assert expected["last_of_whole"] == 0
    at = np.array(expected["km"]["time"])
    np.testing.assert_allclose(curve.at(at), expected["km"]["surv"], rtol=0, atol=1e-12)
    place = np.searchsorted(curve.times, at)
    for ours, name in ((curve.low, "lower"), (curve.high, "upper")):
        theirs = np.array([np.nan if v is None else v for v in expected["km"][name]], dtype=float)
        np.testing.assert_allclose(ours[place][np.isfinite(theirs)], theirs[np.isfinite(theirs)], rtol=0, atol=1e-12)
    median = curve.median()
    np.testing.assert_allclose([median.value, median.low], expected["km"]["median"][:2])
    fit = cox_regression(table["age"], time, event, ties="breslow", entry=entry)
    assert fit.coef[0] == pytest.approx(expected["coef"], rel=1e-6)
    baseline = fit_baseline(time, event.astype(bool), fit.linear_predictor(), entry)
    known = np.isin(expected["hazard"]["time"], baseline.times)
    ours = baseline.cumulative_hazard[1:]
    np.testing.assert_allclose(ours, np.array(expected["hazard"]["value"])[known], rtol=1e-6)


def test_a_curve_begins_again_where_the_risk_set_is_emptied():
    time = np.r_[np.full(12, 3.0), np.linspace(8, 30, 30)]
    entry = np.r_[np.zeros(12), np.full(30, 6.0)]
    assert curve_start(time, np.ones(42, bool), entry) == 3
    assert curve_start(time, np.ones(42, bool), np.zeros(42)) == 0
    assert curve_start(time, np.ones(42, bool), None) == 0
    assert curve_start(time, np.zeros(42, bool), entry) == 0
    assert curve_start(time[:12], np.ones(12, bool), np.zeros(12)) == 0


@given(st.integers(0, 10_000))
def test_a_curve_that_begins_late_is_a_survival_curve(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    time = rng.integers(1, 12, n).astype(float)
    entry, event = np.floor(time * rng.random(n)), rng.random(n) < 0.7
    curve = kaplan_meier(time, event, entry)
    shown = curve.times >= curve.start
    assert np.isnan(curve.survival[~shown]).all()
    assert curve.survival[shown][0] == 1 or curve.start == 0
    assert (np.diff(curve.survival[shown]) <= 0).all()
    emptied = shown & (curve.survival == 0) & (curve.times > curve.start)
    assert not (curve.times[emptied] <= entry.max()).any(), "nobody comes after the curve has ended"


def test_logrank(cohort):
    features, time, event, entry, expected = cohort
    test = logrank(time, event, features[expected["stratum"]], entry)
    assert test.statistic == pytest.approx(expected["logrank"], rel=1e-8)


def test_concordance(cohort):
    features, time, event, entry, expected = cohort
    lp = features.to_numpy() @ fit_as("efron", features, time, event, entry, None).coef
    assert harrell_c(time, event, lp, entry) == pytest.approx(expected["efron"]["concordance"], abs=1e-8)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["efron", "breslow"]))
@settings(max_examples=20)
def test_laws(seed, ties):
    """Entries of 0 change nothing; a patient cut in two at any time (left censored then, coming again) neither; one who
    comes and goes between two events has no part in the likelihood."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(50, 2))
    time = np.round(rng.exponential(size=50), 1) + 0.2
    event = rng.uniform(size=50) < 0.7
    plain = cox_regression(x, time, event, ties=ties)
    zero = cox_regression(x, time, event, ties=ties, entry=np.zeros(50))
    np.testing.assert_allclose(zero.coef, plain.coef, rtol=1e-9, atol=1e-12)
    assert kaplan_meier(time, event, np.zeros(50)).survival == pytest.approx(kaplan_meier(time, event).survival)
    cut = time * rng.uniform(0.1, 0.9, size=50)
    both = cox_regression(
        np.vstack([x, x]), np.r_[cut, time], np.r_[np.zeros(50, bool), event], ties=ties, entry=np.r_[np.zeros(50), cut]
    )
    np.testing.assert_allclose(both.coef, plain.coef, rtol=1e-7, atol=1e-9)
    assert both.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-10)
    before = float(time[event].min())
    more = cox_regression(
        np.vstack([x, [[3.0, -3.0]]]),
        np.r_[time, before / 2],
        np.r_[event, False],
        ties=ties,
        entry=np.r_[np.zeros(50), before / 4],
    )
    assert more.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-10)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ([0, 5.0], "Row 2: the entry time is not before"),
        ([-1, 0], "negative"),
        ([np.nan, 0], "missing"),
        ([0], "1 entry"),
    ],
)
def test_entries_that_cannot_be(entry, words):
    with pytest.raises(SurvivalError, match=words):
        kaplan_meier([3.0, 5.0], [True, True], entry)
