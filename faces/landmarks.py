"""Faces in a photo: dlib's HOG detector, its 68 landmarks, and the head pose that follows from them.

The 68-point predictor (Kazemi & Sullivan 2014) was trained on iBUG 300-W, whose licence excludes commercial use:
so does any use of this module.

Coordinates: pixels of the photo, x to the right, y down, a pixel's centre at its integer index, on a grid of 1/256 px.
The faces of a mirrored photo are the mirrored faces (`faces.changes.mirror`).
"""

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray

from faces.changes.mirror import COARSE, is_mirrored, mirror, mirror_landmarks, on_grid
from faces.models import LANDMARKS_68, model_file
from faces.photo import Photo
from faces.pose import Pose, estimate_pose

DETECT_SIDE = 1280  # px: longer photos are searched on a copy of this size; HOG finds faces from 80 px up
# Scores of 600 portraits of the demo study: median 1.94, 10 of them (turned, bearded or very thin) 0.2-0.7, the others
# more; of a real face 0.9-1.6, of its suit taken for a face 0-0.21.
CERTAIN_SCORE, WEAK_SCORE = 0.7, 0.35
SQUARE_SCORE = -0.3  # of a face where a square says that one is: 107 aligned portraits 0.29 and more, 225 others below
SQUARE_SIDE = 256  # px
SQUARE_BOX = (0.5, 0.58, 0.12, 0.14, 0.4, 0.85)  # its box there: centre, tolerances, least and largest width
QUARTERS = {1: cv2.ROTATE_90_CLOCKWISE, 3: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180}
UPSAMPLED_SIDE = 800  # px: longer photos are not searched at twice the scale when they are turned
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

    @property
    def certain(self) -> bool:
        """Whether detector and landmarks leave no doubt that this is a face."""
        return self.score >= CERTAIN_SCORE and plausible(self.landmarks, self.box)

    def mirrored(self, width: int) -> "Face":
        """The face in the mirror image of its picture, which has this width in px."""
        left, top, right, bottom = self.box
        pose = Pose(-self.pose.yaw, self.pose.pitch, -self.pose.roll)
        box = (width - 1 - right, top, width - 1 - left, bottom)
        return Face(box, self.score, mirror_landmarks(self.landmarks, width), pose)


@lru_cache(maxsize=1)
def _dlib_models() -> tuple[Any, Any]:
    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(model_file(LANDMARKS_68)))


def detect_faces(photo: Photo, upsample: bool = True) -> list[Face]:
    """All faces of the photo, largest box first; an empty list where there is none.

    The search runs without upsampling first: with it the detector also fires on cloth and background.
    Only where nothing is found, and `upsample` allows it, it is repeated once at twice the scale. A weak detection
    next to a certain one is dropped; alone it is kept, flagged, for a person to decide.
    """
    if photo.is_mirrored:
        return [face.mirrored(photo.pixels.shape[1]) for face in detect_faces(photo.mirrored(), upsample)]
    with _LOCK:
        boxes = _search(photo.pixels, upsample=False)
        if not boxes and upsample:
            boxes = _search(photo.pixels, upsample=True)
        if max((score for _, score in boxes), default=0.0) >= CERTAIN_SCORE:
            boxes = [(box, score) for box, score in boxes if score >= WEAK_SCORE]
        faces = []
        for box, score in boxes:
            points = _predict_landmarks(photo.pixels, box)
            faces.append(Face(box, score, points, estimate_pose(points)))
    return sorted(faces, key=lambda face: -(face.box[2] - face.box[0]) * (face.box[3] - face.box[1]))


@dataclass(frozen=True, eq=False)
class Upright:
    """A photo as its faces stand upright in it. quarters: turns of 90 degrees clockwise that this took."""

    photo: Photo
    faces: list[Face]
    quarters: int = 0


def turn(photo: Photo, quarters: int) -> Photo:
    """The photo turned clockwise by quarters of a turn, 0 to 3."""
    if not quarters:
        return photo
    return Photo(np.ascontiguousarray(cv2.rotate(photo.pixels, QUARTERS[quarters]), dtype=np.uint8), photo.source)


def find_upright(photo: Photo) -> Upright:
    """The faces of a photo, which is turned by quarters where none is certain as it stands: cameras and scanners do not
    always write which side is up. No faces, and the photo as it was, where no turn shows one."""
    if photo.is_mirrored:
        other = find_upright(photo.mirrored())
        faces = [face.mirrored(other.photo.pixels.shape[1]) for face in other.faces]
        return Upright(other.photo.mirrored(), faces, -other.quarters % 4)
    faces = detect_faces(photo)
    if any(face.certain for face in faces):
        return Upright(photo, faces)
    for quarters in QUARTERS:
        turned = turn(photo, quarters)
        turned_faces = detect_faces(turned, upsample=max(turned.pixels.shape) <= UPSAMPLED_SIDE)
        if any(face.certain for face in turned_faces):
            return Upright(turned, turned_faces, quarters)
    return Upright(photo, faces)


