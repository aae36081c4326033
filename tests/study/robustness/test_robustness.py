"""Robustness of scores: what the changes do to a photo, and the run from a study to its result."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import study.embedding.record as embedding_record
from faces.align import AlignedFace
from faces.errors import NoFaceError
from latent.checkpoints import Checkpoint
from latent.errors import Cancelled
from latent.inversion.settings import PRESETS
from study.__main__ import main
from study.disk.models import read_model
from study.disk.store import Study
from study.errors import StudyError
from study.photos.aligned_store import AlignedStore
from study.robustness import measure
from study.robustness.command import robustness_text
from study.robustness.measure import PARTS, Task, draw_patients, robustness, score_table
from study.robustness.perturb import GRAIN, PERTURBATIONS, UNCHANGED
from study.robustness.record import FILE_NAME, TABLE_NAME, parse, read_robustness, stale_reasons
from survival.metrics.agreement import intraclass
from tests.ui import tiny

CHANGES = ("brighter", "mirrored")


def photo(size: int = 96) -> np.ndarray:
    """Smooth, coloured, nowhere black or white."""
    y, x = np.mgrid[:size, :size] / size
    return np.stack([60 + 120 * x, 90 + 80 * y, 130 - 60 * x * y], axis=2).round().astype(np.uint8)


def changed(name: str, pixels: np.ndarray, seed: int = 1) -> np.ndarray:
    return PERTURBATIONS[name].change(pixels, 64.0, seed)


def test_light_moves_all_pixels_the_way_it_says() -> None:
    pixels = photo()
    assert (changed("brighter", pixels) > pixels).all()
    assert (changed("darker", pixels) < pixels).all()
    assert np.abs(changed("darker", changed("brighter", pixels)).astype(int) - pixels).max() <= 2
    warm, cold = (changed(name, pixels).astype(int) - pixels for name in ("warmer", "colder"))
    assert (warm[..., 0] > 0).all()
    assert (warm[..., 2] < 0).all()
    assert (warm[..., 1] == 0).all()
    assert (np.sign(cold) == -np.sign(warm)).all()


def test_geometry_comes_back_and_pixels_stay() -> None:
    pixels = photo()
    np.testing.assert_array_equal(changed("mirrored", changed("mirrored", pixels)), pixels)
    back = changed("turned-right", changed("turned-left", pixels)).astype(int)
    assert np.abs(back - pixels)[20:-20, 20:-20].max() <= 3
    assert np.abs(changed("turned-left", pixels).astype(int) - pixels).max() > 5
    cut = changed("cropped", pixels)
    assert 0.9 * 96 < min(cut.shape[:2]) < 96
    np.testing.assert_array_equal(cut, pixels[3 : 3 + cut.shape[0], 5 : 5 + cut.shape[1]])


def test_detail_is_lost_to_blur_and_compression_and_added_by_grain() -> None:
    noisy = np.clip(photo() + np.random.default_rng(0).normal(0, 20, (96, 96, 3)), 0, 255).astype(np.uint8)

    def detail(pixels: np.ndarray) -> float:
        return float(np.diff(pixels.astype(float), axis=0).std())

    assert detail(changed("blurred", noisy)) < 0.6 * detail(noisy)
    assert detail(changed("compressed", noisy)) < 0.9 * detail(noisy)
    grain = changed("grainy", photo()).astype(float) - photo()
    assert grain.std() == pytest.approx(GRAIN, rel=0.05)
    np.testing.assert_array_equal(changed("grainy", photo()), changed("grainy", photo()))
    assert (changed("grainy", photo(), 2) != changed("grainy", photo())).any()
    for name in PERTURBATIONS:
        assert changed(name, photo()).dtype == np.uint8
    assert UNCHANGED.change(noisy, 64.0, 0) is noisy


def test_differences_are_to_the_unchanged_photo_of_the_same_patient() -> None:
    tasks = [Task(p, Path(), "", c, "") for p in ("A", "B") for c in (UNCHANGED, PERTURBATIONS["grainy"])]
    codes = [np.array([[[v - 0.5]], [[v + 0.5]]], np.float16) for v in (1.0, 1.5, 4.0)]
    table = score_table(tasks, [*codes, "no face"], lambda ws: 2.0 * ws[:, 0, 0].astype(float), sd=0.5)
    assert table["log_hr"].tolist()[:3] == [2.0, 3.0, 8.0]
    assert table["difference"].tolist()[:3] == [0.0, 1.0, 0.0]
    assert table["difference_sd"].tolist()[:3] == [0.0, 2.0, 0.0]
    assert np.isnan(table["log_hr"][3])
    assert table["reason"].tolist() == ["", "", "", "no face"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Checkpoint]:
    root = tmp_path_factory.mktemp("robust")
    checkpoint = tiny.write_checkpoint(root / "checkpoints" / "portraits")
    return tiny.write_study(root / "demo", checkpoint, patients=40), checkpoint


@pytest.fixture
def study(made: tuple[Study, Checkpoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A copy whose photos are inverted in two steps."""
    short = {name: dataclasses.replace(s, steps=2) for name, s in PRESETS.items()}
    monkeypatch.setattr(embedding_record, "PRESETS", short)
    shutil.copytree(made[0].path, tmp_path / "demo")
    return Study.open(tmp_path / "demo")


