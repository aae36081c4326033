"""Pivotal tuning: the generator fine-tuned around one face's code until that code gives the photo. For display only.

Roich et al. 2021 (arXiv:2106.05744), sections 3.2 and 3.3. The code w of the photo x (the pivot) stays that of the
inversion; the synthesis network's weights move to minimise

    L = d(G(w), x) + a_x |G(w) - x|^2 + a_r [ d(G(w_r), G_0(w_r)) + a_x |G(w_r) - G_0(w_r)|^2 ]

d: perceptual distance (`perceptual.load_perceptual`); |.|^2: mean squared difference of values in [-1, 1]; G_0: the
generator before. The bracket keeps the rest of W as it was: w_r = w + s (w_z - w) / |w_z - w| lies on the way from the
pivot to a new random code w_z each step.

The result is not a checkpoint. A `TunedGenerator` holds the weights that changed and works only together with the
checkpoint it was made from, which stays untouched. It has its own name and digest, so code that asks for the
checkpoint of a study refuses it: a risk is always that of the code.
"""

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from latent.checkpoints import Checkpoint
from latent.editing.render import synthesize
from latent.errors import Cancelled, LatentError, PivotalError
from latent.features.perceptual import LPIPS_NAME, PerceptualDistance, load_perceptual
from latent.features.st_lpips import st_lpips
from latent.images import to_tensor, to_uint8
from latent.inversion.invert import Inversion, Progress, measure, prepared
from latent.space import sample_w
from latent.stylegan2 import Generator
from latent.stylegan2.generator import SynthesisNetwork

ADAM_BETAS = (0.9, 0.999)
CLOSE = {LPIPS_NAME: 0.06}  # where the authors' settings stop
LOOK_EVERY = 5  # steps between two looks by ST-LPIPS, until a picture is closer than the code's own
CLOSE_ELSE = 0.015  # the face-feature distance, of which codes of held-out portraits leave 0.03 to 0.08
Stopped = Literal["close", "plateau", "steps"]


@dataclass(frozen=True)
class PivotalSettings:
    """How far to go. steps: at most so many moves of the weights; 0 changes nothing. warm_up: steps over which the
    learning rate rises to `learning_rate`.

    pixel, locality: a_x, a_r above; locality 0 leaves the bracket out. locality_every: the bracket is computed in every
    such step, with as many times its weight. distance: s in standard deviations of W (root of the summed variances) a
    layer. coarsest: blocks of fewer pixels a side are left as they are; 4 moves all of them. close: the perceptual
    distance at which it stops, None for the default of the distance in use. patience, tolerance: it also stops
    when the distance to the photo fell by less than this share over so many steps.
    """

    steps: int = 200
    learning_rate: float = 3e-3
    warm_up: int = 10
    pixel: float = 1.0
    locality: float = 0.1
    locality_every: int = 2
    distance: float = 1.0
    coarsest: int = 16
    close: float | None = None
    patience: int = 20
    tolerance: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 0 or min(self.warm_up, self.patience, self.locality_every) < 1:
            raise PivotalError("Tuning needs steps >= 0, warm_up, patience and locality_every >= 1.")
        if not 0 < self.learning_rate < 1 or not 0 <= self.tolerance < 1:
            raise PivotalError("Tuning needs a learning rate in (0, 1) and a tolerance in [0, 1).")
        if not all(math.isfinite(v) and v >= 0 for v in (self.pixel, self.locality, self.distance, self.close or 0.0)):
            raise PivotalError("The weights and distances of a tuning must be finite and not negative.")

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `PivotalSettings(**settings.as_dict())` gives the same settings."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class TunedGenerator:
    """The weights of a synthesis network that a tuning changed; for display, never for features.

    name: in words, for people and for refusals. sha256: of the checkpoint's digest and these weights.
    checkpoint_sha256: the only checkpoint that they fit. changed: parameter name within the synthesis network -> value.
    """

    name: str
    sha256: str
    checkpoint_sha256: str
    changed: Mapping[str, Tensor]

    @property
    def megabytes(self) -> float:
        return sum(value.numel() * value.element_size() for value in self.changed.values()) / 1e6

    def draw(self, checkpoint: Checkpoint, ws: np.ndarray) -> np.ndarray:
        """Pictures uint8 (K, R, R, 3) of codes (K, num_ws, w_dim). Raises PivotalError for another checkpoint."""
        if checkpoint.sha256 != self.checkpoint_sha256:
            raise PivotalError(
                f"The generator {self.name} belongs to another checkpoint than {checkpoint.name}; tune that one."
            )
        return synthesize(checkpoint, ws, network=tuned_network(checkpoint.generator, self.changed))


