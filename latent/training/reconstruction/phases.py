"""The phases that see images: each has the optimisers of its own, prepares a step, takes it, and keeps its state."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from latent.features.perceptual import face_feature_distance
from latent.training import projected_discriminator as projected
from latent.training.cuda_graphs import adam, load_optimiser, set_rates
from latent.training.losses import discriminator_loss, pyramid_l1, r1_penalty, reconstruction_loss
from latent.training.reconstruction.networks import ENCODER, GENERATOR, Networks

R1_EVERY = 16
LOOKED_AT = 64  # steps between two looks at whether the projected discriminator has won


class Autoencoding:
    """Phase 1: encoder and synthesis network learn to reproduce portraits."""

    def __init__(self, networks: Networks) -> None:
        self.networks, s = networks, networks.settings
        self.feature_weight = 0.0
        self.parts, self.base = networks.parts(), {GENERATOR: s.learning_rate, ENCODER: s.encoder_rate}
        groups = [{"params": part.weights, "lr": self.base[part.network] * part.factor} for part in self.parts]
        self.optimiser = adam(groups, networks.device, betas=(0.9, 0.99), eps=1e-8)

    def prepare(self, done: float, images_seen: int) -> None:
        """done: share of the phase that is behind; images_seen: of all phases. The rates fall over the last five
        eighths; the feature loss joins once there are faces to compare."""
        s, share = self.networks.settings, min(1.0, 1.6 - 1.4 * done)
        set_rates(self.optimiser, [self.base[part.network] * part.factor * share for part in self.parts])
        self.feature_weight = s.feature_weight if images_seen >= s.feature_from else 0.0

    def step(self, rows: Tensor) -> dict[str, Tensor]:
        """One update on portraits `rows` (batch,); what it measured stays on the device."""
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


class Projected:
    """Phase 2: a projected discriminator; optimisers with beta1 = 0, as adversarial training needs it.

    A batch is part reconstructions of portraits, part free samples with codes drawn like the portraits' (`code_cloud`).
    Reconstructions are held to their portraits by pyramid L1, the discriminator's frozen features and face features;
    the discriminator sees all of them.
    """

    def __init__(self, networks: Networks) -> None:
        n, s = networks, networks.settings
        self.networks = networks
        self.discriminator = self._fresh_discriminator(0)
        self.heads = list(self.discriminator.heads.parameters())
        self.parts, self.base = n.parts(), {GENERATOR: s.projected_rate, ENCODER: s.projected_encoder_rate}
        betas = {GENERATOR: (0.0, 0.99), ENCODER: (0.9, 0.99)}
        groups: list[dict[str, Any]] = [
            {"params": part.weights, "lr": self.base[part.network] * part.factor, "betas": betas[part.network]}
            for part in self.parts
        ]
        self.optimiser = adam(groups, n.device, betas=(0.0, 0.99), eps=1e-8)
        self.heads_optimiser = self._heads_optimiser()
        self.steps, self.renewals, self.falling = 0, 0, False
        self.loss_sum = torch.zeros((), device=n.device)  # of the discriminator, since it was last looked at

    def _fresh_discriminator(self, number: int) -> projected.ProjectedDiscriminator:
        n, seed = self.networks, self.networks.settings.seed + number
        portraits = n.data[slice(0, projected.CALIBRATION)]
        return projected.fresh_discriminator(portraits, seed)

    def _heads_optimiser(self) -> torch.optim.Adam:
        heads = {"params": self.heads, "lr": self.networks.settings.projected_discriminator_rate}
        return adam([heads], self.networks.device, betas=(0.0, 0.99), eps=1e-8)

    def renew(self) -> bool:
        """After each step: whether the discriminator had won and was replaced by a fresh one.

        One that distinguishes nearly all pictures tells the generator little about any of them, and pictures get worse
        while every other loss falls (checkpoints/README.md, What went wrong). Looked at every LOOKED_AT steps, and no
        more once the rates fall: a fresh discriminator needs time.
        """
        self.steps += 1
        if self.steps % LOOKED_AT:
            return False
        mean = float(self.loss_sum) / LOOKED_AT
        self.loss_sum.zero_()
        if self.falling or mean >= self.networks.settings.renew_below:
            return False
        self.renewals += 1
        self.discriminator.load_state_dict(self._fresh_discriminator(self.renewals).state_dict())
        self.heads_optimiser = self._heads_optimiser()
        return True

    def prepare(self, done: float, images_seen: int) -> None:
        """The rates fall over the last third, to 2 %."""
        s, share = self.networks.settings, min(1.0, 3 * (1 - done) + 0.02)
        self.falling = share < 1
        set_rates(self.optimiser, [self.base[part.network] * part.factor * share for part in self.parts])
        set_rates(self.heads_optimiser, [s.projected_discriminator_rate * share])

    def step(self, rows: Tensor) -> dict[str, Tensor]:
        """One update of generator and encoder, then one of the discriminator on the same images."""
        n, s = self.networks, self.networks.settings
        real, targets = n.data.take(rows, n.rng)
        paired = s.batch - int(s.batch * s.free_share)
        codes, cost, error = n.codes(real[:paired], targets[:paired])
        free = n.cloud.draw(s.batch - paired, n.rng, s.spread)[:, None].expand(-1, n.generator.num_ws, -1)
        with n.cast():
            fake = n.generator.synthesis(torch.cat([codes, free]), noise_mode="random").float()

        image = fake.detach().requires_grad_(True)
        real_features, portraits = self._features(real, paired, grad=False)
        fake_features, reconstructions = self._features(image, paired, grad=True)
        losses = self._reconstruction_losses(image[:paired], real[:paired], reconstructions, portraits)
        for parameter in self.heads:  # gradients end at the features: the heads' own are not needed here
            parameter.requires_grad_(False)
        losses["loss_g"] = projected.generator_loss(self.discriminator.logits(fake_features)).mean()
        for parameter in self.heads:
            parameter.requires_grad_(True)
        total = s.pixel_weight * losses["pixel"] + s.texture_weight * losses["texture"]
        total = total + s.identity_weight * losses["identity"] + losses["loss_g"]
        (gradient,) = torch.autograd.grad(total, image)
        self.optimiser.zero_grad(set_to_none=True)
        of_codes = [cost] if cost.requires_grad else []  # not where the encoder stays as it is and nothing is known
        torch.autograd.backward([fake, *of_codes], [gradient, *(None for _ in of_codes)])
        self.optimiser.step()

        on_real = self.discriminator.logits(real_features)
        on_fake = self.discriminator.logits([x.detach() for x in fake_features])
        loss = projected.discriminator_loss(on_real, on_fake)
        self.heads_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.heads_optimiser.step()
        self.loss_sum += loss.detach()
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
            both = torch.cat([projected.augment(images, self.networks.rng), images[:paired]])
            with self.networks.cast():
                features = self.discriminator.features(both.contiguous(memory_format=torch.channels_last))
            features = [x.float() for x in features]
        return [x[: len(images)] for x in features], [x[len(images) :] for x in features]

    def state(self) -> dict[str, Any]:
        names = ("discriminator", "optimiser", "heads_optimiser")
        counts = {"steps": self.steps, "renewals": self.renewals, "loss_sum": self.loss_sum}
        return {name: getattr(self, name).state_dict() for name in names} | counts

    def restore(self, state: Mapping[str, Any]) -> None:
        self.discriminator.load_state_dict(state["discriminator"])
        load_optimiser(self.optimiser, state["optimiser"])
        load_optimiser(self.heads_optimiser, state["heads_optimiser"])
        if "steps" in state:  # not in a run of an earlier version
            self.steps, self.renewals = int(state["steps"]), int(state["renewals"])
            self.loss_sum.copy_(state["loss_sum"])


class DiscriminatorFit:
    """Phase 4: StyleGAN2's discriminator learns the finished generator's samples, which stay as they are: without it a
    later fine-tuning begins against a discriminator that knows neither side, and the generator loses what it learned.
    """

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
        real = n.data.mirrored(rows, n.rng)[0].requires_grad_(penalise)
        generator = n.average_generator
        with torch.no_grad(), n.cast():
            z = torch.randn(s.batch, s.z_dim, generator=n.rng, device=n.device)
            fake = generator.synthesis(generator.mapping(z, None), noise_mode="random").float()
        on_real, on_fake = n.discriminator(real, None), n.discriminator(fake, None)
        loss = total = discriminator_loss(on_real, on_fake)
        if penalise:
            gamma = 2e-4 * s.resolution**2 / s.batch  # the heuristic of StyleGAN2-ADA's `auto` configuration
            total = loss + r1_penalty(on_real, real) * (gamma / 2 * R1_EVERY)
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
