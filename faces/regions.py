"""Regions of an aligned face, drawn from its 68 landmarks: which pixels are eyes, lips, skin, and what is not face."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

REGION_NAMES = ("background", "face skin", "brows", "eyes", "nose", "lips", "below the jaw")


def region_map(landmarks: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    """Index into REGION_NAMES for each pixel, uint8 (size, size), from landmarks (68, 2) in aligned pixels."""
    points = np.asarray(landmarks, dtype=np.float64)
    regions = np.zeros((size, size), np.uint8)
    jaw = points[:17]
    below = np.concatenate([jaw[2:15], [[jaw[14, 0], size * 2.0], [jaw[2, 0], size * 2.0]]])
    _fill(regions, below, 6)
    brow_line = points[17:27]
    up = points[27] - points[8]
    forehead = brow_line[::-1] + 0.35 * up
    _fill(regions, cv2.convexHull(np.concatenate([jaw, forehead]).astype(np.float32))[:, 0], 1)
    for brow in (points[17:22], points[22:27]):
        lifted = brow[::-1] + 0.05 * up
        _fill(regions, np.concatenate([brow - 0.03 * up, lifted]), 2)
    for eye in (points[36:42], points[42:48]):
        _fill(regions, eye.mean(axis=0) + (eye - eye.mean(axis=0)) * [1.1, 1.3], 3)
    nose = np.concatenate([points[[27]], points[[31, 32, 33, 34, 35]], [points[35] + (points[42] - points[35]) * 0.25]])
    _fill(regions, cv2.convexHull(nose.astype(np.float32))[:, 0], 4)
    _fill(regions, points[48:60], 5)
    return regions


def _fill(regions: NDArray[np.uint8], polygon: NDArray[Any], value: int) -> None:
    cv2.fillPoly(regions, [np.round(polygon * 16).astype(np.int32)], value, shift=4)
