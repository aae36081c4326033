"""The random numbers behind one pass of the augmentation pipe.

All are drawn on the CPU, in float64, from one generator: a run on CUDA makes the same augmentations as one on the CPU,
resumes from a saved generator exactly, and knows its geometry without waiting for the device.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Draws:
    """Draws for `count` images. With a percentile q every value is taken at q of its distribution instead.

    The gates, whether a transform is tried at all, stay random. For values from a normal distribution q stands for
    erfinv(2q - 1), which is the quantile over sqrt(2): the reference values that the tests hold use that scale.
    """

    count: int
    p: float
    generator: torch.Generator
    percentile: float | None = None

    def uniform(self, *shape: int) -> torch.Tensor:
        """(count, *shape) in [0, 1)."""
        if self.percentile is not None:
            return torch.full((self.count, *shape), self.percentile, dtype=torch.float64)
        return torch.rand(self.count, *shape, generator=self.generator, dtype=torch.float64)

    def either_way(self, *shape: int) -> torch.Tensor:
        """(count, *shape) uniform in [-1, 1)."""
        return self.uniform(*shape) * 2 - 1

    def choice(self, options: int) -> torch.Tensor:
        """(count,) of 0 .. options - 1."""
        return (self.uniform() * options).floor()

    def normal(self, *shape: int) -> torch.Tensor:
        """(count, *shape), mean 0, variance 1."""
        if self.percentile is not None:
            q = torch.tensor(2 * self.percentile - 1, dtype=torch.float64)
            return torch.erfinv(q).expand(self.count, *shape)
        return torch.randn(self.count, *shape, generator=self.generator, dtype=torch.float64)

    def half_normal(self) -> torch.Tensor:
        """(count,) of |x| with x normal."""
        if self.percentile is not None:
            return torch.erfinv(torch.tensor(self.percentile, dtype=torch.float64)).expand(self.count)
        return self.normal().abs()

    def gated(self, value: torch.Tensor, neutral: float, probability: float) -> torch.Tensor:
        """`value` (count, ...) where the image's gate opens, with the given probability, else `neutral`."""
        gate = torch.rand(self.count, generator=self.generator, dtype=torch.float64) < probability
        return torch.where(gate.view(-1, *[1] * (value.dim() - 1)), value, neutral)
