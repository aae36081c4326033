from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sksurv.metrics import concordance_index_censored, concordance_index_ipcw
from sksurv.util import Surv

from survival.errors import SurvivalError
from survival.metrics.bootstrap import bootstrap_ci, resampled, sample_weights
from survival.metrics.concordance import harrell_c, harrell_resampled, recovered_share, uno_resampled
from survival.metrics.pairs import harrell_columns, weighted_pairs
from tests.survival.cohorts import load_cohort, uno_c
from tests.work import calls, peak_bytes


def interval(time, event, risk, metric="harrell", tau=None, n=1000, seed=0):
    """C with its bootstrap interval."""
    weight = sample_weights(len(time), n, seed)
    c = harrell_resampled(time, event, risk, weight) if metric == "harrell" else None
    return (c or uno_resampled(time, event, risk, tau, weight)).estimate()


def draw(seed: int, n: int, time_decimals: int, risk_decimals: int):
    rng = np.random.default_rng(seed)
    time = np.round(rng.exponential(20, size=n) + 1, time_decimals)
    event = rng.uniform(size=n) < 0.6
    event[np.argmin(time)] = True  # at least one comparable pair
    return time, event, np.round(rng.normal(size=n) - 0.02 * time, risk_decimals)


@pytest.mark.slow
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
    weight = sample_weights(50, 20, seed=5)[:, 1:]
    assert (weight.sum(axis=0) == 50).all()
    estimate = interval(time, event, risk, metric, 25, 20, 5)
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
    intervals = [interval(*sample(100, seed), n=200) for seed in range(1, 41)]
    covered = sum(i.low <= truth <= i.high for i in intervals)
    assert 34 <= covered <= 40
    wide, narrow = intervals[0], interval(*sample(1000, 1), n=200)
    assert narrow.high - narrow.low < 0.5 * (wide.high - wide.low)


def test_fast_interval_agrees_with_the_generic_one():
    time, event, risk = draw(8, 100, 1, 3)
    fast = interval(time, event, risk, seed=1)
    slow = bootstrap_ci(lambda rows: harrell_c(time[rows], event[rows], risk[rows]), 100, n=250, seed=2)
    assert fast.value == slow.value
    assert fast.low == pytest.approx(slow.low, abs=0.02)
    assert fast.high == pytest.approx(slow.high, abs=0.02)


@pytest.mark.parametrize(("metric", "tau"), [("harrell", None), ("uno", 60)])
def test_bootstrap_samples_are_counted_together(metric, tau):
    """41 calls a sample of 600 patients, where one sample after the other takes more than 8,000."""
    time, event, risk = draw(0, 600, 3, 6)
    counted = partial(interval, time, event, risk, metric, tau)
    assert calls(counted) < 100 * 1000
    assert peak_bytes(counted) < 100_000_000


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


def test_an_interval_that_rests_on_nothing_is_not_given():
    time, event, risk = np.array([1.0, 2, 3]), np.array([True, False, False]), np.array([3.0, 2, 1])
    e = interval(time, event, risk, n=100)
    assert e.value == 1
    assert np.isnan([e.low, e.high]).all()
    assert not e.known
    assert np.isnan(uno_c([1, 2], [0, 0], [1, 2]))


def test_recovered_share_of_the_truth_itself_is_one():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal(150)
    time, event = rng.exponential(np.exp(-truth)), rng.random(150) < 0.7
    weight = sample_weights(150, 200)
    c_true = harrell_resampled(time, event, truth, weight)
    share = recovered_share(c_true, c_true).estimate()
    assert (share.value, share.low, share.high) == (1, 1, 1)
    noise = recovered_share(harrell_resampled(time, event, rng.standard_normal(150), weight), c_true).estimate()
    assert noise.low < 0.2 < share.value
    assert noise.high < 0.5
    half = resampled(np.full(201, 0.5), 150)
    assert not recovered_share(c_true, half).estimate().known


def test_weighted_pairs_by_hand():
    """Times 1 2 2 3, the second censored. Pairs: (0,1) (0,2) (0,3) (2,1) (2,3); risks tie in (2,3)."""
    time, event = np.array([1.0, 2, 2, 3]), np.array([True, False, True, True])
    risk, weight = np.array([5.0, 7, 1, 1]), np.array([[1.0], [2.0], [3.0], [4.0]])
    concordant, comparable = weighted_pairs(time, event, risk, weight)
    assert comparable[0] == 1 * 2 + 1 * 3 + 1 * 4 + 3 * 2 + 3 * 4
    assert concordant[0] == 0 + 1 * 3 + 1 * 4 + 0 + 3 * 4 / 2
