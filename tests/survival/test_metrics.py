from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sksurv.metrics import concordance_index_censored, concordance_index_ipcw
from sksurv.util import Surv

from survival.errors import SurvivalError
from survival.metrics.concordance import bootstrap_ci, bootstrap_weights, concordance_ci, harrell_c, uno_c
from survival.metrics.pairs import harrell_columns, weighted_pairs
from tests.survival.cohorts import load_cohort
from tests.work import calls, peak_bytes


def draw(seed: int, n: int, time_decimals: int, risk_decimals: int):
    rng = np.random.default_rng(seed)
    time = np.round(rng.exponential(20, size=n) + 1, time_decimals)
    event = rng.uniform(size=n) < 0.6
    event[np.argmin(time)] = True  # at least one comparable pair
    return time, event, np.round(rng.normal(size=n) - 0.02 * time, risk_decimals)


@given(st.integers(0, 2**32 - 1), st.integers(5, 60), st.sampled_from([-1, 0, 6]), st.sampled_from([0, 1, 8]))
@settings(max_examples=60)
def test_harrell_is_scikit_survivals_with_all_kinds_of_ties(seed, n, time_decimals, risk_decimals):
    time, event, risk = draw(seed, n, time_decimals, risk_decimals)
    if not any(event[i] and ((time > time[i]) | ((time == time[i]) & ~event)).any() for i in range(n)):
        return
    assert harrell_c(time, event, risk) == pytest.approx(concordance_index_censored(event, time, risk)[0], abs=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(10, 90), st.sampled_from([None, 15.0, 30.0]))
@settings(max_examples=25)
def test_uno_is_scikit_survivals_where_no_times_are_tied(seed, n, tau):
    time, event, risk = draw(seed, n, 12, 2)
    time[-1], event[-1] = time.max() + 1, False
    if not (event & (time < (tau or np.inf))).any():
        return
    outcome = Surv.from_arrays(event, time)
    expected = concordance_index_ipcw(outcome[:], outcome, risk, tau=tau)[0]
    assert uno_c(time, event, risk, tau=tau) == pytest.approx(expected, abs=1e-12)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([np.exp, np.cbrt, np.arctan, lambda r: 3 * r + 7, lambda r: -np.exp(-r)]),
)
@settings(max_examples=25)
def test_concordance_sees_only_the_order_of_risks(seed, monotone):
    time, event, risk = draw(seed, 60, 1, 1)
    assert harrell_c(time, event, monotone(risk)) == harrell_c(time, event, risk)
    assert uno_c(time, event, monotone(risk)) == uno_c(time, event, risk)
    assert harrell_c(time, event, -risk) == pytest.approx(1 - harrell_c(time, event, risk), abs=1e-12)


def test_both_ways_of_counting_agree():
    _, time, event = load_cohort("veteran")
    risks = np.round(np.random.default_rng(0).normal(size=(len(time), 7)), 1)
    columns = harrell_columns(time, event, risks)
    np.testing.assert_allclose(columns, [harrell_c(time, event, r) for r in risks.T], atol=1e-14)


@pytest.mark.parametrize("metric", ["harrell", "uno"])
def test_a_weight_is_a_repeated_patient(metric):
    """The weighted count equals the statistic of the resampled rows, G included."""
    time, event, risk = draw(3, 50, 0, 1)
    weight = bootstrap_weights(50, 20, seed=5)
    assert (weight.sum(axis=0) == 50).all()
    estimate = concordance_ci(time, event, risk, metric=metric, tau=25, n=20, seed=5)
    statistic = harrell_c if metric == "harrell" else (lambda *rows: uno_c(*rows, tau=25))
    repeated = []
    for column in weight.T:
        rows = np.repeat(np.arange(50), column.astype(int))
        repeated.append(statistic(time[rows], event[rows], risk[rows]))
    np.testing.assert_allclose([estimate.low, estimate.high], np.percentile(repeated, [2.5, 97.5]), atol=1e-12)
    assert estimate.value == statistic(time, event, risk)


