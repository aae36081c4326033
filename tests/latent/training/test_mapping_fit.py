"""The mapping network fitted in closed form: moments of its codes, what it refuses, the shift of the origin."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from latent.checkpoints import load_checkpoint
from latent.encoders.wplus import WPlusEncoder
from latent.errors import LatentError
from latent.stylegan2.generator import MappingNetwork
from latent.training.mapping_fit import fit_mapping, origin_for, shift_codes


@pytest.mark.parametrize("spread", [1.0, 1.3])
def test_mapping_fit_gives_codes_the_mean_and_covariance_asked_for(spread: float) -> None:
    rng = torch.Generator().manual_seed(0)
    w = 3.0 + torch.randn(3000, 8, generator=rng) @ torch.randn(8, 24, generator=rng)
    w = w + origin_for(w, spread)
    assert float((w < 0).float().mean()) < 1e-3
    mapping = MappingNetwork(8, 0, 24, 4, num_layers=2, layer_features=24, lr_multiplier=1.0)
    fit_mapping(mapping, w, spread=spread)
    with torch.no_grad():
        free = mapping(torch.randn(3000, 8, generator=rng), None, update_emas=False)[:, 0]
    assert torch.allclose(free.mean(0), w.mean(0), atol=0.15 * float(w.std()))
    gap = torch.cov(free.T) / spread**2 - torch.cov(w.T)
    assert float(torch.linalg.matrix_norm(gap) / torch.linalg.matrix_norm(torch.cov(w.T))) < 0.15
    assert torch.equal(mapping.w_avg, w.mean(0))


def test_mapping_fit_refuses_another_network() -> None:
    with pytest.raises(LatentError, match="two layers"):
        fit_mapping(MappingNetwork(8, 0, 24, 4, num_layers=3), torch.randn(50, 24))


def test_a_shift_of_the_origin_changes_no_picture(tiny_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint, parts=("generator",))
    g = copy.deepcopy(checkpoint.generator)
    encoder = WPlusEncoder(g.img_resolution, g.num_ws, g.w_dim, width=16)
    images = torch.randn(3, 3, g.img_resolution, g.img_resolution)
    with torch.no_grad():
        before = g.synthesis(encoder(images), noise_mode="const")
        shift_codes(g, encoder, torch.rand(g.w_dim) * 3)
        after = g.synthesis(encoder(images), noise_mode="const")
    assert not torch.allclose(encoder.w_avg, torch.zeros(g.w_dim))
    assert torch.allclose(before, after, atol=1e-4 * float(before.abs().max()))
