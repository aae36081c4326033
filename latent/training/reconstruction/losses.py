"""How a reconstruction is judged: pyramid L1 and face features."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from latent.features.perceptual import face_feature_distance

OCTAVES = 3


def centre_weight(resolution: int, device: torch.device | str) -> Tensor:
    """(1, 1, R, R), mean 1: an error in the face counts about three times one in the corner."""
    axis = torch.linspace(-1, 1, resolution, device=device)
    bump = torch.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / 0.5)
    weight = 0.5 + bump
    return (weight / weight.mean())[None, None]


def pyramid_l1(fake: Tensor, real: Tensor, weight: Tensor) -> Tensor:
    """Sum over three scales of the mean weighted absolute difference of pairs (B, 3, R, R)."""
    total = fake.new_zeros(())
    a, b, w = fake, real, weight
    for _ in range(OCTAVES):
        total = total + ((a - b).abs() * w).mean()
        a, b, w = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2), F.avg_pool2d(w, 2)
    return total


def regression_loss(fake: Tensor, real: Tensor, weight: Tensor, feature_weight: float) -> dict[str, Tensor]:
    """Pyramid L1 and face-feature distance of pairs (B, 3, R, R) in [-1, 1]; minimise `total`."""
    pixel = pyramid_l1(fake, real, weight)
    half = max(1, len(fake) // 2)  # the feature network costs as much as the generator: half a batch will do
    feature = face_feature_distance(fake[:half], real[:half]).mean() if feature_weight else fake.new_zeros(())
    return {"pixel": pixel, "feature": feature, "total": pixel + feature_weight * feature}
