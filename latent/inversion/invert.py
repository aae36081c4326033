"""A photo's W+ code: encoder start, then optimisation of the code alone, the noise maps fixed.

For each photo x the code minimises

    L(w) = a_p d(G(w), x) + a_i |e(G(w)) - e(x)|^2 + a_x pixel(G(w), x) + a_m M(w)

d: perceptual distance (`perceptual.load_perceptual`, whichever this machine has); e: descriptor of the face encoder;
pixel: mean over three octaves of the mean absolute and mean squared difference; M: mean square of the whitened code, in
units of a code drawn from W. Noise is fixed because a detail that hides in the
noise maps is lost to whatever reads the code.

The search runs in whitened coordinates of W (`whitening.Whitening`): one step length suits all models and axes, and a
code leaves the distribution only where the photo pulls it. Two steps are Adam's, then a limited-memory
BFGS takes over (`latent.inversion.lbfgs`), which learns from the same gradients how the axes hang together.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from faces.align import resize
from latent.checkpoints import Checkpoint
from latent.errors import Cancelled, InversionError
from latent.features.image_metrics import identity_distances, psnr, ssim
from latent.features.perceptual import load_perceptual
from latent.images import to_tensor, to_uint8
from latent.inversion.lbfgs import Curvature
from latent.inversion.loss import InversionLoss
from latent.inversion.whitening import Whitening
from latent.space import sample_w

START_SAMPLES, START_PSI = 48, 0.7  # faces looked at for a start where the checkpoint has no encoder
ADAM_BETAS = (0.7, 0.99)  # little momentum: a search has tens of steps, not thousands
ADAM_EPSILON = 1e-8
RAMP_UP, RAMP_DOWN = 0.05, 0.5  # shares of the steps over which Adam's step length rises and falls
ADAM_STEPS = 2  # of them before curvature is known
BEYOND = 1.3  # times the quasi-Newton step: it falls short, because the loss is less curved further on
WORSE = 1.5  # times the loss before: a photo whose quasi-Newton step led there goes back to its best code
MAX_STRIKES = 4  # times a photo may be set back after a loss that is no number


@dataclass(frozen=True)
class InversionSettings:
    """How hard to try, and what for. `learning_rate` is in standard deviations of W a step, with a memory its longest;
    steps 0 is the start alone.

    perceptual, identity, pixel, plausibility: the weights a_p, a_i, a_x, a_m above. memory: steps that the quasi-Newton
    method remembers; 0 leaves all steps to Adam.
    A photo stops early when its loss fell by less than `tolerance` (relative) over `patience` steps.
    """

    name: str
    steps: int
    learning_rate: float = 0.2
    perceptual: float = 4.0
    identity: float = 0.1
    pixel: float = 1.0
    plausibility: float = 0.003
    patience: int = 25
    tolerance: float = 0.005
    seed: int = 0
    memory: int = 30

    def __post_init__(self) -> None:
        weights = (self.perceptual, self.identity, self.pixel, self.plausibility)
        if self.steps < 0 or self.patience < 1 or not 0 < self.learning_rate < 10 or not 0 <= self.tolerance < 1:
            raise InversionError("Inversion settings need steps >= 0, patience >= 1, a learning rate in (0, 10).")
        if not 0 <= self.memory <= 100:
            raise InversionError("Inversion settings need a memory of 0 to 100 steps.")
        if min(weights) < 0 or not all(math.isfinite(weight) for weight in weights) or not self.perceptual + self.pixel:
            raise InversionError("Inversion weights must be finite and not negative, with perceptual or pixel above 0.")

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `InversionSettings(**settings.as_dict())` gives the same settings."""
        return asdict(self)


# Chosen on held-out portraits (docs/methods.md has the figures).
PRESETS: Mapping[str, InversionSettings] = {
    "fast": InversionSettings("fast", steps=12),
    "balanced": InversionSettings("balanced", steps=31),
    "faithful": InversionSettings("faithful", steps=90),
}


@dataclass(frozen=True, eq=False)
class Progress:
    """One step of a running inversion: picture of the first photo that still moves, its losses, seconds still to go."""

    step: int
    steps: int
    image: np.ndarray
    losses: dict[str, float]
    seconds_left: float


