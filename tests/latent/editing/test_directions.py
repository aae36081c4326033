"""The law of every health direction: a step of s changes the model's log-hazard by exactly s."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latent.editing.directions import (
    Direction,
    direction_from_gradient,
    load_direction,
    pattern_direction,
    save_direction,
)
from latent.errors import LatentError

NUM_WS, W_DIM = 6, 12
seeds = st.integers(0, 2**32 - 1)


def draw(seed: int, cohort: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """A gradient (num_ws, w_dim) and correlated codes (cohort, num_ws, w_dim)."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((W_DIM, W_DIM)) * np.exp(rng.normal(0, 1, W_DIM))
    codes = rng.standard_normal((cohort, NUM_WS, W_DIM)) @ mixing + 3.0
    return rng.standard_normal((NUM_WS, W_DIM)) * 10 ** rng.uniform(-3, 1), codes


def both(seed: int) -> list[Direction]:
    gradient, codes = draw(seed)
    return [direction_from_gradient(gradient), pattern_direction(gradient, codes)]


def log_hazard_change(direction: Direction, ws: np.ndarray, steps: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    moved = direction.apply(ws, steps).astype(np.float64)
    return np.tensordot(moved - ws.astype(np.float64), gradient, axes=2)


@settings(max_examples=40)
@given(seed=seeds, steps=st.lists(st.floats(-3, 3), min_size=1, max_size=5))
def test_step_changes_log_hazard_by_itself(seed: int, steps: list[float]) -> None:
    gradient, codes = draw(seed)
    ws = codes[0].astype(np.float32)
    rounding = 1e-6 * np.linalg.norm(gradient) * np.linalg.norm(ws)  # of float32 codes
    for direction in both(seed):
        change = log_hazard_change(direction, ws, np.array(steps), gradient)
        np.testing.assert_allclose(change, steps, atol=1e-5 + rounding)


@settings(max_examples=40)
@given(seed=seeds, band=st.tuples(st.integers(0, 5), st.integers(1, 6)).filter(lambda b: b[0] < b[1]))
def test_band_keeps_the_step_or_refuses(seed: int, band: tuple[int, int]) -> None:
    gradient, codes = draw(seed)
    ws = np.zeros_like(codes[0], dtype=np.float32)
    for direction in both(seed):
        try:
            narrow = direction.restricted(band)
        except LatentError:
            assert direction.kind == "pattern"  # coefficients of a random gradient reach every layer
            continue
        outside = np.delete(narrow.vector, range(*band), axis=0)
        assert not outside.any()
        np.testing.assert_allclose(log_hazard_change(narrow, ws, np.array([0.7]), gradient), 0.7, atol=1e-4)


@settings(max_examples=20)
@given(seed=seeds)
def test_pattern_is_covariance_times_gradient(seed: int) -> None:
    gradient, codes = draw(seed)
    covariance = np.cov(codes.reshape(len(codes), -1), rowvar=False)
    expected = covariance @ gradient.ravel()
    expected /= gradient.ravel() @ expected
    np.testing.assert_allclose(pattern_direction(gradient, codes).vector.ravel(), expected, rtol=1e-4, atol=1e-6)


def test_pattern_equals_coefficients_for_white_codes() -> None:
    """With a covariance that is a multiple of the identity the two directions are one."""
    gradient, _ = draw(3)
    white = np.concatenate([np.eye(NUM_WS * W_DIM), -np.eye(NUM_WS * W_DIM)]).reshape(-1, NUM_WS, W_DIM)
    pattern, plain = pattern_direction(gradient, white).vector, direction_from_gradient(gradient).vector
    np.testing.assert_allclose(pattern, plain, atol=1e-5 * np.abs(plain).max())


def test_pattern_ignores_a_suppressor() -> None:
    """Codes a = health + noise, b = noise: the best readout is a - b, but the face changes with health in `a` alone."""
    rng = np.random.default_rng(0)
    health, noise = rng.standard_normal((2, 20_000))
    codes = np.zeros((20_000, 1, 2))
    codes[:, 0, 0], codes[:, 0, 1] = health + noise, noise
    gradient = np.array([[1.0, -1.0]])
    np.testing.assert_allclose(direction_from_gradient(gradient).vector, [[0.5, -0.5]], atol=1e-6)
    np.testing.assert_allclose(pattern_direction(gradient, codes).vector, [[1.0, 0.0]], atol=0.03)


@pytest.mark.parametrize(
    ("gradient", "sentence"),
    [(np.zeros((4, 8)), "gradient is zero"), (np.full((4, 8), np.nan), "finite"), (np.ones(8), "one row per layer")],
)
def test_refused_gradients(gradient: np.ndarray, sentence: str) -> None:
    with pytest.raises(LatentError, match=sentence):
        direction_from_gradient(gradient)


def test_refused_bands_and_cohorts() -> None:
    gradient, codes = draw(2)
    gradient[0:2] = 0
    direction = direction_from_gradient(gradient)
    with pytest.raises(LatentError, match="0 % of this direction's effect"):
        direction.restricted((0, 2))
    with pytest.raises(LatentError, match="not a band"):
        direction.restricted((4, 7))
    with pytest.raises(LatentError, match="already restricted"):
        direction.restricted((2, 4)).restricted((3, 4))
    with pytest.raises(LatentError, match="same risk"):
        pattern_direction(gradient, np.ones((5, NUM_WS, W_DIM)))
    with pytest.raises(LatentError, match="at least two codes"):
        pattern_direction(gradient, codes[:1])
    with pytest.raises(LatentError, match="codes of shape"):
        direction.apply(np.zeros((NUM_WS + 1, W_DIM), np.float32), 1.0)


def test_key_and_equality() -> None:
    first, second = both(9)
    assert first == both(9)[0]
    assert hash(first) == hash(both(9)[0])
    assert first != second
    assert first != first.restricted((0, 3))


def test_save_and_load(tmp_path: Path) -> None:
    direction = both(5)[1].restricted((1, 5))
    save_direction(tmp_path / "deep" / "health.npz", direction)
    again = load_direction(tmp_path / "deep" / "health.npz")
    assert (again, again.band, again.name) == (direction, (1, 5), direction.name)
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["health.npz"]
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 nothing")
    np.savez(tmp_path / "pickled.npz", vector=np.array([{}], dtype=object))
    for name in ("broken.npz", "pickled.npz", "missing.npz"):
        with pytest.raises(LatentError, match=name):
            load_direction(tmp_path / name)
