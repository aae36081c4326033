"""Whether mouth and eyes are visible: with a mask, a hand or a bar over them the detector still finds some faces.

Measured in CIE L*a*b* of the aligned face: lips differ in colour from the skin around them and have a dark line between
them; eyes are full of edges, and differ from the skin below them, but not as sunglasses do. Bounds were chosen on 100
renders and covers drawn over them, and tried on 100 others (docs/methods.md has the rates).
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

LIP_COLOUR_MIN = 2.0  # distance of lips from the skin around in a*, b*; clean 1.9-16 (one of 100 below), covered 0-2
MOUTH_RANGE_MIN = 18.5  # of L*, 5th to 95th percentile, around the lips; clean 19.6-49
LOWER_COLOUR_MAX, LIPS_WITH_IT = 12.0, 4.0  # a*, b* from forehead to the nearest of chin and cheeks: 12 also in beards,
# whose lips differ from them by more than 4
EYE_EDGES_MIN = 22.0  # mean gradient of L* in the eyes (Sobel); clean 23-85
EYE_RANGE_MIN = 14.0  # of L*; clean 15-71
EYE_COLOUR_MAX = 30.0  # distance of eyes from the skin below, L* halved; clean 9-29
COLOUR_MIN = 3.0  # chroma of the face below which a picture counts as colourless
CHEEK = 0.28  # of the eye distance: how far below the eyes their skin is measured


@dataclass(frozen=True)
class Seen:
    """lips: distance of lips and skin around in a*, b* (nan in pictures without colour); mouth: range of L* around the
    lips; lower: distance of chin and cheeks from the forehead in a*, b*; edges, range, eyes: of the eyes, whichever eye
    is the more conspicuous."""

    lips: float
    mouth: float
    lower: float
    edges: float
    range: float
    eyes: float

    @property
    def lower_covered(self) -> bool:
        """Comparisons with nan are false."""
        mask = self.lower > LOWER_COLOUR_MAX and self.lips < LIPS_WITH_IT
        return self.lips < LIP_COLOUR_MIN or self.mouth < MOUTH_RANGE_MIN or mask

    @property
    def eyes_covered(self) -> bool:
        return self.edges < EYE_EDGES_MIN or self.range < EYE_RANGE_MIN or self.eyes > EYE_COLOUR_MAX


def look(pixels: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> Seen:
    """Measures of an aligned face, uint8 (256, 256, 3) with its landmarks (68, 2)."""
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    light = lab[..., 0]
    gradient = np.hypot(cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1))
    p = np.asarray(landmarks, dtype=np.float64)
    up, apart = p[27] - p[8], float(np.hypot(*(p[42:48].mean(axis=0) - p[36:42].mean(axis=0))))
    lips = _area(lab, p[48:60])
    mouth = _grown(lips, 3)
    ring = _grown(lips, int(0.16 * apart)) & ~_grown(lips, 2)
    forehead = _area(lab, np.concatenate([p[17:27] + 0.08 * up, (p[17:27] + 0.28 * up)[::-1]]))
    brow = _median(lab, forehead)
    lower = [float(np.hypot(*(_median(lab, _area(lab, patch)) - brow)[1:])) for patch in _lower_patches(p)]
    colour = float(np.hypot(*brow[1:])) >= COLOUR_MIN
    lip_colour = float(np.hypot(*(_median(lab, lips) - _median(lab, ring))[1:])) if colour else float("nan")
    eyes = [_eye(lab, gradient, p[i : i + 6], apart) for i in (36, 42)]
    edges, ranges, distances = zip(*eyes, strict=True)
    return Seen(lip_colour, _range(light, mouth), min(lower), min(edges), min(ranges), max(distances))


def _lower_patches(p: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Chin, left and right lower cheek: quadrangles between lips, nose and jaw."""
    chin = [0.7 * p[57] + 0.3 * p[8], 0.6 * p[6] + 0.4 * p[57], 0.85 * p[8] + 0.15 * p[57], 0.6 * p[10] + 0.4 * p[57]]
    sides = ((48, 31, 3, 4), (54, 35, 13, 12))
    cheeks = [
        [
            0.75 * p[corner] + 0.25 * p[low],
            0.6 * p[nose] + 0.4 * p[jaw],
            0.75 * p[jaw] + 0.25 * p[nose],
            0.75 * p[low] + 0.25 * p[corner],
        ]
        for corner, nose, jaw, low in sides
    ]
    return [np.array(patch) for patch in (chin, *cheeks)]


def _eye(
    lab: NDArray[Any], gradient: NDArray[Any], points: NDArray[np.float64], apart: float
) -> tuple[float, float, float]:
    """Mean gradient and range of L* in one eye, and its distance from the skin below."""
    centre = points.mean(axis=0)
    eye = _area(lab, centre + (points - centre) * [1.15, 1.5])
    below = _area(lab, centre + (points - centre) * [1.0, 1.2] + [0.0, CHEEK * apart])
    distance = (_median(lab, eye) - _median(lab, below)) * [0.5, 1.0, 1.0]
    edges = float(gradient[eye].mean()) if eye.any() else float("nan")
    return edges, _range(lab[..., 0], eye), float(np.sqrt(np.square(distance).sum()))


def _area(lab: NDArray[Any], polygon: NDArray[np.float64]) -> NDArray[np.bool_]:
    area = np.zeros(lab.shape[:2], np.uint8)
    cv2.fillPoly(area, [np.round(polygon * 16).astype(np.int32)], 1, shift=4)
    return area.astype(bool)


def _grown(area: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(area.astype(np.uint8), kernel)).astype(bool)


def _median(lab: NDArray[Any], area: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.median(lab[area], axis=0).astype(np.float64) if area.sum() > 5 else np.full(3, np.nan)


def _range(light: NDArray[Any], area: NDArray[np.bool_]) -> float:
    return float(np.subtract(*np.percentile(light[area], (95, 5)))) if area.any() else float("nan")