@dataclass(frozen=True, eq=False)
class Inversion:
    """A photo's code and what it cost.

    ws: float32 (num_ws, w_dim). reconstruction, start: uint8 (R, R, 3), picture of the code and of the code that the
    search started from. metrics: perceptual, perceptual_name, psnr (dB), ssim, identity (descriptor distance),
    plausibility (1 for a code drawn from W); both pictures at the checkpoint's resolution, 8 bits. seconds: this
    photo's share of its batch. losses: each term of the loss, a number a step.
    """

    ws: np.ndarray
    reconstruction: np.ndarray
    start: np.ndarray
    metrics: dict[str, Any]
    seconds: float
    settings: InversionSettings
    checkpoint_sha256: str
    losses: dict[str, list[float]] = field(default_factory=dict)


def step_length(progress: float) -> float:
    """Share of the learning rate at `progress` in [0, 1]: linear rise, plateau, cosine fall to 0."""
    rise = min(1.0, progress / RAMP_UP)
    fall = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1.0 - progress) / RAMP_DOWN))
    return max(rise, 0.05) * fall


def prepared(images: np.ndarray, resolution: int) -> np.ndarray:
    """Aligned photos uint8 (N, S, S, 3) of any size S -> (N, R, R, 3). Raises InversionError for anything else."""
    if images.ndim != 4 or images.shape[3] != 3 or images.shape[1] != images.shape[2] or images.dtype != np.uint8:
        raise InversionError(
            f"Inversion takes square aligned faces, 8 bits RGB, as (N, S, S, 3), not {images.dtype} {images.shape}."
        )
    if len(images) == 0:
        raise InversionError("There is no photo to invert.")
    if images.shape[1] == resolution:
        return images
    return np.stack([resize(image, resolution) for image in images])


def _sampled_start(checkpoint: Checkpoint, targets: Tensor, seed: int) -> Tensor:
    """For each photo the nearest, in 16 px pixels, of the mean face and some random faces drawn near it."""
    mean = checkpoint.statistics.mean
    drawn = mean + START_PSI * (sample_w(checkpoint.generator, START_SAMPLES, seed) - mean)
    codes = torch.from_numpy(np.concatenate([mean[None], drawn])).to(targets)
    ws = codes[:, None].expand(-1, checkpoint.num_ws, -1)
    faces = torch.cat([checkpoint.generator.synthesis(part, noise_mode="const") for part in ws.split(8)])
    small = [F.adaptive_avg_pool2d(pictures, 16).flatten(1) for pictures in (targets, faces)]
    return ws[torch.cdist(small[0], small[1]).argmin(1)]


@torch.no_grad()
def start_codes(checkpoint: Checkpoint, targets: Tensor, seed: int = 0) -> Tensor:
    """Where the search starts, (N, num_ws, w_dim), for photos (N, 3, R, R) in [-1, 1]: the encoder's answer, or
    without an encoder the best of some random faces."""
    if checkpoint.encoder is not None:
        return checkpoint.encoder(targets)
    return _sampled_start(checkpoint, targets, seed)


