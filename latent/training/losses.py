"""What training minimises: the objectives of StyleGAN2, and how far a reconstruction is from its portrait.

Karras et al. 2019 (arXiv:1912.04958): logistic losses and two regularisers. The hinge losses of a projected
discriminator are in `latent.training.projected_discriminator`.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from latent.features.perceptual import face_feature_distance

OCTAVES = 3


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


def reconstruction_loss(fake: Tensor, real: Tensor, weight: Tensor, feature_weight: float) -> dict[str, Tensor]:
    """Pyramid L1 and face-feature distance of pairs (B, 3, R, R) in [-1, 1]; minimise `total`."""
    pixel = pyramid_l1(fake, real, weight)
    half = max(1, len(fake) // 2)  # the feature network costs as much as the generator: half a batch will do
    feature = face_feature_distance(fake[:half], real[:half]).mean() if feature_weight else fake.new_zeros(())
    return {"pixel": pixel, "feature": feature, "total": pixel + feature_weight * feature}
