"""FFHQ alignment: the oriented square around eyes and mouth that StyleGAN's face models are trained on.

Karras, Laine, Aila 2019 (FFHQ dataset): with the mean of each eye's six points, the eye distance vector e and the
vector m from the middle of the eyes to the middle of the mouth corners, the square's x half-axis is
normalised(e - rot90(m)) times max(2.0 |e|, 1.8 |m|), its centre the middle of the eyes + 0.1 m. Parts outside the
photo are filled by reflection, fading into a blur. Coordinates: a pixel's centre lies at its integer index. The square
of a mirrored photo is the mirrored square (`faces.changes.mirror`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from faces.appearance.covered import look
from faces.changes.mirror import COARSE, mirror, mirror_landmarks, mirror_quad, on_grid
from faces.errors import FaceError
from faces.flags import UNCERTAIN, Flag
from faces.landmarks import CERTAIN_SCORE, Face, face_in_square
from faces.photo import Photo
from faces.quality import REFERENCE, Quality, measure
from faces.regions import region_map

MIN_SIZE, MAX_SIZE = 16, 2048  # px: side of the aligned face
MIN_SQUARE = 16.0  # px: side of the square in the photo
MAX_SQUARE = 4.0  # times the photo's longer side
HEAD = (0.5, 0.48, 0.36, 0.46)  # the head with its hair in the square: centre x, y and half-axes of an ellipse


@dataclass(frozen=True, eq=False)
class AlignedFace:
    """A face in the FFHQ square.

    pixels uint8 (S, S, 3); quad float64 (4, 2): where its corners top left, bottom left, bottom right, top right lie
    in the photo; landmarks float32 (68, 2) and regions uint8 (S, S) in aligned pixels, None where no face was
    detected in it; quality: measures and flags; score: the detector's, None where it found no face; placed: whether a
    person, and not the detector, says where the square is.
    """

    pixels: NDArray[np.uint8]
    quad: NDArray[np.float64]
    landmarks: NDArray[np.float32] | None
    regions: NDArray[np.uint8] | None
    quality: Quality
    score: float | None = None
    placed: bool = False

    def with_flags(self, *flags: Flag) -> AlignedFace:
        """The same face with these flags before its own."""
        return replace(self, quality=replace(self.quality, flags=(*flags, *self.quality.flags)))

    def at(self, pixels: NDArray[np.uint8]) -> AlignedFace:
        """The same face at another size. pixels: the same square, uint8 (S, S, 3)."""
        size, before = pixels.shape[0], self.pixels.shape[0]
        if self.landmarks is None or size == before:
            return replace(self, pixels=pixels)
        landmarks = on_grid((self.landmarks + 0.5) * (size / before) - 0.5, COARSE).astype(np.float32)
        return replace(self, pixels=pixels, landmarks=landmarks, regions=region_map(landmarks, size))

    def without_flags(self, kind: str) -> AlignedFace:
        left = tuple(flag for flag in self.quality.flags if flag.kind != kind)
        return replace(self, quality=replace(self.quality, flags=left))

    def mirrored(self, width: int) -> AlignedFace:
        """The face in the mirror image of its photo, which has this width in px."""
        size, quality = self.pixels.shape[0], self.quality
        return replace(
            self,
            pixels=mirror(self.pixels),
            quad=mirror_quad(self.quad, width),
            landmarks=None if self.landmarks is None else mirror_landmarks(self.landmarks, size),
            regions=None if self.regions is None else mirror(self.regions),
            quality=replace(quality, yaw=-quality.yaw, roll=-quality.roll),
        )


def align(photo: Photo, face: Face, size: int = 256) -> AlignedFace:
    """The FFHQ square of one detected face, (size, size, 3)."""
    if photo.is_mirrored:
        width = photo.pixels.shape[1]
        return align(photo.mirrored(), face.mirrored(width), size).mirrored(width)
    quad = on_grid(face_quad(face.landmarks))
    pixels = cut(photo, quad, size)
    landmarks = to_aligned(face.landmarks, quad, size)
    reference = pixels if size == REFERENCE else cut(photo, quad, REFERENCE)
    seen = look(reference, to_aligned(face.landmarks, quad, REFERENCE))
    pose = (face.pose.yaw, face.pose.pitch, face.pose.roll)
    quality = measure(reference, pose, _side(quad), outside(photo.pixels.shape, quad), seen)
    aligned = AlignedFace(pixels, quad, landmarks, region_map(landmarks, size), quality, face.score)
    if face.certain:
        return aligned
    sentence = (
        f"It is uncertain whether this is a face (the detector's score is {face.score:.2f}; clear portraits reach more "
        f"than {CERTAIN_SCORE:g}): check it, and confirm it or use another photo."
    )
    return aligned.with_flags(Flag(UNCERTAIN, face.score, sentence))


def align_by_hand(
    photo: Photo, centre: tuple[float, float], side: float, angle: float = 0.0, size: int = 256
) -> AlignedFace:
    """A square placed by a person: centre (x, y) and side in photo pixels, angle in degrees clockwise."""
    height, width = photo.pixels.shape[:2]
    try:
        x, y, side, angle = (float(value) for value in (*centre, side, angle))
        if not all(math.isfinite(value) for value in (x, y, side, angle)):
            raise ValueError("not finite")
    except (TypeError, ValueError) as error:
        raise FaceError("The crop needs a centre, a side and an angle that are numbers: place it again.") from error
    if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
        raise FaceError("The middle of the crop lies outside the photo: place it on the face.")
    if not MIN_SQUARE <= side <= MAX_SQUARE * max(height, width):
        raise FaceError(f"The crop is {side:.0f} px wide, too small or too large for this photo: place it again.")
    if photo.is_mirrored:
        return align_by_hand(photo.mirrored(), (width - 1 - x, y), side, -angle, size).mirrored(width)
    turn = math.radians(angle)
    quad = on_grid(_quad(np.array([x, y]), np.array([math.cos(turn), math.sin(turn)]) * side / 2))
    pixels = cut(photo, quad, size)
    reference = pixels if size == REFERENCE else cut(photo, quad, REFERENCE)
    return _placed(pixels, quad, reference, outside(photo.pixels.shape, quad))


def already_aligned(photo: Photo, size: int = 256) -> AlignedFace:
    """A photo that already is the FFHQ square; of one that is not square, the middle."""
    _check_output(size)
    height, width = photo.pixels.shape[:2]
    if photo.is_mirrored:
        return already_aligned(photo.mirrored(), size).mirrored(width)
    side = min(height, width)
    x0, y0 = (width - side) // 2, (height - side) // 2
    quad = np.array([[x0, y0], [x0, y0 + side], [x0 + side, y0 + side], [x0 + side, y0]], dtype=np.float64) - 0.5
    return _placed(whole_square(photo, size), quad, whole_square(photo, REFERENCE), (0.0, 0.0))


def whole_square(photo: Photo, size: int) -> NDArray[np.uint8]:
    """Pixels of a photo that already is the FFHQ square, uint8 (size, size, 3)."""
    if photo.is_mirrored:
        return mirror(whole_square(photo.mirrored(), size))
    return resize(middle_square(photo.pixels), size)


def middle_square(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The largest square in the middle of a picture, uint8 (s, s, 3)."""
    side = min(pixels.shape[:2])
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])