class _Search:
    """Adam, then L-BFGS, on whitened codes of N photos at once, each by itself; who is done leaves the batch."""

    def __init__(self, checkpoint: Checkpoint, targets: Tensor, settings: InversionSettings) -> None:
        self.generator, self.settings = checkpoint.generator, settings
        self.whitening = Whitening(checkpoint.statistics, targets.device)
        self.loss = InversionLoss(targets, settings, load_perceptual(targets.device), self.whitening)
        start = start_codes(checkpoint, targets, settings.seed)
        self.x, self.rest = self.whitening.split(start)
        n = len(targets)
        self.best = torch.full((n,), math.inf, device=targets.device)
        self.last = self.best.clone()  # loss before the newest step
        self.newton = torch.zeros(n, dtype=torch.bool, device=targets.device)  # whose newest step was quasi-Newton
        self.best_x = self.x.clone()
        self.first_moment, self.second_moment = torch.zeros_like(self.x), torch.zeros_like(self.x)
        self.updates = torch.zeros(n, device=targets.device)
        self.curvature = Curvature(n, self.x[0].numel(), settings.memory, targets.device)
        self.rate = torch.ones(n, device=targets.device)
        self.strikes = [0] * n
        self.best_history: list[Tensor] = []
        self.history: list[dict[str, list[float]]] = [{} for _ in range(n)]
        self.active = torch.arange(n, device=targets.device)

    def codes(self, x: Tensor, rows: Tensor) -> Tensor:
        return self.whitening.join(x, self.rest[rows])

    def step(self, number: int) -> Tensor:
        """Evaluate, keep what is best, move (not after the last step). Returns the pictures of the active photos."""
        rows, last = self.active, number == self.settings.steps
        x = self.x[rows].requires_grad_(not last)
        with torch.set_grad_enabled(not last):
            pictures = self.generator.synthesis(self.codes(x, rows), noise_mode="const")
            terms = self.loss(pictures, x, rows)
            total = terms["total"]
        gradient = torch.zeros_like(x) if last else torch.autograd.grad(total.sum(), x)[0]
        x, total = x.detach(), total.detach()
        sound = total.isfinite() & gradient.flatten(1).isfinite().all(1)
        self._record(rows, terms, sound)
        better = sound & (total < self.best[rows])
        self.best[rows[better]], self.best_x[rows[better]] = total[better], x[better]
        self.best_history.append(self.best.clone())
        if not last:
            self._set_back(rows[~sound], first=number == 0)
            lost = sound & self.newton[rows] & (total > WORSE * self.last[rows])
            self.last[rows[sound]] = total[sound]
            self._forget(rows[lost])
            going = sound & ~lost
            self._move(rows[going], gradient[going], number)
        return pictures.detach()

    def _record(self, rows: Tensor, terms: dict[str, Tensor], sound: Tensor) -> None:
        for name, values in terms.items():
            for row, value, fine in zip(rows.tolist(), values.tolist(), sound.tolist(), strict=True):
                if fine:
                    self.history[row].setdefault(name, []).append(value)

    def _set_back(self, rows: Tensor, first: bool) -> None:
        """Photos whose loss is no number go on from their best code with half the step, a few times."""
        for row in rows.tolist():
            self.strikes[row] += 1
            if first or self.strikes[row] > MAX_STRIKES:
                raise InversionError(
                    f"The inversion of photo {row + 1} broke down: the model's picture or its error is not a number. "
                    "Check the checkpoint, or choose another inversion preset."
                )
        self._forget(rows)
        self.rate[rows] *= 0.5

    def _forget(self, rows: Tensor) -> None:
        """Photos that went astray go on from their best code as if they began there."""
        self.x[rows] = self.best_x[rows]
        self.first_moment[rows], self.second_moment[rows], self.updates[rows] = 0.0, 0.0, 0.0
        self.curvature.forget(rows)
        self.newton[rows] = False

    def _move(self, rows: Tensor, gradient: Tensor, number: int) -> None:
        """One step of each photo: Adam's (Kingma & Ba 2015, algorithm 1), or what `_curved` makes of it."""
        beta1, beta2 = ADAM_BETAS
        self.updates[rows] += 1
        self.first_moment[rows] = beta1 * self.first_moment[rows] + (1 - beta1) * gradient
        self.second_moment[rows] = beta2 * self.second_moment[rows] + (1 - beta2) * gradient.square()
        count = self.updates[rows][:, None, None]
        mean = self.first_moment[rows] / (1 - beta1**count)
        spread = (self.second_moment[rows] / (1 - beta2**count)).sqrt() + ADAM_EPSILON
        rate = self.rate[rows][:, None, None]
        step = rate * (self.settings.learning_rate * step_length(number / self.settings.steps)) * mean / spread
        if self.settings.memory:
            step = self._curved(rows, gradient, step, spread, number)
        self.x[rows] -= step

    def _curved(self, rows: Tensor, gradient: Tensor, step: Tensor, spread: Tensor, number: int) -> Tensor:
        """What takes the place of Adam's step (n, num_ws, k): after the first steps, where curvature is known, that of
        L-BFGS with Adam's scales as its first guess, no longer than the learning rate (root mean square over axes)."""
        self.curvature.learn(rows, self.x[rows].flatten(1), gradient.flatten(1))
        self.newton[rows] = self.curvature.known(rows) & (number >= ADAM_STEPS)
        newton = BEYOND * self.curvature.direction(rows, gradient.flatten(1), 1 / spread.flatten(1)).view_as(step)
        longest = self.rate[rows][:, None, None] * self.settings.learning_rate
        size = newton.square().mean((1, 2), keepdim=True).sqrt()
        newton = newton * (longest / size.clamp_min(1e-12)).clamp_max(1.0)
        return torch.where(self.newton[rows][:, None, None], newton, step)

    def drop_converged(self) -> None:
        """Take photos off the batch whose best loss has not fallen enough lately."""
        patience = self.settings.patience
        if len(self.best_history) <= patience:
            return
        before, now = self.best_history[-1 - patience][self.active], self.best[self.active]
        self.active = self.active[now < before * (1 - self.settings.tolerance)]


