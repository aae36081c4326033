"""A photo's W+ code: encoder start, then optimisation of the code alone, the noise maps fixed.

For each photo x the code minimises

    L(w) = a_p d(G(w), x) + a_i |e(G(w)) - e(x)|^2 + a_x pixel(G(w), x) + a_m M(w)

d: perceptual distance (`perceptual.load_perceptual`, whichever this machine has); e: descriptor of the face encoder;
pixel: mean over three octaves of the mean absolute and mean squared difference; M: mean square of the whitened code, in
units of a code drawn from W. Noise is fixed because a detail that is fitted by the
noise maps is missing in the code.

The search runs in whitened coordinates of W (`whitening.Whitening`): one step length suits all models and axes, and a
code leaves the distribution only where the photo requires it. Two steps are Adam's, then a limited-memory
BFGS takes over (`latent.inversion.lbfgs`), which takes the coupling of the axes from the same gradients.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from faces.align import resize
from latent.checkpoints import Checkpoint
from latent.editing.render import pictures_of
from latent.errors import Cancelled, InversionError
from latent.features.image_metrics import identity_distances, psnr, ssim
from latent.features.perceptual import load_perceptual
from latent.features.st_lpips import st_lpips
from latent.images import to_tensor, to_uint8
from latent.inversion.search import Search
from latent.inversion.settings import PRESETS, InversionSettings
from latent.inversion.side_by_side import in_turn, side_by_side
from latent.space import sample_w

START_SAMPLES, START_PSI = 48, 0.7  # faces compared for a start where the checkpoint has no encoder


@dataclass(frozen=True, eq=False)
class Progress:
    """One step of a running inversion: picture of the first photo still in the batch, its losses, seconds left, and its
    place in the batch."""

    step: int
    steps: int
    image: np.ndarray
    losses: dict[str, float]
    seconds_left: float
    row: int = 0

    @classmethod
    def of(
        cls, step: int, steps: int, picture: Tensor, losses: Mapping[str, list[float]], seconds: float, row: int = 0
    ) -> Progress:
        """After `seconds`; picture (3, R, R) in [-1, 1]; losses: each term, a number a step."""
        newest = {name: values[-1] for name, values in losses.items()}
        return cls(step, steps, to_uint8(picture[None])[0], newest, seconds / (step + 1) * (steps - step), row)


@dataclass(frozen=True, eq=False)
class Inversion:
    """A photo's code and what it cost.

    ws: float32 (num_ws, w_dim). reconstruction, start: uint8 (R, R, 3), picture of the code and of the code that the
    search started from. metrics: perceptual, perceptual_name, st_lpips, psnr (dB), ssim, identity (descriptor
    distance), plausibility (1 for a code drawn from W); both pictures at the checkpoint's resolution, 8 bits. seconds:
    this photo's share of its batch. losses: each term of the loss, one number per step.
    """

    ws: np.ndarray
    reconstruction: np.ndarray
    start: np.ndarray
    metrics: dict[str, Any]
    seconds: float
    settings: InversionSettings
    checkpoint_sha256: str
    losses: dict[str, list[float]] = field(default_factory=dict)


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


@torch.no_grad()
def start_codes(checkpoint: Checkpoint, targets: Tensor, seed: int = 0) -> Tensor:
    """Where the search starts, (N, num_ws, w_dim), for photos (N, 3, R, R) in [-1, 1]: the encoder's codes, or without
    an encoder the nearest, in 16 px pixels, of the mean face and some random faces drawn near it."""
    if checkpoint.encoder is not None:
        return torch.cat([checkpoint.encoder(photo) for photo in targets.split(1)])
    mean = checkpoint.statistics.mean
    drawn = mean + START_PSI * (sample_w(checkpoint.generator, START_SAMPLES, seed) - mean)
    codes = torch.from_numpy(np.concatenate([mean[None], drawn])).to(targets)
    ws = codes[:, None].expand(-1, checkpoint.num_ws, -1)
    faces = torch.cat([checkpoint.generator.synthesis(part, noise_mode="const") for part in ws.split(8)])
    small = [F.adaptive_avg_pool2d(pictures, 16).flatten(1) for pictures in (targets, faces)]
    return ws[torch.cdist(small[0], small[1]).argmin(1)]


def measure(targets: np.ndarray, reconstructions: np.ndarray, device: torch.device | str) -> list[dict[str, Any]]:
    """Quality of 8-bit reconstructions (N, R, R, 3), one dictionary per photo."""
    perceptual = load_perceptual(device)
    x, y = to_tensor(targets, device), to_tensor(reconstructions, device)
    with torch.no_grad():
        distances = perceptual(x, y).tolist()
    identities, witness = identity_distances(x, y), st_lpips(targets, reconstructions, device)
    return [
        {
            "perceptual": distances[i],
            "perceptual_name": perceptual.name,
            "st_lpips": witness[i],
            "psnr": psnr(targets[i], reconstructions[i]),
            "ssim": ssim(targets[i], reconstructions[i]),
            "identity": float(identities[i]),
        }
        for i in range(len(targets))
    ]


@dataclass(frozen=True, eq=False)
class _Finished:
    """What a search has of one photo when it ends."""

    ws: np.ndarray
    reconstruction: np.ndarray
    start: np.ndarray
    plausibility: float
    losses: dict[str, list[float]]


@torch.no_grad()
def _finished(checkpoint: Checkpoint, search: Search) -> list[_Finished]:
    rows = torch.arange(len(search.x), device=search.x.device)
    ws = search.codes(search.best_x, rows)
    final, start = (pictures_of(checkpoint.generator.synthesis, w) for w in (ws, search.codes(search.start, rows)))
    codes, plausibility = ws.cpu().numpy().astype(np.float32), search.whitening.implausibility(search.best_x).tolist()
    return [_Finished(*parts) for parts in zip(codes, final, start, plausibility, search.history, strict=True)]


def invert(
    checkpoint: Checkpoint,
    images: np.ndarray,
    settings: InversionSettings = PRESETS["balanced"],
    on_step: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[Inversion]:
    """Codes of aligned faces uint8 (N, S, S, 3), searched for side by side; a batch gives what single runs give.

    The checkpoint is only read: several threads may invert with one. Raises InversionError for images that are not
    square aligned faces or a model whose pictures are not finite, Cancelled when `cancelled` returns True (asked every
    step).
    """
    began = time.perf_counter()
    device = torch.device(checkpoint.device)
    targets = prepared(np.asarray(images), checkpoint.resolution)
    pictures = to_tensor(targets, device)
    cuda = device.type == "cuda"
    with nullcontext(in_turn) if cuda else side_by_side(len(targets)) as each:
        (start,) = each(lambda photos: start_codes(checkpoint, photos, settings.seed), [pictures])
        batches = [slice(None)] if cuda else [slice(i, i + 1) for i in range(len(targets))]
        searches = each(lambda rows: Search(checkpoint, pictures[rows], start[rows], settings), batches)
        for step in range(settings.steps + 1):
            if cancelled is not None and cancelled():
                raise Cancelled("The inversion was cancelled.")
            running = [search for search in searches if len(search.active)]
            if not running:
                break
            shown = int(running[0].active[0])
            drawn = each(lambda search: search.step(step), running)  # noqa: B023
            if on_step is not None:
                seconds = time.perf_counter() - began
                row = searches.index(running[0]) + shown
                on_step(Progress.of(step, settings.steps, drawn[0][0], running[0].history[shown], seconds, row))
            for search in running:
                search.drop_converged()
        finished = list(itertools.chain(*each(lambda search: _finished(checkpoint, search), searches)))
    metrics = measure(targets, np.stack([photo.reconstruction for photo in finished]), device)
    seconds = (time.perf_counter() - began) / len(targets)
    return [
        Inversion(
            ws=photo.ws,
            reconstruction=photo.reconstruction,
            start=photo.start,
            metrics=measured | {"plausibility": photo.plausibility},
            seconds=seconds,
            settings=settings,
            checkpoint_sha256=checkpoint.sha256,
            losses=photo.losses,
        )
        for photo, measured in zip(finished, metrics, strict=True)
    ]
