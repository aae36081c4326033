import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sksurv.compare import compare_survival
from sksurv.nonparametric import kaplan_meier_estimator
from sksurv.util import Surv

from survival.curves import kaplan_meier, logrank, quartile_curves
from survival.errors import SurvivalError
from tests.survival.cohorts import load_cohort

outcomes = st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=80)


@given(outcomes)
@settings(max_examples=50)
def test_kaplan_meier_falls_from_1_inside_its_limits(rows):
    time, event = (np.array(column) for column in zip(*rows, strict=True))
    curve = kaplan_meier(time, event)
    assert curve.survival[0] == 1
    assert (np.diff(curve.survival) <= 0).all()
    assert ((curve.survival >= 0) & (curve.survival <= 1)).all()
    known = np.isfinite(curve.low)
    assert (known == (curve.survival > 0)).all()
    assert (curve.low[known] <= curve.survival[known]).all()
    assert (curve.survival[known] <= curve.high[known]).all()
    assert curve.events.sum() == event.sum()
    assert (curve.table(np.linspace(0, 40, 9))[["at_risk", "censored", "events"]].sum(axis=1) == len(time)).all()
    times, survival = kaplan_meier_estimator(event.astype(bool), time)
    np.testing.assert_allclose(curve.at(times), survival, atol=1e-12)


def test_no_censoring_gives_the_share_alive():
    time = np.random.default_rng(0).permutation(np.arange(1.0, 101))
    curve = kaplan_meier(time, np.ones(100, dtype=bool))
    np.testing.assert_allclose(curve.at([0, 25, 50.5, 100]), [1, 0.75, 0.5, 0], atol=1e-12)
    assert curve.median().value == 50.5  # survival is exactly one half from 50 to 51
    assert np.isnan(curve.at([100.1])[0])


def test_a_median_that_is_not_reached_is_nan():
    median = kaplan_meier(np.arange(1.0, 21), np.arange(20) < 3).median()
    assert np.isnan([median.value, median.low, median.high]).all()
    assert median.n == 20


def test_table_by_hand():
    curve = kaplan_meier([1, 2, 2, 3, 5], [1, 1, 0, 0, 1])
    table = curve.table([0, 2, 2.5, 6])
    assert table["at_risk"].tolist() == [5, 4, 2, 0]
    assert table["events"].tolist() == [0, 1, 2, 3]
    assert table["censored"].tolist() == [0, 0, 1, 2]
    assert list(curve.to_frame()["time"]) == [0, 1, 2, 3, 5]


@pytest.mark.parametrize("groups", [2, 3, 4])
def test_logrank_is_scikit_survivals(groups):
    features, time, event = load_cohort("whas500")
    group = np.searchsorted(np.quantile(features["age"], np.arange(1, groups) / groups), features["age"])
    statistic, p = compare_survival(Surv.from_arrays(event, time), group)
    ours = logrank(time, event, group)
    assert ours.statistic == pytest.approx(statistic, rel=1e-10)
    assert ours.p == pytest.approx(p, rel=1e-8)
    assert logrank(time, event, np.array(list("dbca"))[group]).statistic == pytest.approx(statistic, rel=1e-10)


def test_logrank_p_is_uniform_when_groups_are_alike():
    rng = np.random.default_rng(1)
    p = []
    for _ in range(200):
        time, event = rng.exponential(size=80), rng.uniform(size=80) < 0.7
        p.append(logrank(time, event, rng.integers(2, size=80)).p)
    assert abs(np.mean(p) - 0.5) < 0.07
    assert 2 <= np.sum(np.array(p) < 0.05) <= 20


def test_logrank_refusals():
    with pytest.raises(SurvivalError, match="at least two groups"):
        logrank([1, 2], [1, 1], ["a", "a"])
    with pytest.raises(SurvivalError, match="one group label"):
        logrank([1, 2], [1, 1], ["a"])
    with pytest.raises(SurvivalError, match="nobody at risk"):
        logrank([1, 2, 3], [0, 1, 1], ["a", "b", "b"])


def test_quartile_curves_split_the_patients():
    rng = np.random.default_rng(2)
    time, event, quartile = rng.exponential(size=90), rng.uniform(size=90) < 0.5, rng.integers(4, size=90)
    curves = quartile_curves(time, event, quartile)
    assert list(curves) == [0, 1, 2, 3]
    assert sum(c.n for c in curves.values()) == 90
    alone = kaplan_meier(time[quartile == 2], event[quartile == 2])
    np.testing.assert_array_equal(curves[2].survival, alone.survival)
    assert list(quartile_curves(time, event, np.full(90, 3))) == [3]
    with pytest.raises(SurvivalError):
        quartile_curves(time, event, quartile[:-1])