@pytest.mark.slow
def test_figures_are_those_of_the_table_and_the_unit_that_of_the_cohort(
    study: Study, made: tuple[Study, Checkpoint]
) -> None:
    told: list[tuple[float, int]] = []
    found = robustness(
        study, made[1], patients=4, changes=CHANGES, batch=5, on_progress=lambda d, n: told.append((d, n))
    )
    assert told == [(0, 12), (5, 12), (10, 12), (12, 12)]
    assert read_robustness(study) == found
    table = pd.read_csv(study.path / TABLE_NAME)
    assert found.sd == pytest.approx(study.model().cohort_["log_hr"].std())
    for c in found.conditions:
        own = table[table["change"] == c.name]
        assert c.patients == len(own) == 4
        assert c.mean.value == pytest.approx(own["difference_sd"].mean(), rel=1e-4)
        assert c.size.value == pytest.approx(own["difference_sd"].abs().mean(), rel=1e-4)
        assert c.mean.low <= c.mean.value <= c.mean.high
    wide = table.pivot(index="patient_id", columns="change", values="log_hr")
    assert found.icc.value == pytest.approx(intraclass(wide.to_numpy()), abs=1e-4)
    assert found.complete == 4
    said = robustness_text(found)
    assert "Half a stop brighter" in said
    assert "no alignment undoes a turn" in said
    assert stale_reasons(study, found) == ()
    assert "P00" not in (study.path / FILE_NAME).read_text(), "figures name nobody"


@pytest.mark.slow
def test_a_stop_keeps_what_is_found_and_more_patients_cost_only_themselves(
    study: Study, made: tuple[Study, Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(list((study.path / PARTS).rglob("*.npz"))) >= 4

    with pytest.raises(Cancelled):
        robustness(study, made[1], patients=3, changes=CHANGES, batch=2, cancelled=cancelled)
    assert not (study.path / FILE_NAME).exists()
    kept = sorted((study.path / PARTS).rglob("*.npz"))
    assert len(kept) == 4
    kept[0].write_bytes(b"PK damaged")
    told: list[float] = []
    one = robustness(study, made[1], patients=3, changes=CHANGES, on_progress=lambda d, n: told.append(d))
    assert told[0] == 3
    monkeypatch.setattr(measure, "invert_faces", lambda *_: pytest.fail("nothing is left to do"))
    again = robustness(study, made[1], patients=3, changes=CHANGES)
    assert dataclasses.replace(again, made="") == dataclasses.replace(one, made="")
    names = {"A", *study.photos}
    assert draw_patients(study, names, 5, 0)[:3] == draw_patients(study, names, 3, 0)
    assert draw_patients(study, names, 5, 0) != draw_patients(study, names, 5, 1)
    assert "A" not in draw_patients(study, names, 100, 0)


@pytest.mark.slow
def test_a_photo_in_which_no_face_is_found_any_more_is_counted(
    study: Study, made: tuple[Study, Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = draw_patients(study, set(study.photos), 3, 0)[0]
    real = measure.perturbed

    def blind(task: Task, store: AlignedStore, *rest: Any) -> AlignedFace:
        if task.patient == first and task.change.name == "mirrored":
            raise NoFaceError("No face was found.")
        return real(task, store, *rest)

    monkeypatch.setattr(measure, "perturbed", blind)
    found = robustness(study, made[1], patients=3, changes=CHANGES)
    by_name = {c.name: c for c in found.conditions}
    assert (by_name["mirrored"].patients, by_name["mirrored"].failed) == (2, 1)
    assert (by_name["brighter"].patients, by_name["brighter"].failed) == (3, 0)
    assert found.complete == 2
    table = pd.read_csv(study.path / TABLE_NAME)
    assert table["reason"].dropna().tolist() == ["No face was found."]


@pytest.mark.slow
def test_scores_are_of_the_views_of_the_cohort(
    study: Study, made: tuple[Study, Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two views a mirrored photo has the photo's score, as far as rows of a batch round alike."""
    report = study.report() | {"views": 2}
    monkeypatch.setattr(Study, "report", lambda self, name="photo": report)
    monkeypatch.setattr(Study, "model", lambda self, name="photo": read_model(self.path, self.name, name))
    (condition,) = robustness(study, made[1], patients=3, changes=("mirrored",)).conditions
    assert condition.largest < 1e-3
    kept = [np.load(path)["ws"].shape for path in (study.path / PARTS).rglob("*.npz")]
    assert kept == [(2, made[1].num_ws, made[1].w_dim)] * 6


def test_what_cannot_be_is_refused(study: Study, made: tuple[Study, Checkpoint]) -> None:
    with pytest.raises(StudyError, match="no change called 'sepia'"):
        robustness(study, made[1], changes=("sepia",))
    with pytest.raises(StudyError, match="at least 2 patients"):
        robustness(study, made[1], patients=1)
    with pytest.raises(StudyError, match="another checkpoint"):
        robustness(study, dataclasses.replace(made[1], sha256="0" * 64))
    with pytest.raises(StudyError, match="has not been measured"):
        read_robustness(study)


@pytest.mark.slow
def test_the_command_and_what_is_out_of_date(
    study: Study, made: tuple[Study, Checkpoint], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["robustness", str(study.path), "--patients", "2", "--changes", "grainy"]
    assert main([*words, "--checkpoint", str(made[1].path)]) == 0
    said = capsys.readouterr().out
    assert "Grain" in said
    assert "2 patients are few" in said
    assert "simulated study" in said
    found = read_robustness(study)
    other = dataclasses.replace(found, model_sha256="0" * 64)
    assert stale_reasons(study, other) == ("The model has been fitted again since.",)
    assert "model other" in stale_reasons(study, dataclasses.replace(found, model="other"))[0]
    assert main(["robustness", str(study.path), "--show"]) == 0
    assert "Out of date" not in capsys.readouterr().out
    text = (study.path / FILE_NAME).read_text()
    for wrong in (
        text[:-9],
        "[]",
        "[" * 100_000,
        json.dumps({**json.loads(text), "sd": "wide"}),
        text.replace("-1", "-9"),
    ):
        with pytest.raises(StudyError, match="is damaged"):
            parse(wrong.encode(), study.path)
