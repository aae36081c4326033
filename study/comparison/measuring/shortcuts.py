"""Controls against shortcuts: how well a photo predicts the outcome without the face.

Cheap features of the aligned photo go through the same ridge Cox model: the backdrop alone, the face alone, the whole
photo so blurred that nobody is recognised, and, for comparison, the whole photo as pixels. The same pixels are shown of
all patients, so that the outline of a mask does not reveal the shape of the face that it hides.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from common.text import count
from faces.align import HEAD
from faces.regions import BACKGROUND, BELOW
from study.errors import StudyError
from study.photos.model_inputs import FINE, NO_FACE, AlignedPhotos
from survival.features.encoding import FeatureSet

BACKDROP, FACE, BLURRED, WHOLE = "backdrop-only", "face-only", "blurred", "whole-pixels"
SHORTCUT_SETS = {
    s.name: s
    for s in (
        FeatureSet(BACKDROP, (BACKDROP,), "Backdrop alone, pixels"),
        FeatureSet(FACE, (FACE,), "Face alone, pixels"),
        FeatureSet(BLURRED, (BLURRED,), "Blurred photo, pixels"),
        FeatureSet(WHOLE, (WHOLE,), "Whole photo, pixels"),
    )
}
PIXEL_REFERENCES = (FACE, BLURRED, WHOLE)  # they show the face, so they may predict; the backdrop should not
SIDE = 32  # px at which masked photos are looked at
BLURRED_SIDE = 8
WIDER = 1.25  # times the head's ellipse: long hair reaches beyond it, and hair predicts sex and age (docs/methods.md)
BLUR = 1 / 8  # standard deviation of the blur, of the side: the distance of the eyes is about a quarter
SHARE = 0.95  # of the photos in which a pixel must belong to the region to be shown in all


def shortcut_blocks(photos: AlignedPhotos) -> dict[str, NDArray[np.float32]]:
    """The blocks of SHORTCUT_SETS, one row per photo. Raises StudyError where faces or regions are missing."""
    absent, without = int((photos.state == NO_FACE).sum()), int((photos.state != FINE).sum())
    if absent:
        raise StudyError(f"No face was found in {count(absent, 'photo')}: exclude these patients.")
    if without:
        raise StudyError(f"No landmarks were found in {count(without, 'photo')}: exclude these patients.")
    face = (photos.regions != BACKGROUND) & (photos.regions != BELOW)
    behind = (photos.regions == BACKGROUND) & ~head(photos.regions.shape[1])
    return {
        BACKDROP: masked(photos.pixels, behind, "backdrop"),
        FACE: masked(photos.pixels, face, "face"),
        BLURRED: np.stack([_blurred(p) for p in photos.pixels]),
        WHOLE: np.stack([_small(p) for p in photos.pixels]),
    }


def head(size: int) -> NDArray[np.bool_]:
    """Where head and hair lie in the FFHQ square, (size, size), generously: hair and ears belong to no region."""
    place = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(place, place)
    return ((x - HEAD[0]) / HEAD[2]) ** 2 + ((y - HEAD[1]) / HEAD[3]) ** 2 <= WIDER**2


def masked(pixels: NDArray[np.uint8], mask: NDArray[np.bool_], what: str) -> NDArray[np.float32]:
    """(n, k, 3): the pixels that lie in the region in nearly all photos, after shrinking.

    In the few photos where such a pixel lies outside, it gets the mean colour of that photo's region.
    """
    n, size = mask.shape[:2]
    step = size // SIDE
    share = mask.mean(axis=0).reshape(SIDE, step, SIDE, step).min(axis=(1, 3))
    shown = share >= SHARE
    if not shown.any():
        raise StudyError(f"No part of the picture is {what} in nearly all photos: this control cannot be run.")
    out = np.empty((n, int(shown.sum()), 3), np.float32)
    for i in range(n):
        inside = mask[i][..., None]
        colour = pixels[i].mean(axis=(0, 1), where=inside) if inside.any() else np.zeros(3)
        out[i] = _small(np.where(inside, pixels[i], colour))[shown]
    return out


def _small(picture: NDArray) -> NDArray[np.float32]:
    """Area means, float32 (SIDE, SIDE, 3)."""
    return np.asarray(cv2.resize(picture.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.float32)


def _blurred(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    blurred = cv2.GaussianBlur(
        picture.astype(np.float32), (0, 0), BLUR * picture.shape[0], borderType=cv2.BORDER_REFLECT
    )
    small = cv2.resize(blurred, (BLURRED_SIDE, BLURRED_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)
