"""What all phases work on: generator, discriminator, encoder and linear readout, the averages of two of them, the
portraits, and the recent codes.
"""

import contextlib
import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from latent.checkpoints import Checkpoint
from latent.encoders.wplus import WPlusEncoder
from latent.errors import LatentError
from latent.training.losses import centre_weight
from latent.training.mapping_fit import fit_mapping, origin_for, shift_codes
from latent.training.reconstruction.code_cloud import CodeCloud
from latent.training.reconstruction.data import Portraits
from latent.training.reconstruction.growth import grow_encoder, grow_generator
from latent.training.reconstruction.settings import Settings, build_networks

CODED_AT_ONCE = 64  # portraits
GENERATOR, ENCODER = "generator", "encoder"  # whose rate a part learns at


@dataclass(frozen=True)
class Part:
    """Weights that learn at a factor of the generator's or the encoder's rate. The readout goes with the encoder."""

    network: str
    weights: list[nn.Parameter]
    factor: float = 1.0


class Networks:
    """generator, discriminator, encoder, readout are trained; average_generator, average_encoder follow them.

    rng: on the device, for whatever a step draws; seeded before each. cloud: recent codes. weight: of pixels.
    """

    def __init__(
        self,
        settings: Settings,
        data: Portraits,
        device: torch.device,
        generator_settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.settings, self.data, self.device = settings, data, device
        self.generator, self.discriminator, self.encoder = build_networks(settings, generator_settings)
        targets = data.target_count
        self.readout: nn.Module = nn.Linear(settings.w_dim, targets) if targets else nn.Identity()
        trained = {name: getattr(self, name) for name in ("generator", "discriminator", "encoder", "readout")}
        for network in trained.values():
            network.to(device).train().to(memory_format=torch.channels_last)
        self.average_generator = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.average_encoder = copy.deepcopy(self.encoder).eval().requires_grad_(False)
        averages = {"average_generator": self.average_generator, "average_encoder": self.average_encoder}
        self.all: dict[str, nn.Module] = trained | averages
        self.rng = torch.Generator(device)
        self.cloud = CodeCloud()
        self.weight = centre_weight(settings.resolution, device)

    def cast(self) -> contextlib.AbstractContextManager[object]:
        """Generator and encoder in the precision asked for."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16")

    def codes(self, real: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes (B, num_ws, w_dim) of portraits, the second half one code for all layers; what they cost in addition to
        their picture; the readout's squared error (of a variance of 1)."""
        with self.cast():
            ws = self.encoder(real)
        ws = ws.float()
        common, half = ws.mean(1, keepdim=True), len(real) // 2
        self.cloud.add(common[:, 0])
        error = ws.new_zeros(())
        if targets.shape[1]:
            error = (self.readout(common[:, 0] - self.encoder.w_avg) - targets).square().mean()
        cost = 1e-3 * (ws - self.encoder.w_avg).square().mean() + 1e-2 * (ws - common).square().mean()
        cost = cost + self.settings.readout_weight * error
        return torch.cat([ws[:half], common[half:].expand_as(ws[half:])]), cost, error.detach()

    def parts(self) -> list[Part]:
        """What the optimisers of phases 1 and 2 change. Where a part keeps its weights, no gradient is computed."""
        s, synthesis = self.settings, self.generator.synthesis
        coder, readout = list(self.encoder.parameters()), list(self.readout.parameters())
        if not s.fine_from:
            return [Part(GENERATOR, list(synthesis.parameters())), Part(ENCODER, coder + readout)]
        fine: list[nn.Parameter] = []
        coarse: list[nn.Parameter] = []
        for side in synthesis.block_resolutions:
            (fine if side >= s.fine_from else coarse).extend(synthesis.get_submodule(f"b{side}").parameters())
        for weight in coarse + coder:
            weight.requires_grad_(s.coarse_rate > 0)
        parts = [Part(GENERATOR, fine), Part(GENERATOR, coarse, s.coarse_rate)]
        parts += [Part(ENCODER, readout), Part(ENCODER, coder, s.coarse_rate)]
        return [part for part in parts if part.weights and part.factor]

    @torch.no_grad()
    def move_averages(self, images_seen: int) -> None:
        """Move the averaged generator and encoder; their half-life grows with the run at first."""
        half_life = min(self.settings.ema_kimg * 1000, images_seen * 0.05 + 1)
        beta = 0.5 ** (self.settings.batch / half_life)
        pairs = ((self.average_generator, self.generator), (self.average_encoder, self.encoder))
        for average, trained in pairs:
            torch._foreach_lerp_(list(average.parameters()), list(trained.parameters()), 1 - beta)
            torch._foreach_copy_(list(average.buffers()), list(trained.buffers()))

    def averages(self) -> dict[str, Any]:
        """Copies of the averaged networks' states, for `take`."""
        networks = {GENERATOR: self.average_generator, ENCODER: self.average_encoder}
        return {
            name: {key: value.clone() for key, value in network.state_dict().items()}
            for name, network in networks.items()
        }

    def take(self, averages: Mapping[str, Any]) -> None:
        """Continue from the states of `averages`, the trained networks as well as the averaged ones."""
        for network in (self.generator, self.average_generator):
            network.load_state_dict(averages[GENERATOR])
        for coder in (self.encoder, self.average_encoder):
            coder.load_state_dict(averages[ENCODER])

    @torch.no_grad()
    def common_codes(self, rows: Tensor | None = None) -> Tensor:
        """Common codes (n, w_dim) of these portraits, or of all, by the averaged encoder."""
        if rows is None:
            rows = torch.arange(len(self.data), device=self.data.images.device)
        return torch.cat([self.average_encoder(self.data[part]).mean(1) for part in rows.split(CODED_AT_ONCE)])

    @torch.no_grad()
    def start_from(self, checkpoint: Checkpoint) -> None:
        """Take the networks of a checkpoint, grown to this resolution; the readout gets its least-squares solution.

        Raises LatentError for one without a WPlusEncoder, a larger one, or one of other channels.
        """
        generator, encoder = checkpoint.generator, checkpoint.encoder
        resolution = self.settings.resolution
        if not isinstance(encoder, WPlusEncoder) or checkpoint.resolution > resolution:
            raise LatentError(
                f"{checkpoint.name} cannot start this run: it needs an encoder trained here and at most this size."
            )
        while generator.img_resolution < resolution:
            try:
                generator = grow_generator(generator)
                encoder = grow_encoder(encoder, generator.num_ws)
            except ValueError as error:
                raise LatentError(f"{checkpoint.name} cannot be grown to {resolution} px: {error}.") from error
        try:
            for network in (self.generator, self.average_generator):
                network.load_state_dict(generator.state_dict())
            for coder in (self.encoder, self.average_encoder):
                coder.load_state_dict(encoder.state_dict())
            if checkpoint.discriminator is not None:
                state, ours = checkpoint.discriminator.state_dict(), self.discriminator.state_dict()
                if {name: value.shape for name, value in state.items()} == {n: v.shape for n, v in ours.items()}:
                    self.discriminator.load_state_dict(state)
        except RuntimeError as error:
            raise LatentError(f"{checkpoint.name} has other channels or codes than these settings.") from error
        if isinstance(self.readout, nn.Linear):
            codes, targets = self._codes_with_targets()
            gram = codes.T @ codes
            gram += 1e-3 * gram.diagonal().mean() * torch.eye(len(gram), device=self.device)
            self.readout.weight.copy_(torch.linalg.solve(gram, codes.T @ targets).T)
            self.readout.bias.zero_()
        self.cloud.add(self.common_codes())

    def _codes_with_targets(self) -> tuple[Tensor, Tensor]:
        """Common codes (N, w_dim) of all portraits about the encoder's mean, mirrored and altered as in training, and
        their readout targets (N, t)."""
        self.rng.manual_seed(self.settings.seed)
        codes, targets = [], []
        for rows in torch.arange(len(self.data)).split(CODED_AT_ONCE):
            images, known = self.data.take(rows, self.rng)
            codes.append(self.average_encoder(images).mean(1) - self.encoder.w_avg)
            targets.append(known)
        return torch.cat(codes), torch.cat(targets)

    def fit_mapping(self) -> int:
        """Phase 3: W gets its origin, and the mapping network mean and covariance of the training portraits' codes,
        whose number is returned."""
        shift = origin_for(self.common_codes(), self.settings.spread)
        shift_codes(self.generator, self.encoder, shift)
        shift_codes(self.average_generator, self.average_encoder, shift)
        w = self.common_codes()
        fit_mapping(self.generator.mapping, w, self.settings.seed, self.settings.spread)
        self.cloud = CodeCloud()  # the codes before lay elsewhere
        self.cloud.add(w)
        self.average_generator.mapping.load_state_dict(self.generator.mapping.state_dict())
        return len(w)

    @torch.no_grad()
    def finite(self) -> bool:
        tensors: list[Tensor] = [parameter for network in self.all.values() for parameter in network.parameters()]
        return all(math.isfinite(float(norm)) for norm in torch._foreach_norm(tensors))

    def state(self) -> dict[str, Any]:
        return {name: network.state_dict() for name, network in self.all.items()} | {"cloud": self.cloud.codes}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from `state()`. Raises KeyError or RuntimeError where it is of other networks."""
        for name, network in self.all.items():
            network.load_state_dict(state[name])
        self.cloud.codes = state["cloud"]
