"""Alignment against an independent, plain implementation, and the laws it obeys."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from faces.align import (
    AlignedFace,
    align,
    align_by_hand,
    already_aligned,
    face_quad,
    outside,
    resize,
    to_aligned,
)
from faces.errors import FaceError
from faces.landmarks import Face, detect_faces
from faces.photo import Photo
from faces.pose import Pose
from faces.quality import REFERENCE


def mean_difference(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


def face_at(points: np.ndarray) -> Face:
    points = np.asarray(points, dtype=np.float32)
    return Face((*points.min(axis=0), *points.max(axis=0)), 1.0, points, Pose(0.0, 0.0, 0.0))


def plain_square(points: np.ndarray) -> np.ndarray:
    """The issue's definition in complex numbers: corners top left, bottom left, bottom right, top right."""
    z = points[:, 0].astype(float) + 1j * points[:, 1].astype(float)
    left, right, mouth = z[36:42].mean(), z[42:48].mean(), (z[48] + z[54]) / 2
    eyes, across, down = (left + right) / 2, right - left, mouth - (left + right) / 2
    direction = across - 1j * down  # a quarter turn takes "down" to "to the left" in a picture whose y points down
    half = direction / abs(direction) * max(2.0 * abs(across), 1.8 * abs(down))
    centre = eyes + 0.1 * down
    corners = [
        centre - half - 1j * half,
        centre - half + 1j * half,
        centre + half + 1j * half,
        centre + half - 1j * half,
    ]
    return np.array([[corner.real, corner.imag] for corner in corners])


def plain_align(pixels: np.ndarray, quad: np.ndarray, size: int, samples: int) -> np.ndarray:
    """Nothing clever: the mean of some bilinear samples each way inside each output pixel; no padding."""
    fractions = (np.arange(size * samples) + 0.5) / (size * samples)
    a, b = np.meshgrid(fractions, fractions)
    place = quad[0] + a[..., None] * (quad[3] - quad[0]) + b[..., None] * (quad[1] - quad[0])
    low = np.floor(place).astype(int)
    share = place - low
    total = np.zeros((*place.shape[:2], 3))
    for dx in (0, 1):
        for dy in (0, 1):
            weight = (share[..., 0] if dx else 1 - share[..., 0]) * (share[..., 1] if dy else 1 - share[..., 1])
            total += weight[..., None] * pixels[low[..., 1] + dy, low[..., 0] + dx]
    return total.reshape(size, samples, size, samples, 3).mean(axis=(1, 3))


@pytest.mark.slow
def test_the_square_is_the_one_of_the_definition(astronaut_face: Face, portrait_faces: dict[str, Face]) -> None:
    for face in (astronaut_face, *portrait_faces.values()):
        assert np.allclose(face_quad(face.landmarks), plain_square(face.landmarks), atol=1e-9)


def test_a_square_worked_out_by_hand() -> None:
    """Eyes at (40, 50) and (60, 50), mouth corners at (42, 80) and (58, 80): e = 20, m = 30, so half a side is
    1.8 * 30 = 54, and the centre lies at (50, 50 + 3)."""
    points = np.zeros((68, 2))
    points[36:42], points[42:48] = (40, 50), (60, 50)
    points[48], points[54] = (42, 80), (58, 80)
    assert np.allclose(face_quad(points), [[-4, -1], [-4, 107], [104, 107], [104, -1]])


@pytest.mark.parametrize(("size", "samples"), [(32, 8), (64, 4), (128, 3)])
def test_pixels_agree_with_a_plain_implementation(
    astronaut: Photo, astronaut_face: Face, size: int, samples: int
) -> None:
    aligned = align(astronaut, astronaut_face, size)
    assert aligned.pixels.shape == (size, size, 3)
    assert aligned.pixels.dtype == np.uint8
    plain = plain_align(astronaut.pixels, plain_square(astronaut_face.landmarks), size, samples)
    assert mean_difference(aligned.pixels, plain) < 3.5  # Lanczos is a little sharper than the mean
    smooth = [cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.5) for image in (aligned.pixels, plain)]
    assert mean_difference(*smooth) < 0.8  # and there is no shift


def test_enlarging_agrees_with_a_plain_implementation(astronaut: Photo, astronaut_face: Face) -> None:
    aligned = align(astronaut, astronaut_face, 300)
    plain = plain_align(astronaut.pixels, plain_square(astronaut_face.landmarks), 300, 2)
    assert mean_difference(aligned.pixels, plain) < 2  # cubic against bilinear


