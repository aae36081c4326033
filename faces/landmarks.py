"""Faces in a photo: dlib's HOG detector, its 68 landmarks, and the head pose that follows from them.

The 68-point predictor (Kazemi & Sullivan 2014) was trained on iBUG 300-W, whose licence excludes commercial use:
so does any use of this module.

Coordinates: pixels of the photo, x to the right, y down, a pixel's centre at its integer index.
"""

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray

from faces.errors import NoFaceError
from faces.models import LANDMARKS_68, model_file
from faces.photo import Photo
from faces.pose import Pose, estimate_pose

DETECT_SIDE = 1280  # px: longer photos are searched on a copy of this size; HOG finds faces from 80 px up
# Scores seen: rendered faces at three sizes 0.59 and more, a real one 0.9-1.6, its suit taken for a face 0-0.21.
CERTAIN_SCORE, WEAK_SCORE = 0.7, 0.35
LANDMARK_BOX = 256  # px: side of the face box in the crop that the landmark predictor sees
BOX_OFFSET, BOX_WIDTH = (-0.02, -0.08), 2.7  # detector's box around 68 landmarks, in their rms radius; 60 renders
JITTER = ((0, 0, 1), (0.03, 0, 1), (-0.03, 0, 1), (0, 0.03, 1), (0, -0.03, 1), (0, 0, 1.05), (0, 0, 0.95))
Box = tuple[float, float, float, float]  # left, top, right, bottom
_LOCK = threading.Lock()  # dlib's objects keep scratch memory: one caller at a time


@dataclass(frozen=True, eq=False)
class Face:
    """One detected face: box (left, top, right, bottom) in px, detector score, landmarks float32 (68, 2), pose."""

    box: Box
    score: float
    landmarks: NDArray[np.float32]
    pose: Pose


@lru_cache(maxsize=1)
def _dlib_models() -> tuple[Any, Any]:
    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(model_file(LANDMARKS_68)))


def preload() -> None:
    """Load detector and predictor now (100 MB, a second or two) instead of with the first photo."""
    with _LOCK:
        _dlib_models()


def detect_faces(photo: Photo) -> list[Face]:
    """All faces of the photo, largest box first; an empty list where there is none.

    The search runs without upsampling first: with it the detector also fires on cloth and background.
    Only where nothing is found it is repeated once at twice the scale. A weak find beside a certain one is dropped;
    alone it is kept, for a person to judge.
    """
    with _LOCK:
        boxes = _search(photo.pixels, upsample=False) or _search(photo.pixels, upsample=True)
        if max((score for _, score in boxes), default=0.0) >= CERTAIN_SCORE:
            boxes = [(box, score) for box, score in boxes if score >= WEAK_SCORE]
        faces = []
        for box, score in boxes:
            points = _predict_landmarks(photo.pixels, box)
            faces.append(Face(box, score, points, estimate_pose(points)))
    return sorted(faces, key=lambda face: -(face.box[2] - face.box[0]) * (face.box[3] - face.box[1]))


def largest_face(photo: Photo) -> Face:
    """The largest face; NoFaceError where none is found."""
    faces = detect_faces(photo)
    if not faces:
        raise NoFaceError(f"No face was found in {photo.source or 'the photo'}: place the crop by hand or use another.")
    return faces[0]


def _search(pixels: NDArray[np.uint8], upsample: bool) -> list[tuple[Box, float]]:
    """Boxes and scores in photo pixels, found on a copy of at most DETECT_SIDE (twice that when upsampling)."""
    height, width = pixels.shape[:2]
    scale = min(1.0, DETECT_SIDE / max(height, width)) * (2.0 if upsample else 1.0)
    if scale != 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=how), dtype=np.uint8)
    detector, _ = _dlib_models()
    rectangles, scores, _ = detector.run(np.ascontiguousarray(pixels), 0, 0.0)
    edges = [(r.left(), r.top(), r.right() + 1, r.bottom() + 1) for r in rectangles]
    return [
        ((a / scale - 0.5, b / scale - 0.5, c / scale - 0.5, d / scale - 0.5), float(score))
        for (a, b, c, d), score in zip(edges, scores, strict=True)
    ]


def _predict_landmarks(pixels: NDArray[np.uint8], box: Box) -> NDArray[np.float32]:
    """68 points in photo pixels, float32 (68, 2).

    dlib rounds its points to whole pixels, reads single pixels and starts from the detector's box, whose place and
    size jump in steps. So the face is first brought to a fixed size, the box is placed anew from a first prediction,
    and predictions from boxes around it are averaged: points between two scalings of one photo differ by 0.4 % of
    the eye distance instead of 1.7 %.
    """
    left, top, right, bottom = box
    side = max(right - left, bottom - top)
    scale, margin = LANDMARK_BOX / side, 0.6 * side
    x0, y0 = int(max(0, np.floor(left - margin))), int(max(0, np.floor(top - margin)))
    crop = pixels[y0 : max(y0 + 1, int(np.ceil(bottom + margin))), x0 : max(x0 + 1, int(np.ceil(right + margin)))]
    size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    shrunk = np.ascontiguousarray(cv2.resize(crop, size, interpolation=how), dtype=np.uint8)
    factor = np.array([size[0] / crop.shape[1], size[1] / crop.shape[0]])
    corner = np.array([x0, y0]) - 0.5
    middle = ((left + right) / 2, (top + bottom) / 2)
    first = _shape(shrunk, (np.array(middle) - corner) * factor, LANDMARK_BOX)
    spread = float(np.sqrt(np.square(first - first.mean(axis=0)).sum(axis=1).mean()))
    centre, width = first.mean(axis=0) + np.array(BOX_OFFSET) * spread, BOX_WIDTH * spread
    points = np.mean([_shape(shrunk, centre + np.array([x, y]) * width, width * k) for x, y, k in JITTER], axis=0)
    return (points / factor + corner).astype(np.float32)


def _shape(pixels: NDArray[np.uint8], centre: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """One prediction in a square box, (68, 2), in edge coordinates (a pixel's centre at index + 0.5)."""
    _, predictor = _dlib_models()
    l, t = (round(float(v) - width / 2) for v in centre)
    shape = predictor(pixels, dlib.rectangle(l, t, l + round(width) - 1, t + round(width) - 1))
    return np.array([(p.x, p.y) for p in shape.parts()], dtype=np.float64) + 0.5
