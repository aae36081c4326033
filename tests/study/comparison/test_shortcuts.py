"""Aligned photos kept by content, controls against shortcuts, and the image network in a comparison."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest

from faces.regions import BACKGROUND, BELOW, SKIN
from study.comparison import features
from study.comparison.candidates import candidates_of
from study.comparison.choose import why_not_chosen
from study.comparison.features import available_sets, chosen_sets, gather
from study.comparison.measuring.duration import expected_seconds
from study.comparison.measuring.shortcuts import (
    BACKDROP,
    BLURRED,
    FACE,
    SHORTCUT_SETS,
    WHOLE,
    head,
    masked,
    shortcut_blocks,
)
from study.comparison.plan import Plan
from study.comparison.provenance import stale_reasons
from study.comparison.record import Comparison, read_comparison
from study.comparison.run import compare
from study.disk.store import Study
from study.errors import StudyError
from study.photos.model_inputs import FINE, SIZE, AlignedPhotos
from survival.models.registry import MODELS, ModelEntry
from tests.study.conftest import patient_table, write_codes, write_study

DEMO = Path(__file__).resolve().parents[3] / "studies" / "demo" / "photos"
QUICK = {"widths": (8, 8), "members": 2, "epochs": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Sixty patients with codes and photos that are squares already."""
    folder = write_study(tmp_path_factory.mktemp("pixels") / "pixels", patient_table(60), photos=60, aligned=True)
    study = Study.open(folder)
    write_codes(study, np.random.default_rng(0).normal(size=(60, 2, 3)))
    return study


def made(n: int, seed: int = 0, told_by: str = "") -> tuple[AlignedPhotos, np.ndarray]:
    """Faces of one colour before a backdrop of another; `told_by` says where the hazard shows. (photos, hazard)"""
    rng = np.random.default_rng(seed)
    hazard = rng.uniform(-1, 1, n)
    regions = np.zeros((n, SIZE, SIZE), np.uint8)
    pixels = np.empty((n, SIZE, SIZE, 3), np.uint8)
    y, x = np.mgrid[:SIZE, :SIZE]
    for i in range(n):
        wide = rng.integers(14, 19)  # the outline differs from face to face
        regions[i][((x - 32) / wide) ** 2 + ((y - 34) / 22) ** 2 < 1] = SKIN
        regions[i][(y > 56) & (abs(x - 32) < 12)] = BELOW
        pixels[i] = 100 + rng.integers(-10, 10) + 60 * hazard[i] * (told_by == BACKDROP)
        pixels[i][regions[i] == SKIN] = 150 + rng.integers(-10, 10) + 60 * hazard[i] * (told_by == FACE)
        pixels[i][regions[i] == BELOW] = rng.integers(0, 255, 3)
    return AlignedPhotos(pixels, regions, np.full(n, FINE, np.uint8)), hazard


def test_each_control_sees_its_part_and_no_other() -> None:
    photos, _ = made(40)
    blocks = shortcut_blocks(photos)
    assert set(blocks) == set(SHORTCUT_SETS)
    on_face = photos.regions == SKIN
    behind = (photos.regions == BACKGROUND) & ~head(SIZE)
    for name, hidden in ((FACE, ~on_face), (BACKDROP, ~behind)):
        other = photos.pixels.copy()
        other[hidden] = np.random.default_rng(1).integers(0, 255, (int(hidden.sum()), 3))
        changed = shortcut_blocks(AlignedPhotos(other, photos.regions, photos.state))
        np.testing.assert_array_equal(changed[name], blocks[name])
        assert not np.allclose(changed[WHOLE], blocks[WHOLE])
        assert not np.allclose(changed[BLURRED], blocks[BLURRED])
    assert blocks[BLURRED].shape == (40, 8, 8, 3)


def test_the_outline_of_a_mask_tells_nothing() -> None:
    """Faces of one colour, however wide, give the same row; so do backdrops."""
    photos, _ = made(30)
    photos.pixels[photos.regions == SKIN] = (200, 150, 120)
    rows = masked(photos.pixels, photos.regions == SKIN, "face")
    np.testing.assert_allclose(rows, np.broadcast_to(rows[:1, :1], rows.shape), atol=1e-3)
    with pytest.raises(StudyError, match="No part of the picture is face"):
        masked(photos.pixels, np.arange(30)[:, None, None] * np.ones((1, SIZE, SIZE)) < 15, "face")


