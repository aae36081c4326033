"""Networks and optimisers of a warm start, and its three kinds of step."""

from __future__ import annotations

import contextlib
import copy
import os
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latent.checkpoints import Checkpoint
from latent.encoder import WPlusEncoder
from latent.errors import LatentError
from latent.growth import grow_encoder, grow_generator
from latent.mapping_fit import fit_mapping, origin_for, shift_codes
from latent.warmstart.data import Portraits
from latent.warmstart.losses import PatchCritic, centre_weight, hinge, regression_loss
from latent.warmstart.settings import PHASES, Settings, build_networks

R1_EVERY = 16


def _pull(loss: Tensor, image: Tensor, length: Tensor) -> Tensor:
    """Gradient of `loss` at `image`, brought to `length`."""
    (gradient,) = torch.autograd.grad(loss, image)
    return gradient * (length / gradient.norm().clamp_min(1e-12))


class Trainer:
    """The generator's and encoder's losses meet at the picture: each loss gives its gradient there, scaled against the
    reconstruction's, and one backward pass carries the sum into both networks."""

    def __init__(self, settings: Settings, data: Portraits, device: torch.device) -> None:
        self.s, self.data, self.device = settings, data, device
        self.g, self.d, self.e = build_networks(settings)
        self.critic = PatchCritic()
        self.readout = nn.Linear(self.g.mapping.w_avg.numel(), data.targets.shape[1])
        self.nets: dict[str, nn.Module] = {
            "g": self.g,
            "d": self.d,
            "e": self.e,
            "critic": self.critic,
            "readout": self.readout,
        }
        for net in self.nets.values():
            net.to(device).train()
        self.ema_g, self.ema_e = copy.deepcopy(self.g), copy.deepcopy(self.e)
        self.ema: dict[str, nn.Module] = {"g": self.ema_g, "e": self.ema_e}
        for net in self.ema.values():
            net.eval().requires_grad_(False)
        groups = [
            {"params": self.g.synthesis.parameters(), "lr": settings.learning_rate},
            {"params": [*self.e.parameters(), *self.readout.parameters()], "lr": settings.encoder_rate},
            {"params": self.g.mapping.parameters(), "lr": settings.encoder_rate},
        ]
        self.opt = torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-8)
        self.d_opt = torch.optim.Adam(self.d.parameters(), lr=2e-3, betas=(0.0, 0.99), eps=1e-8)
        self.critic_opt = torch.optim.Adam(self.critic.parameters(), lr=1e-3, betas=(0.0, 0.99), eps=1e-8)
        self.peaks = [group["lr"] for group in self.opt.param_groups]
        self.rng = torch.Generator().manual_seed(settings.seed)
        self.weight = centre_weight(settings.resolution, device)
        self.seen = dict.fromkeys(PHASES, 0)

    @property
    def images_seen(self) -> int:
        return self.seen["autoencoding"] + self.seen["adversary"]

    def _cast(self) -> contextlib.AbstractContextManager[object]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.s.precision == "bf16")

    def _reconstruct(self, real: Tensor, targets: Tensor, noise_mode: str) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstructions of (B, 3, R, R), the second half from one code for all layers; what the codes cost; the
        readout's squared error (of a variance of 1)."""
        with self._cast():
            ws = self.e(real)
            common = ws.mean(1, keepdim=True)
            half = len(real) // 2
            fake = self.g.synthesis(torch.cat([ws[:half], common[half:].expand_as(ws[half:])]), noise_mode=noise_mode)
        ws, common = ws.float(), common.float()
        error = (
            (self.readout(common[:, 0] - self.e.w_avg) - targets).square().mean()
            if targets.shape[1]
            else ws.new_zeros(())
        )
        cost = 1e-3 * (ws - self.e.w_avg).square().mean() + 1e-2 * (ws - common).square().mean()
        cost = cost + self.s.readout_weight * error
        return fake.float(), cost, error.detach()

    def _reconstruction_gradient(self, image: Tensor, real: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with self._cast():
            weight = self.s.feature_weight if self.images_seen >= self.s.feature_from else 0.0
            losses = regression_loss(image, real, self.weight, weight)
        (gradient,) = torch.autograd.grad(losses["total"], image)
        return gradient, losses

    def autoencoding_step(self) -> dict[str, float]:
        real, targets = self.data.batch(self.s.batch, self.rng)
        criticised = self.seen["autoencoding"] >= self.s.critic_from
        fake, cost, error = self._reconstruct(real, targets, "random" if criticised else "none")
        image = fake.detach().requires_grad_(True)
        gradient, losses = self._reconstruction_gradient(image, real)
        if criticised:
            gradient = gradient + self._criticism(image, gradient.norm() * self.s.critic_share, losses)
        self._update_generator(fake, gradient, cost, losses["total"], "autoencoding")
        out = {k: float(v.detach()) for k, v in losses.items()} | {"readout": float(error)}
        return out | (self._update_critic(image.detach(), real) if criticised else {})

    def _criticism(self, image: Tensor, length: Tensor, losses: dict[str, Tensor]) -> Tensor:
        self.critic.requires_grad_(False)
        losses["criticism"] = -self.critic(image).mean()
        pull = _pull(losses["criticism"], image, length)
        self.critic.requires_grad_(True)
        return pull

    def _update_critic(self, fake: Tensor, real: Tensor) -> dict[str, float]:
        loss = hinge(self.critic(real), self.critic(fake))
        self.critic_opt.zero_grad(set_to_none=True)
        loss.backward()
        self.critic_opt.step()
        return {"critic_loss": float(loss.detach())}

    def adversarial_step(self, index: int) -> dict[str, float]:
        real, targets = self.data.batch(self.s.batch, self.rng)
        half = self.s.batch // 2
        again, cost, error = self._reconstruct(real[:half], targets[:half], "random")
        z = torch.randn(half, self.s.z_dim, generator=self.rng).to(self.device)
        ws = self.g.mapping(z, None, update_emas=True)
        with self._cast():
            free = self.g.synthesis(ws, noise_mode="random")
        fake = torch.cat([again, free.float()])
        image = fake.detach().requires_grad_(True)
        gradient, losses = self._reconstruction_gradient(image[:half], real[:half])
        length = gradient.norm() * 2**0.5  # over twice as many pictures
        gradient = F.pad(gradient, (0, 0, 0, 0, 0, 0, 0, half))
        gradient = gradient + self._criticism(image, length * self.s.critic_share, losses)
        self.d.requires_grad_(False)
        losses["adversarial"] = F.softplus(-self.d(image, None)).mean()
        gradient = gradient + _pull(losses["adversarial"], image, length * self.s.adversary_share)
        self.d.requires_grad_(True)
        self._update_generator(fake, gradient, cost, losses["total"], "adversary")
        out = {k: float(v.detach()) for k, v in losses.items()} | {"readout": float(error)}
        out |= self._update_critic(image.detach(), real)
        return out | self._update_discriminator(image.detach(), real, index)

    @torch.no_grad()
    def _all_codes(self) -> Tensor:
        """Common codes (N, w_dim) of every training portrait."""
        chunks = range(0, len(self.data.images), 64)
        return torch.cat([self.ema_e(self.data[slice(i, i + 64)]).mean(1) for i in chunks])

    @torch.no_grad()
    def start_from(self, checkpoint: Checkpoint) -> None:
        """Take the networks of a checkpoint, grown to this resolution; the readout gets its least-squares solution.

        Raises LatentError for one without an encoder, a larger one, or one of other channels.
        """
        generator, encoder = checkpoint.generator, checkpoint.encoder
        if not isinstance(encoder, WPlusEncoder) or checkpoint.resolution > self.s.resolution:
            raise LatentError(f"{checkpoint.name} cannot start this run: it needs our encoder and at most this size.")
        while generator.img_resolution < self.s.resolution:
            generator = grow_generator(generator)
            encoder = grow_encoder(encoder, generator.num_ws)
        try:
            for net, state in ((self.g, generator), (self.ema_g, generator), (self.e, encoder), (self.ema_e, encoder)):
                net.load_state_dict(state.state_dict())
            if checkpoint.discriminator is not None and checkpoint.resolution == self.s.resolution:
                self.d.load_state_dict(checkpoint.discriminator.state_dict())
        except RuntimeError as error:
            raise LatentError(f"{checkpoint.name} has other channels or codes than these settings.") from error
        if self.data.targets.shape[1]:
            codes = self._all_codes() - self.e.w_avg
            gram = codes.T @ codes
            gram += 1e-3 * gram.diagonal().mean() * torch.eye(len(gram), device=self.device)
            self.readout.weight.copy_(torch.linalg.solve(gram, codes.T @ self.data.targets.to(self.device)).T)
            self.readout.bias.zero_()

    def fit_mapping(self) -> None:
        """Phase 2: W gets its origin, and the mapping network mean and covariance of the training portraits' codes."""
        shift = origin_for(self._all_codes())
        shift_codes(self.g, self.e, shift)
        shift_codes(self.ema_g, self.ema_e, shift)
        w = self._all_codes()
        fit_mapping(self.g.mapping, w, self.s.seed)
        self.seen["mapping"] = len(w)
        self.ema_g.mapping.load_state_dict(self.g.mapping.state_dict())

    def _update_generator(self, fake: Tensor, gradient: Tensor, cost: Tensor, loss: Tensor, phase: str) -> None:
        if not torch.isfinite(loss) or not torch.isfinite(gradient).all():
            raise LatentError(f"The generator's loss is not finite after {self.images_seen} images.")
        self.opt.zero_grad(set_to_none=True)
        torch.autograd.backward([fake, cost], [gradient, None])
        self.opt.step()
        self.seen[phase] += self.s.batch
        half_life = min(self.s.ema_kimg * 1000, self.images_seen * 0.05 + 1)
        beta = 0.5 ** (self.s.batch / half_life)
        with torch.no_grad():
            for name, average_net in self.ema.items():
                for average, now in zip(average_net.parameters(), self.nets[name].parameters(), strict=True):
                    average.lerp_(now, 1 - beta)
                for kept, fresh in zip(average_net.buffers(), self.nets[name].buffers(), strict=True):
                    kept.copy_(fresh)

    def _update_discriminator(self, fake: Tensor, real: Tensor, index: int) -> dict[str, float]:
        penalise = index % R1_EVERY == 0
        real = real.detach().requires_grad_(penalise)
        on_real, on_fake = self.d(real, None), self.d(fake, None)
        loss = F.softplus(-on_real).mean() + F.softplus(on_fake).mean()
        if penalise:
            (gradient,) = torch.autograd.grad(on_real.sum(), real, create_graph=True)
            loss = loss + gradient.square().sum((1, 2, 3)).mean() * (self.s.r1_gamma / 2 * R1_EVERY)
        self.d_opt.zero_grad(set_to_none=True)
        loss.backward()
        self.d_opt.step()
        return {"d_loss": float(loss.detach()), "d_sign": float(on_real.detach().sign().mean())}

    def set_rate(self, share: float) -> None:
        """Learning rates as a share of their peaks."""
        for group, peak in zip(self.opt.param_groups, self.peaks, strict=True):
            group["lr"] = peak * share

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"opt": self.opt, "d_opt": self.d_opt, "critic_opt": self.critic_opt}

    def save(self, path: Path) -> None:
        state: dict[str, object] = {name: net.state_dict() for name, net in self.nets.items()}
        state |= {f"ema_{name}": net.state_dict() for name, net in self.ema.items()}
        state |= {name: optimiser.state_dict() for name, optimiser in self._optimisers().items()}
        temporary = path.with_suffix(".tmp")
        torch.save(state | {"seen": self.seen, "rng": self.rng.get_state()}, temporary)
        os.replace(temporary, path)

    def load(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        for name, net in self.nets.items():
            net.load_state_dict(state[name])
        for name, net in self.ema.items():
            net.load_state_dict(state[f"ema_{name}"])
        for name, optimiser in self._optimisers().items():
            optimiser.load_state_dict(state[name])
        self.seen = state["seen"]
        self.rng.set_state(state["rng"].cpu())
