"""Views of photos through the search: one batch, the photo's code first, a mirrored photo exactly the same codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import skimage.data

from faces.changes.mirror import mirror
from faces.photo import Photo
from faces.views import views_of
from latent.checkpoints import Checkpoint
from latent.errors import InversionError
from latent.inversion.invert import Inversion, Progress
from latent.inversion.settings import InversionSettings
from study.disk.latents import mean_over_views
from study.photos import prepare as preparation
from study.photos.prepare import PhotoCode, invert_faces, prepare
from tests.study.conftest import face_like

SHORT = InversionSettings("test", steps=3)


def mirrored(photo: Photo) -> Photo:
    return Photo(mirror(photo.pixels), photo.source)


@pytest.fixture(scope="module")
def astronaut() -> Photo:
    return Photo(np.ascontiguousarray(skimage.data.astronaut()), "astronaut")


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_a_mirrored_photo_has_the_codes_of_the_photo(
    astronaut: Photo, make_checkpoint: Callable[[], Checkpoint], count: int
) -> None:
    checkpoint = make_checkpoint()
    shown: dict[str, list[np.ndarray]] = {"photo": [], "mirrored": []}
    codes = {}
    for name, photo in (("photo", astronaut), ("mirrored", mirrored(astronaut))):

        def on_step(step: Progress, name: str = name) -> None:
            shown[name].append(step.image)

        (code,) = invert_faces(checkpoint, [prepare(photo)], SHORT, count, on_step)
        assert isinstance(code, PhotoCode)
        codes[name] = code
        np.testing.assert_array_equal(code.views[0], code.inversion.ws)
        assert code.views.shape == (count, checkpoint.num_ws, checkpoint.w_dim)
    np.testing.assert_array_equal(codes["mirrored"].views, codes["photo"].views[np.arange(count) ^ 1])
    means = [mean_over_views(code.views) for code in codes.values()]
    np.testing.assert_allclose(*means, rtol=1e-12)
    for one, other in zip(shown["photo"], shown["mirrored"], strict=True):
        np.testing.assert_array_equal(one, mirror(other), "each is shown its own way round")


class Remembering:
    """In place of the search: keeps the batch; a picture's code is its mean brightness on the left and on the right."""

    def __init__(self, breaks_on: float = -1.0) -> None:
        self.batches: list[np.ndarray] = []
        self.breaks_on = breaks_on

    def __call__(self, checkpoint: Any, images: np.ndarray, settings: Any, on_step: Any, cancelled: Any) -> list:
        self.batches.append(images)
        if np.isclose(images.mean(axis=(1, 2, 3)), self.breaks_on).any():
            raise InversionError("The inversion of photo 1 broke down.")
        half = images.shape[2] // 2
        ws = [np.array([[i[:, :half].mean(), i[:, half:].mean()]], np.float32) for i in images]
        return [Inversion(w, i, i, {}, 0.5, settings, "c" * 64) for w, i in zip(ws, images, strict=True)]


def test_views_of_a_block_are_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Remembering()
    monkeypatch.setattr(preparation, "invert", search)
    faces = [prepare(Photo(face_like(i), ""), aligned=True) for i in range(3)]
    faces += [prepare(Photo(mirror(face_like(0)), ""), aligned=True)]
    codes = invert_faces(object(), faces, SHORT, 4)  # type: ignore[arg-type]
    (batch,) = search.batches
    assert len(batch) == 16
    np.testing.assert_array_equal(batch[:4], batch[12:])
    for face, code in zip(faces, codes, strict=True):
        assert isinstance(code, PhotoCode)
        np.testing.assert_array_equal(code.inversion.reconstruction, face.pixels)
        assert code.inversion.seconds == 2.0, "of all four"
        half = face.pixels.shape[1] // 2
        views = views_of(face.pixels, 4)
        expected = np.stack([[[v[:, :half].mean(), v[:, half:].mean()]] for v in views])
        np.testing.assert_allclose(code.views, expected, rtol=1e-6)


def test_a_photo_that_spoils_the_batch_is_alone_in_having_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = [prepare(Photo(face_like(i), ""), aligned=True) for i in range(3)]
    search = Remembering(breaks_on=float(faces[1].pixels.mean()))
    monkeypatch.setattr(preparation, "invert", search)
    codes = invert_faces(object(), faces, SHORT, 2)  # type: ignore[arg-type]
    assert [isinstance(code, InversionError) for code in codes] == [False, True, False]
    assert [len(batch) for batch in search.batches] == [6, 2, 2, 2]
