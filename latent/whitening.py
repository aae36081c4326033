"""Coordinates of W in which the codes a generator was trained on are a unit ball: PCA scores over their deviations."""

from __future__ import annotations

import torch
from torch import Tensor

from latent.space import VARIANCE_FLOOR, WStatistics


class Whitening:
    """x = (w - mean) V^T / s with s = sqrt(max(variance, floor)), as `space.mahalanobis` measures; what V does not span
    stays as `rest`."""

    def __init__(self, statistics: WStatistics, device: torch.device | str) -> None:
        self.mean, self.components, variances = (
            torch.as_tensor(values, dtype=torch.float32, device=device)
            for values in (statistics.mean, statistics.components, statistics.variances)
        )
        self.scale = variances.clamp(min=float(variances.max()) * VARIANCE_FLOOR).sqrt()

    def split(self, ws: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (N, num_ws, w_dim) -> whitened (N, num_ws, k) and the rest (N, num_ws, w_dim)."""
        offset = ws - self.mean
        scores = offset @ self.components.T
        return scores / self.scale, offset - scores @ self.components

    def join(self, x: Tensor, rest: Tensor) -> Tensor:
        """The inverse of `split`."""
        return self.mean + (x * self.scale) @ self.components + rest
