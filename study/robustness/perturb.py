"""Changes of a photo that change nothing about the person, each small enough to happen between two visits.

Lengths go by the side of the face's square, so that a change is as large in every photo. Nothing here depends on
another photo; grain is drawn from the photo's own digest.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from faces.changes.camera import cropped, lit, out_of_focus
from faces.changes.mirror import mirror

Pixels = NDArray[np.uint8]
VERSION = "1"  # raise it when a change changes

HALF_STOP = 2**0.5
WARM, COLD = (1.15, 1.0, 0.87), (0.87, 1.0, 1.15)  # gains of red, green, blue
BLUR = 1 / 64  # standard deviation, of the face's side
JPEG_QUALITY = 25
TURN = 6.0  # degrees
CUT = (0.05, 0.03, 0.01, 0.02)  # left, top, right, bottom, of the photo's sides
GRAIN = 8.0  # standard deviation, of 255


@dataclass(frozen=True)
class Perturbation:
    """name: in tables. label: for people. change(pixels, side of the face's square in px, seed) -> pixels. by_face:
    whether that side matters, which a detector has to find first; without, it is given as 0."""

    name: str
    label: str
    change: Callable[[Pixels, float, int], Pixels]
    by_face: bool = False


def _light(gains: tuple[float, float, float]) -> Callable[[Pixels, float, int], Pixels]:
    change = lit(gains)
    return lambda pixels, side, seed: change(pixels)


def _blurred(pixels: Pixels, side: float, seed: int) -> Pixels:
    return out_of_focus(pixels, BLUR * side)


def _compressed(pixels: Pixels, side: float, seed: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
    with Image.open(buffer) as image:
        return np.array(image.convert("RGB"))


def _turned(degrees: float) -> Callable[[Pixels, float, int], Pixels]:
    def change(pixels: Pixels, side: float, seed: int) -> Pixels:
        height, width = pixels.shape[:2]
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
        turned = cv2.warpAffine(
            pixels, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
        )
        return np.asarray(turned, np.uint8)

    return change


def _grainy(pixels: Pixels, side: float, seed: int) -> Pixels:
    noise = np.random.default_rng(seed).normal(0, GRAIN, pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


UNCHANGED = Perturbation("unchanged", "As it is", lambda pixels, side, seed: pixels)
PERTURBATIONS: dict[str, Perturbation] = {
    p.name: p
    for p in (
        Perturbation("brighter", "Half a stop brighter", _light((HALF_STOP,) * 3)),
        Perturbation("darker", "Half a stop darker", _light((1 / HALF_STOP,) * 3)),
        Perturbation("warmer", "Warmer light", _light(WARM)),
        Perturbation("colder", "Colder light", _light(COLD)),
        Perturbation("blurred", "Slightly out of focus", _blurred, by_face=True),
        Perturbation("compressed", f"JPEG of quality {JPEG_QUALITY}", _compressed),
        Perturbation("turned-left", f"Camera turned {TURN:g}° left", _turned(TURN)),
        Perturbation("turned-right", f"Camera turned {TURN:g}° right", _turned(-TURN)),
        Perturbation("cropped", "Another crop", lambda pixels, side, seed: cropped(pixels, *CUT)),
        Perturbation("mirrored", "Mirrored", lambda pixels, side, seed: mirror(pixels)),
        Perturbation("grainy", "Grain", _grainy),
    )
}
