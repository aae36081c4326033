"""Training portraits with their known factors, the targets of the linear readout."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from latent.datasets.build import load
from latent.datasets.factors import readout_targets
from latent.training.reconstruction.settings import Settings

RESIDENT = 8 * 2**30  # bytes of portraits that are kept on the device; more are copied a batch at a time


class Portraits:
    """Images (N, 3, R, R) uint8 with readout targets (N, t), t = 0 without factors; draws batches, half of
    them mirrored, without repeating within an epoch."""

    def __init__(self, folder: Path, settings: Settings, device: torch.device) -> None:
        images, table = load(folder, settings.resolution)
        targets, signs = readout_targets(table)
        self.targets, self.signs = torch.from_numpy(targets).to(device), torch.from_numpy(signs).to(device)
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2)
        if self.images.nbytes <= RESIDENT:
            self.images = self.images.to(device)
        self.device = device
        self._order = torch.empty(0, dtype=torch.int64)

    @property
    def walk(self) -> Tensor:
        """What is left of the epoch, for a run that goes on."""
        return self._order

    @walk.setter
    def walk(self, rows: Tensor) -> None:
        self._order = rows.cpu()

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        pixels = self.images[rows].to(self.device).float() / 127.5 - 1
        return pixels.contiguous(memory_format=torch.channels_last)

    @property
    def resident(self) -> bool:
        """Whether the images lie where they are used."""
        return self.images.device.type == self.device.type

    def rows(self, size: int, rng: torch.Generator) -> Tensor:
        """(size,) int64 on the CPU: the next images of an endless walk."""
        if len(self._order) < size:
            rounds = -(-size // len(self.images))  # more than one where a batch is larger than the set
            self._order = torch.cat([torch.randperm(len(self.images), generator=rng) for _ in range(rounds)])
        rows, self._order = self._order[:size], self._order[size:]
        return rows

    def take(self, rows: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images (size, 3, R, R) in [-1, 1] and their targets (size, t), half of them mirrored; rng: on the device."""
        mirror = torch.rand(len(rows), generator=rng, device=self.device) < 0.5
        images, targets = self[rows.to(self.images.device)], self.targets[rows.to(self.device)]
        images = torch.where(mirror[:, None, None, None], images.flip(3), images)
        targets = torch.where(mirror[:, None], targets * self.signs, targets)
        return images.contiguous(memory_format=torch.channels_last), targets
