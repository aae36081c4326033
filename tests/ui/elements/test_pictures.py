"""Pictures: encoding, differences, numbered faces, strips."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ui.elements import pictures
from ui.health_direction import scrubber


def noise(seed: int, side: int = 24, count: int | None = None) -> np.ndarray:
    shape = (side, side, 3) if count is None else (count, side, side, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def read(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def test_small_frames_travel_without_loss_and_large_ones_scaled() -> None:
    frames = noise(0, 64, 3)
    files, mime = pictures.encode_frames(frames)
    assert mime == "image/png"
    assert all(np.array_equal(read(data), frame) for data, frame in zip(files, frames, strict=True))
    files, mime = pictures.encode_frames(np.repeat(noise(1, 8).repeat(80, 0).repeat(80, 1)[None], 2, axis=0))
    assert mime == "image/jpeg"
    assert read(files[0]).shape == (pictures.SCREEN_SIDE, pictures.SCREEN_SIDE, 3)


def test_equal_pictures_show_no_heat() -> None:
    image = noise(2)
    quiet = pictures.difference(image, image).astype(int)
    assert np.ptp(quiet, axis=-1).max() == 0, "a grey copy without colour"


@settings(max_examples=30)
@given(change=st.integers(1, 200), base=st.integers(0, 55))
def test_more_change_never_looks_like_less(change: int, base: int) -> None:
    """Where the picture changed by more, the heat is at least as strong (brightness over the same picture)."""
    before = np.full((1, 2, 3), base, np.uint8)
    after = before.copy()
    after[0, 0] = base + change
    heat = pictures.difference(after, before).astype(int)
    if change / 255 >= pictures.HEAT_FULL:
        assert abs(heat[0, 0] - pictures.HEAT_STOPS[-1]).max() <= 2
    assert np.ptp(heat[0, 1]) == 0


def test_the_browser_uses_the_same_heat_colours() -> None:
    script = Path(scrubber.__file__).with_name("scrubber.js")
    text = script.read_text("utf-8")
    stops = ", ".join(str([int(v) for v in stop]) for stop in pictures.HEAT_STOPS)
    assert f"HEAT_STOPS = [{stops}]" in text
    assert f"HEAT_FULL = {pictures.HEAT_FULL}" in text


def test_faces_are_numbered_and_the_chosen_one_stands_out() -> None:
    photo = np.full((600, 900, 3), 120, np.uint8)
    boxes = [(60.0, 90.0, 270.0, 330.0), (540.0, 180.0, 720.0, 390.0)]
    first, second = (pictures.number_faces(photo, boxes, chosen) for chosen in (0, 1))
    assert first.shape == photo.shape
    assert not np.array_equal(first, second)
    assert np.array_equal(first[420:], photo[420:]), "the rest of the photo stays as it is"
    assert tuple(first[92, 200]) == (255, 255, 255)
    assert tuple(second[92, 200]) != (255, 255, 255)


@pytest.mark.parametrize("shape", [(1200, 600), (60, 30)])
def test_photos_are_scaled_to_one_size_before_lines_are_drawn(shape: tuple[int, int]) -> None:
    corners = np.array([[0, 0], [0, 9], [9, 9], [9, 0]])
    shown = pictures.outline_square(np.zeros((*shape, 3), np.uint8), corners, 300)
    assert shown.shape == (300, 150, 3)
    assert shown.any()


def test_a_strip_holds_every_frame_and_a_line_of_labels() -> None:
    frames = noise(3, 32, 4)
    sheet = pictures.strip(frames, ["x 1/2", "start", "x 2", "x 4"], side=32)
    assert sheet.shape[1] == 4 * 32
    for i, frame in enumerate(frames):
        assert np.array_equal(sheet[:32, 32 * i : 32 * (i + 1)], frame)
    assert (sheet[32:] < 200).any(), "labels are drawn"


def test_the_animation_goes_there_and_back() -> None:
    frames = np.stack([np.full((16, 16, 3), v, np.uint8) for v in (10, 90, 170, 250)])
    with Image.open(io.BytesIO(pictures.animation(frames, 0.3))) as image:
        assert image.n_frames == 6
        levels = []
        for i in range(6):
            image.seek(i)
            levels.append(int(np.asarray(image.convert("L")).mean().round(-1)))
    assert levels == [10, 90, 170, 250, 170, 90]


def test_a_sparkline_spans_its_box() -> None:
    tag = pictures.sparkline([3.0, 2.0, 1.0], 'loss "now"', "#14586A")
    assert 'alt="loss &quot;now&quot;"' in tag
    svg = base64.b64decode(tag.split("base64,")[1].split('"')[0]).decode()
    assert "0.00,4.00" in svg
    assert "100.00,38.00" in svg
    assert "#14586A" in svg
