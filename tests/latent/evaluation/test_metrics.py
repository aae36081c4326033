"""Measures of a set of samples against closed forms, scipy's matrix root and the laws that they must obey."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.stats import ortho_group

from latent.errors import LatentError
from latent.evaluation.metrics import (
    Moments,
    bootstrap_sd,
    frechet,
    kernel_distance,
    mean_pairwise_distance,
    precision_recall,
)

SEEDS = st.integers(0, 2**31)


def exact_sample(mean: np.ndarray, covariance: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Rows whose sample mean and covariance are exactly these."""
    rows = rng.normal(size=(n, len(mean)))
    rows -= rows.mean(0)
    whitened = rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows, rowvar=False))).T
    return whitened @ np.linalg.cholesky(covariance).T + mean


def random_covariance(d: int, rng: np.random.Generator) -> np.ndarray:
    root = rng.normal(size=(d, d))
    return root @ root.T + 0.1 * np.eye(d)


def test_frechet_of_known_gaussians_is_the_closed_form() -> None:
    rng = np.random.default_rng(1)
    mean_a, mean_b = rng.normal(size=6), rng.normal(size=6)
    cov_a, cov_b = random_covariance(6, rng), random_covariance(6, rng)
    expected = ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a + cov_b - 2 * sqrtm(cov_a @ cov_b).real)
    a, b = exact_sample(mean_a, cov_a, 40, rng), exact_sample(mean_b, cov_b, 90, rng)
    assert frechet(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet(Moments.of(a), b) == pytest.approx(expected, rel=1e-9)


def test_frechet_with_commuting_covariances_needs_no_matrix_root() -> None:
    rng = np.random.default_rng(2)
    a = exact_sample(np.zeros(3), np.diag([1.0, 4.0, 9.0]), 50, rng)
    b = exact_sample(np.array([1.0, 0.0, 2.0]), np.diag([4.0, 4.0, 1.0]), 50, rng)
    assert frechet(a, b) == pytest.approx(1 + 4 + (1 - 2) ** 2 + 0 + (3 - 1) ** 2, rel=1e-9)


def test_frechet_with_fewer_images_than_features() -> None:
    """The usual case with 2048 features; scipy's root of a singular product loses digits, hence the tolerance."""
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(20, 50)), rng.normal(0.3, 1.4, size=(15, 50))
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    jitter = 1e-10 * np.eye(50)
    root = np.trace(sqrtm((cov_a + jitter) @ (cov_b + jitter)).real)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * root
    assert frechet(a, b) == pytest.approx(expected, rel=1e-3)


