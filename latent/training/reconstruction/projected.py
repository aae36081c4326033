"""Phase 2: a projected discriminator on free samples and reconstructions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from latent.features.perceptual import face_feature_distance
from latent.training.cuda_graphs import adam, load_optimiser, set_rates
from latent.training.losses import pyramid_l1
from latent.training.projected_discriminator import (
    CALIBRATION,
    augment,
    discriminator_loss,
    fresh_discriminator,
    generator_loss,
)
from latent.training.reconstruction.networks import Networks


class Projected:
    """The projected discriminator, and the optimisers of this phase (beta1 = 0, as adversarial training needs it).

    A batch is part reconstructions of portraits, part free samples with codes drawn like the portraits' (`code_cloud`).
    Reconstructions are held to their portraits by pyramid L1, the discriminator's frozen features and face features;
    the discriminator sees all of them.
    """

    def __init__(self, networks: Networks) -> None:
        n, s = networks, networks.settings
        self.networks = networks
        self.discriminator = fresh_discriminator(n.data[slice(0, CALIBRATION)], s.seed)
        self.heads = list(self.discriminator.heads.parameters())
        groups: list[dict[str, Any]] = [
            {"params": list(n.generator.synthesis.parameters()), "lr": s.projected_rate},
            {
                "params": [*n.encoder.parameters(), *n.readout.parameters()],
                "lr": s.projected_encoder_rate,
                "betas": (0.9, 0.99),
            },
        ]
        self.optimiser = adam(groups, n.device, betas=(0.0, 0.99), eps=1e-8)
        heads = {"params": self.heads, "lr": s.projected_discriminator_rate}
        self.heads_optimiser = adam([heads], n.device, betas=(0.0, 0.99), eps=1e-8)

    def prepare(self, done: float, images_seen: int) -> None:
        """The rates fall over the last third, to 2 %."""
        s, share = self.networks.settings, min(1.0, 3 * (1 - done) + 0.02)
        set_rates(self.optimiser, [s.projected_rate * share, s.projected_encoder_rate * share])
        set_rates(self.heads_optimiser, [s.projected_discriminator_rate * share])

    def step(self, rows: Tensor) -> dict[str, Tensor]:
        """One update of generator and encoder, then one of the discriminator on the same images."""
        n, s = self.networks, self.networks.settings
        real, targets = n.data.take(rows, n.rng)
        paired = s.batch - int(s.batch * s.free_share)
        codes, cost, error = n.codes(real[:paired], targets[:paired])
        free = n.cloud.draw(s.batch - paired, n.rng)[:, None].expand(-1, n.generator.num_ws, -1)
        with n.cast():
            fake = n.generator.synthesis(torch.cat([codes, free]), noise_mode="random").float()

        image = fake.detach().requires_grad_(True)
        real_features, portraits = self._features(real, paired, grad=False)
        fake_features, reconstructions = self._features(image, paired, grad=True)
        losses = self._reconstruction_losses(image[:paired], real[:paired], reconstructions, portraits)
        losses["loss_g"] = generator_loss(self._logits_without_heads(fake_features)).mean()
        total = s.pixel_weight * losses["pixel"] + s.texture_weight * losses["texture"]
        total = total + s.identity_weight * losses["identity"] + losses["loss_g"]
        (gradient,) = torch.autograd.grad(total, image)
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward([fake, cost], [gradient, None])
        self.optimiser.step()

        on_real = self.discriminator.logits(real_features)
        on_fake = self.discriminator.logits([x.detach() for x in fake_features])
        loss = discriminator_loss(on_real, on_fake)
        self.heads_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.heads_optimiser.step()
        measured = losses | {"loss_projected": loss, "readout": error}
        return {name: value.detach() for name, value in measured.items()}

    def _reconstruction_losses(
        self, image: Tensor, real: Tensor, features: list[Tensor], real_features: list[Tensor]
    ) -> dict[str, Tensor]:
        """Pyramid L1; distance in the discriminator's frozen features; face-feature distance of every other pair, codes
        of both kinds, for it costs as much as all else."""
        spread = self.discriminator.projection.spread
        pairs = zip(features, real_features, strict=True)
        texture = [((a - b).abs() / spread(i)).mean() for i, (a, b) in enumerate(pairs)]
        with self.networks.cast():
            identity = face_feature_distance(image[::2], real[::2]).float().mean()
        pixel = pyramid_l1(image, real, self.networks.weight)
        return {"pixel": pixel, "texture": torch.stack(texture).mean(), "identity": identity}

    def _features(self, images: Tensor, paired: int, grad: bool) -> tuple[list[Tensor], list[Tensor]]:
        """Frozen features of all images, augmented, and of the first `paired` as they are, in one pass."""
        with torch.set_grad_enabled(grad):
            both = torch.cat([augment(images, self.networks.rng), images[:paired]])
            with self.networks.cast():
                features = self.discriminator.features(both.contiguous(memory_format=torch.channels_last))
            features = [x.float() for x in features]
        return [x[: len(images)] for x in features], [x[len(images) :] for x in features]

    def _logits_without_heads(self, features: list[Tensor]) -> list[Tensor]:
        """Logits whose gradients end at the features: the heads' own are not needed here."""
        for parameter in self.heads:
            parameter.requires_grad_(False)
        logits = self.discriminator.logits(features)
        for parameter in self.heads:
            parameter.requires_grad_(True)
        return logits

    def state(self) -> dict[str, Any]:
        return {
            "discriminator": self.discriminator.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "heads_optimiser": self.heads_optimiser.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.discriminator.load_state_dict(state["discriminator"])
        load_optimiser(self.optimiser, state["optimiser"])
        load_optimiser(self.heads_optimiser, state["heads_optimiser"])