def face_in_square(pixels: NDArray[np.uint8]) -> Face | None:
    """The face in an aligned square uint8 (S, S, 3), where the square says that it is, at a lower score than in a whole
    photo; coordinates in its pixels. None where there is none."""
    size = pixels.shape[0]
    if is_mirrored(pixels):
        face = face_in_square(mirror(pixels))
        return None if face is None else face.mirrored(size)
    how = cv2.INTER_AREA if size > SQUARE_SIDE else cv2.INTER_CUBIC
    square = np.asarray(cv2.resize(pixels, (SQUARE_SIDE, SQUARE_SIDE), interpolation=how), dtype=np.uint8)
    with _LOCK:
        for upsample in (False, True):
            boxes = [pair for pair in _search(square, upsample, SQUARE_SCORE) if _where_expected(pair[0])]
            if boxes:
                box, score = max(boxes, key=lambda pair: pair[1])
                points = _predict_landmarks(square, box)
                if plausible(points, box):
                    k = size / SQUARE_SIDE
                    left, top, right, bottom = on_grid((np.array(box) + 0.5) * k - 0.5, COARSE).tolist()
                    points = on_grid((points + 0.5) * k - 0.5, COARSE).astype(np.float32)
                    return Face((left, top, right, bottom), score, points, estimate_pose(points))
    return None


def _where_expected(box: Box) -> bool:
    x, y, across, down, least, most = SQUARE_BOX
    left, top, right, bottom = (v / SQUARE_SIDE for v in box)
    near = abs((left + right) / 2 - x) < across and abs((top + bottom) / 2 - y) < down
    return near and least < right - left < most


def plausible(landmarks: NDArray[np.float32], box: Box) -> bool:
    """Whether 68 points lie as a face's do: brows, eyes, nose, mouth and chin in this order, their distances within
    those of people, in the detector's box. It excludes little: the predictor gives nearly every
    place a face's shape (17 of 18 false detections pass)."""
    p = np.asarray(landmarks, dtype=np.float64)
    left, right = p[36:42].mean(axis=0), p[42:48].mean(axis=0)
    apart, width = float(np.hypot(*(right - left))), box[2] - box[0]
    if not np.isfinite(p).all() or apart < 1e-6 or width <= 0:
        return False
    across = (right - left) / apart
    q = (p - (left + right) / 2) @ np.stack([across, [-across[1], across[0]]], axis=1) / apart
    # Sides of a face in its eye distance, in axes along and across the line of the eyes from their middle, and the eye
    # distance in the detector's box, within the range over 607 clean portraits, widened by three tenths on either side.
    sides = (
        (0.23, apart / width, 0.60),  # eye distance
        (0.03, q[30, 1], 1.05),  # nose
        (0.67, q[48:60, 1].mean(), 1.62),  # mouth
        (1.22, q[8, 1], 2.43),  # chin
        (0.55, q[54, 0] - q[48, 0], 1.23),  # mouth width
        (1.84, q[16, 0] - q[0, 0], 2.97),  # jaw width
        (-0.50, q[17:27, 1].mean(), -0.17),  # brows
        (0.03, np.diff(q[[27, 30, 33, 51, 57, 8], 1]).min(), 0.36),  # downwards
        (0.28, min(q[39, 0] - q[36, 0], q[45, 0] - q[42, 0]), 0.50),  # eye width
    )
    room = 0.35 * width
    low, high = np.array(box[:2]) - room, np.array(box[2:]) + room
    inside = bool(((p >= low) & (p <= high)).all())
    return inside and all(least <= side <= most for least, side, most in sides)


def _search(pixels: NDArray[np.uint8], upsample: bool, threshold: float = 0.0) -> list[tuple[Box, float]]:
    """Boxes and scores above a threshold, in photo pixels, found on a copy of at most DETECT_SIDE, twice that when
    upsampling."""
    height, width = pixels.shape[:2]
    scale = min(1.0, DETECT_SIDE / max(height, width)) * (2.0 if upsample else 1.0)
    if scale != 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=how), dtype=np.uint8)
    detector, _ = _dlib_models()
    rectangles, scores, _ = detector.run(np.ascontiguousarray(pixels), 0, threshold)
    edges = np.array([(r.left(), r.top(), r.right() + 1, r.bottom() + 1) for r in rectangles]).reshape(-1, 4)
    boxes = on_grid(edges / scale - 0.5, COARSE).tolist()
    return [((a, b, c, d), float(score)) for (a, b, c, d), score in zip(boxes, scores, strict=True)]


def _predict_landmarks(pixels: NDArray[np.uint8], box: Box) -> NDArray[np.float32]:
    """68 points in photo pixels, float32 (68, 2).

    dlib rounds its points to whole pixels, reads single pixels and starts from the detector's box, whose place and
    size jump in steps. So the face is first brought to a fixed size, the box is placed again from a first prediction,
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
    return on_grid(points / factor + corner, COARSE).astype(np.float32)


def _shape(pixels: NDArray[np.uint8], centre: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """One prediction in a square box, (68, 2), in edge coordinates (a pixel's centre at index + 0.5)."""
    _, predictor = _dlib_models()
    l, t = (round(float(v) - width / 2) for v in centre)
    shape = predictor(pixels, dlib.rectangle(l, t, l + round(width) - 1, t + round(width) - 1))
    return np.array([(p.x, p.y) for p in shape.parts()], dtype=np.float64) + 0.5
