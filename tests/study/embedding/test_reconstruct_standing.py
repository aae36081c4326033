"""Galleries of reconstructions, and whether codes and model are of what lies on disk."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from latent.checkpoints import Checkpoint
from latent.editing.render import synthesize
from study.disk.exclusions import exclude, include
from study.disk.latents import INDEX, LATENTS
from study.disk.store import Study
from study.embedding.parts import PARTS
from study.embedding.reconstruct import MEASURES, error_table, reconstruction_words, reconstructions, worst_first
from study.errors import StudyError
from study.files import write_bytes, write_text
from study.photos.prepare import pixels_for, prepare
from study.scoring.status import codes_status, model_status
from study.scoring.status import study_record as record_now
from study.settings import settings_text
from study.simulation.simulate import encode_jpeg
from tests.latents_file import write_latents
from tests.study.conftest import face_like
from tests.ui import tiny

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return tiny.write_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny")


@pytest.fixture
def study(tmp_path: Path, checkpoint: Checkpoint) -> Study:
    """Forty patients with codes that are recorded as `embed` would record them, and a model."""
    made = tiny.write_study(tmp_path / "s", checkpoint, patients=40)
    ws, index = made.latents().ws, made.latents().index.copy()
    index["perceptual"] = np.linspace(0.1, 0.5, 40)
    index["psnr"] = np.linspace(30, 10, 40)
    stamp = write_latents(made.path, np.array(ws), index, record_now(made, checkpoint))
    report = made.path / "models" / "photo" / "report.json"
    write_text(report, json.dumps(json.loads(report.read_text()) | {"latents_sha256": stamp.latents_sha256}))
    return Study.open(made.path)


def test_original_and_reconstruction_are_those_of_the_patient(study: Study, checkpoint: Checkpoint) -> None:
    two = ["P0007", "P0003"]
    pairs = reconstructions(study, checkpoint, two)
    codes = np.asarray(study.latents().ws[[6, 2]])
    for pair, patient, drawn in zip(pairs, two, synthesize(checkpoint, codes), strict=True):
        assert pair.patient == patient
        np.testing.assert_array_equal(pair.reconstruction, drawn)
        assert pair.original is not None
        np.testing.assert_array_equal(
            pair.original, pixels_for(checkpoint, prepare(study.photos[patient], aligned=True))
        )
    write_bytes(study.photos["P0003"], encode_jpeg(face_like(5)))
    changed = reconstructions(study, checkpoint, two)[1]
    assert (changed.original, changed.problem) == (None, "The photo changed after it was embedded.")
    with pytest.raises(StudyError, match="no code"):
        reconstructions(study, checkpoint, ["X"])
    with pytest.raises(StudyError, match="another checkpoint"):
        reconstructions(study, replace(checkpoint, sha256="0" * 64), two)
    assert reconstructions(study, checkpoint, []) == []


def test_codes_that_a_stop_left_beside_another_index_are_refused(study: Study, checkpoint: Checkpoint) -> None:
    np.save(study.path / LATENTS, np.zeros_like(study.latents().views))
    late = (study.path / INDEX).stat().st_mtime + 5
    os.utime(study.path / LATENTS, (late, late))
    with pytest.raises(StudyError, match="do not belong together"):
        reconstructions(study, checkpoint, ["P0001"])


def test_the_worst_come_first_whatever_the_measure(study: Study) -> None:
    exclude(study.path, ["P0040"], "blurred")
    table = error_table(Study.open(study.path))
    assert len(table) == 39
    for measure, larger_is_worse in MEASURES.items():
        values = worst_first(table, measure)[measure].to_numpy()
        steps = np.diff(values)
        assert (steps <= 0).all() if larger_is_worse else (steps >= 0).all()
        assert list(worst_first(table, measure, False)[measure]) == sorted(values, reverse=not larger_is_worse)


def test_medians_and_what_was_minimised_in_words(study: Study) -> None:
    words = reconstruction_words(study)
    assert words.startswith("Medians of the reconstructions (0 is identical): ST-LPIPS 0.300, ")
    assert words.endswith("identity distance and pixel differences; ST-LPIPS took no part in it.")
    index = study.latents().index.assign(st_lpips=float("nan"))
    write_latents(study.path, np.array(study.latents().ws), index, study.embedding)
    assert "ST-LPIPS 0" not in reconstruction_words(Study.open(study.path))


def test_codes_are_done_until_something_changes(study: Study, checkpoint: Checkpoint) -> None:
    now = codes_status(study, checkpoint)
    assert (now.state, now.done, now.total, now.begun) == ("done", 40, 40, False)
    write_bytes(study.path / PARTS / "00" / "x.npz", b"")
    assert codes_status(study, checkpoint).begun
    other = codes_status(study, replace(checkpoint, sha256="0" * 64))
    assert other.state == "stale"
    assert "not the one that study.toml names" in other.reasons[0]
    write_text(study.path / "study.toml", settings_text(replace(study.settings, preset="faithful")))
    assert "effort" in codes_status(Study.open(study.path), checkpoint).reasons[0]
    later = (study.path / INDEX).stat().st_mtime + 5
    os.utime(study.photos["P0001"], (later, later))
    assert "1 photo may have changed" in codes_status(study, checkpoint).reasons[0]
    (study.path / LATENTS).unlink()
    assert codes_status(study, checkpoint).state == "none"


def test_a_model_is_done_until_codes_or_exclusions_change(study: Study) -> None:
    assert model_status(study).state == "done"
    exclude(study.path, ["P0001", "X"], "blurred")
    changed = model_status(Study.open(study.path))
    assert (changed.state, changed.reasons) == ("stale", ("1 patient was excluded since.",))
    include(study.path, ["P0001"])
    assert model_status(Study.open(study.path)).state == "done"
    text = (study.path / "study.toml").read_text()
    (study.path / "study.toml").write_text(text + '\n[photos]\nrule = "last"\n')
    assert "rule last in study.toml" in model_status(Study.open(study.path)).reasons[0]
    (study.path / "study.toml").write_text(text)
    ws, index = study.latents().ws, study.latents().index
    write_latents(study.path, np.array(ws) * 2, index, study.embedding)
    assert "embedded again" in model_status(Study.open(study.path)).reasons[0]
    (study.path / "models" / "photo" / "report.json").unlink()
    assert model_status(study).state == "none"
