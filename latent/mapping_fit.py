"""Phase 2 of a warm start: give every known code w a z ~ N(0, I), and fit a mapping network to the pairs.

The first columns of z are the portrait's known factors. The free columns are the leading principal scores, scaled to
variance 1, of what a ridge regression on the factors leaves unexplained of w; so that free samples of z vary in all
that the portraits vary in, and not only in the factors. No picture is computed here.

The fit has a closed form: all layers but the last keep random weights (random features, Rahimi and Recht 2007), the
last is a ridge regression on what leaves them, of the codes taken back through its leaky ReLU.
"""

from __future__ import annotations

import torch
from torch import Tensor

from latent.stylegan2 import ops
from latent.stylegan2.generator import MappingNetwork
from latent.stylegan2.layers import FullyConnectedLayer

RIDGE = 0.1  # penalty of the regression on factors, as a share of the number of rows
FEATURE_RIDGE = 0.1  # the same for the random features, as a share of their mean square
SLOPE = 0.2  # of the leaky ReLU below zero


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


def fit_mapping(mapping: MappingNetwork, z: Tensor, w: Tensor) -> None:
    """Fit `mapping` to the pairs z (N, z_dim), w (N, w_dim) in place, and set its w_avg."""
    layers = [getattr(mapping, f"fc{index}") for index in range(mapping.num_layers)]
    last: FullyConnectedLayer = layers[-1]
    with torch.no_grad():
        features = ops.normalize_second_moment(z)
        for layer in layers[:-1]:
            features = layer(features)
        before = torch.where(w > 0, w, w / SLOPE).double()
        features = features.double()
        centre, mean = features.mean(0), before.mean(0)
        gram = (features - centre).T @ (features - centre)
        penalty = FEATURE_RIDGE * gram.diagonal().mean() * torch.eye(len(gram), device=gram.device, dtype=gram.dtype)
        solution = torch.linalg.solve(gram + penalty, (features - centre).T @ (before - mean))
        last.weight.copy_(solution.T / last.weight_gain)
        last.bias.copy_((mean - centre @ solution) / last.bias_gain)
        mapping.w_avg.copy_(w.mean(0))


def unexplained(mapping: MappingNetwork, z: Tensor, w: Tensor) -> float:
    """Mean squared error of the mapping's codes as a share of the variance of w (N, w_dim)."""
    with torch.no_grad():
        error = mapping(z, None, update_emas=False)[:, 0] - w
    return float(error.square().mean() / (w - w.mean(0)).square().mean())
