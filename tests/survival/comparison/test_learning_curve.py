"""Learning curves: nested stratified parts, the cross-validation at the full size, the power law and its targets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from survival.comparison.crossval import Candidate, cross_validate, draw_folds
from survival.comparison.learning_curve import (
    MIN_EVENTS,
    PowerLaw,
    check_sizes,
    default_sizes,
    fit_power_law,
    learning_curve,
    stratified_order,
)
from survival.errors import FitCancelled, SurvivalError
from survival.metrics.bootstrap import Resampled
from survival.metrics.concordance import harrell_c
from survival.outcome import check_outcome
from survival.simulate import censoring, observe, weibull_times
from tests.survival.cohorts import load_cohort

QUICK = {"n_alphas": 10, "folds": 3}
RIDGE = Candidate("photo", "cox-ridge", ("photo",), QUICK)


def simulated(n=300, p=40, seed=0):
    """(blocks, time, event, true log hazard): a signal spread over all columns, so that every patient counts."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    hazard = x @ rng.normal(size=p) / np.sqrt(p)
    time, event = observe(weibull_times(hazard, 1.3, 31, rng), censoring(n, 70, 60, rng))
    return {"photo": x}, time, event, hazard


@pytest.fixture(scope="module")
def cohort():
    blocks, time, event, hazard = simulated()
    return {"X": blocks, "time": time, "event": event, "fold": draw_folds(check_outcome(time, event), 3, 2)}, hazard


@pytest.fixture(scope="module")
def curve(cohort):
    data, hazard = cohort
    return learning_curve(RIDGE, **data, sizes=(60, 150, 300), truth=hazard, samples=100)


@given(st.lists(st.booleans(), min_size=2, max_size=80).filter(any), st.integers(0, 5))
def test_every_beginning_of_the_order_has_its_share_of_events(event, seed):
    seen = np.array(event)[stratified_order(np.array(event), np.random.default_rng(seed))]
    expected = np.arange(1, len(seen) + 1) * seen.mean()
    assert np.abs(np.cumsum(seen) - expected).max() <= 1 + 1e-9


def test_c_rises_with_the_number_of_patients_on_average(cohort, curve):
    c = [size.harrell.value for size in curve.sizes]
    assert c[0] < c[1] < c[2] < curve.ceiling.value
    assert curve.sizes[0].harrell.low < c[0] < curve.sizes[0].harrell.high
    shares = [size.share.value for size in curve.sizes]
    np.testing.assert_allclose(shares, (np.array(c) - 0.5) / (curve.ceiling.value - 0.5))
    assert [size.patients for size in curve.sizes] == [60, 150, 300]
    assert curve.sizes[2].events == cohort[0]["event"].sum()


def test_at_the_full_size_the_curve_is_the_cross_validation(cohort, curve):
    data, _ = cohort
    scored = cross_validate([RIDGE], **data, times=np.array([float(np.median(data["time"]))]))
    c = [harrell_c(data["time"], data["event"], risk) for risk in scored.scores["photo"].log_risk]
    assert curve.sizes[-1].harrell.value == pytest.approx(np.mean(c))
    assert curve.sizes[-1].spread == pytest.approx(np.std(c, ddof=1))


def test_a_stopped_run_resumes_and_gives_the_same(cohort, curve, tmp_path):
    data, hazard = cohort
    asked = {"sizes": (60, 150, 300), "truth": hazard, "samples": 100, "cache": tmp_path}
    done = []
    with pytest.raises(FitCancelled):
        learning_curve(RIDGE, **data, **asked, on_progress=lambda *a: done.append(a), cancelled=lambda: len(done) > 4)
    begun = []
    again = learning_curve(RIDGE, **data, **asked, on_progress=lambda *a: begun.append(a))
    assert begun[0][0] >= 4
    assert begun[-1][:2] == (18, 18)
    assert [s.harrell for s in again.sizes] == [s.harrell for s in curve.sizes]


