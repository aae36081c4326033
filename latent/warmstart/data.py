"""Training portraits with their known factors, the targets of the linear readout."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from latent.dataset import load
from latent.factors import readout_targets
from latent.warmstart.settings import Settings

RESIDENT = 8 * 2**30  # bytes of portraits that are kept on the device; more are copied a batch at a time


class Portraits:
    """Images (N, 3, R, R) uint8 with readout targets (N, t); draws batches, half of them mirrored, without repeating
    within an epoch."""

    def __init__(self, folder: Path, settings: Settings, device: torch.device) -> None:
        images, table = load(folder, settings.resolution)
        targets, signs = readout_targets(table)
        self.targets, self.signs = torch.from_numpy(targets).to(device), torch.from_numpy(signs).to(device)
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2)
        if self.images.nbytes <= RESIDENT:
            self.images = self.images.to(device)
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
        mirror = (torch.rand(size, generator=rng) < 0.5).to(self.device)
        images, targets = self[rows], self.targets[rows]
        images = torch.where(mirror[:, None, None, None], images.flip(3), images)
        targets = torch.where(mirror[:, None], targets * self.signs, targets)
        return images.contiguous(memory_format=torch.channels_last), targets
