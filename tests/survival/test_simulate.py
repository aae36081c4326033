import numpy as np
import pandas as pd
import pytest
from scipy import stats

from survival import simulate
from survival.errors import SurvivalError
from survival.metrics.concordance import harrell_c


def test_weibull_times_have_the_distribution_asked_for():
    rng = np.random.default_rng(0)
    for log_hazard in (-1.0, 0.0, 1.5):
        times = simulate.weibull_times(np.full(4000, log_hazard), 1.3, 30.0, rng)
        expected = stats.weibull_min(c=1.3, scale=30 * np.exp(-log_hazard / 1.3))
        assert stats.kstest(times, expected.cdf).pvalue > 0.001


def test_censoring_is_exponential_up_to_the_last_day():
    times = simulate.censoring(20_000, 70.0, 60.0, np.random.default_rng(1))
    assert times.max() == 60
    assert np.mean(times == 60) == pytest.approx(np.exp(-60 / 70), abs=0.015)


def test_observed_times_are_never_zero():
    time, event = simulate.observe(np.array([1e-9, 5.0, 7.126]), np.array([3.0, 2.0, 7.126]))
    np.testing.assert_array_equal(time, [0.01, 2.0, 7.13])
    np.testing.assert_array_equal(event, [True, False, True])


def test_clinical_part_has_mean_0_and_the_prescribed_spread():
    clinical = simulate.draw_clinical(200_000, np.random.default_rng(2))
    effect = simulate.clinical_log_hazard(clinical["site"], clinical["stage"], clinical["ecog"])
    assert effect.mean() == pytest.approx(0, abs=0.01)
    assert effect.std() == pytest.approx(simulate.CLINICAL_SD, abs=0.01)
    shares = clinical["site"].value_counts(normalize=True)
    np.testing.assert_allclose(shares[list(simulate.SITES)], simulate.SITE_SHARE, atol=0.005)
    late = clinical["stage"].isin(["III", "IV"])
    assert clinical.loc[late, "ecog"].mean() > clinical.loc[~late, "ecog"].mean() + 0.2
    for shares in (simulate.SITE_SHARE[None], simulate.STAGE_SHARE, simulate.ECOG_SHARE):
        np.testing.assert_allclose(shares.sum(axis=1), 1)


def demo_like(n: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    sex = np.where(rng.uniform(size=n) < 0.5, "female", "male")
    return simulate.simulate_cohort(rng.normal(0, 1.12, size=n), rng.normal(62, 12, size=n), sex, seed)


def test_concordances_of_the_parts_are_as_designed():
    """About 0.73 for the face's part, 0.66 for the clinical part, 0.80 for both, at about 60 % events."""
    patients, truth = demo_like(4000, 3)
    c = {part: harrell_c(patients["time_months"], patients["event"], truth[part]) for part in truth.columns[:3]}
    assert c["face_log_hazard"] == pytest.approx(0.73, abs=0.02)
    assert c["clinical_log_hazard"] == pytest.approx(0.66, abs=0.02)
    assert c["log_hazard"] == pytest.approx(0.80, abs=0.02)
    assert patients["event"].mean() == pytest.approx(0.60, abs=0.03)


def test_cohort_is_a_function_of_its_seed_and_keeps_its_faces():
    patients, truth = demo_like(50, 4)
    again, _ = demo_like(50, 4)
    pd.testing.assert_frame_equal(patients, again)
    assert list(patients) == ["age", "sex", "site", "stage", "ecog", "time_months", "event"]
    np.testing.assert_allclose(truth["log_hazard"], truth["face_log_hazard"] + truth["clinical_log_hazard"])
    seen = np.minimum(truth["event_time_months"], truth["censoring_time_months"])
    np.testing.assert_allclose(patients["time_months"], seen, atol=0.0051)
    np.testing.assert_array_equal(patients["event"] == 1, truth["event_time_months"] <= truth["censoring_time_months"])


def test_refusals():
    rng = np.random.default_rng(0)
    with pytest.raises(SurvivalError):
        simulate.weibull_times([np.nan], 1, 1, rng)
    with pytest.raises(SurvivalError):
        simulate.censoring(3, 0, 10, rng)
    with pytest.raises(SurvivalError, match="'V'"):
        simulate.clinical_log_hazard(["lung"], ["V"], [0])
    with pytest.raises(SurvivalError):
        simulate.simulate_cohort([0.0], [50, 60], ["female"])
