"""Training portraits with their known factors, the targets of the linear readout."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latent.datasets.build import load
from latent.datasets.factors import readout_targets

RESIDENT = 8 * 2**30  # bytes of portraits that are kept on the device; more are copied a batch at a time


class Portraits:
    """Images (N, 3, R, R) uint8 with readout targets (N, t), t = 0 without factors; half of a batch is mirrored."""

    def __init__(self, folder: Path, resolution: int, device: torch.device) -> None:
        images, table = load(folder, resolution)
        targets, signs = readout_targets(table)
        self.targets, self.signs = torch.from_numpy(targets).to(device), torch.from_numpy(signs).to(device)
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2)
        if self.images.nbytes <= RESIDENT:
            self.images = self.images.to(device)
        self.device = device

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """(n, 3, R, R) in [-1, 1]; rows lie where the images lie."""
        pixels = self.images[rows].to(self.device).float() / 127.5 - 1
        return pixels.contiguous(memory_format=torch.channels_last)

    def pixels(self, rows: Tensor) -> np.ndarray:
        """uint8 (n, R, R, 3)."""
        chosen = self.images[rows.to(self.images.device)].permute(0, 2, 3, 1)
        return np.ascontiguousarray(chosen.cpu().numpy())

    def take(self, rows: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images (n, 3, R, R) in [-1, 1] and their targets (n, t), half of them mirrored; rng: on the device."""
        mirror = torch.rand(len(rows), generator=rng, device=self.device) < 0.5
        images, targets = self[rows.to(self.images.device)], self.targets[rows.to(self.device)]
        images = torch.where(mirror[:, None, None, None], images.flip(3), images)
        targets = torch.where(mirror[:, None], targets * self.signs, targets)
        return images.contiguous(memory_format=torch.channels_last), targets