def test_landmarks_land_where_the_dataset_has_them(astronaut: Photo, astronaut_face: Face) -> None:
    """By definition the middle of eyes and mouth is fixed: the eyes 0.1 m above the middle of the square."""
    aligned = align(astronaut, astronaut_face, 200)
    assert aligned.landmarks is not None
    eyes = (aligned.landmarks[36:42].mean(axis=0) + aligned.landmarks[42:48].mean(axis=0)) / 2
    mouth = (aligned.landmarks[48] + aligned.landmarks[54]) / 2
    assert np.allclose(eyes + 0.1 * (mouth - eyes), 99.5, atol=1e-3)
    again = detect_faces(Photo(align(astronaut, astronaut_face, 400).pixels, ""))[0].landmarks
    error = np.hypot(*(((again + 0.5) / 2 - 0.5) - aligned.landmarks).T).mean()
    assert error < 2  # px of 200: detection in the aligned picture finds the mapped points


def test_padding_is_a_blurred_reflection(portraits: dict[str, Photo], portrait_faces: dict[str, Face]) -> None:
    photo, face = portraits["frontal_man"], portrait_faces["frontal_man"]
    cut = Photo(np.ascontiguousarray(photo.pixels[60:]), "")  # his forehead is gone
    quad = face_quad(face.landmarks) - [0, 60]
    aligned = align(cut, face_at(face.landmarks - [0, 60]), 256)
    assert np.allclose(aligned.quad, quad, atol=1e-3)
    share, _ = outside(cut.pixels.shape, quad)
    assert aligned.quality.outside == pytest.approx(share)
    assert 0.1 < share < 0.4
    whole = align(photo, face, 256)
    assert mean_difference(aligned.pixels[150:230, 40:216], whole.pixels[150:230, 40:216]) < 1
    top = aligned.pixels[:20].astype(float)
    assert np.abs(np.diff(top, axis=1)).mean() < np.abs(np.diff(whole.pixels[60:80].astype(float), axis=1)).mean() / 2
    median = np.median(cut.pixels.reshape(-1, 3), axis=0)
    assert np.abs(top.mean(axis=(0, 1)) - median).max() < 60  # towards the photo's own colour, not black
    assert "cut off" in {flag.kind for flag in aligned.quality.flags}


def test_a_photo_without_overhang_is_not_padded(astronaut: Photo, astronaut_face: Face) -> None:
    assert outside(astronaut.pixels.shape, face_quad(astronaut_face.landmarks)) == (0.0, 0.0)


@pytest.mark.slow
def test_no_aliasing_when_shrinking_much() -> None:
    fine = np.indices((2000, 2000)).sum(axis=0) % 2 * 255
    photo = Photo(np.repeat(fine[..., None], 3, axis=2).astype(np.uint8), "")
    aligned = align_by_hand(photo, (999.5, 999.5), 1500.0, 20.0, 64)
    assert aligned.pixels.std() < 4
    assert abs(aligned.pixels.mean() - 127.5) < 3


@pytest.mark.slow
@settings(max_examples=20)
@given(angle=st.floats(-60, 60), scale=st.floats(0.6, 2.0), shift_x=st.floats(-20, 20), shift_y=st.floats(-20, 20))
def test_turning_and_scaling_the_photo_leaves_the_aligned_face(
    astronaut: Photo, astronaut_face: Face, angle: float, scale: float, shift_x: float, shift_y: float
) -> None:
    matrix = cv2.getRotationMatrix2D((223.0, 150.0), angle, scale)
    side = 900
    matrix[:, 2] += np.array([side / 2 - 223 + shift_x, side / 2 - 150 + shift_y])
    moved = cv2.warpAffine(astronaut.pixels, matrix, (side, side), flags=cv2.INTER_CUBIC)
    points = astronaut_face.landmarks @ matrix[:, :2].T + matrix[:, 2]
    before = align(astronaut, astronaut_face, 64)
    after = align(Photo(np.asarray(moved), ""), face_at(points), 64)
    expected = before.quad @ matrix[:, :2].T + matrix[:, 2]
    assert np.allclose(after.quad, expected, atol=1e-2)
    if scale > 0.9:  # finer structure is lost below
        assert mean_difference(before.pixels, after.pixels) < 4
    assert before.landmarks is not None
    assert after.landmarks is not None
    assert np.allclose(before.landmarks, after.landmarks, atol=0.05)
    assert mean_difference(before.regions, after.regions) < 0.2