@dataclass(frozen=True, eq=False)
class Pivotal:
    """A generator tuned to one photo, and what that changed.

    code_picture, picture: uint8 (R, R, 3) of the code by the checkpoint's and by the tuned generator. before, after:
    metrics of the two against the photo, as `inversion.measure` gives them. steps: moves made. stopped: why it ended.
    losses: perceptual, pixel, fit (d + a_x |.|^2 at the pivot) a step, locality where it was computed.
    """

    tuned: TunedGenerator
    code_picture: np.ndarray
    picture: np.ndarray
    before: dict[str, Any]
    after: dict[str, Any]
    seconds: float
    steps: int
    stopped: Stopped
    settings: PivotalSettings
    losses: dict[str, list[float]] = field(default_factory=dict)

    @property
    def closer(self) -> bool:
        """Whether the tuned picture is closer to the photo than the code's own, by the distance nobody minimised."""
        return bool(self.after["st_lpips"] < self.before["st_lpips"])


def close_enough(settings: PivotalSettings, perceptual_name: str) -> float:
    """The perceptual distance to the photo at which a tuning ends."""
    return CLOSE.get(perceptual_name, CLOSE_ELSE) if settings.close is None else settings.close


def tuned_network(generator: Generator, changed: Mapping[str, Tensor]) -> SynthesisNetwork:
    """A new synthesis network with `changed` in place; all else shares the generator's memory."""
    settings: dict[str, Any] = generator.init_kwargs
    with torch.device("meta"):
        network = Generator(**settings).synthesis
    network.load_state_dict(generator.synthesis.state_dict() | dict(changed), assign=True)
    return network.eval().requires_grad_(False)


def tuned_names(generator: Generator, coarsest: int) -> list[str]:
    """Parameters of the synthesis network that a tuning moves: those of its blocks of at least `coarsest` px a side,
    and always of the last one."""
    synthesis = generator.synthesis
    blocks = {f"b{r}" for r in synthesis.block_resolutions if r >= min(coarsest, synthesis.img_resolution)}
    return [name for name, _ in synthesis.named_parameters() if name.partition(".")[0] in blocks]


def codes_nearby(checkpoint: Checkpoint, pivot: Tensor, settings: PivotalSettings) -> Tensor:
    """w_r of every step, (steps + 1, num_ws, w_dim)."""
    drawn = sample_w(checkpoint.generator, settings.steps + 1, settings.seed)
    offset = torch.from_numpy(drawn).to(pivot)[:, None] - pivot  # [steps + 1, num_ws, w_dim]
    length = offset.square().sum(2, keepdim=True).mean(1, keepdim=True).sqrt()
    spread = float(np.sqrt(checkpoint.statistics.variances.astype(np.float64).sum()))
    return pivot + offset * (settings.distance * spread / length.clamp(min=1e-12))


class _Tuning:
    """Adam on a private copy of the weights that may move, the best of them kept."""

    def __init__(self, checkpoint: Checkpoint, pivot: Tensor, target: Tensor, settings: PivotalSettings) -> None:
        self.before, self.settings, self.pivot, self.target = checkpoint.generator, settings, pivot, target
        self.perceptual: PerceptualDistance = load_perceptual(target.device)
        weights = dict(self.before.synthesis.named_parameters())
        names = tuned_names(self.before, settings.coarsest)
        self.network = tuned_network(self.before, {name: weights[name].detach().clone() for name in names})
        self.moving = {
            name: p.requires_grad_(True) for name, p in self.network.named_parameters() if name in set(names)
        }
        self.best = {name: parameter.detach().clone() for name, parameter in self.moving.items()}
        self.best_fit: list[float] = []
        self.adam = torch.optim.Adam(self.moving.values(), lr=settings.learning_rate, betas=ADAM_BETAS)
        self.near = codes_nearby(checkpoint, pivot, settings) if settings.locality else None
        self.losses: dict[str, list[float]] = {}
        with torch.no_grad():
            self.target_features = self.perceptual.features(target)

    def step(self, number: int) -> Tensor:
        """Evaluate, keep what is best, move (not after the last step). Returns the pivot's picture (1, 3, R, R)."""
        near = None
        if self.near is not None and number % self.settings.locality_every == 0:
            near = self.near[number : number + 1]
        pictures = self.network(self.pivot if near is None else torch.cat([self.pivot, near]), noise_mode="const")
        features = self.perceptual.features(pictures)
        terms = self._difference(pictures[:1], [f[:1] for f in features], self.target, self.target_features)
        loss = terms["fit"]
        if near is not None:
            with torch.no_grad():
                unchanged = self.before.synthesis(near, noise_mode="const")
                unchanged_features = self.perceptual.features(unchanged)
            moved = [f[1:] for f in features]
            terms["locality"] = self._difference(pictures[1:], moved, unchanged, unchanged_features)["fit"]
            loss = loss + self.settings.locality * self.settings.locality_every * terms["locality"]
        self._record(terms)
        if number < self.settings.steps:
            self.adam.zero_grad(set_to_none=True)
            loss.backward()
            # Adam's first steps are of full length in every weight, whatever the gradient: the picture would get worse
            # before it gets better.
            share = min(1.0, (number + 1) / self.settings.warm_up)
            self.adam.param_groups[0]["lr"] = self.settings.learning_rate * share
            self.adam.step()
        return pictures[:1].detach()

    def _difference(
        self, a: Tensor, a_features: list[Tensor], b: Tensor, b_features: list[Tensor]
    ) -> dict[str, Tensor]:
        perceptual = self.perceptual.between(a_features, b_features).sum()
        pixel = (a - b).square().mean()
        return {"perceptual": perceptual, "pixel": pixel, "fit": perceptual + self.settings.pixel * pixel}

    def _record(self, terms: dict[str, Tensor]) -> None:
        """Note the terms; keep the weights, which have not moved yet, where they fit best so far."""
        values = {name: float(value.detach()) for name, value in terms.items()}
        if not all(math.isfinite(value) for value in values.values()):
            raise PivotalError(
                "The tuning failed: the generator's picture is no longer finite. The checkpoint is unchanged; "
                "try again with a smaller learning rate."
            )
        for name, value in values.items():
            self.losses.setdefault(name, []).append(value)
        better = not self.best_fit or values["fit"] < self.best_fit[-1]
        self.best_fit.append(values["fit"] if better else self.best_fit[-1])
        if better:
            for name, parameter in self.moving.items():
                self.best[name].copy_(parameter.detach())

    def stopped(self, close: float) -> Stopped | None:
        """Why the weights need not move on, None where they should."""
        if self.losses["perceptual"][-1] <= close:
            return "close"
        patience = self.settings.patience
        if len(self.best_fit) > patience:
            before, now = self.best_fit[-1 - patience], self.best_fit[-1]
            if now > before * (1 - self.settings.tolerance):
                return "plateau"
        return "steps" if len(self.best_fit) > self.settings.steps else None


