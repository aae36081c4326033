"""A checkpoint small enough for tests: random weights, never written to disk, the same ones every time."""

from pathlib import Path

import numpy as np
import torch

from latent.checkpoints import Checkpoint
from latent.images import to_uint8
from latent.space import sample_ws, w_statistics
from latent.stylegan2 import Generator

W_DIM = 32


def tiny_checkpoint(resolution: int, c_dim: int = 0) -> Checkpoint:
    """A generator of 16-32 channels whose pictures fill most of [-1, 1]."""
    torch.manual_seed(7)
    generator = Generator(
        W_DIM,
        c_dim,
        W_DIM,
        resolution,
        3,
        mapping_kwargs={"num_layers": 2},
        synthesis_kwargs={"channel_base": 512, "channel_max": 32},
    )
    generator.eval().requires_grad_(False)
    for block in generator.synthesis.children():
        block.torgb.weight.mul_(0.3)  # type: ignore[union-attr,operator]
    statistics = w_statistics(generator, samples=2000)
    generator.mapping.w_avg.copy_(torch.from_numpy(statistics.mean))
    return Checkpoint(
        name="tiny",
        generator=generator,
        discriminator=None,
        encoder=None,
        statistics=statistics,
        config={},
        sha256="0" * 64,
        path=Path("tiny"),
    )


def own_codes(checkpoint: Checkpoint, n: int) -> np.ndarray:
    """Codes (n, num_ws, w_dim) that the start of an inversion does not draw."""
    return sample_ws(checkpoint.generator, [1000 + seed for seed in range(n)], psi=1.0)


@torch.no_grad()
def own_faces(checkpoint: Checkpoint, n: int) -> np.ndarray:
    """The pictures of `own_codes`, uint8 (n, R, R, 3)."""
    codes = torch.from_numpy(own_codes(checkpoint, n))
    return to_uint8(checkpoint.generator.synthesis(codes, noise_mode="const"))
