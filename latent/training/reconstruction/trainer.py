"""Networks of a warm start, their averages, autoencoding and the fit of the mapping."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from latent.checkpoints import Checkpoint
from latent.encoders.wplus import WPlusEncoder
from latent.errors import LatentError
from latent.training.cuda_graphs import Graphed, Step, adam, load_optimiser, set_rates
from latent.training.growth import grow_encoder, grow_generator
from latent.training.mapping_fit import fit_mapping, origin_for, shift_codes
from latent.training.reconstruction.adversary import Adversary
from latent.training.reconstruction.cloud import CodeCloud, place
from latent.training.reconstruction.data import Portraits
from latent.training.reconstruction.losses import centre_weight, regression_loss
from latent.training.reconstruction.opponent import Opponent
from latent.training.reconstruction.settings import PHASES, Settings, build_networks

DRAWN_AT_ONCE, CODED_AT_ONCE = 8, 64  # pictures
SPREAD = 1024  # portraits whose codes say how free codes are spread at a tick


class Trainer:
    """State of all phases; `step(phase, done)` takes one step of one of them."""

    def __init__(
        self,
        settings: Settings,
        data: Portraits,
        device: torch.device,
        generator_settings: Mapping[str, Any] | None = None,
    ) -> None:
        s = self.s = settings
        self.data, self.device = data, device
        self.g, self.d, self.e = build_networks(s, generator_settings)
        targets = data.targets.shape[1]
        self.readout: nn.Module = nn.Linear(s.w_dim, targets) if targets else nn.Identity()
        self.nets: dict[str, nn.Module] = {"g": self.g, "d": self.d, "e": self.e, "readout": self.readout}
        for net in self.nets.values():
            net.to(device).train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema_g, self.ema_e = copy.deepcopy(self.g), copy.deepcopy(self.e)
        self.ema: dict[str, nn.Module] = {"g": self.ema_g, "e": self.ema_e}
        for net in self.ema.values():
            net.eval().requires_grad_(False)
        groups = [
            {"params": self.g.synthesis.parameters(), "lr": s.learning_rate},
            {"params": [*self.e.parameters(), *self.readout.parameters()], "lr": s.encoder_rate},
        ]
        self.opt = adam(groups, device, betas=(0.9, 0.99), eps=1e-8)
        self.rng = torch.Generator(device).manual_seed(s.seed)
        self.order = torch.Generator().manual_seed(s.seed)  # of the portraits
        self.weight = centre_weight(s.resolution, device)
        self.seen = dict.fromkeys(PHASES, 0)
        self.cloud = CodeCloud()
        self._adversary: Adversary | None = None
        self._opponent: Opponent | None = None
        self._recorded: dict[str, Graphed] = {}

    @property
    def images_seen(self) -> int:
        return sum(self.seen[phase] for phase in PHASES if phase != "mapping")

    @property
    def adversary(self) -> Adversary:
        """Made when it is first needed: a warm start without it needs no frozen features."""
        if self._adversary is None:
            self._adversary = Adversary(self)
        return self._adversary

    @property
    def opponent(self) -> Opponent:
        if self._opponent is None:
            self._opponent = Opponent(self)
        return self._opponent

    def step(self, phase: str, done: float) -> dict[str, Tensor]:
        """One step; done: share of the phase that lies behind. What it measured stays on the device, for reading it
        would hold up the queue."""
        if phase == "discriminator":
            measured = self.opponent.step()
        else:
            if phase == "autoencoding":
                rate = min(1.0, 1.6 - 1.4 * done)
                set_rates(self.opt, [self.s.learning_rate * rate, self.s.encoder_rate * rate])
            else:
                self.adversary.set_rate(min(1.0, 3 * (1 - done) + 0.02))
            measured = self._step_of(phase)(self.data.rows(self.s.batch, self.order))
            self.seen["mapping"] = 0  # codes have moved: the mapping is fitted again before phase 4
            self.average()
        self.seen[phase] += self.s.batch
        return measured

    def _step_of(self, phase: str) -> Step:
        """The step of phase 1 or 2; on a GPU recorded, as soon as no size and no weight of a loss changes any more."""
        step = self._autoencoding_step if phase == "autoencoding" else self.adversary.step
        features = phase != "autoencoding" or self.images_seen >= self.s.feature_from
        if not (self.cloud.full and self.data.resident and features):
            return step
        return self._recorded.setdefault(phase, Graphed(step, self.rng))

    def cast(self) -> contextlib.AbstractContextManager[object]:
        """Generator and encoder in the precision asked for."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.s.precision == "bf16")

    def codes(self, real: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes (B, num_ws, w_dim) of portraits, the second half one code for all layers; what they cost beside their
        picture; the readout's squared error (of a variance of 1)."""
        with self.cast():
            ws = self.e(real)
        ws = ws.float()
        common, half = ws.mean(1, keepdim=True), len(real) // 2
        self.cloud.add(common[:, 0])
        error = ws.new_zeros(())
        if targets.shape[1]:
            error = (self.readout(common[:, 0] - self.e.w_avg) - targets).square().mean()
        cost = 1e-3 * (ws - self.e.w_avg).square().mean() + 1e-2 * (ws - common).square().mean()
        cost = cost + self.s.readout_weight * error
        return torch.cat([ws[:half], common[half:].expand_as(ws[half:])]), cost, error.detach()

    def _autoencoding_step(self, rows: Tensor) -> dict[str, Tensor]:
        real, targets = self.data.take(rows, self.rng)
        codes, cost, error = self.codes(real, targets)
        with self.cast():
            fake = self.g.synthesis(codes, noise_mode="none")
            weight = self.s.feature_weight if self.images_seen >= self.s.feature_from else 0.0
            losses = regression_loss(fake, real, self.weight, weight)
        self.opt.zero_grad(set_to_none=True)
        (losses["total"] + cost).backward()
        self.opt.step()
        return {name: value.detach() for name, value in losses.items()} | {"readout": error}

    @torch.no_grad()
    def average(self) -> None:
        """Move the averaged generator and encoder; their half-life grows with the run at first."""
        half_life = min(self.s.ema_kimg * 1000, self.images_seen * 0.05 + 1)
        beta = 0.5 ** (self.s.batch / half_life)
        for name, average_net in self.ema.items():
            net = self.nets[name]
            torch._foreach_lerp_(list(average_net.parameters()), list(net.parameters()), 1 - beta)
            torch._foreach_copy_(list(average_net.buffers()), list(net.buffers()))

    @torch.no_grad()
    def _all_codes(self) -> Tensor:
        """Common codes (N, w_dim) of every training portrait."""
        return self._codes_of(torch.arange(len(self.data.images), device=self.data.images.device))

    def _codes_of(self, rows: Tensor) -> Tensor:
        """Common codes (n, w_dim) of these portraits by the averaged encoder."""
        return torch.cat([self.ema_e(self.data[part]).mean(1) for part in rows.split(CODED_AT_ONCE)])

    @torch.no_grad()
    def start_from(self, checkpoint: Checkpoint) -> None:
        """Take the networks of a checkpoint, grown to this resolution; the readout gets its least-squares solution.

        Raises LatentError for one without an encoder, a larger one, or one of other channels.
        """
        generator, encoder = checkpoint.generator, checkpoint.encoder
        if not isinstance(encoder, WPlusEncoder) or checkpoint.resolution > self.s.resolution:
            raise LatentError(f"{checkpoint.name} cannot start this run: it needs our encoder and at most this size.")
        while generator.img_resolution < self.s.resolution:
            try:
                generator = grow_generator(generator)
                encoder = grow_encoder(encoder, generator.num_ws)
            except ValueError as error:
                raise LatentError(f"{checkpoint.name} cannot be grown to {self.s.resolution} px: {error}.") from error
        try:
            for net, state in ((self.g, generator), (self.ema_g, generator), (self.e, encoder), (self.ema_e, encoder)):
                net.load_state_dict(state.state_dict())
            if checkpoint.discriminator is not None and _alike(self.d, checkpoint.discriminator):
                self.d.load_state_dict(checkpoint.discriminator.state_dict())
        except RuntimeError as error:
            raise LatentError(f"{checkpoint.name} has other channels or codes than these settings.") from error
        if isinstance(self.readout, nn.Linear):
            codes = self._all_codes() - self.e.w_avg
            gram = codes.T @ codes
            gram += 1e-3 * gram.diagonal().mean() * torch.eye(len(gram), device=self.device)
            self.readout.weight.copy_(torch.linalg.solve(gram, codes.T @ self.data.targets.to(self.device)).T)
            self.readout.bias.zero_()
        self.cloud.add(self._all_codes())

    def fit_mapping(self) -> None:
        """Phase 3: W gets its origin, and the mapping network mean and covariance of the training portraits' codes."""
        shift = origin_for(self._all_codes())
        shift_codes(self.g, self.e, shift)
        shift_codes(self.ema_g, self.ema_e, shift)
        w = self._all_codes()
        fit_mapping(self.g.mapping, w, self.s.seed)
        self.cloud, self._recorded = CodeCloud(), {}  # the codes before lay elsewhere
        self.cloud.add(w)
        self.seen["mapping"] = len(w)
        self.ema_g.mapping.load_state_dict(self.g.mapping.state_dict())

    @torch.no_grad()
    def draw(self, z: Tensor) -> Tensor:
        """Pictures (n, 3, R, R) of the averaged generator, of free codes with the spread of the portraits' codes by the
        averaged encoder, to which the mapping network is fitted at the end; z (n, w_dim)."""
        evenly = torch.linspace(0, len(self.data.images) - 1, min(SPREAD, len(self.data.images))).long()
        portraits = self._codes_of(evenly.to(self.data.images.device))
        codes = place(portraits, z)[:, None].expand(-1, self.g.num_ws, -1)
        return torch.cat([self.ema_g.synthesis(part, noise_mode="const") for part in codes.split(DRAWN_AT_ONCE)])

    @torch.no_grad()
    def finite(self) -> bool:
        """Whether every weight is a number."""
        nets = [*self.nets.values(), *self.ema.values()]
        tensors: list[Tensor] = [parameter for net in nets for parameter in net.parameters()]
        return all(math.isfinite(float(norm)) for norm in torch._foreach_norm(tensors))

    def state(self) -> dict[str, Any]:
        """Tensors and plain values from which a run goes on."""
        state: dict[str, Any] = {name: net.state_dict() for name, net in self.nets.items()}
        state |= {f"ema_{name}": net.state_dict() for name, net in self.ema.items()} | {"opt": self.opt.state_dict()}
        state |= {"seen": self.seen, "rng": self.rng.get_state(), "order": self.order.get_state()}
        state |= {"cloud": self.cloud.codes, "walk": self.data.walk, "images": self.images_seen}
        if self._adversary is not None:
            state["adversary"] = self._adversary.state()
        if self._opponent is not None:
            state["opponent"] = self._opponent.state()
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`. Raises KeyError, ValueError or RuntimeError where it is of other networks."""
        for name, net in self.nets.items():
            net.load_state_dict(state[name])
        for name, net in self.ema.items():
            net.load_state_dict(state[f"ema_{name}"])
        load_optimiser(self.opt, state["opt"])
        self.seen = dict(state["seen"])
        if state["rng"].shape == self.rng.get_state().shape:  # a run may go on on another kind of device
            self.rng.set_state(state["rng"].cpu())
        self.order.set_state(state["order"].cpu())
        self.cloud.codes, self.data.walk = state["cloud"], state["walk"]
        self._recorded.clear()
        if "adversary" in state:
            self.adversary.restore(state["adversary"])
        if "opponent" in state:
            self.opponent.restore(state["opponent"])


def _alike(net: nn.Module, other: nn.Module) -> bool:
    """Whether the weights of one have a place in the other."""
    shapes = [{name: value.shape for name, value in each.state_dict().items()} for each in (net, other)]
    return shapes[0] == shapes[1]
