"""The store of aligned photos: each photo decoded, searched and aligned once, whatever asks for it and in what order;
the same faces as without it; nothing believed that lies there."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import study.photos.aligned_store as module
from faces.changes.mirror import COARSE
from faces.errors import NoFaceError, PhotoError
from faces.flags import SEVERAL
from study.comparison.features import gather
from study.comparison.measuring.shortcuts import shortcut_blocks
from study.comparison.plan import Plan
from study.disk.face_choices import Choice
from study.disk.store import Study
from study.embedding.command import embed
from study.errors import StudyError
from study.files import sha256_of, write_bytes
from study.photos.aligned_store import FOLDER, NO_FACE, AlignedStore
from study.photos.model_inputs import FINE, NO_REGIONS, SIZE, aligned_photos, descriptors
from study.photos.model_inputs import NO_FACE as WITHOUT
from study.photos.prepare import prepare
from study.photos.quality import measure_study
from study.robustness.measure import Task, perturbed
from study.robustness.perturb import PERTURBATIONS, UNCHANGED
from study.simulation.simulate import encode_jpeg
from survival.errors import FitCancelled
from tests.study.conftest import patient_table, write_study
from tests.study.embedding.test_embed import FakeCheckpoint, fake  # noqa: F401
from tests.study.photos.test_confirm import two_faces

DEMO = Path(__file__).resolve().parents[3] / "studies" / "demo" / "photos"
BLANK = np.full((96, 96, 3), 90, np.uint8)
Counts = Counter[str]


def portraits(folder: Path, n: int, **settings: object) -> Study:
    write_study(folder, patient_table(n, seed=3), **settings)
    (folder / "photos").mkdir()
    for i in range(1, n + 1):
        shutil.copy(DEMO / f"P{i:04d}.jpg", folder / "photos" / f"P{i:04d}.jpg")
    return Study.open(folder)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    """How often the store decodes, searches and aligns."""
    counted = Counts()

    def count(name: str) -> None:
        real: Callable[..., object] = getattr(module, name)

        def counting(*args: object, **options: object) -> object:
            counted[name] += 1
            return real(*args, **options)

        monkeypatch.setattr(module, name, counting)

    for name in ("load_photo", "find_upright", "align"):
        count(name)
    return counted


def compare_features(study: Study) -> None:
    """All that a comparison reads of the photos: codes, descriptors, pixels, their controls, the aligned photos."""
    cohort = gather(Study.open(study.path), Plan(("photo", "descriptor"), ("usual", "cnn"), shortcuts=True))
    assert {"photo", "descriptor", "image", "backdrop-only", "face-only"} <= set(cohort.blocks)


STEPS: dict[str, Callable[[Study], object]] = {
    "quality": measure_study,
    "embed": lambda study: embed(study, FakeCheckpoint(), batch=5),  # type: ignore[arg-type]
    "compare": compare_features,
}


@pytest.mark.slow
@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("order", [("quality", "embed", "compare"), ("embed", "quality", "compare", "embed")])
def test_a_photo_is_decoded_searched_and_aligned_once(tmp_path: Path, counts: Counts, order: tuple[str, ...]) -> None:
    study = portraits(tmp_path / "s", 12)
    for step in order:
        STEPS[step](study)
        assert counts == {"load_photo": 12, "find_upright": 12, "align": 12}, step
    store = AlignedStore.of(study)
    for patient in ("P0001", "P0002"):
        path = study.photo_path(patient)
        for change in (UNCHANGED, PERTURBATIONS["blurred"], PERTURBATIONS["mirrored"]):
            perturbed(Task(patient, path, sha256_of(path), change, ""), store)
    assert counts["find_upright"] == counts["align"] == 12
    assert counts["load_photo"] == 14, "the two photos that are changed are decoded for that, once each"


@pytest.mark.slow
def test_faces_are_those_of_the_photo(tmp_path: Path) -> None:
    """Bit for bit, when they are new and when they are read; at other sizes, too."""
    study = portraits(tmp_path / "s", 3)
    for path in study.photos.values():
        for size in (256, 256, 96, 512):
            face, expected = AlignedStore.of(study).face(path, size), prepare(path, size=size)
            np.testing.assert_array_equal(face.pixels, expected.pixels)
            np.testing.assert_array_equal(face.quad, expected.quad)
            assert face.quality == expected.quality
            assert (face.score, face.placed) == (expected.score, expected.placed)
            assert face.landmarks is not None
            assert expected.landmarks is not None
            np.testing.assert_allclose(face.landmarks, expected.landmarks, atol=1 / COARSE)
        read = AlignedStore.of(study).face(path)
        np.testing.assert_array_equal(read.landmarks, prepare(path).landmarks)
        np.testing.assert_array_equal(read.regions, prepare(path).regions)
    size = sum(p.stat().st_size for p in (study.path / FOLDER).rglob("*.npz")) / 3
    assert size < 130_000, "the bytes a photo that the documentation promises"


def test_squares_that_are_aligned_already(tmp_path: Path) -> None:
    study = portraits(tmp_path / "s", 2, aligned=True)
    for path in study.photos.values():
        for size in (256, 256, 512):
            face, expected = AlignedStore.of(study).face(path, size), prepare(path, aligned=True, size=size)
            np.testing.assert_array_equal(face.pixels, expected.pixels)
            assert face.quality == expected.quality
            assert face.placed


def test_another_face_needs_no_second_search(tmp_path: Path, counts: Counts) -> None:
    folder = write_study(tmp_path / "s", patient_table(1))
    path = folder / "photos" / "P0001.jpg"
    write_bytes(path, encode_jpeg(two_faces()))
    digest = sha256_of(path)
    assert SEVERAL in {flag.kind for flag in AlignedStore(folder, False).face(path).quality.flags}
    choice = Choice("P0001", 2, "person")
    face = AlignedStore(folder, False, {digest: choice}).face(path)
    assert counts == {"load_photo": 2, "find_upright": 1, "align": 2}
    expected = prepare(path, choice=choice)
    np.testing.assert_array_equal(face.pixels, expected.pixels)
    assert face.quality == expected.quality
    rows = AlignedStore(folder, False).face_descriptors(path)
    assert rows.shape == (2, 128)
    np.testing.assert_array_equal(AlignedStore(folder, False).face_descriptors(path), rows)
    assert counts["load_photo"] == 3, "descriptors of the faces are kept, too"


def test_photos_without_a_face_and_files_without_a_photo(tmp_path: Path, counts: Counts) -> None:
    folder = write_study(tmp_path / "s", patient_table(2))
    write_bytes(folder / "photos" / "P0001.jpg", encode_jpeg(BLANK))
    write_bytes(folder / "photos" / "P0002.jpg", b"no photo at all")
    for _ in range(2):
        store = AlignedStore(folder, False)
        with pytest.raises(NoFaceError, match=r"^P0001\.jpg: no face was found"):
            store.face(folder / "photos" / "P0001.jpg")
        with pytest.raises(PhotoError, match=r"^P0002\.jpg"):
            store.face(folder / "photos" / "P0002.jpg")
    assert counts["find_upright"] == 1, "that there is no face is kept"
    assert counts["load_photo"] == 3, "a file that cannot be opened is tried again: a decoder may have been installed"
    shutil.copy(folder / "photos" / "P0001.jpg", folder / "photos" / "copy.jpg")
    with pytest.raises(NoFaceError, match=r"^copy\.jpg"):
        AlignedStore(folder, False).face(folder / "photos" / "copy.jpg")
    with pytest.raises(StudyError, match="could not be read"):
        AlignedStore(folder, False).face(folder / "photos" / "gone.jpg")


@pytest.mark.slow
def test_damage_is_aligned_again_and_a_stop_keeps_what_is_finished(
    tmp_path: Path, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = portraits(tmp_path / "s", 6)
    files = list(study.photos.values())
    monkeypatch.setattr(module, "BLOCK", 2)
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(FitCancelled):
        aligned_photos(AlignedStore.of(study), files, cancelled=cancelled)
    assert counts["align"] == 4
    parts = sorted((study.path / FOLDER).rglob("*.npz"))
    assert len(parts) == 4
    parts[0].write_bytes(parts[0].read_bytes()[:1000])
    parts[1].write_bytes(parts[2].read_bytes())
    done: list[tuple[int, int]] = []
    photos = aligned_photos(AlignedStore.of(study), files, lambda n, total: done.append((n, total)))
    assert done == [(2, 6), (4, 6), (6, 6)]
    assert counts["align"] == 4 + 2 + 2, "two new ones and two damaged ones"
    assert photos.state.tolist() == [FINE] * 6
    again = aligned_photos(AlignedStore.of(study), files[::-1])
    np.testing.assert_array_equal(again.pixels, photos.pixels[::-1])
    np.testing.assert_array_equal(again.regions, photos.regions[::-1])
    assert counts["align"] == 8


@pytest.mark.slow
def test_small_pixels_regions_and_descriptors(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", patient_table(4))
    for i in range(1, 4):
        (folder / "photos").mkdir(exist_ok=True)
        shutil.copy(DEMO / f"P000{i}.jpg", folder / "photos" / f"P000{i}.jpg")
    write_bytes(folder / "photos" / "P0004.jpg", encode_jpeg(BLANK))
    study = Study.open(folder)
    files = list(study.photos.values())
    photos = aligned_photos(AlignedStore.of(study), files)
    assert photos.state.tolist() == [FINE, FINE, FINE, WITHOUT]
    assert photos.pixels.shape == (4, SIZE, SIZE, 3)
    face = prepare(files[0])
    assert face.regions is not None
    np.testing.assert_array_equal(photos.regions[0], face.regions[2::4, 2::4])
    assert not photos.pixels[3].any()
    with pytest.raises(StudyError, match="No face was found in 1 photo"):
        shortcut_blocks(photos)
    rows = descriptors(AlignedStore.of(study), files)
    assert np.isfinite(rows[:3]).all()
    assert np.isnan(rows[3]).all()
    np.testing.assert_array_equal(descriptors(AlignedStore.of(study), files), rows)
    squares = portraits(tmp_path / "t", 1, aligned=True)
    write_bytes(squares.photos["P0001"], encode_jpeg(BLANK))
    assert aligned_photos(AlignedStore.of(squares), list(squares.photos.values())).state.tolist() == [NO_REGIONS]


def test_a_folder_that_cannot_be_written_costs_a_sentence(
    tmp_path: Path, counts: Counts, capsys: pytest.CaptureFixture[str]
) -> None:
    study = portraits(tmp_path / "s", 2)
    (study.path / FOLDER).write_text("a file where the folder should be")
    store = AlignedStore.of(study)
    for path in study.photos.values():
        np.testing.assert_array_equal(store.face(path).pixels, prepare(path).pixels)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("Aligned photos cannot be kept in aligned/ (")
    assert store.photo(study.photo_path("P0001")).problem != NO_FACE
