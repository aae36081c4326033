"""Phase 4: StyleGAN2's discriminator learns the finished generator's samples.

Without it a later fine-tuning begins against a discriminator that knows neither side, and the generator loses what it
had learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from latent.training.losses import discriminator_loss, r1_penalty
from latent.training.reconstruction.networks import Networks

R1_EVERY = 16


class DiscriminatorFit:
    """The discriminator's optimiser and steps; the averaged generator stays as it is."""

    def __init__(self, networks: Networks) -> None:
        self.networks, self.steps = networks, 0
        share = R1_EVERY / (R1_EVERY + 1)  # lazy regularisation (Karras et al. 2020, appendix B)
        rate = networks.settings.discriminator_rate * share
        parameters = networks.discriminator.parameters()
        self.optimiser = torch.optim.Adam(parameters, lr=rate, betas=(0.0, 0.99**share), eps=1e-8)

    def prepare(self, done: float, images_seen: int) -> None:
        """Nothing: the rate is constant."""

    def step(self, rows: Tensor) -> dict[str, Tensor]:
        """Logistic loss, and R1 every 16th step."""
        n, s = self.networks, self.networks.settings
        penalise = self.steps % R1_EVERY == 0
        real = n.data.take(rows, n.rng)[0].requires_grad_(penalise)
        generator = n.average_generator
        with torch.no_grad(), n.cast():
            z = torch.randn(s.batch, s.z_dim, generator=n.rng, device=n.device)
            fake = generator.synthesis(generator.mapping(z, None), noise_mode="random").float()
        on_real, on_fake = n.discriminator(real, None), n.discriminator(fake, None)
        loss = total = discriminator_loss(on_real, on_fake)
        if penalise:
            total = loss + r1_penalty(on_real, real) * (s.r1_gamma / 2 * R1_EVERY)
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        self.optimiser.step()
        self.steps += 1
        return {"loss_d": loss.detach(), "real_sign": on_real.detach().sign().mean()}

    def state(self) -> dict[str, Any]:
        return {"optimiser": self.optimiser.state_dict(), "steps": self.steps}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.optimiser.load_state_dict(state["optimiser"])
        self.steps = int(state["steps"])
