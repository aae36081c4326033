"""Whatever is computed of a mirrored photo is the mirrored result, to the last bit: laws, real and rendered faces."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from faces.align import AlignedFace, align, align_by_hand, already_aligned, cut
from faces.changes.mirror import (
    COARSE,
    CORNERS,
    EXCHANGED,
    is_mirrored,
    mirror,
    mirror_landmarks,
    mirror_quad,
    on_grid,
)
from faces.landmarks import Face, detect_faces, face_in_square, find_upright, turn
from faces.photo import Photo
from faces.regions import region_map

PICTURES = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))


def assert_same_face(one: AlignedFace, other: AlignedFace) -> None:
    for name in ("pixels", "quad", "landmarks", "regions"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
    assert repr(one.quality) == repr(other.quality), "nan is not itself"
    assert (one.score, one.placed) == (other.score, other.placed)


def assert_same_faces(ones: list[Face], others: list[Face]) -> None:
    assert len(ones) == len(others)
    for one, other in zip(ones, others, strict=True):
        assert (one.box, one.score, one.pose) == (other.box, other.score, other.pose)
        np.testing.assert_array_equal(one.landmarks, other.landmarks)


@given(PICTURES)
def test_a_picture_or_its_mirror_image_is_turned_over_but_not_both(pixels: np.ndarray) -> None:
    symmetric = np.array_equal(pixels, mirror(pixels))
    assert is_mirrored(pixels) + is_mirrored(mirror(pixels)) == (0 if symmetric else 1)
    np.testing.assert_array_equal(mirror(mirror(pixels)), pixels)


def test_two_sides_of_equal_brightness_are_told_apart_by_their_bytes() -> None:
    pixels = np.full((4, 6, 3), 100, np.uint8)
    pixels[1, 1], pixels[3, 4] = 7, 7
    assert is_mirrored(pixels) != is_mirrored(mirror(pixels))


@given(arrays(np.float64, (68, 2), elements=st.floats(-20_000, 40_000)), st.integers(1, 20_000))
def test_mirroring_places_twice_is_exact_on_the_grid(places: np.ndarray, width: int) -> None:
    points, quad = on_grid(places, COARSE).astype(np.float32), on_grid(places[:4])
    np.testing.assert_array_equal(mirror_landmarks(mirror_landmarks(points, width), width), points)
    np.testing.assert_array_equal(mirror_quad(mirror_quad(quad, width), width), quad)


def test_names_are_exchanged_in_pairs() -> None:
    np.testing.assert_array_equal(EXCHANGED[EXCHANGED], np.arange(68))
    np.testing.assert_array_equal(CORNERS[CORNERS], np.arange(4))
    assert set(np.flatnonzero(np.arange(68) == EXCHANGED)) == {8, 27, 28, 29, 30, 33, 51, 57, 62, 66}


@pytest.mark.slow
def test_mirrored_landmarks_are_those_of_a_mirrored_face(portraits: dict[str, Photo]) -> None:
    """The predictor's names, on faces turned aside either way: exchanged names lie within the predictor's error."""
    for photo in portraits.values():
        face = detect_faces(photo)[0]
        plain = Photo(mirror(photo.pixels), "")
        plain.__dict__["is_mirrored"] = False  # as it stands
        straight = Photo(photo.pixels, "")
        straight.__dict__["is_mirrored"] = False
        there, here = detect_faces(plain)[0], detect_faces(straight)[0].mirrored(photo.pixels.shape[1])
        eyes = np.hypot(*(face.landmarks[36:42].mean(axis=0) - face.landmarks[42:48].mean(axis=0)))
        assert np.hypot(*(there.landmarks - here.landmarks).T).mean() < 0.06 * eyes
        assert abs(there.pose.yaw - here.pose.yaw) < 5


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 256, 300])
def test_faces_of_a_mirrored_photo_are_the_mirrored_faces(
    astronaut: Photo, portraits: dict[str, Photo], size: int
) -> None:
    for photo in (astronaut, *portraits.values()):
        width = photo.pixels.shape[1]
        other = Photo(mirror(photo.pixels), photo.source)
        here, there = find_upright(photo), find_upright(other)
        np.testing.assert_array_equal(mirror(here.photo.pixels), there.photo.pixels)
        assert_same_faces([face.mirrored(width) for face in here.faces], there.faces)
        face = align(here.photo, here.faces[0], size)
        assert_same_face(face.mirrored(width), align(there.photo, there.faces[0], size))
        assert_same_face(face.mirrored(width).mirrored(width), face)
        assert_same_face(face.at(mirror(mirror(face.pixels))), face)
        np.testing.assert_array_equal(cut(there.photo, face.mirrored(width).quad, size), mirror(face.pixels))
        found, mirrored = face_in_square(face.pixels), face_in_square(mirror(face.pixels))
        assert found is not None
        assert mirrored is not None
        assert_same_faces([found.mirrored(size)], [mirrored])


@pytest.mark.slow
def test_a_photo_on_its_side_is_turned_the_other_way(astronaut: Photo) -> None:
    for quarters in (1, 2, 3):
        lying = turn(astronaut, quarters)
        here, there = find_upright(lying), find_upright(Photo(mirror(lying.pixels), ""))
        assert (here.quarters + there.quarters) % 4 == 0
        assert here.quarters == 4 - quarters
        width = here.photo.pixels.shape[1]
        assert_same_faces([face.mirrored(width) for face in here.faces], there.faces)
        assert_same_face(align(here.photo, here.faces[0], 128).mirrored(width), align(there.photo, there.faces[0], 128))


@pytest.mark.slow
def test_squares_placed_by_a_person_and_given_ones(astronaut: Photo) -> None:
    wide = Photo(np.ascontiguousarray(astronaut.pixels[:301, :470]), "")  # an odd rest beside the middle square
    other, width = Photo(mirror(wide.pixels), ""), 470
    for x, y, side, angle in ((223.0, 120.5, 210.0, 7.5), (100.25, 90.0, 333.0, -20.0)):
        here = align_by_hand(wide, (x, y), side, angle, 128)
        there = align_by_hand(other, (width - 1 - x, y), side, -angle, 128)
        assert_same_face(here.mirrored(width), there)
    assert_same_face(already_aligned(wide, 96).mirrored(width), already_aligned(other, 96))


def test_regions_of_mirrored_landmarks_are_the_mirrored_regions(portrait_faces: dict[str, Face]) -> None:
    for face in portrait_faces.values():
        landmarks = on_grid(face.landmarks / 2, COARSE).astype(np.float32)
        np.testing.assert_array_equal(
            region_map(mirror_landmarks(landmarks, 256), 256), mirror(region_map(landmarks, 256))
        )


def test_compression_leaves_the_side_that_is_brighter(astronaut: Photo, portraits: dict[str, Photo]) -> None:
    """So that a mirror image that was saved again is searched as the photo was."""
    for photo in (astronaut, *portraits.values()):
        for quality in (25, 60, 90):
            buffer = io.BytesIO()
            Image.fromarray(mirror(photo.pixels)).save(buffer, "JPEG", quality=quality)
            with Image.open(buffer) as image:
                assert is_mirrored(np.array(image)) != is_mirrored(photo.pixels)
