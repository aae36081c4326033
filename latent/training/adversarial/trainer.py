"""One step of adversarial training, and the state that it moves.

Karras et al. 2019 (arXiv:1912.04958) with adaptive augmentation (2020, arXiv:2006.06676). A step shows `batch` real
images to the discriminator: generator, path lengths (every 4th), discriminator, R1 (every 16th), each a pass and an
update of its own with fresh samples; then averages and augmentation strength. The batch is walked in parts of
`micro_batch` images, which are divided among the processes; every draw goes by step and part (`streams`), so the
result does not depend on who computed which.
"""

import copy
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from latent.images import to_tensor, to_uint8
from latent.stylegan2 import Discriminator, Generator
from latent.stylegan2.augment.adaptive_strength import AdaptiveStrength
from latent.stylegan2.ops import convolutions_in
from latent.training.adversarial.objectives import objective_of
from latent.training.adversarial.scaling import LossScale
from latent.training.adversarial.settings import Settings
from latent.training.distributed import Group
from latent.training.losses import path_lengths, r1_penalty
from latent.training.projected_discriminator import ProjectedDiscriminator
from latent.training.streams import DataOrder, Streams

MAPPING_RATE = 0.01  # learning rate of the mapping network's weights relative to the others', as published
DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
DRAWN_AT_ONCE = 8  # samples
Part = tuple[int, slice]  # number of a micro-batch in the step's batch, and its places there


def optimiser(groups: list[dict[str, Any]], rate: float, every: int | None) -> torch.optim.Adam:
    """Adam with beta (0, 0.99), corrected for a regulariser that adds an update every `every` steps (section 3.1,
    appendix B): with c = every / (every + 1), rate c and beta^c."""
    c = 1.0 if every is None else every / (every + 1)
    for group in groups:
        group["lr"] = group["peak"] = rate * c * group.pop("share", 1.0)
    return torch.optim.Adam(groups, lr=rate * c, betas=(0.0, 0.99**c), eps=1e-8)