def resize(pixels: NDArray[np.uint8], size: int | tuple[int, int]) -> NDArray[np.uint8]:
    """Scale uint8 (H, W, 3) or (H, W) to size (a side, or (height, width)), Lanczos, antialiased when shrinking."""
    height, width = size if isinstance(size, tuple) else (size, size)
    if pixels.shape[:2] == (height, width):
        return pixels.copy()
    return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def face_quad(landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
    """Corners of the FFHQ square, float64 (4, 2): top left, bottom left, bottom right, top right."""
    points = np.asarray(landmarks, dtype=np.float64)
    left_eye, right_eye = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    eyes = (left_eye + right_eye) / 2
    across = right_eye - left_eye
    down = (points[48] + points[54]) / 2 - eyes
    x = across + np.array([down[1], -down[0]])  # minus `down` turned by a quarter: both agree on an upright face
    length = float(np.hypot(*x))
    if not np.isfinite(points).all() or length < 1e-6:
        raise FaceError("The face's landmarks coincide: place the crop by hand.")
    x *= max(float(np.hypot(*across)) * 2.0, float(np.hypot(*down)) * 1.8) / length
    return _quad(eyes + 0.1 * down, x)


def to_aligned(points: NDArray[np.float32], quad: NDArray[np.float64], size: int) -> NDArray[np.float32]:
    """Photo coordinates (n, 2) to pixels of the aligned face, float32 (n, 2)."""
    axes = np.stack([quad[3] - quad[0], quad[1] - quad[0]], axis=1)  # photo = corner + axes @ (a, b)
    fractions = np.linalg.solve(axes, (np.asarray(points, dtype=np.float64) - quad[0]).T).T
    return on_grid(fractions * size - 0.5, COARSE).astype(np.float32)


def outside(shape: tuple[int, ...], quad: NDArray[np.float64]) -> tuple[float, float]:
    """Shares (0-1) of the square, and of the head's ellipse in it, outside a photo of shape (height, width, ...)."""
    fractions = (np.arange(64) + 0.5) / 64
    a, b = np.meshgrid(fractions, fractions)
    x, y = (quad[0][k] + a * (quad[3] - quad[0])[k] + b * (quad[1] - quad[0])[k] for k in (0, 1))
    beyond = (x < -0.5) | (x > shape[1] - 0.5) | (y < -0.5) | (y > shape[0] - 0.5)
    head = ((a - HEAD[0]) / HEAD[2]) ** 2 + ((b - HEAD[1]) / HEAD[3]) ** 2 <= 1
    return float(beyond.mean()), float(beyond[head].mean())


def _placed(
    pixels: NDArray[np.uint8], quad: NDArray[np.float64], reference: NDArray[np.uint8], beyond: tuple[float, float]
) -> AlignedFace:
    """A square that a person placed, with what the detector finds in it. reference: the square at REFERENCE px."""
    size, side = pixels.shape[0], _side(quad)
    face = face_in_square(reference)
    if face is None:
        return AlignedFace(pixels, quad, None, None, measure(reference, None, side, beyond), None, True)
    landmarks = on_grid((face.landmarks + 0.5) * (size / REFERENCE) - 0.5, COARSE).astype(np.float32)
    pose = (face.pose.yaw, face.pose.pitch, face.pose.roll)
    quality = measure(reference, pose, side, beyond, look(reference, face.landmarks))
    return AlignedFace(pixels, quad, landmarks, region_map(landmarks, size), quality, face.score, True)


def _quad(centre: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    y = np.array([-x[1], x[0]])
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])


