"""Every random draw of a run, as a function of (seed, what it is for, step, part of the batch).

Nothing is drawn from a generator that lives from step to step, so a run that resumes at step n draws exactly what
the uninterrupted run drew, and the same however the batch is divided among processes. Draws are made on the CPU: a
seed means the same on every device.
"""

import hashlib

import torch
from torch import Tensor


class Streams:
    """Generators and draws of one run."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def number(self, purpose: str, *place: int) -> int:
        """A 32-bit seed (all that torch's CPU generator uses of one) for one purpose at one place."""
        text = ":".join([str(self.seed), purpose, *map(str, place)])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")

    def generator(self, purpose: str, *place: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.number(purpose, *place))

    def seed_noise(self, purpose: str, *place: int) -> None:
        """Seed torch's global generator, from which the generator's layers draw their noise maps."""
        torch.manual_seed(self.number(purpose, *place))

    def latents(self, purpose: str, step: int, n: int, z_dim: int) -> Tensor:
        """(n, 2, z_dim): the z of each sample and the one it may be mixed with."""
        return torch.randn(n, 2, z_dim, generator=self.generator(f"{purpose} latents", step))

    def cuts(self, purpose: str, step: int, n: int, num_ws: int, mixing: float) -> Tensor:
        """(n,): the layer from which a sample takes its second code; num_ws where it is not mixed.

        Style mixing, Karras et al. 2018 (arXiv:1812.04948), section 3.1, here drawn for each sample.
        """
        rng = self.generator(f"{purpose} mixing", step)
        cuts = torch.randint(1, max(2, num_ws), (n,), generator=rng)
        return torch.where(torch.rand(n, generator=rng) < mixing, cuts, num_ws)

    def flips(self, step: int, n: int) -> Tensor:
        """(n,) bool: which real images are mirrored."""
        return torch.rand(n, generator=self.generator("flips", step)) < 0.5


class DataOrder:
    """Which image comes at which place of an endless walk: every epoch is a new permutation of all of them."""

    def __init__(self, streams: Streams, count: int) -> None:
        self.streams, self.count = streams, count
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def rows(self, first: int, n: int) -> Tensor:
        """(n,) int64: rows at the places first ... first + n - 1."""
        rows = []
        for place in range(first, first + n):
            epoch, offset = divmod(place, self.count)
            if epoch != self._epoch:
                rng = self.streams.generator("data", epoch)
                self._epoch, self._order = epoch, torch.randperm(self.count, generator=rng)
            rows.append(self._order[offset])
        return torch.stack(rows)