class _Witness:
    """Shows `on_closer` the first picture that is closer to the photo by ST-LPIPS than the code's own."""

    def __init__(self, target: np.ndarray, device: torch.device, on_closer: Callable[[np.ndarray], None]) -> None:
        self.target, self.device, self.on_closer = target, device, on_closer
        self.code: float | None = None  # distance of the code's own picture
        self.done = False

    def look(self, step: int, picture: Tensor) -> None:
        """At the picture (1, 3, R, R) of a step; that of step 0 is the code's own."""
        if self.done or step % LOOK_EVERY:
            return
        pixels = to_uint8(picture)
        (distance,) = st_lpips(self.target, pixels, self.device)
        if self.code is None:
            self.code = distance
        elif distance < self.code:
            self.done = True
            self.on_closer(pixels[0])


def tune(
    checkpoint: Checkpoint,
    inversion: Inversion,
    image: np.ndarray,
    settings: PivotalSettings | None = None,
    on_step: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    on_closer: Callable[[np.ndarray], None] | None = None,
) -> Pivotal:
    """Tune a copy of the generator to an aligned face uint8 (S, S, 3) around the code that `inversion` found for it.

    on_closer: called once, with the first picture uint8 (R, R, 3) that is closer to the photo by ST-LPIPS than the
    code's own, looked at every `LOOK_EVERY` steps.

    The checkpoint is only read. Raises PivotalError for the code of another checkpoint, for an image that is not
    a square aligned face, or where the pictures are not finite; Cancelled when `cancelled` returns True (asked every
    step).
    """
    began, settings = time.perf_counter(), settings or PivotalSettings()
    if inversion.checkpoint_sha256 != checkpoint.sha256:
        raise PivotalError(
            f"The code was found with another checkpoint than {checkpoint.name}: invert the photo with this one first."
        )
    try:
        target = prepared(np.asarray(image)[None], checkpoint.resolution)
    except LatentError as error:
        raise PivotalError(f"The photo that the generator should be tuned to: {error}") from error
    device = torch.device(checkpoint.device)
    pivot = torch.from_numpy(np.ascontiguousarray(inversion.ws, dtype=np.float32))[None].to(device)
    tuning = _Tuning(checkpoint, pivot, to_tensor(target, device), settings)
    close = close_enough(settings, tuning.perceptual.name)
    witness = _Witness(target, device, on_closer) if on_closer is not None else None
    stopped: Stopped | None = None
    step = -1
    while stopped is None:
        step += 1
        if cancelled is not None and cancelled():
            raise Cancelled("The tuning was cancelled.")
        picture = tuning.step(step)
        if on_step is not None:
            on_step(Progress.of(step, settings.steps, picture[0], tuning.losses, time.perf_counter() - began))
        if witness is not None:
            witness.look(step, picture)
        stopped = tuning.stopped(close)
    digest = hashlib.sha256(f"tuned {checkpoint.sha256}".encode())
    for name, value in sorted(tuning.best.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    name = f"{checkpoint.name} tuned to one photo"
    tuned = TunedGenerator(name, digest.hexdigest(), checkpoint.sha256, tuning.best)
    code_picture, after = synthesize(checkpoint, inversion.ws[None]), tuned.draw(checkpoint, inversion.ws[None])
    metrics = measure(np.concatenate([target, target]), np.concatenate([code_picture, after]), device)
    return Pivotal(
        tuned=tuned,
        code_picture=code_picture[0],
        picture=after[0],
        before=metrics[0],
        after=metrics[1],
        seconds=time.perf_counter() - began,
        steps=step,
        stopped=stopped,
        settings=settings,
        losses=tuning.losses,
    )