class Trainer:
    """Networks, optimisers, averages and the counters from which everything random follows.

    images: uint8 (N, R, R, 3), may be memory-mapped. `generator` and `discriminator` are trained in place.
    """

    def __init__(
        self,
        settings: Settings,
        generator: Generator,
        discriminator: Discriminator | ProjectedDiscriminator,
        images: np.ndarray,
        group: Group,
    ) -> None:
        s = self.settings = settings
        self.group, self.device, self.data = group, group.device, images
        self.g, self.d = generator.to(self.device).train(), discriminator.to(self.device).train()
        self.g.requires_grad_(True)
        self.g_ema = copy.deepcopy(self.g).eval().requires_grad_(False)
        self.objective = objective_of(self.d, s)
        self.d_parameters = self.objective.parameters
        self.d.requires_grad_(False)
        mapping = dict(self.g.init_kwargs["mapping_kwargs"]).get("lr_multiplier", MAPPING_RATE)  # type: ignore[call-overload]
        groups: list[dict[str, Any]] = [
            {"params": list(self.g.synthesis.parameters())},
            # lr_multiplier scales these weights down at run time and so their steps; a network without it would
            # otherwise turn a hundred times as fast as the published ones, and W with it.
            {"params": list(self.g.mapping.parameters()), "share": MAPPING_RATE / mapping},
        ]
        self.g_parameters = [parameter for group_ in groups for parameter in group_["params"]]
        self.g_opt = optimiser(groups, s.learning_rate * s.g_rate, s.pl_every if s.pl_weight else None)
        self.d_opt = optimiser([{"params": self.d_parameters}], s.learning_rate, s.r1_every if s.gamma else None)
        self.streams = Streams(s.seed)
        self.order = DataOrder(self.streams, len(images))
        self.pipe = self.objective.pipe
        self.strength = AdaptiveStrength(s.target, s.ada_kimg, p=s.p)
        self.scale = LossScale(s.precision == "fp16")
        self.images = 0
        self.pl_mean: float | None = None
        parts = s.batch // s.micro_batch
        of_this_process = range(group.rank * parts // group.size, (group.rank + 1) * parts // group.size)
        self.parts: list[Part] = [(k, slice(k * s.micro_batch, (k + 1) * s.micro_batch)) for k in of_this_process]
        self.share = s.micro_batch / s.batch
        self.total = math.ceil(s.kimg * 1000 / s.batch) * s.batch  # images of the whole run
        self.stage, self.dtype = "", DTYPES[s.precision]
        self.networks: dict[str, nn.Module] = {"g": self.g, "d": self.d, "g_ema": self.g_ema}

    @property
    def index(self) -> int:
        """Number of the step that comes next."""
        return self.images // self.settings.batch

    def step(self) -> dict[str, float]:
        """One step; what it measured, the same on every process, finite or not."""
        s, index = self.settings, self.index
        if self.pipe is not None:
            self.pipe.p.fill_(self.strength.p)
        ramp = s.g_rampup_kimg * 1000
        for group in self.g_opt.param_groups:
            group["lr"] = group["peak"] * (min(1.0, self.images / ramp) if ramp else 1.0)
        self._sums: dict[str, Tensor] = {}
        self._norms: dict[str, Tensor] = {}
        self._signs = torch.zeros(s.batch, device=self.device)
        self._generator_step(index)
        if s.pl_weight and index % s.pl_every == 0:
            self._path_length_step(index)
        for parameter in self.d_parameters:  # outside these steps its weights cost no gradients
            parameter.requires_grad_(True)
        self._discriminator_step(index)
        if s.gamma and index % s.r1_every == 0:
            self._r1_step(index)
        self.d.requires_grad_(False)
        measured = self._reduced()
        self.images += s.batch
        self._average()
        if self.pipe is not None and s.augment == "ada":
            self.strength.update(self._signs)
        return measured | {"ada_p": self.strength.p if self.pipe is not None else 0.0}

    def _generator_step(self, index: int) -> None:
        """Non-saturating logistic loss on fresh samples."""
        z, cuts = self._drawn("generator", index, self.settings.batch)
        for number, places in self.parts:
            with convolutions_in(self.dtype):
                fake, ws = self._samples("generator", index, number, z[places], cuts[places])
                loss = self.objective.generator_loss(self._logits(fake, "generator", index, number))
            self._backward(loss)
            self._note("loss_g", loss)
            self._note("w", ws[:, 0].mean(0))
        self._update(self.g_opt, self.g_parameters, "gradient_g")

    def _path_length_step(self, index: int) -> None:
        """Lazy path-length regularisation on batch / pl_shrink samples (section 3.2), in float32.

        The first measurement sets the running mean and penalises nothing: with a mean of 0 it would press the images
        of a trained generator together for the hundreds of steps that the mean needs to rise.
        """
        s = self.settings
        n = max(1, s.micro_batch // s.pl_shrink)
        z, cuts = self._drawn("path", index, n * (s.batch // s.micro_batch))
        for number, _ in self.parts:
            at = slice(number * n, (number + 1) * n)
            fake, ws = self._samples("path", index, number, z[at], cuts[at])
            generators = [self.streams.generator("path y", index, k) for k in range(at.start, at.stop)]
            y = [torch.randn(fake.shape[1:], generator=generator) for generator in generators]
            lengths = path_lengths(fake, ws, torch.stack(y).to(self.device))
            if self.pl_mean is not None:
                penalty = (lengths - self.pl_mean).square().mean()
                (penalty * (s.pl_weight * s.pl_every * self.share)).backward()
                self._note("pl", penalty)
            self._note("length", lengths.mean())
        if self.pl_mean is not None:
            self._update(self.g_opt, self.g_parameters, "gradient_pl", scaled=False)

    def _discriminator_step(self, index: int) -> None:
        """Logistic loss on the step's real images and fresh samples."""
        z, cuts = self._drawn("discriminator", index, self.settings.batch)
        for number, places in self.parts:
            with convolutions_in(self.dtype):
                with torch.no_grad():
                    fake, _ = self._samples("discriminator", index, number, z[places], cuts[places])
                on_fake = self._logits(fake, "fake", index, number)
                on_real = self._logits(self._real(places), "real", index, number)
                loss = self.objective.discriminator_loss(on_real, on_fake)
            self._backward(loss)
            self._note("loss_d", loss)
            self._signs[places] = self.objective.scores(on_real).detach().sign()
        self._update(self.d_opt, self.d_parameters, "gradient_d")

    def _r1_step(self, index: int) -> None:
        """Lazy R1 on the step's real images, through the augmentation, in float32."""
        s = self.settings
        for number, places in self.parts:
            real = self._real(places).requires_grad_()
            penalty = r1_penalty(self._logits(real, "r1", index, number), real)
            (penalty * (s.gamma / 2 * s.r1_every * self.share)).backward()
            self._note("r1", penalty)
        self._update(self.d_opt, self.d_parameters, "gradient_r1", scaled=False)

    def _drawn(self, purpose: str, index: int, n: int) -> tuple[Tensor, Tensor]:
        """Latents (n, 2, z_dim) and mixing layers (n,) of a pass over the whole batch."""
        z = self.streams.latents(purpose, index, n, self.g.z_dim)
        cuts = self.streams.cuts(purpose, index, n, self.g.num_ws, self.settings.mixing)
        return z.to(self.device), cuts.to(self.device)

    def _samples(self, purpose: str, index: int, number: int, z: Tensor, cuts: Tensor) -> tuple[Tensor, Tensor]:
        """Style-mixed samples (n, 3, R, R) and their codes (n, num_ws, w_dim), with random noise maps."""
        first, second = self.g.mapping(z.transpose(0, 1).flatten(0, 1), None, update_emas=False).chunk(2)
        layer = torch.arange(self.g.num_ws, device=self.device)[None, :, None]
        ws = torch.where(layer >= cuts[:, None, None], second, first)
        self.streams.seed_noise(f"{purpose} noise", index, number)
        return self.g.synthesis(ws, noise_mode="random"), ws

    def _real(self, places: slice) -> Tensor:
        """Real images (n, 3, R, R) at these places of the step's batch."""
        rows = self.order.rows(self.images + places.start, places.stop - places.start)
        real = to_tensor(self.data[rows.numpy()], self.device)
        if self.settings.mirror:
            flip = self.streams.flips(self.index, self.settings.batch)[places].to(self.device)
            real = torch.where(flip[:, None, None, None], real.flip(3), real)
        return real

    def _logits(self, images: Tensor, purpose: str, index: int, number: int) -> Any:
        return self.objective.logits(images, self.streams.number(f"{purpose} augment", index, number))

    def _backward(self, loss: Tensor) -> None:
        (loss * (self.share * self.scale.factor)).backward()

    def _note(self, name: str, value: Tensor) -> None:
        """Add a part's mean to the batch's."""
        part = value.detach().float() * self.share
        self._sums[name] = self._sums[name] + part if name in self._sums else part

    def _update(
        self, opt: torch.optim.Optimizer, parameters: list[nn.Parameter], name: str, scaled: bool = True
    ) -> None:
        """Sum the gradients over the processes and take a step (none where fp16 overflowed)."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        self.group.sum_gradients(gradients)
        if self.scale.active and scaled:
            torch._foreach_div_(gradients, self.scale.factor)
        norm = torch.nn.utils.get_total_norm(gradients)
        if not scaled or self.scale.accept(norm):
            self._norms[name] = norm
            opt.step()
        opt.zero_grad(set_to_none=True)

    def _reduced(self) -> dict[str, float]:
        """The step's measurements over all processes, with one wait for the device."""
        w, names = self._sums.pop("w"), list(self._sums)
        packed = torch.cat([torch.stack([self._sums[name] for name in names]), w, self._signs])
        self.group.sum_(packed)
        values, w, signs = packed.split([len(names), len(w), len(self._signs)])
        self._w, self._signs = w, signs.cpu()
        numbers = torch.cat([values, torch.stack(list(self._norms.values()))]) if self._norms else values
        measured = dict(zip([*names, *self._norms], numbers.tolist(), strict=True))
        measured["real_sign"] = float(self._signs.mean())
        length = measured.pop("length", None)
        if length is not None:
            decay = 1.0 if self.pl_mean is None else self.settings.pl_decay
            self.pl_mean = decay * length + (1 - decay) * (self.pl_mean or 0.0)
            measured["path_length"] = length
        return measured

    @torch.no_grad()
    def _average(self) -> None:
        """Mean code and averaged generator; the half-life grows with the run at first."""
        s, mapping = self.settings, self.g.mapping
        if mapping.w_avg_beta is not None:
            mapping.w_avg.copy_(self._w.lerp(mapping.w_avg, mapping.w_avg_beta))
        half_life = s.ema_kimg * 1000
        if s.ema_rampup:
            half_life = min(half_life, self.images * s.ema_rampup)
        beta = 0.5 ** (s.batch / half_life)
        torch._foreach_lerp_(list(self.g_ema.parameters()), list(self.g.parameters()), 1 - beta)
        for averaged, trained in zip(self.g_ema.buffers(), self.g.buffers(), strict=True):
            averaged.copy_(trained)

    @torch.no_grad()
    def draw(self, purpose: str, n: int) -> np.ndarray:
        """Samples uint8 (n, R, R, 3) of the averaged generator without truncation; the latents follow from purpose."""
        z = torch.randn(n, self.g.z_dim, generator=self.streams.generator(purpose))
        parts = [self.g_ema(part.to(self.device), noise_mode="const") for part in z.split(DRAWN_AT_ONCE)]
        return np.concatenate([to_uint8(part) for part in parts])

    @torch.no_grad()
    def finite(self) -> bool:
        tensors: list[Tensor] = [parameter for network in self.networks.values() for parameter in network.parameters()]
        return all(math.isfinite(float(norm)) for norm in torch._foreach_norm(tensors))

    def state(self) -> dict[str, Any]:
        return {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimisers": {"g": self.g_opt.state_dict(), "d": self.d_opt.state_dict()},
            "strength": self.strength.state_dict(),
            "scale": self.scale.state(),
            "images": self.images,
            "pl_mean": self.pl_mean,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        self.g_opt.load_state_dict(state["optimisers"]["g"])
        self.d_opt.load_state_dict(state["optimisers"]["d"])
        self.strength.load_state_dict(state["strength"])
        self.scale.restore(state["scale"])
        self.images, self.pl_mean = int(state["images"]), state["pl_mean"]