def test_the_blur_takes_away_what_is_small_and_keeps_the_light() -> None:
    y, x = np.mgrid[:SIZE, :SIZE]
    checks = np.where((x // 4 + y // 4) % 2, 200, 100)[..., None].repeat(3, 2).astype(np.uint8)
    photos, _ = made(1)
    one = shortcut_blocks(AlignedPhotos(checks[None], photos.regions, photos.state))[BLURRED]
    assert np.ptp(one) < 8
    assert one.mean() == pytest.approx(150, abs=2)
    assert cv2.GaussianBlur(checks.astype(np.float32), (0, 0), 1).std() > 10, "a light blur would leave them"


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """A study whose photos tell the hazard by the backdrop alone, compared with shortcut controls."""
    photos, hazard = made(120, told_by=BACKDROP)
    rng = np.random.default_rng(3)
    table = patient_table(120)
    table["time_months"] = np.clip(20 * rng.exponential(size=120) / np.exp(2.5 * hazard), 0.05, 600).round(2)
    table["event"] = 1
    folder = write_study(tmp_path_factory.mktemp("planted") / "planted", table, photos=120, aligned=True)
    study = Study.open(folder)
    write_codes(study, rng.normal(size=(120, 2, 3)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "aligned_photos", lambda *_: photos)
        plan = Plan(("photo",), folds=3, repeats=1, samples=40, shuffles=0, penalties=8, shortcuts=True)
        compare(study, plan, "controls")
    return read_comparison(study.path, "controls")


@pytest.mark.slow
def test_a_backdrop_that_tells_the_outcome_is_found(planted: Comparison) -> None:
    assert planted.plan.shortcuts
    assert [c.name for c in planted.candidates if c.features and c.role == "control"] == list(SHORTCUT_SETS)
    assert [c.name for c in planted.models] == ["photo / cox-ridge"], "a control is no model to choose"
    assert planted.estimate(BACKDROP).low > 0.65
    assert planted.estimate(WHOLE).low > 0.6
    assert planted.estimate(FACE).low < 0.55
    assert planted.difference(BACKDROP, "photo / cox-ridge").low > 0


@pytest.mark.slow
def test_the_image_network_brings_the_photo_along(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "cnn", ModelEntry(MODELS["cnn"].place, "Image network", QUICK))
    assert "image" not in available_sets(study)
    assert chosen_sets(study, Plan(("clinical",), ("default", "cnn"))) == ("clinical", "image")
    plan = Plan(("clinical",), ("cox", "cnn"), folds=2, repeats=1, samples=30, shuffles=0)
    found = compare(study, plan, "network")
    assert [c.name for c in found.candidates if c.role == "model"] == ["clinical / cox", "image / cnn"]
    assert found.candidate("image / cnn").label == "Aligned photo, image network"
    assert not found.candidate("image / cnn").error
    assert "uses pixels" in why_not_chosen(found.candidate("image / cnn"))
    assert "latents_sha256" in found.provenance
    assert stale_reasons(study, found) == ()
    alone = Plan((), ("cnn",), shuffles=1)
    cohort = gather(study, alone)
    assert set(cohort.blocks) == {"image"}
    names = [c.name for c in candidates_of(study, alone, cohort)[0]]
    assert names == ["image / cnn", "kaplan-meier", "shuffled"]
    both = Plan(("image",), ("default", "cnn"), shuffles=0)
    names = [c.name for c in candidates_of(study, both, gather(study, both))[0]]
    assert names[:2] == ["image / cox-ridge", "image / cnn"]


def test_without_photos_there_is_no_network_and_no_control(tmp_path: Path) -> None:
    plain = Study.open(write_study(tmp_path / "plain", patient_table(20).assign(photo="")))
    with pytest.raises(StudyError, match="no feature set 'image': The study has no photos"):
        gather(plain, Plan((), ("default", "cnn")))
    with pytest.raises(StudyError, match="no embedded photos for shortcut controls"):
        gather(plain, Plan(shortcuts=True))


def test_the_network_and_the_controls_take_their_time() -> None:
    plan = Plan(("clinical",), ("default",))
    more = Plan(("clinical",), ("default", "cnn"))
    usual = expected_seconds(plan, ("clinical",), 600)
    network = expected_seconds(more, ("clinical", "image"), 600)
    assert network > usual + 300
    assert expected_seconds(more, ("clinical", "image"), 1200) < 2.3 * network, "its work grows with the patients"
    assert expected_seconds(Plan(("clinical",), shortcuts=True), ("clinical",), 600) > usual + 15


def test_a_plan_of_before_is_read() -> None:
    told = asdict(Plan())
    del told["shortcuts"]
    assert Plan.from_dict(told) == Plan()
    with pytest.raises(StudyError, match="not the plan"):
        Plan.from_dict({**told, "more": 1})
    del told["seed"]
    with pytest.raises(StudyError, match="not the plan"):
        Plan.from_dict(told)
