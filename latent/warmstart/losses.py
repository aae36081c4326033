"""How a reconstruction is judged: pyramid L1, face features, and a critic of patches."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from latent.perceptual import face_feature_distance

OCTAVES = 3


def centre_weight(resolution: int, device: torch.device | str) -> Tensor:
    """(1, 1, R, R), mean 1: an error in the face counts about three times one in the corner."""
    axis = torch.linspace(-1, 1, resolution, device=device)
    bump = torch.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / 0.5)
    weight = 0.5 + bump
    return (weight / weight.mean())[None, None]


def regression_loss(fake: Tensor, real: Tensor, weight: Tensor, feature_weight: float) -> dict[str, Tensor]:
    """Pyramid L1 (three scales) and face-feature distance of pairs (B, 3, R, R) in [-1, 1]; minimise `total`."""
    pixel = fake.new_zeros(())
    a, b, w = fake, real, weight
    for _ in range(OCTAVES):
        pixel = pixel + ((a - b).abs() * w).mean()
        a, b, w = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2), F.avg_pool2d(w, 2)
    half = max(1, len(fake) // 2)  # the feature network costs as much as the generator: half a batch will do
    feature = face_feature_distance(fake[:half], real[:half]).mean() if feature_weight else fake.new_zeros(())
    return {"pixel": pixel, "feature": feature, "total": pixel + feature_weight * feature}


class PatchCritic(nn.Module):
    """Images (N, 3, R, R) -> logits (N, 1, R/4, R/4), each for a patch of 18 px (Isola et al. 2017, section 3.2).

    It costs a tenth of a generator and asks for texture only; spectral normalisation (Miyato et al. 2018) bounds its
    slope, so that it needs no gradient penalty.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        shapes = ((3, width, 4, 2), (width, 2 * width, 4, 2), (2 * width, 4 * width, 3, 1), (4 * width, 1, 1, 1))
        self.layers = nn.ModuleList(
            spectral_norm(nn.Conv2d(before, after, kernel, stride, (kernel - 1) // 2))
            for before, after, kernel, stride in shapes
        )

    def forward(self, images: Tensor) -> Tensor:
        x = images
        for layer in self.layers[:-1]:
            x = F.leaky_relu(layer(x), 0.2)
        return self.layers[-1](x) * 4.0  # slopes are at most one: without the factor the hinge would be out of reach


def hinge(on_real: Tensor, on_fake: Tensor) -> Tensor:
    """The critic's loss (Lim and Ye 2017)."""
    return F.relu(1 - on_real).mean() + F.relu(1 + on_fake).mean()