def _report(search: _Search, step: int, picture: Tensor, row: int, seconds: float) -> Progress:
    losses = {name: values[-1] for name, values in search.history[row].items()}
    steps = search.settings.steps
    left = seconds / (step + 1) * (steps - step)
    return Progress(step, steps, to_uint8(picture[None])[0], losses, left)


def measure(targets: np.ndarray, reconstructions: np.ndarray, device: torch.device | str) -> list[dict[str, Any]]:
    """Quality of 8-bit reconstructions (N, R, R, 3), one dictionary a photo."""
    perceptual = load_perceptual(device)
    x, y = to_tensor(targets, device), to_tensor(reconstructions, device)
    with torch.no_grad():
        distances = perceptual(x, y).tolist()
    identities = identity_distances(x, y)
    return [
        {
            "perceptual": distances[i],
            "perceptual_name": perceptual.name,
            "psnr": psnr(targets[i], reconstructions[i]),
            "ssim": ssim(targets[i], reconstructions[i]),
            "identity": float(identities[i]),
        }
        for i in range(len(targets))
    ]


def invert(
    checkpoint: Checkpoint,
    images: np.ndarray,
    settings: InversionSettings = PRESETS["balanced"],
    on_step: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[Inversion]:
    """Codes of aligned faces uint8 (N, S, S, 3), all searched for at once; a batch gives what single runs give.

    The checkpoint is only read: several threads may invert with one. Raises InversionError for images that are no
    faces' squares or a model whose pictures are no numbers, Cancelled when `cancelled` says so (asked every step).
    """
    began = time.perf_counter()
    device = torch.device(checkpoint.device)
    targets = prepared(np.asarray(images), checkpoint.resolution)
    search = _Search(checkpoint, to_tensor(targets, device), settings)
    everyone = search.active
    start = search.x.clone()
    for step in range(settings.steps + 1):
        if cancelled is not None and cancelled():
            raise Cancelled("The inversion was cancelled.")
        shown = int(search.active[0])
        pictures = search.step(step)
        if on_step is not None:
            on_step(_report(search, step, pictures[0], shown, time.perf_counter() - began))
        search.drop_converged()
        if len(search.active) == 0:
            break
    with torch.no_grad():
        ws = search.codes(search.best_x, everyone)
        first = search.codes(start, everyone)
        final = np.concatenate([to_uint8(checkpoint.generator.synthesis(w, noise_mode="const")) for w in ws.split(8)])
        starts = np.concatenate(
            [to_uint8(checkpoint.generator.synthesis(w, noise_mode="const")) for w in first.split(8)]
        )
    metrics = measure(targets, final, device)
    plausibility = search.whitening.implausibility(search.best_x).tolist()
    seconds = (time.perf_counter() - began) / len(targets)
    return [
        Inversion(
            ws=ws[i].cpu().numpy().astype(np.float32),
            reconstruction=final[i],
            start=starts[i],
            metrics=metrics[i] | {"plausibility": plausibility[i]},
            seconds=seconds,
            settings=settings,
            checkpoint_sha256=checkpoint.sha256,
            losses=search.history[i],
        )
        for i in range(len(targets))
    ]
