"""Free codes against the mean and covariance of the codes they are drawn like."""

from __future__ import annotations

import pytest
import torch

from latent.training.reconstruction.code_cloud import CAPACITY, CodeCloud, place


@pytest.mark.parametrize("spread", [1.0, 1.3])
def test_free_codes_have_the_mean_and_covariance_of_the_recent_ones(spread: float) -> None:
    rng = torch.Generator().manual_seed(0)
    cloud = CodeCloud()
    with pytest.raises(ValueError, match="no codes"):
        cloud.draw(1, rng)
    cloud.add(torch.full((CAPACITY, 3), 9.0))  # pushed out by what follows
    codes = 2.0 + torch.randn(CAPACITY, 3, generator=rng) @ torch.randn(3, 3, generator=rng)
    for part in codes.split(500):
        cloud.add(part)
    assert torch.equal(cloud.codes, codes)
    free = cloud.draw(4000, rng, spread)
    assert torch.allclose(free.mean(0), codes.mean(0), atol=0.15)
    gap = torch.linalg.matrix_norm(torch.cov(free.T) / spread**2 - torch.cov(codes.T))
    assert float(gap / torch.linalg.matrix_norm(torch.cov(codes.T))) < 0.1
    placed = place(codes, torch.randn(4000, 3, generator=rng), spread)
    assert torch.allclose(placed.mean(0), codes.mean(0), atol=0.15)
    gap = torch.linalg.matrix_norm(torch.cov(placed.T) / spread**2 - torch.cov(codes.T))
    assert float(gap / torch.linalg.matrix_norm(torch.cov(codes.T))) < 0.1
