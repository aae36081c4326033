"""What camera and processing do to training portraits: each parameter by itself, reproducible, and a readout target."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from latent.training.reconstruction import photometric
from latent.training.reconstruction.data import Portraits
from tests.latent.training import helpers

COUNT = len(photometric.NAMES)


def pictures(n: int = 2, side: int = 32, seed: int = 0) -> Tensor:
    """Smooth random pictures well inside [-1, 1], so that nothing is cut."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 4, 4, generator=rng) * 0.6 - 0.3
    return torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")


def altered(images: Tensor, seed: int = 1, **deviations: float) -> Tensor:
    """With these parameters alone; the grain as faint as it gets unless it is among them."""
    parameters = torch.zeros(len(images), COUNT)
    parameters[:, photometric.NAMES.index("grain")] = -1000.0
    for name, value in deviations.items():
        parameters[:, photometric.NAMES.index(name)] = value
    return photometric.alter(images, parameters, 1.0, torch.Generator().manual_seed(seed))


def test_no_strength_changes_nothing() -> None:
    images, rng = pictures(), torch.Generator().manual_seed(0)
    same = photometric.alter(images, photometric.draw(2, rng), 0.0, rng)
    assert torch.allclose(same, images, atol=1e-6)
    assert torch.allclose(altered(images), images, atol=1e-6)


@given(st.floats(-2.5, 2.5))
def test_gains_act_on_the_channels_they_are_about(deviations: float) -> None:
    images = pictures()
    ratio = (altered(images, temperature=deviations) + 1) / (images + 1)
    gain = torch.tensor(photometric.TEMPERATURE * deviations).exp()
    for channel, expected in enumerate((gain, torch.ones(()), 1 / gain)):
        assert torch.allclose(ratio[:, channel], expected, atol=1e-4)
    ratio = (altered(images, exposure=deviations) + 1) / (images + 1)
    assert torch.allclose(ratio, torch.tensor(photometric.EXPOSURE * deviations).exp(), atol=1e-4)


@given(st.floats(-2.5, 2.5))
def test_contrast_keeps_the_mean(deviations: float) -> None:
    images = pictures()
    changed = altered(images, contrast=deviations)
    assert torch.allclose(changed.mean((1, 2, 3)), images.mean((1, 2, 3)), atol=1e-5)
    gain = torch.tensor(photometric.CONTRAST * deviations).exp()
    assert torch.allclose(changed.std((1, 2, 3)), gain * images.std((1, 2, 3)), rtol=1e-3)


def test_sharpness_goes_from_the_blurred_picture_to_more_than_the_picture() -> None:
    noise = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.4 - 0.2
    detail = [float((x - photometric.blur(x)).std()) for x in (altered(noise, sharpness=s) for s in (-2, -1, 0, 1))]
    assert detail == sorted(detail)
    assert torch.allclose(altered(noise, sharpness=-2.0), photometric.blur(noise), atol=1e-6)
    flat = torch.full((1, 3, 16, 16), 0.3)
    assert torch.allclose(photometric.blur(flat), flat, atol=1e-6), "and no dark edges"


def test_a_blur_is_as_wide_for_the_face_at_every_size() -> None:
    small = pictures(side=128)
    large = torch.nn.functional.interpolate(small, scale_factor=2)
    doubled = torch.nn.functional.avg_pool2d(photometric.blur(large), 2)
    assert (doubled - photometric.blur(small)).abs().mean() < 0.2 * (photometric.blur(small) - small).abs().mean()


def test_grain_has_the_deviation_that_it_says() -> None:
    grey = torch.zeros(1, 3, 128, 128)
    for deviations in (0.0, 1.0):
        expected = 2 * photometric.GRAIN * float(torch.tensor(photometric.GRAIN_SPREAD * deviations).exp())
        assert float(altered(grey, grain=deviations).std()) == pytest.approx(expected, rel=0.02)


def test_a_mirrored_portrait_is_altered_like_the_portrait() -> None:
    images = pictures()
    parameters = photometric.draw(2, torch.Generator().manual_seed(3))
    parameters[:, photometric.NAMES.index("grain")] = -1000.0
    one, other = (
        photometric.alter(x, parameters, 1.0, torch.Generator().manual_seed(1)) for x in (images, images.flip(3))
    )
    assert torch.allclose(one.flip(3), other, atol=1e-6)


def test_a_batch_has_the_parameters_as_targets_and_depends_on_the_seed_alone(tmp_path: Path) -> None:
    folder = helpers.write_set(tmp_path / "set")
    plain, data = (Portraits(folder, 16, torch.device("cpu"), strength) for strength in (0.0, 1.0))
    assert (plain.target_count, data.target_count) == (0, COUNT)
    rows = torch.arange(8)
    first, again = (data.take(rows, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert first[1].shape == (8, COUNT)
    assert float(first[1].abs().max()) <= photometric.LIMIT
    given_images, known = data.mirrored(rows, torch.Generator().manual_seed(4))
    assert known.shape == (8, 0)
    assert torch.equal(given_images, plain.take(rows, torch.Generator().manual_seed(4))[0]), "the same ones mirrored"
    assert not torch.allclose(first[0], given_images, atol=0.01)
