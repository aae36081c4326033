"""Growth to twice the resolution: the same picture and the same code at first."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from latent.checkpoints import load_checkpoint
from latent.encoders.wplus import WPlusEncoder
from latent.stylegan2 import Generator, ops
from latent.training.reconstruction.growth import grow_encoder, grow_generator


def test_a_grown_generator_draws_the_old_picture_doubled(tiny_checkpoint: Path) -> None:
    old = load_checkpoint(tiny_checkpoint, parts=("generator",)).generator
    grown = grow_generator(old)
    assert grown.img_resolution == 2 * old.img_resolution
    assert grown.num_ws == old.num_ws + 2
    ws = old.mapping(torch.randn(3, old.z_dim, generator=torch.Generator().manual_seed(0)), None)
    longer = torch.cat([ws, ws[:, -1:].expand(-1, 2, -1)], dim=1)
    with torch.no_grad():
        small, large = old.synthesis(ws, noise_mode="const"), grown.synthesis(longer, noise_mode="const")
    assert torch.allclose(large, ops.upsample2(small), atol=1e-5)
    assert float(large.std()) > 0.01


def test_growth_refuses_another_architecture() -> None:
    other = Generator(8, 0, 8, 16, 3, synthesis_kwargs={"architecture": "resnet", "channel_base": 64})
    with pytest.raises(ValueError, match="skip"):
        grow_generator(other)


@pytest.mark.parametrize("resolution", [32, 64, 128])
def test_a_grown_encoder_answers_as_the_old_one(resolution: int) -> None:
    torch.manual_seed(0)
    old = WPlusEncoder(resolution, 6, 12, width=16)
    for parameter in old.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    grown = grow_encoder(old, 8)
    images = torch.randn(2, 3, resolution, resolution)
    with torch.no_grad():
        before, after = old(images), grown(F.interpolate(images, scale_factor=2))
    assert after.shape == (2, 8, 12)
    assert torch.allclose(after[:, :6], before, atol=1e-4)
    assert torch.allclose(after[:, 6:], before[:, -1:].expand(-1, 2, -1), atol=1e-4)


def test_growth_of_a_smaller_encoder_is_refused() -> None:
    with pytest.raises(ValueError, match="32 px"):
        grow_encoder(WPlusEncoder(16, 6, 12, width=16), 8)