@settings(max_examples=25)
@given(seed=SEEDS, n=st.integers(3, 40), d=st.integers(1, 12))
def test_frechet_laws(seed: int, n: int, d: int) -> None:
    """Zero to itself, symmetric, unmoved by a rotation and shift of both, quadratic in scale, order of rows free."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(n, d)), rng.normal(0.5, 2, size=(n + 3, d))
    value = frechet(a, b)
    scale = 1 + np.trace(np.cov(np.concatenate([a, b]), rowvar=False).reshape(d, d))
    assert frechet(a, a[::-1]) == pytest.approx(0, abs=1e-9 * scale)
    assert frechet(b, a) == pytest.approx(value, abs=1e-9 * scale)
    turn = ortho_group.rvs(d, random_state=seed % 1000) if d > 1 else np.array([[-1.0]])
    assert frechet(a @ turn + 3, b @ turn + 3) == pytest.approx(value, abs=1e-8 * scale)
    assert frechet(3 * a, 3 * b) == pytest.approx(9 * value, abs=1e-8 * scale)


def test_frechet_falls_with_n_for_one_distribution() -> None:
    rng = np.random.default_rng(4)
    small = np.mean([frechet(rng.normal(size=(30, 8)), rng.normal(size=(30, 8))) for _ in range(20)])
    large = np.mean([frechet(rng.normal(size=(300, 8)), rng.normal(size=(300, 8))) for _ in range(20)])
    assert large < 0.2 * small  # the bias goes as 1/n


def mmd2_by_loops(x: np.ndarray, y: np.ndarray) -> float:
    def k(u: np.ndarray, v: np.ndarray) -> float:
        return float((u @ v / len(u) + 1) ** 3)

    n = len(x)
    within = sum(k(s[i], s[j]) for s in (x, y) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return within - 2 * sum(k(u, v) for u in x for v in y) / n**2


def test_kernel_distance_is_the_mean_over_subsets() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(12, 4)), rng.normal(1, 1, size=(12, 4))
    again = np.random.default_rng(9)
    values = []
    for _ in range(7):
        rows_a, rows_b = again.choice(12, 5, False), again.choice(12, 5, False)
        values.append(mmd2_by_loops(a[rows_a], b[rows_b]))
    mean, sd = kernel_distance(a, b, subsets=7, size=5, seed=9)
    assert mean == pytest.approx(np.mean(values), rel=1e-10)
    assert sd == pytest.approx(np.std(values), rel=1e-10)


def test_kernel_distance_is_unbiased_and_sees_a_difference() -> None:
    rng = np.random.default_rng(6)
    same = [kernel_distance(rng.normal(size=(40, 5)), rng.normal(size=(40, 5)), subsets=10)[0] for _ in range(60)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(len(same))
    assert min(same) < 0 < max(same)
    shifted, sd = kernel_distance(rng.normal(size=(200, 5)), rng.normal(1.0, 1, size=(200, 5)))
    assert shifted > 5 * sd > 0


@settings(max_examples=20)
@given(seed=SEEDS, n=st.integers(5, 30), d=st.integers(1, 6))
def test_precision_and_recall_of_equal_sets_are_one(seed: int, n: int, d: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(n, d))
    assert precision_recall(rows, rows[::-1]) == (1.0, 1.0)


@settings(max_examples=20)
@given(seed=SEEDS, scale=st.floats(0.01, 100))
def test_precision_and_recall_swap_with_the_sets_and_do_not_see_scale(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(30, 3)), rng.normal(0.7, 0.6, size=(25, 3))
    precision, recall = precision_recall(a, b)
    assert precision_recall(b, a) == (recall, precision)
    scaled = precision_recall(a * scale, b * scale)
    assert scaled == pytest.approx((precision, recall), abs=0.04)  # a point on the border may round to either side


def test_precision_and_recall_by_hand() -> None:
    """On a line, k = 1: reals 0, 1, 10 with radii 1, 1, 9; fakes 0.5, 30, 31 with radii 29.5, 1, 1."""
    real, fake = np.array([[0.0], [1.0], [10.0]]), np.array([[0.5], [30.0], [31.0]])
    assert precision_recall(real, fake, k=1) == (pytest.approx(1 / 3), 1.0)


def test_fewer_modes_cost_recall_and_not_precision() -> None:
    rng = np.random.default_rng(7)
    centres = 20 * np.eye(4)
    real = np.concatenate([c + rng.normal(size=(50, 4)) for c in centres])
    fake = np.concatenate([c + rng.normal(size=(100, 4)) for c in centres[:2]])
    precision, recall = precision_recall(real, fake)
    assert precision > 0.7
    assert 0.3 < recall <= 0.5


def test_mean_pairwise_distance_by_hand() -> None:
    assert mean_pairwise_distance(np.array([[0.0, 0], [3, 4], [0, 8]])) == pytest.approx((5 + 8 + 5) / 3)


def test_bootstrap_sd_of_a_difference_of_means() -> None:
    rng = np.random.default_rng(8)
    a, b = rng.normal(size=(100, 1)), rng.normal(size=(400, 1))
    sd = bootstrap_sd(lambda x, y: float(x.mean() - y.mean()), a, b, samples=400)
    assert sd == pytest.approx(np.sqrt(1 / 100 + 1 / 400), rel=0.2)


def test_what_cannot_be_measured_is_said() -> None:
    with pytest.raises(LatentError, match="at least 2 images"):
        frechet(np.zeros((1, 3)), np.zeros((5, 3)))
    with pytest.raises(LatentError, match="different networks"):
        frechet(np.zeros((5, 2)), np.zeros((5, 3)))
    with pytest.raises(LatentError, match="not finite"):
        precision_recall(np.full((8, 2), np.nan), np.zeros((8, 2)))
