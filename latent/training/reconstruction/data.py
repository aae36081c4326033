"""Training portraits with their known factors, the targets of the linear readout."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latent.datasets.build import load
from latent.datasets.factors import readout_targets
from latent.training.reconstruction import photometric

RESIDENT = 8 * 2**30  # bytes of portraits that are kept on the device; more are copied a batch at a time


class Portraits:
    """Images (N, 3, R, R) uint8 with known factors (N, k), k = 0 without any; half of a batch is mirrored.

    strength: of the photometric alterations of a batch, whose parameters are readout targets next to the factors; 0 for
    none.
    """

    def __init__(self, folder: Path, resolution: int, device: torch.device, strength: float = 0.0) -> None:
        images, table = load(folder, resolution)
        targets, signs = readout_targets(table)
        self.targets, self.signs = torch.from_numpy(targets).to(device), torch.from_numpy(signs).to(device)
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2)
        if self.images.nbytes <= RESIDENT:
            self.images = self.images.to(device)
        self.device, self.strength = device, strength

    @property
    def target_count(self) -> int:
        """Number t of readout targets."""
        return self.targets.shape[1] + (len(photometric.NAMES) if self.strength else 0)

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
        """Images (n, 3, R, R) in [-1, 1] and their targets (n, t), half of them mirrored, all of them altered where a
        strength was given; rng: on the device."""
        images, targets = self.mirrored(rows, rng)
        if self.strength:
            parameters = photometric.draw(len(rows), rng)
            images = photometric.alter(images, parameters, self.strength, rng)
            targets = torch.cat([targets, parameters.to(targets)], dim=1)
        return images.contiguous(memory_format=torch.channels_last), targets

    def mirrored(self, rows: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images (n, 3, R, R) as they were given and their factors (n, k), half of them mirrored."""
        mirror = torch.rand(len(rows), generator=rng, device=self.device) < 0.5
        images, targets = self[rows.to(self.images.device)], self.targets[rows.to(self.device)]
        images = torch.where(mirror[:, None, None, None], images.flip(3), images)
        targets = torch.where(mirror[:, None], targets * self.signs, targets)
        return images.contiguous(memory_format=torch.channels_last), targets
