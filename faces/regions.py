"""Regions of an aligned face, drawn from its 68 landmarks: which pixels are eyes, lips, skin, and what is not face.

The landmarks end at the brows; the forehead is an arch above them, in proportion to the height of the face. Hair,
ears and backdrop are background; below the jaw lie neck and clothes.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.changes.mirror import mirror, mirror_landmarks

REGION_NAMES = ("background", "face skin", "brows", "eyes", "nose", "lips", "below the jaw")
BACKGROUND, SKIN, BROWS, EYES, NOSE, LIPS, BELOW = range(7)


def region_map(landmarks: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    """Index into REGION_NAMES for each pixel, uint8 (size, size), from landmarks (68, 2) in aligned pixels. Mirrored
    landmarks give the mirrored regions."""
    turned = mirror_landmarks(landmarks, size)
    differs = np.flatnonzero(turned != landmarks)
    if len(differs) and turned.flat[differs[0]] < landmarks.flat[differs[0]]:
        return mirror(region_map(turned, size))
    points = np.asarray(landmarks, dtype=np.float64)
    regions = np.zeros((size, size), np.uint8)
    jaw, up = points[:17], points[27] - points[8]
    neck = np.concatenate([jaw[4:13], [[jaw[11, 0], 2.0 * size], [jaw[5, 0], 2.0 * size]]])
    _fill(regions, neck, BELOW)
    arch = np.array([0.12, 0.25, 0.32, 0.36, 0.38, 0.38, 0.36, 0.32, 0.25, 0.12])  # forehead above each brow point
    forehead = points[17:27] + arch[:, None] * up
    _fill(regions, cv2.convexHull(np.concatenate([jaw, forehead]).astype(np.float32))[:, 0], SKIN)
    for brow in (points[17:22], points[22:27]):
        lifted = brow[::-1] + 0.05 * up
        _fill(regions, np.concatenate([brow - 0.03 * up, lifted]), BROWS)
    for eye in (points[36:42], points[42:48]):
        _fill(regions, eye.mean(axis=0) + (eye - eye.mean(axis=0)) * [1.1, 1.3], EYES)
    nose = np.concatenate([points[[27]], points[[31, 32, 33, 34, 35]], [points[35] + (points[42] - points[35]) * 0.25]])
    _fill(regions, cv2.convexHull(nose.astype(np.float32))[:, 0], NOSE)
    _fill(regions, points[48:60], LIPS)
    return regions


def _fill(regions: NDArray[np.uint8], polygon: NDArray[Any], value: int) -> None:
    cv2.fillPoly(regions, [np.round(polygon * 16).astype(np.int32)], value, shift=4)
