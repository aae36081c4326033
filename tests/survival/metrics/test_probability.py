"""AUC(t), Brier, calibration, decision curves: against scikit-survival, R (tests/data/r/probability.json), by law."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sksurv.metrics import brier_score, cumulative_dynamic_auc, integrated_brier_score
from sksurv.util import Surv

from survival.curves import kaplan_meier
from survival.errors import SurvivalError
from survival.metrics.bootstrap import mean_of, resampled, sample_weights
from survival.metrics.calibration import calibration, quantile_groups, smooth_observed, weak_calibration
from survival.metrics.concordance import harrell_c, harrell_resampled
from survival.metrics.decision import TREAT_ALL, TREAT_NONE, decision_curve, net_benefit
from survival.metrics.probability import auc_columns, brier_columns, brier_scores, evaluation_times, survival_at
from tests.survival.cohorts import load_cohort

EXPECTED = json.loads((Path(__file__).parents[2] / "data" / "r" / "probability.json").read_text())


def world(seed=0, n=300, decimals=9):
    """Exponential times with known hazard; (time, event, lp, true S at times)."""
    rng = np.random.default_rng(seed)
    lp = rng.normal(size=n)
    event_time = rng.exponential(size=n) / np.exp(lp)
    censored = rng.exponential(2.5, size=n)
    time = np.round(np.minimum(event_time, censored), decimals) + 10.0**-decimals
    return time, event_time <= censored, lp, lambda t: np.exp(-np.outer(np.exp(lp), t))


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 8]))
@settings(max_examples=15)
def test_auc_and_brier_are_scikit_survivals(seed, risk_decimals):
    time, event, lp, truth = world(seed, 120)
    times = evaluation_times(time, event, n=6)
    outcome, risk = Surv.from_arrays(event, time), np.round(lp, risk_decimals)
    one = np.ones((120, 1))
    ours = [auc_columns(time, event, risk, t, one)[0] for t in times]
    np.testing.assert_allclose(ours, cumulative_dynamic_auc(outcome, outcome, risk, times)[0], atol=1e-10)
    survival = truth(times)
    brier = brier_columns(time, event, survival, times, one)[:, 0]
    np.testing.assert_allclose(brier, brier_score(outcome, outcome, survival, times)[1], atol=1e-10)
    _, ibs, _ = brier_scores(time, event, survival, survival, times, np.ones((120, 2)))
    assert ibs.value == pytest.approx(integrated_brier_score(outcome, outcome, survival, times), abs=1e-10)


def test_a_weight_is_a_repeated_patient():
    time, event, lp, truth = world(3, 60, decimals=1)
    weight = sample_weights(60, 6, seed=2)
    times = np.array([0.4, 0.8])
    survival = truth(times)
    for b in range(7):
        rows = np.repeat(np.arange(60), weight[:, b].astype(int))
        one = np.ones((60, 1))
        for t in times:
            again = auc_columns(time[rows], event[rows], lp[rows], t, one)
            assert auc_columns(time, event, lp, t, weight)[b] == pytest.approx(again[0], abs=1e-12)
            km = kaplan_meier(time[rows], event[rows]).at(t)[0]
            assert survival_at(time, event, weight, t)[b] == pytest.approx(km, abs=1e-12)
        again = brier_columns(time[rows], event[rows], survival[rows], times, one)[:, 0]
        np.testing.assert_allclose(brier_columns(time, event, survival, times, weight)[:, b], again, atol=1e-12)


def auc(time, event, risk, t, weight):
    return resampled(auc_columns(time, event, risk, t, weight), len(time))


def test_the_null_scores_nothing_and_the_truth_scores_best():
    time, event, lp, truth = world(1, 400)
    times, weight = evaluation_times(time, event), sample_weights(400, 200, 0)
    null = np.tile(kaplan_meier(time, event).at(times), (400, 1))
    _, _, scaled = brier_scores(time, event, null, null, times, weight)
    assert scaled.value == 0
    _, ibs, good = brier_scores(time, event, truth(times), null, times, weight)
    _, worse, _ = brier_scores(time, event, truth(times) ** 1.7, null, times, weight)
    assert good.estimate().low > 0.05
    assert (worse - ibs).estimate().low > 0
    assert auc(time, event, np.zeros(400), times[5], weight).value == 0.5
    risk = auc(time, event, lp, times[5], weight).estimate()
    assert 0.7 < risk.low < risk.value < risk.high < 0.95
    turned = auc(time, event, -lp, times[5], weight)
    assert turned.value == pytest.approx(1 - risk.value)


def test_pairing_narrows_a_difference():
    time, event, lp, _ = world(2, 300)
    near = lp + 0.3 * np.random.default_rng(0).normal(size=300)
    weight, t = sample_weights(300, 300, 0), 0.7
    one, other = auc(time, event, lp, t, weight), auc(time, event, near, t, weight)
    paired = (one - other).estimate()
    alone = one.estimate()
    assert paired.high - paired.low < 0.6 * (alone.high - alone.low)
    assert (one - one).estimate().high == 0
    both = mean_of([one, other])
    assert both.value == pytest.approx((one.value + other.value) / 2)
    with pytest.raises(SurvivalError, match="in pairs"):
        one - resampled(np.zeros(11), 300)
    assert not resampled(np.full(11, np.nan), 300).estimate().known


def test_sample_weights_are_those_of_the_concordance():
    time, event, lp, _ = world(2, 80)
    weight = sample_weights(80, 50, seed=3)
    values = [harrell_c(*(v[np.repeat(np.arange(80), w.astype(int))] for v in (time, event, lp))) for w in weight.T[1:]]
    estimate = harrell_resampled(time, event, lp, weight).estimate()
    np.testing.assert_allclose([estimate.low, estimate.high], np.percentile(values, [2.5, 97.5]), atol=1e-12)


def test_evaluation_times_lie_inside_every_fold():
    time, event, _, _ = world(4, 200)
    fold = np.arange(200) % 5
    times = evaluation_times(time, event, fold, n=7)
    for k in range(5):
        for rows in (fold == k, fold != k):
            assert time[rows & event].min() <= times[0]
            assert times[-1] < time[rows].max()
    assert len(times) == 7
    with pytest.raises(SurvivalError, match="fewer than two events"):
        evaluation_times(time, event, np.arange(200))
    with pytest.raises(SurvivalError, match="hold no number"):
        brier_scores(time, event, np.full((200, 7), np.nan), np.ones((200, 7)), times, np.ones((200, 2)))


@pytest.fixture(params=["veteran", "gbsg2", "whas500"])
def cohort(request):
    features, time, event = load_cohort(request.param)
    expected = EXPECTED[request.param]
    z = expected["sign"] * features[expected["column"]].to_numpy()
    z = (z - z.mean()) / z.std(ddof=1)
    risk = np.clip(-np.expm1(-np.exp(z - 0.5)), 1e-6, 1 - 1e-6)
    return time, event, risk, expected


def test_calibration_curve_is_that_of_a_natural_spline_in_r(cohort):
    time, event, risk, expected = cohort
    observed = smooth_observed(time, event, risk, expected["horizon"])
    np.testing.assert_allclose(observed[:5], expected["observed_head"], rtol=1e-5)
    found = calibration(time, event, 1 - risk, expected["horizon"], samples=4)
    figures = [found.ici.value, found.e50.value, found.e90.value]
    np.testing.assert_allclose(figures, [expected[k] for k in ("ici", "e50", "e90")], rtol=1e-5)


def test_intercept_slope_brier_and_net_benefit_are_rs(cohort):
    time, event, risk, expected = cohort
    one, t = np.ones((len(time), 1)), expected["horizon"]
    intercept, slope = weak_calibration(time, event, risk, t, one)
    assert intercept[0] == pytest.approx(expected["intercept"], abs=1e-6)
    assert slope[0] == pytest.approx(expected["slope"], abs=1e-6)
    brier = brier_columns(time, event, 1 - risk[:, None], np.array([t]), one)
    assert brier[0, 0] == pytest.approx(expected["brier"], rel=1e-9)
    ours = [net_benefit(time, event, risk, t, q, one)[0] for q in expected["thresholds"]]
    np.testing.assert_allclose(ours, expected["net_benefit"], atol=1e-10)


def test_intercept_and_slope_are_0_and_1_on_average_for_true_probabilities():
    values = []
    for seed in range(25):
        time, event, _, truth = world(100 + seed, 300)
        values.append(np.ravel(weak_calibration(time, event, 1 - truth([0.6])[:, 0], 0.6, np.ones((300, 1)))))
    intercept, slope = np.mean(values, axis=0)
    assert abs(intercept) < 0.07
    assert abs(slope - 1) < 0.12


def test_true_probabilities_are_called_calibrated_and_false_ones_not():
    time, event, lp, truth = world(9, 600)
    t = 0.6
    good = calibration(time, event, truth([t])[:, 0], t, samples=60)
    figures = good.estimates()
    assert figures["intercept"].low < 0 < figures["intercept"].high
    assert figures["slope"].low < 1 < figures["slope"].high
    assert figures["ratio"].low < 1 < figures["ratio"].high
    assert figures["ici"].value < 0.04
    assert good.curve is not None
    inside = (good.curve["low"] <= good.curve["predicted"]) & (good.curve["predicted"] <= good.curve["high"])
    assert inside.mean() > 0.7
    extreme = calibration(time, event, np.exp(-np.exp(2 * lp) * t), t, samples=60).estimates()
    assert extreme["slope"].high < 0.8
    assert extreme["ici"].low > figures["ici"].value
    high = calibration(time, event, truth([2 * t])[:, 0], t, samples=60).estimates()
    assert high["intercept"].high < 0
    assert high["ratio"].high < 1


def test_a_prediction_that_does_not_vary_has_no_curve():
    time, event, _, _ = world(6, 200)
    flat = calibration(time, event, np.full(200, 0.5), 0.5, samples=50)
    assert flat.curve is None
    assert set(flat.estimates()) == {"observed", "ratio", "intercept"}
    assert len(flat.groups) == 1
    with pytest.raises(SurvivalError, match="between 0 and 1"):
        calibration(time, event, np.full(200, 1.5), 0.5)


def test_quantile_groups_are_kaplan_meier():
    time, event, _, truth = world(7, 300)
    risk = 1 - truth([0.5])[:, 0]
    groups = quantile_groups(time, event, risk, 0.5, 5)
    assert groups["n"].tolist() == [60] * 5
    assert groups["events"].sum() == (event & (time <= 0.5)).sum()
    top = risk >= np.sort(risk)[240]
    assert groups["observed"].iloc[-1] == pytest.approx(1 - kaplan_meier(time[top], event[top]).at(0.5)[0])
    assert ((groups["low"] <= groups["observed"]) & (groups["observed"] <= groups["high"])).all()


def test_decision_curves():
    time, event, _, truth = world(8, 300)
    risk, weight, q = 1 - truth([0.5])[:, 0], sample_weights(300, 200, 0), np.array([0.1, 0.3, 0.5])
    frame = decision_curve(time, event, {"truth": risk, "noise": np.roll(risk, 7)}, 0.5, q, weight)
    value = frame.set_index(["model", "threshold"])["net_benefit"]
    assert (value[TREAT_NONE] == 0).all()
    died = 1 - kaplan_meier(time, event).at(0.5)[0]
    np.testing.assert_allclose(value[TREAT_ALL], died - (1 - died) * q / (1 - q))
    assert (value["truth"] >= value[TREAT_ALL] - 0.02).all()
    assert value["truth", 0.5] > max(0, value["noise", 0.5])
    assert net_benefit(time, event, risk, 0.5, 0.999999, weight).tolist() == [0.0] * 201
    with pytest.raises(SurvivalError, match="threshold is 1"):
        net_benefit(time, event, risk, 0.5, 1.0, weight)
