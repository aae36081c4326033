"""Coordinates of W in which a step means the same along every axis: PCA scores over their deviations.

Axes with less than a tenth of the largest variance count as that wide: W is nearly flat along most axes, and a photo
that is not itself a sample lies outside W along many of them (docs/methods.md, Inversion, has the numbers).
"""

import torch
from torch import Tensor

from latent.space import WStatistics

AXIS_FLOOR = 0.1  # of the largest variance


class Whitening:
    """x = (w - mean) V^T / s with s = sqrt(max(variance, floor)); what V does not span stays as `rest`."""

    def __init__(self, statistics: WStatistics, device: torch.device | str) -> None:
        self.mean, self.components, variances = (
            torch.as_tensor(values, dtype=torch.float32, device=device)
            for values in (statistics.mean, statistics.components, statistics.variances)
        )
        self.scale = variances.clamp(min=float(variances.max()) * AXIS_FLOOR).sqrt()
        self.typical = float((variances / self.scale.square()).mean())  # mean of x^2 over codes drawn from W

    def split(self, ws: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (N, num_ws, w_dim) -> whitened (N, num_ws, k) and the rest (N, num_ws, w_dim)."""
        offset = ws - self.mean
        scores = offset @ self.components.T
        return scores / self.scale, offset - scores @ self.components

    def join(self, x: Tensor, rest: Tensor) -> Tensor:
        return self.mean + (x * self.scale) @ self.components + rest

    def implausibility(self, x: Tensor) -> Tensor:
        """Mean square of whitened codes (N, num_ws, k) over that of codes drawn from W: (N,), 1 for such a code."""
        return x.square().mean((1, 2)) / self.typical
