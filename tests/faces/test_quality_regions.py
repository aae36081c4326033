"""Flags where something is wrong with a photo, none where nothing is; regions where the landmarks are."""

import cv2
import numpy as np
import pytest

from faces.align import align, align_by_hand
from faces.flags import BLURRED, SMALL, TURNED, UNMEASURED, Flag, sentences
from faces.landmarks import Face, detect_faces
from faces.photo import Photo
from faces.quality import Quality, measure
from faces.regions import BACKGROUND, BELOW, BROWS, EYES, LIPS, NOSE, REGION_NAMES, SKIN, region_map


def flags(pixels: np.ndarray, face: Face) -> str:
    return sentences(align(Photo(np.asarray(pixels, dtype=np.uint8), ""), face, 64).quality.flags)


def test_good_photos_carry_no_flag(
    astronaut: Photo, astronaut_face: Face, portraits: dict[str, Photo], portrait_faces: dict[str, Face]
) -> None:
    assert align(astronaut, astronaut_face, 64).quality.flags == ()
    for name, photo in portraits.items():
        if name != "left_man":  # turned by 25 degrees, read as 32
            assert align(photo, portrait_faces[name], 64).quality.flags == ()


def test_each_fault_has_its_sentence(portraits: dict[str, Photo], portrait_faces: dict[str, Face]) -> None:
    pixels, face = portraits["frontal_man"].pixels, portrait_faces["frontal_man"]
    assert "blurred" in flags(cv2.GaussianBlur(pixels, (0, 0), 4), face)
    assert "very dark" in flags(pixels * 0.15, face)
    assert "overexposed" in flags(np.clip(pixels.astype(float) * 4, 0, 255), face)
    assert "contrast" in flags(100 + pixels * 0.08, face)
    assert "no colour" in flags(pixels.mean(axis=2, keepdims=True).repeat(3, axis=2), face)


def test_turned_heads_are_named(portraits: dict[str, Photo], portrait_faces: dict[str, Face]) -> None:
    quality = align(portraits["left_man"], portrait_faces["left_man"], 64).quality
    sentence = f"The face is turned {abs(quality.yaw):.0f}° to the side: use a photo that faces the camera."
    assert quality.flags == (Flag(TURNED, abs(quality.yaw), sentence),)


def test_small_faces_are_called_small_not_blurred(astronaut: Photo) -> None:
    small = np.asarray(cv2.resize(astronaut.pixels, (330, 330), interpolation=cv2.INTER_AREA))
    quality = align(Photo(small, ""), detect_faces(Photo(small, ""))[0], 64).quality
    assert quality.face_px < 128
    assert SMALL in {flag.kind for flag in quality.flags}
    assert BLURRED not in {flag.kind for flag in quality.flags}


def test_sharpness_falls_with_blur_and_ignores_exposure(astronaut: Photo, astronaut_face: Face) -> None:
    def sharpness(pixels: np.ndarray) -> float:
        return align(Photo(np.asarray(pixels, dtype=np.uint8), ""), astronaut_face, 64).quality.sharpness

    values = [sharpness(cv2.GaussianBlur(astronaut.pixels, (0, 0), sigma)) for sigma in (0.01, 0.7, 1.5, 3)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 10 * values[-1]
    assert sharpness(astronaut.pixels * 0.5) == pytest.approx(values[0], rel=0.05)


def test_without_a_detected_face_the_pose_is_said_not_to_be_measured(astronaut: Photo) -> None:
    quality = align_by_hand(astronaut, (400.0, 400.0), 180.0, 0.0, 64).quality
    assert np.isnan([quality.yaw, quality.pitch, quality.roll]).all()
    assert UNMEASURED in {flag.kind for flag in quality.flags}


def test_a_face_in_a_square_placed_by_hand_is_measured(astronaut: Photo, astronaut_face: Face) -> None:
    by_hand = align_by_hand(astronaut, (223.0, 128.0), 180.0, 0.0, 64)
    assert by_hand.placed
    assert by_hand.score is not None
    assert by_hand.landmarks is not None
    assert abs(by_hand.quality.yaw - astronaut_face.pose.yaw) < 6
    assert by_hand.quality.flags == ()


def test_black_and_white_pictures_are_measured_without_trouble() -> None:
    for value in (0, 255):
        quality = measure(np.full((256, 256, 3), value, np.uint8), None, 300.0)
        assert isinstance(quality, Quality)
        assert quality.exposure == value / 255
        assert quality.sharpness == 0
        assert quality.flags


def test_flags_about_geometry() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    text = sentences(measure(grey, (-40.0, 30.0, 35.0), 60.0, (0.5, 0.2)).flags)
    for words in ("40° to the side", "30° up", "35° to one side", "60 px", "20% of the head"):
        assert words in text
    assert "down" in sentences(measure(grey, (0.0, -30.0, 0.0), 300.0).flags)
    assert measure(grey, (20.0, 20.0, 20.0), 300.0, (0.3, 0.01)).flags == ()


@pytest.mark.parametrize("size", [32, 64, 256])
def test_regions_lie_where_the_landmarks_are(astronaut: Photo, astronaut_face: Face, size: int) -> None:
    aligned = align(astronaut, astronaut_face, size)
    assert aligned.regions is not None
    assert aligned.landmarks is not None
    regions, points = aligned.regions, aligned.landmarks
    assert regions.shape == (size, size)
    assert regions.dtype == np.uint8

    def at(point: np.ndarray) -> int:
        x, y = np.rint(point).astype(int)
        return int(regions[y, x])

    assert at(points[36:42].mean(axis=0)) == EYES
    assert at(points[42:48].mean(axis=0)) == EYES
    assert at(points[[20, 23]][0]) in (BROWS, SKIN)
    assert at(points[30]) == NOSE
    assert at(points[[51, 57]].mean(axis=0)) == LIPS
    assert at(points[[3, 31]].mean(axis=0)) == SKIN
    assert at(points[[21, 22]].mean(axis=0) + 0.2 * (points[27] - points[8])) == SKIN  # forehead
    assert at(np.array([size * 0.03, size * 0.03])) == BACKGROUND
    assert at(points[8] + 0.08 * (points[8] - points[27])) == BELOW
    assert len(REGION_NAMES) == 7
    assert set(np.unique(regions)) == set(range(7))


def test_regions_have_the_sizes_of_a_face(portraits: dict[str, Photo], portrait_faces: dict[str, Face]) -> None:
    for name, photo in portraits.items():
        regions = align(photo, portrait_faces[name], 128).regions
        assert regions is not None
        shares = np.bincount(regions.ravel(), minlength=7) / regions.size
        assert 0.15 < shares[SKIN] < 0.45
        assert 0.003 < shares[EYES] < 0.02
        assert 0.005 < shares[BROWS] < 0.04
        assert 0.006 < shares[LIPS] < 0.04
        assert 0.01 < shares[NOSE] < 0.05
        assert shares[BACKGROUND] > 0.3


def test_regions_do_not_depend_on_the_resolution(astronaut: Photo, astronaut_face: Face) -> None:
    small, large = (align(astronaut, astronaut_face, size).regions for size in (64, 256))
    assert small is not None
    assert large is not None
    assert (small == large[2::4, 2::4]).mean() > 0.97


def test_points_outside_the_square_are_no_trouble(astronaut_face: Face) -> None:
    assert region_map(astronaut_face.landmarks + 1000, 64).shape == (64, 64)
    assert (region_map(np.full((68, 2), -500, np.float32), 64) == BACKGROUND).all()
