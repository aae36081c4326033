"""Edits: a state says all, the strip is the single frames, the cache gives back what it kept."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from latent.checkpoints import Checkpoint
from latent.editing.directions import Direction, direction_from_gradient
from latent.editing.render import EditState, FrameCache, luminance_difference, mean_code, render, render_strip
from latent.errors import LatentError
from tests.latent.tiny import own_codes, tiny_checkpoint


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return tiny_checkpoint(16)


@pytest.fixture(scope="module")
def ws(checkpoint: Checkpoint) -> np.ndarray:
    return own_codes(checkpoint, 1)[0]


@pytest.fixture(scope="module")
def health(ws: np.ndarray) -> Direction:
    return direction_from_gradient(np.random.default_rng(0).standard_normal(ws.shape))


def test_strip_equals_single_frames(checkpoint: Checkpoint, ws: np.ndarray, health: Direction) -> None:
    steps = np.linspace(-1.5, 1.5, 11)
    strip = render_strip(checkpoint, ws, health, steps, band=(1, 5), truncation=0.8)
    assert strip.shape == (11, 16, 16, 3)
    assert strip.dtype == np.uint8
    for step, picture in zip(steps[::5], strip[::5], strict=True):
        frame = render(checkpoint, EditState.of(ws, health, step, (1, 5), 0.8))
        assert np.abs(frame.image.astype(int) - picture).max() <= 1
    assert np.any(strip[0] != strip[-1])


def test_risk_of_a_frame(checkpoint: Checkpoint, ws: np.ndarray, health: Direction) -> None:
    step = float(np.log(2))
    assert render(checkpoint, EditState.of(ws, health, step)).log_hr == pytest.approx(step, abs=1e-4)
    assert render(checkpoint, EditState.of(ws, health, step, (2, 4))).log_hr == pytest.approx(step, abs=1e-4)
    drawn = render(checkpoint, EditState.of(ws, health, step, None, 0.5))
    towards_mean = float(health.effect(0.5 * (mean_code(checkpoint) - ws)))
    assert drawn.log_hr == pytest.approx(step + towards_mean, abs=1e-4)
    assert render(checkpoint, EditState.of(ws)).log_hr == 0.0


def test_truncation_to_nothing_is_the_mean_face(checkpoint: Checkpoint, ws: np.ndarray) -> None:
    mean_face = render(checkpoint, EditState.of(np.tile(mean_code(checkpoint), (len(ws), 1))))
    np.testing.assert_array_equal(render(checkpoint, EditState.of(ws, truncation=0.0)).image, mean_face.image)


def test_states_are_values(ws: np.ndarray, health: Direction) -> None:
    state = EditState.of(ws, health, 0.5, (0, 3), 0.9)
    same = EditState.of(ws.copy(), replace(health), 0.5, (0, 3), 0.9)
    assert state == same
    assert hash(state) == hash(same)
    assert len({state, same, replace(state, step=0.6), replace(state, truncation=1.0), replace(state, band=None)}) == 4
    np.testing.assert_array_equal(state.ws, ws)
    with pytest.raises(FrozenInstanceError):
        state.step = 1.0  # type: ignore[misc]
    state.ws[:] = 0  # a copy: the state stays
    np.testing.assert_array_equal(state.ws, ws)


def test_cache_keeps_the_recently_used(checkpoint: Checkpoint, ws: np.ndarray, health: Direction) -> None:
    cache = FrameCache(checkpoint, size=2)
    states = [EditState.of(ws, health, step) for step in (0.0, 0.5, 1.0)]
    first, second = cache.render(states[0]), cache.render(states[1])
    assert cache.render(states[0]) is first
    cache.render(states[2])  # pushes out the second, which was used longest ago
    assert len(cache) == 2
    assert cache.render(states[0]) is first
    again = cache.render(states[1])
    assert again is not second
    np.testing.assert_array_equal(again.image, second.image)


def test_refusals(checkpoint: Checkpoint, ws: np.ndarray, health: Direction) -> None:
    with pytest.raises(LatentError, match="invert the photo with this model"):
        render(checkpoint, EditState.of(ws[:-1]))
    with pytest.raises(LatentError, match="not a band"):
        render(checkpoint, EditState.of(ws, health, 1.0, (3, 99)))
    with pytest.raises(LatentError, match="finite table"):
        EditState.of(np.full_like(ws, np.nan))


def test_luminance_difference() -> None:
    before = np.zeros((2, 2, 3), np.uint8)
    after = before.copy()
    after[0, 0], after[1, 1] = (255, 255, 255), (0, 255, 0)
    np.testing.assert_allclose(luminance_difference(before, after), [[1, 0], [0, 0.7152]], atol=1e-6)
    np.testing.assert_allclose(luminance_difference(after, before), [[-1, 0], [0, -0.7152]], atol=1e-6)
