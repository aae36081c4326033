"""The distribution of the portraits' codes during training: recent codes, and free ones drawn like them.

A free code is mean + spread X' a / sqrt(m), X the m recent codes about their mean and a ~ N(0, I): normal, with exactly
their covariance times spread^2 (`latent.training.mapping_fit` has the reason), and no factorisation. What the mapping
network is fitted to at the end is this distribution.
"""

import torch
from torch import Tensor

CAPACITY = 4096


class CodeCloud:
    """codes: (m, w_dim), m at most CAPACITY, oldest first."""

    def __init__(self) -> None:
        self.codes = torch.empty(0, 0)

    @property
    def full(self) -> bool:
        return len(self.codes) == CAPACITY

    def add(self, codes: Tensor) -> None:
        """Add codes (n, w_dim) in place of the oldest."""
        new = codes.detach().float()[-CAPACITY:]
        if self.full:  # in place: a recorded step writes where it wrote when it was recorded
            self.codes.copy_(torch.cat([self.codes[len(new) :], new]))
        else:
            self.codes = torch.cat([self.codes.to(new), new])[-CAPACITY:] if self.codes.numel() else new.clone()

    def draw(self, n: int, rng: torch.Generator, spread: float = 1.0) -> Tensor:
        """(n, w_dim): free codes. Raises ValueError before there are two."""
        if len(self.codes) < 2:
            raise ValueError("no codes to draw from")
        mean = self.codes.mean(0)
        weights = torch.randn(n, len(self.codes), generator=rng, device=rng.device).to(self.codes)
        weights = spread * weights / (len(self.codes) - 1) ** 0.5
        return mean + weights @ (self.codes - mean)


def place(codes: Tensor, z: Tensor, spread: float = 1.0) -> Tensor:
    """Codes (n, w_dim) for z ~ N(0, I) of that shape, normal with the mean of codes (m, w_dim) and spread^2 times their
    covariance.

    The root of the covariance is the symmetric one, so that the same z gives nearly the same code while codes move
    little. Raises ValueError for fewer than two codes.
    """
    if len(codes) < 2:
        raise ValueError("no codes to draw from")
    values, vectors = torch.linalg.eigh(torch.cov(codes.T.double()))
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return codes.mean(0) + spread * z.to(codes) @ root.to(codes)
