"""Phase 2 of a warm start: a projected critic on free samples and reconstructions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from latent.features.perceptual import face_feature_distance
from latent.training.cuda_graphs import adam, load_optimiser, set_rates
from latent.training.projected_discriminator import ProjectedCritic, augment, critic_loss, generator_loss
from latent.training.reconstruction.losses import pyramid_l1

if TYPE_CHECKING:
    from latent.training.reconstruction.trainer import Trainer

CALIBRATION = 64  # portraits


class Adversary:
    """The critic, and the optimisers of this phase (beta1 = 0, as adversarial training wants it).

    A batch is part reconstructions of portraits, part free samples with codes drawn like the portraits' (`cloud`).
    Reconstructions are held to their portraits by pyramid L1, the critic's own frozen features and face features; all
    pictures meet the critic.
    """

    def __init__(self, trainer: Trainer) -> None:
        t, s = trainer, trainer.s
        self.t = t
        torch.manual_seed(s.seed)
        self.critic = ProjectedCritic(s.resolution, t.device).to(t.device)
        with torch.no_grad():
            self.critic.projection.calibrate(self.critic.taps(t.data[slice(0, CALIBRATION)]))
        self.heads = list(self.critic.heads.parameters())
        encoder = [*t.e.parameters(), *t.readout.parameters()]
        groups: list[dict[str, Any]] = [
            {"params": list(t.g.synthesis.parameters()), "lr": s.adversary_rate},
            {"params": encoder, "lr": s.adversary_encoder_rate, "betas": (0.9, 0.99)},
        ]
        self.opt = adam(groups, t.device, betas=(0.0, 0.99), eps=1e-8)
        heads = {"params": self.heads, "lr": s.critic_rate}
        self.critic_opt = adam([heads], t.device, betas=(0.0, 0.99), eps=1e-8)

    def set_rate(self, rate: float) -> None:
        """rate: share of the learning rates."""
        s = self.t.s
        set_rates(self.opt, [s.adversary_rate * rate, s.adversary_encoder_rate * rate])
        set_rates(self.critic_opt, [s.critic_rate * rate])

    def step(self, rows: Tensor) -> dict[str, Tensor]:
        """One update of generator and encoder, then one of the critic on the same pictures."""
        t, s = self.t, self.t.s
        real, targets = t.data.take(rows, t.rng)
        paired = s.batch - int(s.batch * s.free_share)
        codes, cost, error = t.codes(real[:paired], targets[:paired])
        free = t.cloud.draw(s.batch - paired, t.rng)[:, None].expand(-1, t.g.num_ws, -1)
        with t.cast():
            fake = t.g.synthesis(torch.cat([codes, free]), noise_mode="random").float()

        image = fake.detach().requires_grad_(True)
        real_taps, target = self._seen(real, paired, grad=False)
        fake_taps, found = self._seen(image, paired, grad=True)
        losses = self._reconstruction_losses(image[:paired], real[:paired], found, target)
        losses["criticism"] = generator_loss(self._judged(fake_taps)).mean()
        total = s.pixel_weight * losses["pixel"] + s.texture_weight * losses["texture"]
        total = total + s.identity_weight * losses["identity"] + losses["criticism"]
        (gradient,) = torch.autograd.grad(total, image)
        self.opt.zero_grad(set_to_none=True)
        torch.autograd.backward([fake, cost], [gradient, None])
        self.opt.step()

        on_real, on_fake = self.critic.judge(real_taps), self.critic.judge([x.detach() for x in fake_taps])
        loss = critic_loss(on_real, on_fake)
        self.critic_opt.zero_grad(set_to_none=True)
        loss.backward()
        self.critic_opt.step()
        measured = losses | {"critic_loss": loss, "readout": error}
        return {name: value.detach() for name, value in measured.items()}

    def _reconstruction_losses(
        self, image: Tensor, real: Tensor, found: list[Tensor], target: list[Tensor]
    ) -> dict[str, Tensor]:
        """Pyramid L1; distance in the critic's frozen features; face-feature distance of every other pair, codes of
        both kinds, for it costs as much as all else."""
        spread = self.critic.projection.spread
        texture = [((a - b).abs() / spread(i)).mean() for i, (a, b) in enumerate(zip(found, target, strict=True))]
        with self.t.cast():
            identity = face_feature_distance(image[::2], real[::2]).float().mean()
        pixel = pyramid_l1(image, real, self.t.weight)
        return {"pixel": pixel, "texture": torch.stack(texture).mean(), "identity": identity}

    def _seen(self, images: Tensor, paired: int, grad: bool) -> tuple[list[Tensor], list[Tensor]]:
        """Frozen features of all images, augmented, and of the first `paired` as they are, in one pass."""
        with torch.set_grad_enabled(grad):
            both = torch.cat([augment(images, self.t.rng), images[:paired]])
            with self.t.cast():
                taps = self.critic.taps(both.contiguous(memory_format=torch.channels_last))
            taps = [x.float() for x in taps]
        return [x[: len(images)] for x in taps], [x[len(images) :] for x in taps]

    def _judged(self, taps: list[Tensor]) -> list[Tensor]:
        """Logits whose gradients end at the features: the heads' own are not wanted here."""
        for parameter in self.heads:
            parameter.requires_grad_(False)
        logits = self.critic.judge(taps)
        for parameter in self.heads:
            parameter.requires_grad_(True)
        return logits

    def state(self) -> dict[str, Any]:
        return {
            "critic": self.critic.state_dict(),
            "opt": self.opt.state_dict(),
            "critic_opt": self.critic_opt.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.critic.load_state_dict(state["critic"])
        load_optimiser(self.opt, state["opt"])
        load_optimiser(self.critic_opt, state["critic_opt"])