@pytest.mark.parametrize("angle", [-12.0, 9.0])
def test_detection_and_alignment_follow_a_tilt(astronaut: Photo, astronaut_face: Face, angle: float) -> None:
    """End to end, with the landmarks found anew: the faces agree to a few percent of the square."""
    matrix = cv2.getRotationMatrix2D((223.0, 128.0), angle, 1.0)
    turned = cv2.warpAffine(astronaut.pixels, matrix, (512, 512), flags=cv2.INTER_CUBIC)
    after = align(Photo(np.asarray(turned), ""), detect_faces(Photo(np.asarray(turned), ""))[0], 64)
    expected = face_quad(astronaut_face.landmarks) @ matrix[:, :2].T + matrix[:, 2]
    side = np.hypot(*(expected[3] - expected[0]))
    assert np.hypot(*(after.quad - expected).T).max() < 0.04 * side


@settings(max_examples=50)
@given(
    x=st.floats(-500, 500), y=st.floats(-500, 500), half=st.floats(1, 300), turn=st.floats(-3.2, 3.2),
    size=st.integers(16, 512), a=st.floats(-1, 2), b=st.floats(-1, 2),
)  # fmt: skip
def test_mapping_points_law(x: float, y: float, half: float, turn: float, size: int, a: float, b: float) -> None:
    """A point at fractions (a, b) of the square lies at (a S - 1/2, b S - 1/2) of the aligned face."""
    u = np.array([np.cos(turn), np.sin(turn)]) * half
    v = np.array([-u[1], u[0]])
    centre = np.array([x, y])
    quad = np.stack([centre - u - v, centre - u + v, centre + u + v, centre + u - v])
    point = quad[0] + 2 * a * u + 2 * b * v
    assert np.allclose(to_aligned(point[None], quad, size), [[a * size - 0.5, b * size - 0.5]], atol=1e-2)


def test_the_reported_quad_is_where_the_pixels_come_from() -> None:
    """A photo whose colours are its coordinates: each aligned pixel shows its own place in the photo."""
    rows, columns = np.mgrid[0:250, 0:250]
    photo = Photo(np.stack([columns, rows, np.zeros_like(rows)], axis=-1).astype(np.uint8), "")
    aligned = align_by_hand(photo, (120.0, 130.0), 100.0, 25.0, 50)
    columns, rows = np.meshgrid(np.arange(50), np.arange(50))
    fractions = (np.stack([columns, rows], axis=-1) + 0.5) / 50
    axes = np.stack([aligned.quad[3] - aligned.quad[0], aligned.quad[1] - aligned.quad[0]])
    expected = aligned.quad[0] + fractions @ axes
    assert np.abs(aligned.pixels[..., :2] - expected).max() < 1.25  # two roundings to whole grey levels


def test_by_hand_on_whole_pixels_is_a_plain_crop(astronaut: Photo) -> None:
    aligned = align_by_hand(astronaut, (131.5, 101.5), 64.0, 0.0, 64)
    assert np.array_equal(aligned.pixels, astronaut.pixels[70:134, 100:164])
    assert np.allclose(aligned.quad[0], (99.5, 69.5))
    assert aligned.landmarks is None
    assert aligned.regions is None
    turned = align_by_hand(astronaut, (131.5, 101.5), 64.0, 90.0, 64)  # a square turned clockwise
    assert np.array_equal(turned.pixels, np.rot90(astronaut.pixels[70:134, 100:164], 1))


def test_by_hand_the_same_square_gives_the_same_pixels(astronaut: Photo, astronaut_face: Face) -> None:
    found = align(astronaut, astronaut_face, 96)
    x = found.quad[3] - found.quad[0]
    centre = found.quad.mean(axis=0)
    placed = align_by_hand(
        astronaut, (centre[0], centre[1]), float(np.hypot(*x)), float(np.degrees(np.arctan2(x[1], x[0]))), 96
    )
    assert np.allclose(placed.quad, found.quad)
    assert mean_difference(placed.pixels, found.pixels) < 0.1


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("centre", "side", "angle", "size"),
    [
        ((NAN, 1), 100, 0, 64),
        ((1, INF), 100, 0, 64),
        ((100, 100), NAN, 0, 64),
        ((100, 100), 100, INF, 64),
        ((100, 100), 0, 0, 64),
        ((100, 100), -50, 0, 64),
        ((100, 100), 1e9, 0, 64),
        ((-5, 100), 100, 0, 64),
        ((100, 512), 100, 0, 64),
        ((100, 100), 100, 0, 0),
        ((100, 100), 100, 0, -64),
        ((100, 100), 100, 0, 100_000),
        ((100, 100), 100, 0, 64.0),
        ((100, 100), 100, 0, True),
        ((100,), 100, 0, 64),
        ((100, 100, 100), 100, 0, 64),
        (("a", "b"), 100, 0, 64),
        (None, 100, 0, 64),
        ((100, 100), None, 0, 64),
        ((100, 100), 100, "x", 64),
    ],
)
def test_hostile_parameters(astronaut: Photo, centre: object, side: object, angle: object, size: object) -> None:
    with pytest.raises(FaceError) as caught:
        align_by_hand(astronaut, centre, side, angle, size)  # type: ignore[arg-type]
    assert str(caught.value).endswith(".")