def _side(quad: NDArray[np.float64]) -> float:
    return float(np.hypot(*(quad[3] - quad[0])))


def _check_output(size: int) -> None:
    if not isinstance(size, int | np.integer) or not MIN_SIZE <= size <= MAX_SIZE:
        raise FaceError(f"An aligned face can have {MIN_SIZE} to {MAX_SIZE} px per side, not {size}.")


def cut(photo: Photo, quad: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """Pixels of the square at these corners, uint8 (size, size, 3): shrink, crop, pad, warp finely, average down."""
    _check_output(size)
    if photo.is_mirrored:
        return mirror(cut(photo.mirrored(), mirror_quad(quad, photo.pixels.shape[1]), size))
    side = _side(quad)
    border = 0.1 * side  # room for the blur and the interpolation
    low = np.floor(quad.min(axis=0) - border).astype(int)
    high = np.ceil(quad.max(axis=0) + border).astype(int) + 1
    height, width = photo.pixels.shape[:2]
    x0, y0, x1, y1 = max(low[0], 0), max(low[1], 0), min(high[0], width), min(high[1], height)
    if x1 - x0 < 2 or y1 - y0 < 2:
        raise FaceError("The face lies outside the photo: place the crop by hand.")
    crop = photo.pixels[y0:y1, x0:x1]
    local = quad - np.array([x0, y0])
    shrink = math.floor(side / size / 2)
    if shrink > 1:  # two source pixels an output pixel are enough
        reduced = (math.ceil(crop.shape[0] / shrink), math.ceil(crop.shape[1] / shrink))
        factor = np.array([reduced[1] / crop.shape[1], reduced[0] / crop.shape[0]])
        crop = resize(crop, reduced)
        local = (local + 0.5) * factor - 0.5
    crop, local = _pad(crop, local)
    finer = max(1, math.ceil(_side(local) / size))
    grid = size * finer
    across, down = (local[3] - local[0]) / grid, (local[1] - local[0]) / grid
    origin = local[0] + (across + down) / 2  # photo position of pixel (0, 0) of the grid
    matrix = np.stack([across, down, origin], axis=1)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    fine = cv2.warpAffine(crop, matrix, (grid, grid), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return resize(np.asarray(fine, dtype=np.uint8), size)


def _pad(pixels: NDArray[np.uint8], quad: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Reflect the picture around where the square leaves it; the reflection fades into a blur, then its median."""
    side = _side(quad)
    height, width = pixels.shape[:2]
    over = np.array([*(-0.5 - quad.min(axis=0)), *(quad.max(axis=0) - (width - 0.5, height - 0.5))])
    if over.max() <= 0:
        return pixels, quad
    amount = np.where(over > 0, np.ceil(np.maximum(over + 0.1 * side, 0.3 * side)), 0).astype(int)
    left, top, right, bottom = (int(v) for v in amount)
    padded = np.pad(pixels, ((top, bottom), (left, right), (0, 0)), mode="reflect").astype(np.float32)
    # Depth: 0 at the photo's edge, 1 at the outer edge of the padding, negative inside; only on padded sides.
    rows, columns = np.arange(padded.shape[0], dtype=np.float32), np.arange(padded.shape[1], dtype=np.float32)
    depth_x, depth_y = np.full_like(columns, -1.0), np.full_like(rows, -1.0)
    for depth, index, before, after in ((depth_x, columns, left, right), (depth_y, rows, top, bottom)):
        if before:
            np.maximum(depth, 1 - index / before, out=depth)
        if after:
            np.maximum(depth, 1 - (len(index) - 1 - index) / after, out=depth)
    depth = np.maximum(depth_x[None, :], depth_y[:, None])[..., None]
    sigma = max(0.02 * side, 0.3)
    blurred = cv2.GaussianBlur(padded, (0, 0), sigma)
    padded += (blurred - padded) * np.clip(3 * depth + 1, 0, 1)
    padded += (np.median(pixels, axis=(0, 1)).astype(np.float32) - padded) * np.clip(depth, 0, 1)
    return np.clip(np.rint(padded), 0, 255).astype(np.uint8), quad + np.array([left, top])