def test_small_sizes_are_refused_with_what_is_possible(cohort):
    event = cohort[0]["event"]
    with pytest.raises(SurvivalError, match=f"20 patients have fewer than {MIN_EVENTS} events .* from [0-9]+ to 300"):
        check_sizes((20, 100, 300), event, 3)
    with pytest.raises(SurvivalError, match="There are 300 patients, not 400"):
        check_sizes((100, 200, 400), event, 3)
    with pytest.raises(SurvivalError, match="at least 3 different"):
        check_sizes((100, 100, 300), event, 3)
    with pytest.raises(SurvivalError, match="only 8 events among 60 patients"):
        check_sizes((20, 40, 60), np.arange(60) < 8, 3)
    sizes = default_sizes(event, 3)
    assert check_sizes(sizes, event, 3) == sizes
    assert sizes[-1] == 300


def law(limit, drop, power, sizes, noise=0.0, samples=200):
    values = limit - drop * np.array(sizes, dtype=float) ** -power
    rng = np.random.default_rng(0)
    return [Resampled(v, v + noise * rng.normal(size=samples), 100) for v in values]


def test_a_power_law_is_found_again_and_tells_what_a_target_takes():
    sizes = (100, 200, 400, 800)
    fitted = fit_power_law(sizes, law(0.8, 2.0, 0.5, sizes))
    assert (fitted.limit[0], fitted.drop[0], fitted.power[0]) == pytest.approx((0.8, 2.0, 0.5))
    np.testing.assert_allclose(fitted.at([1600])[0], 0.75)
    assert fitted.needed(0.75) == pytest.approx((1600, 1600, 1600))
    assert fitted.needed(0.9) == (np.inf, np.inf, np.inf)


def test_noise_gives_a_band_that_widens_beyond_the_patients():
    sizes = (100, 200, 400, 800)
    fitted = fit_power_law(sizes, law(0.8, 2.0, 0.5, sizes, noise=0.01))
    _, low, high = fitted.at([300, 3200])
    assert high[1] - low[1] > high[0] - low[0] > 0
    value, least, most = fitted.needed(0.75)
    assert least < value < most


@given(st.lists(st.floats(0.3, 0.9), min_size=3, max_size=6))
def test_any_values_give_a_curve_that_never_falls_nor_exceeds_the_top(values):
    sizes = [100 * 2**i for i in range(len(values))]
    rng = np.random.default_rng(0)
    points = [Resampled(v, v + 0.02 * rng.normal(size=20), 100) for v in values]
    fitted = fit_power_law(sizes, points, top=0.85)
    assert isinstance(fitted, PowerLaw)
    assert (fitted.drop >= 0).all()
    assert (fitted.limit <= 0.85 + 1e-12).all()
    at = fitted.at(np.geomspace(100, 10_000, 20))[0]
    assert (np.diff(at) >= -1e-12).all()


@pytest.mark.slow
def test_on_a_real_cohort_sizes_that_cannot_be_fitted_are_left_out():
    x, time, event = load_cohort("whas500")
    clinical = Candidate("clinical", "cox", ("clinical",))
    data = {"X": {"clinical": x}, "time": time, "event": event, "fold": draw_folds(check_outcome(time, event), 5, 3)}
    curve = learning_curve(clinical, **data, sizes=(150, 300, 400, 500), samples=100)
    assert [size.patients for size in curve.sizes] == [300, 400, 500]
    assert curve.notes[0].startswith("150 patients: not every part of the cohort could be fitted. Covariate av3_1")
    assert curve.sizes[0].harrell.value < curve.sizes[-1].harrell.value
    assert 0.7 < curve.sizes[-1].harrell.value < 0.85
    assert curve.share is None
    assert curve.ceiling is None
    with pytest.raises(SurvivalError, match="Too few sizes could be fitted"):
        learning_curve(clinical, **data, sizes=(150, 300, 500), samples=50)


def test_with_delayed_entry():
    blocks, time, event, hazard = simulated(p=4)
    fold = draw_folds(check_outcome(time, event), 3, 2)
    plain = Candidate("photo", "cox", ("photo",))
    sizes, more = (100, 200, 300), {"truth": hazard, "samples": 50}
    curve = learning_curve(plain, blocks, time, event, fold, sizes, entry=time * 0.4, **more)
    full = learning_curve(plain, blocks, time, event, fold, sizes, **more)
    assert all(0.5 < size.harrell.value < 1 for size in curve.sizes)
    assert curve.sizes[-1].harrell != full.sizes[-1].harrell
