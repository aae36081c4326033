"""Training portraits with their known factors, as codes for the mapping and as targets of the linear readout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from latent.dataset import load
from latent.errors import LatentError
from latent.factor_codes import factor_columns, gaussian_codes
from latent.warmstart.settings import Settings

MIRRORED = ("yaw", "roll", "torso_yaw", "gaze_x")  # factors that change sign in a mirror


def readout_targets(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Numeric factors (N, k) float32 with mean 0 and deviation 1, and each one's sign in the mirror (k,).

    Coefficients of identity are left out: a hundred of them, each nearly invisible.
    """
    columns, signs = [], []
    for name in factor_columns(table):
        if pd.api.types.is_numeric_dtype(table[name]) and not name.startswith("identity_"):
            values = table[name].to_numpy(float)
            columns.append((values - values.mean()) / values.std())
            signs.append(-1.0 if name in MIRRORED else 1.0)
    stacked = np.stack(columns, axis=1) if columns else np.empty((len(table), 0))
    return stacked.astype(np.float32), np.array(signs, dtype=np.float32)


class Portraits:
    """Images (N, 3, R, R) uint8 with factor codes (N, k) and readout targets (N, t); draws batches, half of them
    mirrored, without repeating within an epoch."""

    def __init__(self, folder: Path, settings: Settings, device: torch.device) -> None:
        images, table = load(folder, settings.resolution)
        self.codes = torch.from_numpy(gaussian_codes(table, settings.seed))
        if self.codes.shape[1] > settings.z_dim:
            raise LatentError(f"{self.codes.shape[1]} factor scores do not fit into z_dim {settings.z_dim}: raise it.")
        targets, signs = readout_targets(table)
        self.targets, self.signs = torch.from_numpy(targets), torch.from_numpy(signs)
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2)
        self.device = device
        self._order: list[int] = []

    def __getitem__(self, rows: Tensor | slice | list[int]) -> Tensor:
        pixels = self.images[rows].to(self.device).float() / 127.5 - 1
        return pixels.contiguous(memory_format=torch.channels_last)

    def batch(self, size: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images (size, 3, R, R) in [-1, 1] and their targets (size, t)."""
        if len(self._order) < size:
            self._order = torch.randperm(len(self.images), generator=rng).tolist()
        rows, self._order = self._order[:size], self._order[size:]
        mirror = torch.rand(size, generator=rng) < 0.5
        images, targets = self[rows], self.targets[rows]
        images = torch.where(mirror.to(self.device)[:, None, None, None], images.flip(3), images)
        targets = torch.where(mirror[:, None], targets * self.signs, targets)
        return images.contiguous(memory_format=torch.channels_last), targets.to(self.device)
