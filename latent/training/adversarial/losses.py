"""The objectives of StyleGAN2 (Karras et al. 2019, arXiv:1912.04958): logistic losses and their two regularisers."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def generator_loss(on_fake: Tensor) -> Tensor:
    """Non-saturating logistic loss of logits (N, 1), the mean of -log sigmoid (Goodfellow et al. 2014, section 3)."""
    return F.softplus(-on_fake).mean()


def discriminator_loss(on_real: Tensor, on_fake: Tensor) -> Tensor:
    """Logistic loss of logits (N, 1) each, the mean of -log sigmoid(real) - log(1 - sigmoid(fake))."""
    return F.softplus(-on_real).mean() + F.softplus(on_fake).mean()


def r1_penalty(on_real: Tensor, real: Tensor) -> Tensor:
    """Mean over the batch of |d logit / d image|^2, differentiable (R1, Mescheder et al. 2018, eq. 9).

    `real` (N, 3, R, R) requires a gradient and `on_real` (N, 1) was computed from it.
    """
    (gradient,) = torch.autograd.grad(on_real.sum(), real, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def path_lengths(images: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
    """|J^T y| for each sample (N,), J = d image / d ws, y = noise / R; differentiable (section 3.2).

    images (N, 3, R, R) were computed from ws (N, num_ws, w_dim), noise is N(0, 1) of the images' shape. The square is
    the mean over layers, so that the length does not grow with their number.
    """
    side = math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * (noise / side)).sum(), ws, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()
