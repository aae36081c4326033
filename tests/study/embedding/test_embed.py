"""Embedding a study: every photo once, stopped and gone on, never mixed. The inversion itself is a stand-in here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

import study.embedding.record as record_module
from faces.align import AlignedFace
from faces.errors import NoFaceError
from faces.photo import Photo
from latent.errors import Cancelled, InversionError
from latent.inversion.invert import Inversion
from latent.inversion.settings import PRESETS, InversionSettings
from study.disk.store import Study
from study.embedding.command import embed
from study.embedding.parts import PARTS
from study.errors import StudyError
from study.files import write_bytes
from study.photos import prepare as preparation
from study.photos.aligned_store import AlignedStore
from study.scoring.check import check
from study.scoring.status import codes_status
from study.settings import Settings, settings_text
from study.simulation.simulate import encode_jpeg
from tests.study.conftest import CHECKPOINT_SHA, face_like, patient_table, write_study

HALF = 2**-11  # of a number, that half precision may be off


@dataclass
class FakeCheckpoint:
    """What `embed` needs to know of a checkpoint."""

    name: str = "tiny"
    sha256: str = CHECKPOINT_SHA
    num_ws: int = 4
    w_dim: int = 6
    resolution: int = 16
    device: str = "cpu"
    config: dict = field(default_factory=dict)


@dataclass
class FakeInvert:
    """Codes that depend on the picture alone; counts what it was asked for."""

    seen: int = 0
    stop_after: int = 10**9
    breaks_on: float = -1.0

    def __call__(self, checkpoint: FakeCheckpoint, images: np.ndarray, settings: object, on_step, cancelled) -> list:
        means = images.reshape(len(images), -1).mean(1)
        if (means == self.breaks_on).any():
            raise InversionError("The inversion of photo 1 broke down.")
        if self.seen + len(images) > self.stop_after:
            raise KeyboardInterrupt
        self.seen += len(images)
        for _ in range(2):
            if cancelled is not None and cancelled():
                raise Cancelled("stopped")
        metrics = {
            "perceptual": 0.1,
            "perceptual_name": "test",
            "psnr": 30.0,
            "ssim": 0.9,
            "identity": 0.2,
            "st_lpips": 0.3,
        }
        shape = (checkpoint.num_ws, checkpoint.w_dim)
        return [
            Inversion(np.full(shape, m, np.float32), i, i, metrics, 1.0, PRESETS["fast"], checkpoint.sha256)
            for m, i in zip(means, images, strict=True)
        ]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeInvert:
    double = FakeInvert()
    monkeypatch.setattr(preparation, "invert", double)

    class Name:
        name = "test"

    monkeypatch.setattr(record_module, "load_perceptual", lambda device: Name)
    return double


@pytest.fixture
def aligned_study(tmp_path: Path) -> Study:
    return Study.open(write_study(tmp_path / "s", patient_table(12), photos=12, aligned=True))


def expected(study: Study) -> np.ndarray:
    faces = [preparation.prepare(p, aligned=True).pixels for p in study.photos.values()]
    return np.array([f.mean() for f in faces], np.float32)


@pytest.mark.slow
def test_all_photos_once(aligned_study: Study, fake: FakeInvert) -> None:
    done: list[int] = []
    report = embed(aligned_study, FakeCheckpoint(), batch=5, on_progress=lambda photos, _: done.append(photos))
    assert (report.new, report.kept, report.failures, report.stopped, fake.seen) == (12, 0, [], False, 12)
    latents = Study.open(aligned_study.path).latents(CHECKPOINT_SHA)
    np.testing.assert_allclose(latents.ws[:, 2, 3], expected(aligned_study), rtol=HALF)
    assert list(latents.index["patient_id"]) == [f"P{i + 1:04d}" for i in range(12)]
    assert not (aligned_study.path / PARTS).exists()
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, 12)
    assert embed(aligned_study, FakeCheckpoint()).kept == 12
    assert fake.seen == 12


@pytest.mark.slow
def test_interrupted_and_gone_on(aligned_study: Study, fake: FakeInvert) -> None:
    fake.stop_after = 8
    with pytest.raises(KeyboardInterrupt):
        embed(aligned_study, FakeCheckpoint(), batch=4)
    assert not Study.open(aligned_study.path).has_latents
    (aligned_study.path / PARTS / "damaged.npz").write_bytes(b"PK half a file")
    fake.stop_after = 100
    report = embed(aligned_study, FakeCheckpoint(), batch=3)
    assert (report.new, report.kept, fake.seen) == (4, 8, 12)
    np.testing.assert_allclose(Study.open(aligned_study.path).latents().ws[:, 0, 0], expected(aligned_study), rtol=HALF)


@pytest.mark.slow
@pytest.mark.parametrize("call", [1, 3, 7, 10])
def test_cancel_anywhere_keeps_the_old_codes(aligned_study: Study, fake: FakeInvert, call: int) -> None:
    embed(aligned_study, FakeCheckpoint())
    before = aligned_study.latents().index["checkpoint_sha256"].unique().tolist()
    other = FakeCheckpoint(sha256="d" * 64)
    calls = iter(range(1000))
    report = embed(aligned_study, other, batch=2, cancelled=lambda: next(calls) >= call)
    assert report.stopped
    assert Study.open(aligned_study.path).latents().index["checkpoint_sha256"].unique().tolist() == before
    report = embed(aligned_study, other, batch=2)
    assert report.new + report.kept == 12
    assert set(Study.open(aligned_study.path).latents().index["checkpoint_sha256"]) == {other.sha256}


@pytest.mark.slow
def test_stop_between_the_two_files(aligned_study: Study, fake: FakeInvert, monkeypatch: pytest.MonkeyPatch) -> None:
    """latents.npy is new, index.parquet old: refused when opened, mended by the next run without new work."""
    embed(aligned_study, FakeCheckpoint())

    def power_cut(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("study.disk.latents.pq.ParquetWriter.add_key_value_metadata", power_cut)
        with pytest.raises(KeyboardInterrupt):
            embed(aligned_study, FakeCheckpoint(sha256="d" * 64))
    aligned_study.path.joinpath("latents.npy").write_bytes(b"half")  # the stand-in's codes are the same as before
    with pytest.raises(StudyError, match="Run `python -m study embed"):
        Study.open(aligned_study.path).latents()
    seen = fake.seen
    assert embed(aligned_study, FakeCheckpoint(sha256="d" * 64)).kept == 12
    assert fake.seen == seen
    assert len(Study.open(aligned_study.path).latents("d" * 64).ws) == 12


@pytest.mark.slow
@pytest.mark.parametrize("change", ["checkpoint", "preset", "encoder", "aligned"])
def test_codes_of_other_settings_are_not_taken_over(
    aligned_study: Study, fake: FakeInvert, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(aligned_study, FakeCheckpoint())
    checkpoint, settings = FakeCheckpoint(), {"preset": "balanced", "aligned": True}
    if change == "checkpoint":
        checkpoint = FakeCheckpoint(sha256="d" * 64)
    elif change == "encoder":
        checkpoint = FakeCheckpoint(config={"files": {"encoder.safetensors": {"sha256": "f" * 64}}})
    elif change == "preset":
        settings["preset"] = "fast"
    else:
        settings["aligned"] = False
        squares, find = AlignedStore(aligned_study.path, True), AlignedStore.face
        monkeypatch.setattr(AlignedStore, "face", lambda _, path, *args: find(squares, path, *args))
    text = settings_text(Settings(name="s", title="t", views=1, **settings))
    write_bytes(aligned_study.path / "study.toml", text.encode())
    report = embed(Study.open(aligned_study.path), checkpoint)
    assert (report.new, report.kept) == (12, 0)


def with_views(study: Study, views: int) -> Study:
    """The same study, its study.toml asking for so many views."""
    text = settings_text(Settings(name="s", title="t", aligned=True, views=views))
    write_bytes(study.path / "study.toml", text.encode())
    return Study.open(study.path)


@pytest.mark.slow
def test_views_of_each_photo(aligned_study: Study, fake: FakeInvert) -> None:
    """Stopped and resumed with the same number of views; another number begins again, and says so everywhere."""
    study = with_views(aligned_study, 4)
    fake.stop_after = 33
    with pytest.raises(KeyboardInterrupt):
        embed(study, FakeCheckpoint(), batch=2)
    fake.stop_after = 10**9
    report = embed(study, FakeCheckpoint(), batch=3)
    assert (report.new, report.kept, fake.seen) == (4, 8, 48)
    study = Study.open(study.path)
    latents = study.latents(CHECKPOINT_SHA)
    assert (study.embedding.views, latents.views.shape, latents.views.dtype) == (4, (12, 4, 4, 6), np.float16)
    np.testing.assert_allclose(latents.ws[:, 2, 3], expected(study), rtol=HALF)
    assert set(latents.index["seconds"]) == {4.0}, "of all views"
    assert codes_status(study, FakeCheckpoint()).state == "done"
    fewer = with_views(study, 2)
    status = codes_status(fewer, FakeCheckpoint())
    assert status.state == "stale"
    assert "They rest on 4 views of each photo, but study.toml says 2." in status.reasons
    _, findings = check(str(fewer.path))
    assert any("The codes rest on 4 views of each photo, but study.toml says 2." in str(f) for f in findings)
    report = embed(fewer, FakeCheckpoint())
    assert (report.new, report.kept) == (12, 0)
    assert Study.open(fewer.path).latents().views.shape == (12, 2, 4, 6)


@pytest.mark.slow
def test_only_new_and_changed_photos(aligned_study: Study, fake: FakeInvert) -> None:
    embed(aligned_study, FakeCheckpoint())
    write_bytes(aligned_study.photo_path("P0007"), encode_jpeg(face_like(77)))
    report = embed(Study.open(aligned_study.path), FakeCheckpoint())
    assert (report.new, report.kept) == (1, 11)
    np.testing.assert_allclose(Study.open(aligned_study.path).latents().ws[:, 0, 0], expected(aligned_study), rtol=HALF)


@pytest.mark.slow
def test_failures_are_reported(
    aligned_study: Study, fake: FakeInvert, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_bytes(aligned_study.photo_path("P0003"), b"no photo at all")
    fake.breaks_on = float(preparation.prepare(aligned_study.photo_path("P0006"), True).pixels.mean())

    find = AlignedStore.face

    def no_face(store: AlignedStore, path: Path, *args: object) -> AlignedFace:
        if path.name == "P0009.jpg":
            raise NoFaceError("P0009.jpg: no face was found.")
        return find(store, path, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(AlignedStore, "face", no_face)
    report = embed(aligned_study, FakeCheckpoint(), batch=4)
    assert [f[0] for f in report.failures] == ["P0003", "P0006", "P0009"]
    assert report.new == 9
    opened = Study.open(aligned_study.path)
    codes, table = opened.analysed()
    assert len(codes) == len(table) == 9
    assert "P0006" not in set(table["patient_id"])
    assert "broke down" in (opened.path / "embedding.json").read_text()


def test_nothing_usable(tmp_path: Path, fake: FakeInvert) -> None:
    folder = write_study(tmp_path / "s", patient_table(2), photos=2, aligned=True)
    for photo in (folder / "photos").iterdir():
        photo.write_bytes(b"x")
    with pytest.raises(StudyError, match="No photo of s could be embedded"):
        embed(Study.open(folder), FakeCheckpoint())
    empty = write_study(tmp_path / "e", patient_table(2), photos=0)
    with pytest.raises(StudyError, match="nothing to embed"):
        embed(Study.open(empty), FakeCheckpoint())


@pytest.mark.slow
def test_real_inversion(aligned_study: Study, make_checkpoint: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real inversion, a few steps of it, on an untrained generator."""
    monkeypatch.setattr(record_module, "PRESETS", {"fast": InversionSettings("fast", steps=4)})
    checkpoint = make_checkpoint()
    text = settings_text(Settings(name="s", title="t", aligned=True, preset="fast", views=1))
    write_bytes(aligned_study.path / "study.toml", text.encode())
    table = (aligned_study.path / "patients.csv").read_text().splitlines()[:3]
    write_bytes(aligned_study.path / "patients.csv", ("\n".join(table) + "\n").encode())
    opened = Study.open(aligned_study.path)
    assert embed(opened, checkpoint, batch=2).new == 2
    latents = Study.open(opened.path).latents(checkpoint.sha256)
    ws, index = latents.ws, latents.index
    assert ws.shape == (2, checkpoint.num_ws, checkpoint.w_dim)
    assert np.isfinite(ws).all()
    assert (index["psnr"] > 5).all()
    assert index["st_lpips"].between(0, 2).all()
    assert index["perceptual_name"].str.len().min() > 3


@pytest.mark.slow
def test_a_real_portrait_is_found_and_aligned() -> None:
    """The same portrait through the detector and as a ready square, which somebody placed."""
    photo = Path(__file__).parents[2] / "data" / "portraits" / "frontal_man.jpg"
    face, square = preparation.prepare(photo), preparation.prepare(photo, aligned=True)
    assert face.pixels.shape == square.pixels.shape == (preparation.ALIGNED_SIZE, preparation.ALIGNED_SIZE, 3)
    assert face.landmarks is not None
    assert (face.placed, square.placed) == (False, True)
    assert abs(face.quality.yaw) < 20
    with pytest.raises(NoFaceError, match=r"flat\.jpg: no face was found"):
        preparation.prepare(Photo(np.full((200, 200, 3), 90, np.uint8), "flat.jpg"))
