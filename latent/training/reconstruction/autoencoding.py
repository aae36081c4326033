"""Phase 1: encoder and synthesis network learn to reproduce portraits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from latent.training.cuda_graphs import adam, load_optimiser, set_rates
from latent.training.losses import reconstruction_loss
from latent.training.reconstruction.networks import Networks


class Autoencoding:
    """The optimiser of encoder, readout and synthesis network."""

    def __init__(self, networks: Networks) -> None:
        self.networks, s = networks, networks.settings
        self.feature_weight = 0.0
        groups = [
            {"params": networks.generator.synthesis.parameters(), "lr": s.learning_rate},
            {"params": [*networks.encoder.parameters(), *networks.readout.parameters()], "lr": s.encoder_rate},
        ]
        self.optimiser = adam(groups, networks.device, betas=(0.9, 0.99), eps=1e-8)

    def prepare(self, done: float, images_seen: int) -> None:
        """The rates fall over the last five eighths; the feature loss joins once there are faces to compare."""
        s, share = self.networks.settings, min(1.0, 1.6 - 1.4 * done)
        set_rates(self.optimiser, [s.learning_rate * share, s.encoder_rate * share])
        self.feature_weight = s.feature_weight if images_seen >= s.feature_from else 0.0

    def step(self, rows: Tensor) -> dict[str, Tensor]:
        n = self.networks
        real, targets = n.data.take(rows, n.rng)
        codes, cost, error = n.codes(real, targets)
        with n.cast():
            fake = n.generator.synthesis(codes, noise_mode="none")
            losses = reconstruction_loss(fake, real, n.weight, self.feature_weight)
        self.optimiser.zero_grad(set_to_none=True)
        (losses["total"] + cost).backward()
        self.optimiser.step()
        return {name: value.detach() for name, value in losses.items()} | {"readout": error}

    def state(self) -> dict[str, Any]:
        return {"optimiser": self.optimiser.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        load_optimiser(self.optimiser, state["optimiser"])
