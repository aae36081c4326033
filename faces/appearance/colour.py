"""Colours of parts of an aligned face, in CIE L*a*b*: the cheeks, and how other parts differ from them.

Pallor, jaundice and shadows under the eyes are differences of colour within a face. Taken from the cheeks, which are
under the same light, they hang less on lamp and camera than colours do. Left and right are averaged, so that a mirrored
face has the same colours.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.regions import BELOW, BROWS, LIPS, NOSE, SKIN, region_map

PARTS = ("under the eyes", "lips", "sclera", "forehead", "nose", "chin", "neck", "temples", "hair", "brows")
COLOURS = tuple(
    f"{part} {channel}" for part in ("cheeks", *(f"{part} less cheeks" for part in PARTS)) for channel in "Lab"
)
WHITE = 0.7  # of the pixels between the lids, the brightest are the sclera's


def colours(pixels: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """(len(COLOURS),) of an aligned face uint8 (S, S, 3) with landmarks (68, 2) in its pixels. A part that lies outside
    the picture has the cheeks' colour."""
    lab = np.asarray(cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)
    size, p = pixels.shape[0], np.asarray(landmarks, dtype=np.float64)
    regions = region_map(landmarks, size)
    left, right = (_side(p, eye, jaw, mouth) for eye, jaw, mouth in _SIDES)
    skin = regions == SKIN

    def mean(mask: NDArray[np.bool_], otherwise: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        return lab[mask].mean(axis=0) if mask.any() else otherwise

    face = mean(skin, lab.mean(axis=(0, 1)))
    cheeks = (mean(_area(left[0], size) & skin, face) + mean(_area(right[0], size) & skin, face)) / 2
    under = (mean(_area(left[1], size) & skin, cheeks) + mean(_area(right[1], size) & skin, cheeks)) / 2
    sclera = (_sclera(lab, p[36:42], cheeks) + _sclera(lab, p[42:48], cheeks)) / 2
    up, brows = p[27] - p[8], p[17:27]
    areas = {
        "lips": regions == LIPS,
        "forehead": _area(np.concatenate([brows[2:8] + 0.08 * up, (brows[2:8] + 0.26 * up)[::-1]]), size),
        "nose": regions == NOSE,
        "chin": _area(p[[6, 7, 8, 9, 10, 57]], size),
        "neck": regions == BELOW,
        "temples": _area([p[0] + 0.25 * up, p[0] + 0.45 * up, p[17] + 0.3 * up], size)
        | _area([p[16] + 0.25 * up, p[16] + 0.45 * up, p[26] + 0.3 * up], size),
        "hair": _area([brows[0] + 0.45 * up, brows[9] + 0.45 * up, brows[9] + 0.8 * up, brows[0] + 0.8 * up], size),
        "brows": regions == BROWS,
    }
    means = {"under the eyes": under, "sclera": sclera} | {name: mean(mask, cheeks) for name, mask in areas.items()}
    return np.concatenate([cheeks, *(means[part] - cheeks for part in PARTS)]).astype(np.float32)


_SIDES = ((slice(36, 42), slice(1, 5), 48), (slice(42, 48), slice(12, 16), 54))
_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 12)), np.sin(np.linspace(0, 2 * np.pi, 12))], axis=1)


def _side(
    p: NDArray[np.float64], eye: slice, jaw: slice, mouth: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Outlines of cheek and lower lid of one side."""
    lids, up = p[eye], p[27] - p[8]
    apart = float(np.hypot(*(p[36:42].mean(axis=0) - p[42:48].mean(axis=0))))
    down = -up / max(float(np.hypot(*up)), 1e-9)
    lower = lids[[0, 5, 4, 3]]
    shadow = np.concatenate([lower + 0.06 * apart * down, lower[::-1] + 0.28 * apart * down])
    middle = (lids.mean(axis=0) + p[mouth]) / 4 + p[jaw].mean(axis=0) / 2
    return middle + 0.22 * apart * _CIRCLE, shadow


def _sclera(
    lab: NDArray[np.floating[Any]], lids: NDArray[np.float64], otherwise: NDArray[np.floating[Any]]
) -> NDArray[np.floating[Any]]:
    inside = lab[_area(lids, lab.shape[0])]
    if not len(inside):
        return otherwise
    return inside[inside[:, 0] >= np.quantile(inside[:, 0], WHITE)].mean(axis=0)


def _area(outline: Any, size: int) -> NDArray[np.bool_]:
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [np.round(np.asarray(outline) * 16).astype(np.int32)], 1, shift=4)
    return mask > 0
