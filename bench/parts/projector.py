"""The baseline that inversion is measured against: the 1000-step W projection of Karras et al. 2020 (section 5).

One code w for all layers, Adam with learning rate 0.1, raised over the first 5 % and lowered by a cosine over the last
25 % of the steps; Gaussian noise of 0.05 standard deviations of W added to w, fading with the square of what is left of
the first 75 %; the generator's noise maps optimised too, held to white noise by their autocorrelation on several
scales (weight 1e5) and renormalised after every step. The image distance is whichever `load_perceptual` gives, the
same that ours is measured with, so the comparison is of the searches.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from latent.checkpoints import Checkpoint
from latent.features.perceptual import load_perceptual
from latent.images import to_tensor, to_uint8

LEARNING_RATE = 0.1
RAMP_UP, RAMP_DOWN = 0.05, 0.25
CODE_NOISE, CODE_NOISE_UNTIL = 0.05, 0.75
NOISE_REGULARISER = 1e5
SMALLEST_NOISE_MAP = 8  # px a side: where the scales of the regulariser end


@dataclass(frozen=True, eq=False)
class Projection:
    """w: float32 (w_dim,); reconstruction: uint8 (R, R, 3), with the optimised noise maps; seconds."""

    w: np.ndarray
    reconstruction: np.ndarray
    seconds: float


def noise_maps(generator: torch.nn.Module) -> list[Tensor]:
    """The buffers `noise_const` of a generator's layers, coarse to fine."""
    return [buffer for name, buffer in generator.named_buffers() if name.endswith("noise_const")]


def noise_autocorrelation(maps: list[Tensor]) -> Tensor:
    """Squared correlation of each map with itself moved by one pixel, over halvings down to 8 px: 0 for white noise."""
    total = maps[0].new_zeros(())
    for noise in maps:
        level = noise[None, None]
        while True:
            for axis in (2, 3):
                total = total + (level * level.roll(1, axis)).mean().square()
            if level.shape[-1] <= SMALLEST_NOISE_MAP:
                break
            level = F.avg_pool2d(level, 2)
    return total


def learning_rate(progress: float) -> float:
    """At `progress` in [0, 1)."""
    fall = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1.0 - progress) / RAMP_DOWN))
    return LEARNING_RATE * fall * min(1.0, progress / RAMP_UP)


def project(checkpoint: Checkpoint, image: np.ndarray, steps: int = 1000, seed: int = 0) -> Projection:
    """Project an aligned face uint8 (R, R, 3) at the checkpoint's resolution."""
    began = time.perf_counter()
    device = torch.device(checkpoint.device)
    generator = copy.deepcopy(checkpoint.generator).requires_grad_(False)
    perceptual = load_perceptual(device)
    target = to_tensor(image[None], device)
    with torch.no_grad():
        target_features = perceptual.features(target)
    rng = torch.Generator().manual_seed(seed)
    mean = torch.as_tensor(checkpoint.statistics.mean, dtype=torch.float32, device=device)
    w_std = float(torch.as_tensor(checkpoint.statistics.variances).double().sum().sqrt())
    w = mean.clone().requires_grad_(True)
    maps = noise_maps(generator)
    with torch.no_grad():
        for noise in maps:
            noise.copy_(torch.randn(noise.shape, generator=rng))
    for noise in maps:
        noise.requires_grad_(True)
    optimizer = torch.optim.Adam([w, *maps], betas=(0.9, 0.999), lr=LEARNING_RATE)
    for step in range(steps):
        progress = step / steps
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(progress)
        strength = w_std * CODE_NOISE * max(0.0, 1.0 - progress / CODE_NOISE_UNTIL) ** 2
        moved = w + strength * torch.randn(w.shape, generator=rng).to(device)
        picture = generator.synthesis(moved.expand(1, checkpoint.num_ws, -1), noise_mode="const")
        loss = perceptual.between(perceptual.features(picture), target_features).sum()
        loss = loss + NOISE_REGULARISER * noise_autocorrelation(maps)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for noise in maps:
                noise -= noise.mean()
                noise *= noise.square().mean().rsqrt()
    with torch.no_grad():
        picture = generator.synthesis(w.expand(1, checkpoint.num_ws, -1), noise_mode="const")
    return Projection(w.detach().cpu().numpy(), to_uint8(picture)[0], time.perf_counter() - began)
