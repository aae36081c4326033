"""Refits of a linear model to bootstrap samples of its patients, as plain numbers kept with the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Refits:
    """B models like the one that they belong to, each of a bootstrap sample of its n patients.

    gradient: float32 (B, p) on the model's encoded columns; offset: (B,): log_hr of refit b is <gradient_b, x> less
    offset_b, its own training median. hazard: float32 (B, T), cumulative baseline hazard of each sample at the T times
    of the model's baseline.
    """

    gradient: np.ndarray
    offset: np.ndarray
    hazard: np.ndarray

    def __len__(self) -> int:
        return len(self.offset)

    def predict(self, flat: np.ndarray) -> np.ndarray:
        """(B, n) log hazard ratios of encoded rows (n, p)."""
        return self.gradient.astype(np.float64) @ flat.T.astype(np.float64) - self.offset[:, None]

    @property
    def hazard_ratio(self) -> np.ndarray:
        """(B, T) each sample's baseline hazard by the mean of all; 1 where none has had an event."""
        mean = self.hazard.mean(axis=0, dtype=np.float64)
        return np.divide(self.hazard, mean, out=np.ones(self.hazard.shape), where=mean > 0)

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {
            "gradient": self.gradient.astype("<f4"),
            "offset": self.offset.astype("<f8"),
            "hazard": self.hazard.astype("<f4"),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], columns: int, times: int) -> Refits:
        """From to_arrays; columns p and times T of the model. Raises KeyError or ValueError where they do not fit."""
        gradient, offset, hazard = (arrays[name] for name in ("gradient", "offset", "hazard"))
        b = len(offset)
        if b < 2 or offset.shape != (b,) or gradient.shape != (b, columns) or hazard.shape != (b, times):
            raise ValueError("refits")
        if (hazard < 0).any() or (np.diff(hazard, axis=1) < 0).any():
            raise ValueError("refits")
        return cls(gradient, offset, hazard)
