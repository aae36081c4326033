"""Limits of one score: laws of the mixture over refits and photos."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from survival.cox_regression.baseline import Baseline
from survival.features.encoding import fit_encoding
from survival.uncertainty.limits import LEVEL, Z90, Spread, spread_of
from survival.uncertainty.photo import PHOTOS, Repeats, photo_spread
from survival.uncertainty.refits import Refits

TIMES = np.array([2.0, 5.0, 9.0])
BASELINE = Baseline(TIMES, np.array([0.1, 0.3, 0.8]), 12.0)


def refits(b: int = 20, p: int = 4, seed: int = 0, size: float = 0.3) -> Refits:
    rng = np.random.default_rng(seed)
    hazard = np.cumsum(rng.uniform(0.05, 0.4, (b, len(TIMES))), axis=1)
    gradient = 1.0 + size * rng.normal(size=(b, p))
    return Refits(gradient.astype(np.float32), 0.1 * rng.normal(size=b), hazard.astype(np.float32))


def same(b: int = 20) -> Refits:
    """Refits that agree."""
    one = refits(1)
    return Refits(*(np.repeat(a, b, axis=0) for a in (one.gradient, one.offset, one.hazard)))


def of(kept: Refits, x: np.ndarray, sd: float) -> Spread:
    return spread_of(kept, x, np.full(len(kept), sd))


@given(st.floats(0.01, 3.0))
def test_a_photo_alone_gives_the_normal_interval(sd: float) -> None:
    limits = of(same(), np.ones((1, 4)), sd).log_hr(0.7)
    assert limits.high == pytest.approx(0.7 + sd * norm.ppf(0.95))
    assert limits.low == pytest.approx(0.7 - sd * norm.ppf(0.95))


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 1.0), st.floats(1.1, 4.0))
def test_more_spread_between_photos_gives_a_wider_interval(seed: int, sd: float, factor: float) -> None:
    x = np.random.default_rng(seed).normal(size=(1, 4))
    kept = refits(seed=seed % 1000)
    narrow, wide = (of(kept, x, each).log_hr(0.0) for each in (sd, factor * sd + 0.05))
    assert wide.high - wide.low > narrow.high - narrow.low


@given(st.integers(0, 1000), st.floats(-2.0, 2.0), st.floats(0.0, 1.0))
def test_the_interval_holds_its_estimate(seed: int, estimate: float, sd: float) -> None:
    """Refits give the spread and not the place, whatever their own mean is."""
    spread = of(refits(seed=seed), np.full((1, 4), 3.0), sd)
    limits = spread.log_hr(estimate)
    assert limits.low < estimate < limits.high
    curve = BASELINE.survival(estimate, TIMES)[1][0]
    band = spread.survival(estimate, BASELINE, TIMES)
    assert (band.low <= curve + 1e-9).all()
    assert (curve <= band.high + 1e-9).all()
    assert ((band.low >= 0) & (band.high <= 1)).all()


def test_with_agreeing_refits_survival_is_a_transform_of_the_log_hazard_ratio() -> None:
    spread = of(same(), np.ones((1, 4)), 0.4)
    limits, band = spread.log_hr(0.5), spread.survival(0.5, BASELINE, np.array([0.0, 6.0, 12.0, 13.0]))
    np.testing.assert_allclose(band.high[:3], BASELINE.survival(limits.low, [0.0, 6.0, 12.0])[1][0], rtol=1e-6)
    np.testing.assert_allclose(band.low[:3], BASELINE.survival(limits.high, [0.0, 6.0, 12.0])[1][0], rtol=1e-6)
    assert band.low[0] == band.high[0] == 1.0, "before the first event"
    assert np.isnan(band.low[3]), "after the end of follow-up"
    assert np.isnan(band.high[3])


def test_a_band_never_rises_and_nothing_is_drawn_at_random() -> None:
    at = np.linspace(0, 12, 40)
    bands = [of(refits(), np.ones((1, 4)), 0.3).survival(0.2, BASELINE, at) for _ in range(2)]
    for name in ("low", "high"):
        values = getattr(bands[0], name)
        assert (np.diff(values) <= 1e-12).all()
        np.testing.assert_array_equal(values, getattr(bands[1], name))


def test_the_baseline_hazards_of_the_samples_widen_survival() -> None:
    kept = refits(size=0.0)
    alone = Refits(kept.gradient, np.zeros(20), kept.hazard)
    band = spread_of(alone, np.ones((1, 4))).survival(0.0, BASELINE, TIMES)
    assert (band.high - band.low > 0.02).all()
    assert spread_of(alone, np.ones((1, 4))).log_hr(0.3).low == pytest.approx(0.3)


def test_the_level_is_what_it_is_called() -> None:
    assert norm.cdf(Z90) - norm.cdf(-Z90) == pytest.approx(LEVEL)


def test_photos_of_one_person_differ_by_what_they_were_made_to() -> None:
    """The difference of two scores, each a person's own and a photo's part of standard deviation 0.5."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(4000), 2)
    scores = rng.normal(size=4000)[person] + 0.5 * rng.normal(size=8000)
    encoding = fit_encoding({"photo": scores[:, None]})
    kept = Refits(np.array([[1.0], [2.0]], np.float32), np.zeros(2), np.ones((2, 3), np.float32))
    spread = photo_spread(Repeats(PHOTOS, scores[:, None], person), encoding, kept)
    np.testing.assert_allclose(spread.sd, [0.5 * 2**0.5, 2**0.5], rtol=0.03)
    assert spread.persons == 4000
    alone = np.concatenate([person, np.arange(4000, 4500)])
    more = Repeats(PHOTOS, np.concatenate([scores, rng.normal(size=500)])[:, None], alone)
    with_singles = photo_spread(more, encoding, kept)
    np.testing.assert_allclose(with_singles.sd, spread.sd)
    assert with_singles.persons == 4000, "those with one photo tell nothing"
    with pytest.raises(ValueError, match="several"):
        photo_spread(Repeats(PHOTOS, scores[:3, None], np.arange(3)), encoding, kept)
