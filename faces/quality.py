"""How usable an aligned face is: measured numbers and, where one is out of bounds, a sentence for a clinician."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

REFERENCE = 256  # px: all pixel measures are taken at this size


@dataclass(frozen=True)
class Quality:
    """Sharpness (variance of the Laplacian at 256 px), exposure (mean luma 0-1), contrast (luma sd 0-1),
    yaw, pitch, roll in degrees (nan where unknown), face_px (side of the aligned square in the photo),
    outside (share of the square that lies outside the photo), flags: sentences for people."""

    sharpness: float
    exposure: float
    contrast: float
    yaw: float
    pitch: float
    roll: float
    face_px: float
    outside: float
    flags: tuple[str, ...]


def measure(
    pixels: NDArray[np.uint8], pose: tuple[float, float, float] | None, face_px: float, outside: float
) -> Quality:
    """Quality of an aligned face, pixels uint8 (S, S, 3)."""
    luma = cv2.cvtColor(cv2.resize(pixels, (REFERENCE, REFERENCE), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    middle = luma[64:208, 64:192].astype(np.float32)
    sharpness = float(cv2.Laplacian(middle, cv2.CV_32F).var())
    yaw, pitch, roll = pose if pose else (float("nan"),) * 3
    return Quality(
        sharpness, float(middle.mean() / 255), float(middle.std() / 255), yaw, pitch, roll, face_px, outside, ()
    )