def test_interval_covers_the_truth_and_shrinks_with_n():
    """C of the score in a very large sample lies in the 95 % interval of about 95 % of small ones."""

    def sample(n, seed):
        rng = np.random.default_rng(seed)
        lp = rng.normal(size=n)
        time = rng.exponential(size=n) / np.exp(lp)
        censored = rng.exponential(2, size=n)
        return np.minimum(time, censored), time <= censored, lp

    truth = harrell_c(*sample(8000, 0))
    intervals = [concordance_ci(*sample(100, seed), n=200) for seed in range(1, 41)]
    covered = sum(i.low <= truth <= i.high for i in intervals)
    assert 34 <= covered <= 40
    wide, narrow = intervals[0], concordance_ci(*sample(1000, 1), n=200)
    assert narrow.high - narrow.low < 0.5 * (wide.high - wide.low)


def test_generic_bootstrap_keeps_patients_together():
    patients = np.array(["a", "a", "b", "c", "c", "c"])
    seen = []

    def statistic(rows):
        seen.append(rows)
        return float(len(rows))

    estimate = bootstrap_ci(statistic, patients, n=50, seed=1)
    assert estimate.n == 3
    assert estimate.value == 6
    for rows in seen:
        for name in "abc":
            of_patient = np.flatnonzero(patients == name)
            counts = np.bincount(rows, minlength=6)[of_patient]
            assert len(set(counts)) == 1


def test_fast_interval_agrees_with_the_generic_one():
    time, event, risk = draw(8, 100, 1, 3)
    fast = concordance_ci(time, event, risk, n=1000, seed=1)
    slow = bootstrap_ci(lambda rows: harrell_c(time[rows], event[rows], risk[rows]), 100, n=250, seed=2)
    assert fast.value == slow.value
    assert fast.low == pytest.approx(slow.low, abs=0.02)
    assert fast.high == pytest.approx(slow.high, abs=0.02)


@pytest.mark.parametrize(("metric", "tau"), [("harrell", None), ("uno", 60)])
def test_bootstrap_samples_are_counted_together(metric, tau):
    """41 calls a sample of 600 patients, where one sample after the other takes more than 8,000."""
    time, event, risk = draw(0, 600, 3, 6)
    interval = partial(concordance_ci, time, event, risk, metric=metric, tau=tau, n=1000)
    assert calls(interval) < 100 * 1000
    assert peak_bytes(interval) < 100_000_000


@pytest.mark.parametrize(
    ("time", "event", "risk"),
    [
        ([1, 2], [0, 0], [1, 2]),
        ([1, 1], [1, 1], [1, 2]),
        ([1, 2], [1, 0], [np.nan, 0]),
        ([1, 2], [1, 0], [1]),
        ([], [], []),
    ],
)
def test_without_a_comparable_pair_there_is_a_sentence(time, event, risk):
    with pytest.raises(SurvivalError):
        harrell_c(time, event, risk)
    with pytest.raises(SurvivalError):
        uno_c(time, event, risk)


def test_an_interval_that_rests_on_nothing_is_refused():
    with pytest.raises(SurvivalError, match="too few events"):
        concordance_ci([1.0, 2, 3], [1, 0, 0], [3, 2, 1], n=100)
    with pytest.raises(SurvivalError, match="no concordance called"):
        concordance_ci([1.0, 2, 3], [1, 0, 0], [3, 2, 1], metric="gini")


def test_weighted_pairs_by_hand():
    """Times 1 2 2 3, the second censored. Pairs: (0,1) (0,2) (0,3) (2,1) (2,3); risks tie in (2,3)."""
    time, event = np.array([1.0, 2, 2, 3]), np.array([True, False, True, True])
    risk, weight = np.array([5.0, 7, 1, 1]), np.array([[1.0], [2.0], [3.0], [4.0]])
    concordant, comparable = weighted_pairs(time, event, risk, weight)
    assert comparable[0] == 1 * 2 + 1 * 3 + 1 * 4 + 3 * 2 + 3 * 4
    assert concordant[0] == 0 + 1 * 3 + 1 * 4 + 0 + 3 * 4 / 2
