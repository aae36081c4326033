"""How close a checkpoint's reconstructions come to portraits: by its encoder alone, and by a search."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latent.checkpoints import Checkpoint
from latent.inversion.invert import Inversion, invert
from latent.inversion.settings import ENCODER_ONLY, InversionSettings

BATCH = 8
MEASURES = ("st_lpips", "perceptual", "identity", "psnr")  # means of which are reported


def reconstruction_errors(
    checkpoint: Checkpoint,
    images: NDArray[np.uint8],
    searches: Sequence[InversionSettings],
    seen: Callable[[int], None] = lambda images: None,
) -> list[dict[str, Any]]:
    """A row of means for the encoder, where there is one, and for each search, over images (n, R, R, 3).

    `seen` gets the size of each finished batch.
    """
    methods = [*([ENCODER_ONLY] if checkpoint.encoder is not None else []), *searches]
    rows = []
    for settings in methods:
        inversions: list[Inversion] = []
        for start in range(0, len(images), BATCH):
            inversions += invert(checkpoint, images[start : start + BATCH], settings)
            seen(len(images[start : start + BATCH]))
        means = {name: float(np.mean([made.metrics[name] for made in inversions])) for name in MEASURES}
        distance = str(inversions[0].metrics["perceptual_name"])
        rows.append(
            {"method": settings.name, "n": len(images), "perceptual_name": distance, **means}
            | {"minimised": settings.minimised(distance)}
        )
    return rows


def reconstruction_lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The rows as text, a line each, and what the search minimised."""
    for row in rows:
        yield (
            f"Reconstructions of {row['n']} portraits, {row['method']}, means: ST-LPIPS {row['st_lpips']:.3f}, "
            f"{row['perceptual_name']} {row['perceptual']:.3f}, identity distance {row['identity']:.3f}, "
            f"PSNR {row['psnr']:.1f} dB."
        )
    if rows:
        yield str(rows[-1]["minimised"])
