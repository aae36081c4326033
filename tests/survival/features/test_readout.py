"""Readouts: against scikit-learn's ridge, shrunk where the features do not hold a measurement, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from survival.errors import SurvivalError
from survival.features.readout import MIN_ROWS, PENALTY, fit_readout


def data(n=80, p=200, seed=0):
    """(features with four factors in them, two measurements that they hold and one that they do not)."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n, 4))
    x = factors @ rng.normal(size=(4, p)) + 0.1 * rng.normal(size=(n, p))
    return x, np.column_stack([factors[:, 0] * 50 + 3, factors[:, 1], rng.normal(size=n)])


@pytest.mark.parametrize("p", [30, 200])
def test_it_is_ridge_regression_of_standardised_measurements(p):
    x, measured = data(p=p)
    z = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)
    y = (measured - measured.mean(axis=0)) / measured.std(axis=0)
    ridge = Ridge(alpha=PENALTY * np.square(z).sum() / len(z)).fit(z, y)
    readouts = fit_readout(x, [measured]).transform(x)
    np.testing.assert_allclose(readouts - readouts.mean(axis=0), ridge.predict(z), atol=1e-6)


def test_what_the_features_do_not_hold_counts_little():
    x, measured = data()
    spread = fit_readout(x, [measured]).spread
    assert spread[2] < 0.5 * spread[:2].min()
    both = fit_readout(x, [measured[:, :2], measured[:, 2:]]).spread
    assert np.square(both[:2]).sum() == pytest.approx(1)
    assert both[2] == pytest.approx(1), "every block has a total variance of 1"


@settings(max_examples=20)
@given(st.floats(0.01, 100), st.floats(-50, 50), st.integers(0, 3))
def test_units_of_measurements_change_nothing(scale, shift, seed):
    x, measured = data(n=40, p=60, seed=seed)
    one, other = fit_readout(x, [measured]), fit_readout(x, [measured * scale + shift])
    np.testing.assert_allclose(one.to_readouts, other.to_readouts, rtol=1e-5, atol=1e-8)


def test_rows_without_a_measurement_are_left_out_and_too_few_refused():
    x, measured = data()
    gaps = measured.copy()
    gaps[::4] = np.nan
    known = np.isfinite(gaps).all(axis=1)
    np.testing.assert_allclose(
        fit_readout(x, [gaps]).to_readouts, fit_readout(x[known], [measured[known]]).to_readouts, atol=1e-12
    )
    gaps[MIN_ROWS:] = np.nan
    with pytest.raises(SurvivalError, match=r"Only 15 patients .* readouts need 20"):
        fit_readout(x, [gaps])
    with pytest.raises(SurvivalError, match="the same for all patients"):
        fit_readout(x, [np.ones((80, 2))])
    constant = fit_readout(x, [np.column_stack([measured[:, :2], np.ones(80)])])
    assert constant.to_readouts.shape == (200, 2)
