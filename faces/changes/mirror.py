"""Mirror images, exactly.

Neither the detector nor the landmarks of a mirrored photo are the mirrored ones, and an image filter may round
differently. So whatever is computed of a picture is computed in one orientation of it, chosen by its pixels, and turned
back where the picture was the other one: a photo and its mirror image then give mirrored results, to the last bit.
Places in px are rounded to a grid, on which mirroring twice is exact.
"""

from __future__ import annotations

from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

FINE, COARSE = 2**20, 2**8  # parts of a pixel: float64 and float32 hold places of any photo in these exactly
# Where each of the 68 landmarks lies in a mirrored face (iBUG 300-W): jaw, brows, nose, eyes, lips outside and inside.
EXCHANGED = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *(27, 28, 29, 30, 35, 34, 33, 32, 31),
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
        *(64, 63, 62, 61, 60, 67, 66, 65),
    ]
)
CORNERS = np.array([3, 2, 1, 0])  # top left, bottom left, bottom right, top right
Picture = TypeVar("Picture", bound=NDArray[Any])


def mirror(pixels: Picture) -> Picture:
    """The mirror image of (H, W) or (H, W, 3)."""
    return np.ascontiguousarray(pixels[:, ::-1])  # type: ignore[return-value]


def is_mirrored(pixels: NDArray[np.uint8]) -> bool:
    """Whether a picture uint8 (H, W, 3) is turned over before anything is computed of it.

    True for exactly one of a picture and its mirror image, False for one that is its own. Decided by the side that
    is brighter (first moment of the columns, in whole numbers), which compression hardly moves; where both sides are
    equally bright, by the first byte that differs.
    """
    width = pixels.shape[1]
    sums = cv2.reduce(np.ascontiguousarray(pixels), 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
    columns = sums.reshape(width, -1).sum(axis=1, dtype=np.int64)
    if moment := int(columns @ (2 * np.arange(width) - (width - 1))):
        return moment < 0
    turned = pixels[:, ::-1]
    differs = pixels != turned
    first = np.unravel_index(int(differs.argmax()), pixels.shape)
    return bool(pixels[first] > turned[first])


def on_grid(places: NDArray[np.floating[Any]], parts: int = FINE) -> NDArray[np.float64]:
    """Places in px, rounded to a part of a pixel."""
    return np.round(np.asarray(places, np.float64) * parts) / parts


def mirror_points(points: NDArray[Any], width: int) -> NDArray[Any]:
    """Points (n, 2) in a mirrored picture of this width."""
    out = points.copy()
    out[:, 0] = width - 1 - out[:, 0]
    return out


def mirror_landmarks(landmarks: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """68 landmarks (68, 2) of the mirrored picture: left and right change names."""
    return mirror_points(landmarks[EXCHANGED], width)


def mirror_quad(quad: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Corners (4, 2) of a square in the mirrored picture, in their order."""
    return mirror_points(quad[CORNERS], width)
