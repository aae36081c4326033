"""Colours of a face: painted parts by hand, the same mirrored, the cheeks taken off."""

import numpy as np
import pytest

from faces.appearance.colour import COLOURS, PARTS, colours
from faces.regions import LIPS, NOSE, region_map

# a schematic face of 68 points in a 256 px square
JAW = np.stack([128 + 70 * np.sin(np.linspace(-1.5, 1.5, 17)), 130 + 90 * np.cos(np.linspace(-1.5, 1.5, 17))], axis=1)
BROWS = [[80, 100], [88, 96], [96, 95], [104, 97], [112, 100], [144, 100], [152, 97], [160, 95], [168, 96], [176, 100]]
BRIDGE = [[128, 112], [128, 124], [128, 136], [128, 148]]
NOSTRILS = [[116, 154], [122, 157], [128, 158], [134, 157], [140, 154]]
EYE = np.array([[0, 0], [6, -5], [14, -5], [20, 0], [14, 4], [6, 4]])
LEFT = EYE + np.array([88, 116])
RIGHT = (EYE * [-1, 1] + [168, 116])[[3, 2, 1, 0, 5, 4]]
MOUTH = [
    *([104, 182], [112, 177], [122, 174], [128, 176], [134, 174], [144, 177], [152, 182]),
    *([144, 189], [134, 192], [128, 193], [122, 192], [112, 189]),
    *([108, 182], [122, 180], [128, 181], [134, 180], [148, 182], [134, 184], [128, 185], [122, 184]),
]
LANDMARKS = np.concatenate([JAW, BROWS, BRIDGE, NOSTRILS, LEFT, RIGHT, MOUTH]).astype(np.float32)
SWAPPED = [
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46,
    39, 38, 37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1),
]  # fmt: skip


def face() -> np.ndarray:
    """uint8 (256, 256, 3): skin everywhere, red lips, a dark nose."""
    pixels = np.full((256, 256, 3), (200, 160, 140), np.uint8)
    regions = region_map(LANDMARKS, 256)
    pixels[regions == LIPS] = (190, 70, 80)
    pixels[regions == NOSE] = (120, 100, 90)
    return pixels


def of(values: np.ndarray, part: str) -> np.ndarray:
    return values[3 * (1 + PARTS.index(part)) :][:3]


def test_painted_parts_differ_from_the_cheeks_and_others_do_not() -> None:
    values = colours(face(), LANDMARKS)
    assert values.shape == (len(COLOURS),) == (33,)
    assert np.isfinite(values).all()
    assert values[:3] == pytest.approx([69.3, 12.3, 15.8], abs=0.5)
    assert of(values, "lips")[1] > 20, "redder"
    assert of(values, "nose")[0] < -20, "darker"
    for part in ("under the eyes", "forehead", "sclera"):
        np.testing.assert_allclose(of(values, part), 0, atol=1e-3)


def test_a_mirrored_face_has_the_same_colours() -> None:
    pixels = face()
    pixels += np.random.default_rng(0).integers(0, 20, pixels.shape, dtype=np.uint8)
    points = LANDMARKS[SWAPPED] * [-1, 1] + [255, 0]
    mirrored = colours(np.ascontiguousarray(pixels[:, ::-1]), points.astype(np.float32))
    difference = np.abs(mirrored - colours(pixels, LANDMARKS))
    nose = 3 * (1 + PARTS.index("nose"))  # whose region leans to one eye
    assert np.delete(difference, range(nose, nose + 3)).max() < 0.6
    assert difference.max() < 5


def test_yellower_light_moves_cheeks_more_than_differences() -> None:
    light = np.clip(face() * np.array([1.0, 0.97, 0.8]), 0, 255).astype(np.uint8)
    change = np.abs(colours(light, LANDMARKS) - colours(face(), LANDMARKS))
    assert change[2] > 5
    assert change[3:].max() < change[2]


def test_parts_outside_the_picture_have_the_cheeks_colour() -> None:
    values = colours(face(), LANDMARKS + np.float32([0, 140]))
    assert np.isfinite(values).all()
