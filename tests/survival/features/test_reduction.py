import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survival.errors import SurvivalError
from survival.features.reduction import fit_reduction, flatten


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "width"), [(40, 300), (300, 12), (30, 30)])
@pytest.mark.parametrize("limits", [{}, {"variance": 0.9}, {"n_components": 5}])
def test_scores_and_gradient_give_the_same_linear_predictor(dtype, rows, width, limits):
    """lp in PCA space = <gradient, x> + constant to 1e-6 relative, for the training rows and for new ones."""
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(width, width)) / np.sqrt(width) + np.eye(width)
    x = (rng.normal(size=(rows, width)) @ mixing * np.geomspace(0.01, 100, width) + 50).astype(dtype)
    new = x[:7] + rng.normal(size=(7, width)).astype(dtype)
    reduction = fit_reduction(x, **limits)
    coef = rng.normal(size=(reduction.scores.shape[1], 2))
    gradient = reduction.to_features(coef)
    for rows_, scores in ((x, reduction.scores), (new, reduction.transform(new))):
        lp, raw = scores @ coef, (rows_.astype(float) - reduction.mean) @ gradient
        np.testing.assert_allclose(raw, lp, atol=1e-6 * np.abs(lp).max())
    np.testing.assert_allclose(reduction.to_features(coef[:, 0]), gradient[:, 0], rtol=1e-9, atol=1e-9)


def test_scores_are_principal_components():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(50, 120)) @ rng.normal(size=(120, 120))
    reduction = fit_reduction(x)
    z = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)
    singular = np.linalg.svd(z, compute_uv=False)[:49]
    assert reduction.scores.shape == (50, 49)
    np.testing.assert_allclose(reduction.explained, singular**2 / (singular**2).sum(), rtol=1e-9)
    covariance = np.cov(reduction.scores.T)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-8)
    assert np.diag(covariance).mean() == pytest.approx(1.0)
    assert (np.diff(np.diag(covariance)) <= 1e-12).all()


def test_variance_keeps_as_few_components_as_carry_it():
    x = np.random.default_rng(3).normal(size=(60, 400)) * np.geomspace(1, 3, 400)
    whole = np.cumsum(fit_reduction(x).explained)
    kept = fit_reduction(x, variance=0.7).scores.shape[1]
    assert whole[kept - 1] >= 0.7 > whole[kept - 2]


@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(1, 60))
@settings(max_examples=25)
def test_gradient_obeys_the_sum_law(seed, rows, width):
    """The gradient of a sum of coefficients is the sum of the gradients."""
    rng = np.random.default_rng(seed)
    reduction = fit_reduction(rng.normal(size=(rows, width)))
    a, b = rng.normal(size=(2, reduction.scores.shape[1]))
    both = reduction.to_features(a) + reduction.to_features(b)
    np.testing.assert_allclose(reduction.to_features(a + b), both, atol=1e-9 * (1 + np.abs(both).max()))


def test_constant_features_play_no_part():
    x = np.random.default_rng(4).normal(size=(30, 80)).astype(np.float32)
    x[:, 5] = 3.7
    x[:, 6] = 1e4 + np.float32(1e-3) * np.random.default_rng(5).normal(size=30).astype(np.float32)  # float32 noise
    reduction = fit_reduction(x)
    gradient = reduction.to_features(np.ones(reduction.scores.shape[1]))
    assert (gradient[[5, 6]] == 0).all()
    assert np.count_nonzero(gradient) == 78
    assert np.isfinite(reduction.transform(x + 1)).all()


def test_all_features_constant_is_refused():
    with pytest.raises(SurvivalError, match="nothing to learn"):
        fit_reduction(np.ones((10, 4)))


def test_flatten_names_the_row_of_a_missing_value():
    x = np.zeros((2000, 2, 3), dtype=np.float32)
    assert flatten(x).shape == (2000, 6)
    assert flatten(x).dtype == np.float32
    x[1500, 1, 2] = np.nan
    with pytest.raises(SurvivalError, match="Row 1501"):
        flatten(x)


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((0, 4)), np.zeros((4, 0)), [["a", "b"]], [[{}]]])
def test_flatten_refuses(bad):
    with pytest.raises(SurvivalError):
        flatten(bad)
