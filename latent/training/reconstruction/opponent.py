"""Phase 4 of a warm start: StyleGAN2's discriminator gets to know the finished generator's samples.

Without it a fine-tuning begins against an opponent who knows neither side, and the generator leaves what it knew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from latent.training.reconstruction.trainer import Trainer

R1_EVERY = 16


class Opponent:
    """The discriminator's optimiser and steps; the averaged generator stays as it is."""

    def __init__(self, trainer: Trainer) -> None:
        self.t = trainer
        share = R1_EVERY / (R1_EVERY + 1)  # lazy regularisation (Karras et al. 2020, appendix B)
        rate = trainer.s.discriminator_rate * share
        self.opt = torch.optim.Adam(trainer.d.parameters(), lr=rate, betas=(0.0, 0.99**share), eps=1e-8)

    def step(self) -> dict[str, Tensor]:
        """Logistic loss, and R1 every 16th step."""
        t, s = self.t, self.t.s
        penalise = (t.seen["discriminator"] // s.batch) % R1_EVERY == 0
        real = t.data.take(t.data.rows(s.batch, t.order), t.rng)[0].requires_grad_(penalise)
        with torch.no_grad(), t.cast():
            z = torch.randn(s.batch, s.z_dim, generator=t.rng, device=t.device)
            fake = t.ema_g.synthesis(t.ema_g.mapping(z, None), noise_mode="random").float()
        on_real, on_fake = t.d(real, None), t.d(fake, None)
        loss = total = F.softplus(-on_real).mean() + F.softplus(on_fake).mean()
        if penalise:
            (gradient,) = torch.autograd.grad(on_real.sum(), real, create_graph=True)
            total = loss + gradient.square().sum((1, 2, 3)).mean() * (s.r1_gamma / 2 * R1_EVERY)
        self.opt.zero_grad(set_to_none=True)
        total.backward()
        self.opt.step()
        return {"d_loss": loss.detach(), "d_sign": on_real.detach().sign().mean()}

    def state(self) -> dict[str, Any]:
        return {"opt": self.opt.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        self.opt.load_state_dict(state["opt"])
