"""What a camera does to a picture, uint8 (H, W, 3): light, focus, framing.

Light is changed in linear light, as an exposure or a lamp does.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def lit(gains: tuple[float, float, float]) -> Callable[[Pixels], Pixels]:
    """Multiplies linear light by a gain a channel (IEC 61966-2-1); what exceeds white is clipped."""
    level = np.arange(256) / 255
    linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    tables = []
    for gain in gains:
        light = np.clip(linear * gain, 0, 1)
        shown = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
        tables.append(np.rint(255 * shown).astype(np.uint8))
    table = np.stack(tables, axis=1)[None]  # (1, 256, 3)
    return lambda pixels: np.asarray(cv2.LUT(pixels, table), np.uint8)


def out_of_focus(pixels: Pixels, sigma: float) -> Pixels:
    """Blurred by a Gaussian of this standard deviation in px; the picture is reflected at its edges."""
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101), np.uint8)


def cropped(pixels: Pixels, left: float, top: float, right: float, bottom: float) -> Pixels:
    """Without these shares of its width and height."""
    height, width = pixels.shape[:2]
    rows = slice(round(top * height), height - round(bottom * height))
    return np.ascontiguousarray(pixels[rows, round(left * width) : width - round(right * width)])