@pytest.mark.slow
@settings(max_examples=25)
@given(
    height=st.integers(32, 90), width=st.integers(32, 90), x=st.floats(0, 1), y=st.floats(0, 1),
    side=st.floats(16, 300), angle=st.floats(-400, 400), size=st.integers(16, 80),
)  # fmt: skip
def test_any_legal_crop_gives_a_picture(
    height: int, width: int, x: float, y: float, side: float, angle: float, size: int
) -> None:
    photo = Photo(np.full((height, width, 3), (200, 100, 50), np.uint8), "")
    side = min(side, 4.0 * max(height, width))
    aligned = align_by_hand(photo, (x * (width - 1), y * (height - 1)), side, angle, size)
    assert aligned.pixels.shape == (size, size, 3)
    assert np.abs(aligned.pixels.astype(int) - (200, 100, 50)).max() <= 1  # one colour stays that colour
    assert 0 <= aligned.quality.outside < 1


def test_a_square_far_larger_than_a_tiny_photo() -> None:
    photo = Photo(np.full((32, 33, 3), 90, np.uint8), "")
    aligned = align_by_hand(photo, (0.0, 0.0), 130.0, 45.0, 2048)
    assert aligned.pixels.shape == (2048, 2048, 3)
    assert (aligned.pixels == 90).all()


def test_coinciding_or_missing_landmarks(astronaut: Photo) -> None:
    for points in (np.zeros((68, 2)), np.full((68, 2), NAN)):
        with pytest.raises(FaceError, match="by hand"):
            align(astronaut, face_at(points), 64)


def test_a_face_far_outside(astronaut: Photo, astronaut_face: Face) -> None:
    with pytest.raises(FaceError, match="outside"):
        align(astronaut, face_at(astronaut_face.landmarks + 5000), 64)


def test_already_aligned(astronaut: Photo) -> None:
    aligned = already_aligned(astronaut, 512)
    assert np.array_equal(aligned.pixels, astronaut.pixels)
    assert aligned.quality.outside == 0
    assert np.allclose(aligned.quad, [[-0.5, -0.5], [-0.5, 511.5], [511.5, 511.5], [511.5, -0.5]])
    wide = Photo(np.ascontiguousarray(astronaut.pixels[100:300]), "")
    assert np.array_equal(already_aligned(wide, 200).pixels, wide.pixels[:, 156:356])
    tall = Photo(np.ascontiguousarray(astronaut.pixels[:, 100:300]), "")
    assert np.array_equal(already_aligned(tall, 200).pixels, tall.pixels[156:356])
    with pytest.raises(FaceError):
        already_aligned(astronaut, 5)


def test_resize_laws(astronaut: Photo) -> None:
    pixels = astronaut.pixels
    assert np.array_equal(resize(pixels, 512), pixels)
    assert resize(pixels, 512) is not pixels
    assert resize(pixels, (64, 128)).shape == (64, 128, 3)
    assert resize(pixels[..., 0], 64).shape == (64, 64)
    small = resize(pixels, 64)
    assert np.abs(small.mean(axis=(0, 1)) - pixels.mean(axis=(0, 1))).max() < 0.5
    assert mean_difference(small, np.asarray(Image.fromarray(pixels).reduce(8))) < 6


def test_quality_does_not_depend_on_the_output_size(astronaut: Photo, astronaut_face: Face) -> None:
    small, reference = align(astronaut, astronaut_face, 32), align(astronaut, astronaut_face, REFERENCE)
    assert small.quality == reference.quality
    assert isinstance(small, AlignedFace)
    assert small.quality.face_px == pytest.approx(173, abs=3)
