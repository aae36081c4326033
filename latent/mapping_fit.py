"""Phase 2 of a warm start: give every known code w a z ~ N(0, I), and fit a mapping network to the pairs.

The first columns of z are the portrait's known factors. The free columns are the leading principal scores, scaled to
variance 1, of what a ridge regression on the factors leaves unexplained of w; so that free samples of z vary in all
that the portraits vary in, and not only in the factors. No picture is computed here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from latent.stylegan2.generator import MappingNetwork

BATCH = 256
RATE = 2e-3
NOISE = 0.1  # standard deviation added to z, so that the network is smooth between the pairs
RIDGE = 0.1  # penalty as a share of the number of rows


def ridge(x: Tensor, y: Tensor) -> Tensor:
    """Ridge prediction (N, q) of y (N, q) from standardised x (N, p)."""
    centre = y.mean(0)
    gram = x.T @ x + RIDGE * len(x) * torch.eye(x.shape[1], device=x.device)
    return x @ torch.linalg.solve(gram, x.T @ (y - centre)) + centre


def pair_codes(known: Tensor, w: Tensor, z_dim: int) -> Tensor:
    """z (N, z_dim) for codes w (N, w_dim) with known factor scores (N, k), k <= z_dim."""
    left = w - ridge(known, w)
    left = left - left.mean(0)
    _, _, axes = torch.linalg.svd(left, full_matrices=False)
    scores = left @ axes[: z_dim - known.shape[1]].T
    return torch.cat([known, scores / scores.std(0).clamp_min(1e-8)], dim=1)


def fit_mapping(mapping: MappingNetwork, z: Tensor, w: Tensor, steps: int, rng: torch.Generator) -> float:
    """Fit `mapping` to the pairs in place; returns the mean squared error (last batch) in units of w's variance."""
    scale = w.std(0).mean()
    optimiser = torch.optim.Adam(mapping.parameters(), lr=RATE, betas=(0.9, 0.99))
    unexplained = torch.zeros(())
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = RATE * (1 - step / steps) + 1e-6
        rows = torch.randint(len(z), (BATCH,), generator=rng).to(z.device)
        noisy = z[rows] + NOISE * torch.randn(BATCH, z.shape[1], generator=rng).to(z.device)
        unexplained = ((mapping(noisy, None)[:, 0] - w[rows]) / scale).square().mean()
        optimiser.zero_grad(set_to_none=True)
        unexplained.backward()
        optimiser.step()
    with torch.no_grad():
        mapping.w_avg.copy_(w.mean(0))
    return float(unexplained.detach())
