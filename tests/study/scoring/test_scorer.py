"""A model opened once: one stamp, one model, whatever happens on disk meanwhile."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from faces.changes.mirror import mirror
from faces.photo import Photo, load_photo
from latent.checkpoints import Checkpoint
from latent.inversion.settings import PRESETS
from study.comparison.fit import fit, fit_plan
from study.disk.exclusions import exclude
from study.disk.latents import mean_over_views
from study.disk.store import Study
from study.errors import StudyError
from study.files import write_json
from study.photos.prepare import PhotoCode, invert_faces, prepare, study_checkpoint, target_size
from study.scoring.scorer import OTHER_VIEWS, Scorer
from study.scoring.strip import CURVE_POINTS, KINDS, log_hr_steps
from tests.latents_file import write_latents
from tests.study.conftest import score_of
from tests.ui.tiny import write_study

Made = tuple[Study, Checkpoint]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, make_checkpoint: Callable[[], Checkpoint]) -> Made:
    checkpoint = make_checkpoint()
    return write_study(tmp_path_factory.mktemp("scorer") / "s", checkpoint), checkpoint


@pytest.fixture
def own(made: Made, tmp_path: Path) -> Made:
    """A copy that a test may change."""
    return Study.open(shutil.copytree(made[0].path, tmp_path / "s")), made[1]


def refit(study: Study) -> None:
    """Another model in the place of the study's: fitted without some of its patients."""
    exclude(study.path, [f"P{i:04d}" for i in range(1, 16)], "for the test")
    fit(Study.open(study.path), plan=fit_plan(folds=3, repeats=1, penalties=6, samples=200))


def test_the_stamp_belongs_to_study_model_and_checkpoint(own: Made) -> None:
    study, checkpoint = own
    first = Scorer.open(study, checkpoint).stamp
    assert Scorer.open(Study.open(study.path), checkpoint).stamp == first
    exclude(study.path, ["P0001"], "for the test")
    assert Scorer.open(Study.open(study.path), checkpoint).stamp == first, "the model is still the same"
    shutil.copytree(study.model_folder(), study.model_folder("second"))
    assert Scorer.open(study, checkpoint, "second").stamp != first
    refit(study)
    assert Scorer.open(Study.open(study.path), checkpoint).stamp != first


def test_frames_are_of_the_model_that_was_opened(own: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is replaced on disk between two batches of frames."""
    study, checkpoint = own
    scorer = Scorer.open(study, checkpoint)
    steps, code = log_hr_steps(np.log(2.0), 7), scorer.codes[0]
    told: list[tuple[int, int]] = []

    def on_frames(done: int, count: int, newest: np.ndarray) -> None:
        if not told:
            refit(study)
        told.append((done, count))
        assert newest.shape == (checkpoint.resolution, checkpoint.resolution, 3)

    strip = scorer.strip(code, scorer.direction(), steps, on_frames=on_frames, batch=2)
    assert told == [(2, 7), (4, 7), (6, 7), (7, 7)]
    np.testing.assert_allclose(strip.log_hr, scorer.model.predict(strip.ws))
    np.testing.assert_allclose(strip.log_hr - strip.log_hr[3], steps, atol=1e-3)
    replaced = Study.open(study.path).model()
    assert np.abs(replaced.predict(strip.ws) - strip.log_hr).max() > 0.01, "the other model would say otherwise"


@pytest.mark.slow
def test_a_code_is_scored_again_without_being_searched_again(own: Made) -> None:
    study, checkpoint = own
    face = prepare(study.photo_path("P0003"), aligned=True)
    score = score_of(Scorer.open(study, checkpoint), face, confirmed="made by a test")
    refit(study)
    scorer = Scorer.open(Study.open(study.path), checkpoint)
    again = scorer.score_inversion(score.inversion, face, "made by a test")
    assert again.inversion is score.inversion
    assert again.stamp == scorer.stamp != score.stamp
    assert again.risk.log_hr == pytest.approx(float(scorer.model.predict(score.inversion.ws)[0]))
    assert again.risk.log_hr != score.risk.log_hr


@pytest.mark.slow
def test_the_risk_is_of_the_mean_over_the_views_of_the_cohort(own: Made) -> None:
    study, checkpoint = own
    write_json(study.model_folder() / "report.json", {**study.report(), "views": 2})
    write_latents(
        study.path,
        np.repeat(np.array(study.latents().views), 2, axis=1),
        study.latents().index,
        replace(study.embedding, settings={**study.embedding.settings, "views": 2}),
    )
    scorer = Scorer.open(Study.open(study.path), checkpoint)
    assert scorer.views == 2
    photo = load_photo(study.photo_path("P0003"))
    score, other = (
        score_of(scorer, prepare(Photo(pixels, ""), aligned=True), confirmed="made by a test")
        for pixels in (photo.pixels, mirror(photo.pixels))
    )
    assert score.views.shape == (2, checkpoint.num_ws, checkpoint.w_dim)
    np.testing.assert_array_equal(score.views[0], score.inversion.ws)
    np.testing.assert_array_equal(other.views, score.views[::-1])
    assert other.risk.log_hr == pytest.approx(score.risk.log_hr, abs=1e-9)
    assert score.risk.log_hr == pytest.approx(float(scorer.model.predict(score.views.mean(axis=0))[0]))
    assert not [flag for flag in score.flags if flag.kind == OTHER_VIEWS]
    alone = scorer.score_inversion(score.inversion, prepare(photo, aligned=True), "made by a test")
    assert [flag.sentence for flag in alone.flags if flag.kind == OTHER_VIEWS] == [
        "The code rests on 1 view, the cohort's on 2: the score may be off."
    ]
    assert scorer.record(score)["inversion"]["views"] == 2


def test_frames_are_of_the_photo_and_risks_of_the_mean_over_views(made: Made) -> None:
    scorer = Scorer.open(*made)
    steps, code, features = log_hr_steps(np.log(2.0), 3), scorer.codes[0], scorer.codes[1]
    plain, split = (scorer.strip(code, scorer.direction(), steps, features=f) for f in (None, features))
    np.testing.assert_array_equal(split.frames, plain.frames)
    np.testing.assert_array_equal(split.ws, plain.ws)
    np.testing.assert_allclose(split.log_hr - scorer.model.predict(features)[0], steps, atol=1e-3)
    np.testing.assert_allclose(plain.log_hr - scorer.model.predict(code)[0], steps, atol=1e-3)


def test_a_model_of_codes_of_other_views_is_refused(own: Made) -> None:
    study, checkpoint = own
    write_json(study.model_folder() / "report.json", {**study.report(), "views": 2})
    with pytest.raises(StudyError, match="fitted on other codes"):
        Scorer.open(Study.open(study.path), checkpoint)


@pytest.mark.slow
def test_a_real_photo_and_its_mirror_image_have_one_risk() -> None:
    """The astronaut against the demo's model, on two views."""
    study = Study.open("demo")
    checkpoint = study_checkpoint(study)
    scorer = Scorer.open(study, checkpoint)
    pixels = np.ascontiguousarray(skimage.data.astronaut())
    scores = []
    for each in (pixels, mirror(pixels)):
        face = prepare(Photo(each, "astronaut"), size=target_size(checkpoint))
        (code,) = invert_faces(checkpoint, [face], replace(PRESETS["fast"], steps=6), 2)
        assert isinstance(code, PhotoCode)
        (risk,) = scorer.risks(mean_over_views(code.views)[None].astype(np.float32))
        scores.append((risk.log_hr, [scorer.risks(view[None])[0].log_hr for view in code.views]))
    (one, (photo, turned)), (other, _) = scores
    assert one == pytest.approx(other, abs=1e-6)
    assert abs(photo - turned) > 1e-3, "the views themselves differ"


def test_the_pattern_is_of_the_patients_that_the_model_was_fitted_on(own: Made) -> None:
    study, checkpoint = own
    before = Scorer.open(study, checkpoint).direction("pattern")
    exclude(study.path, [f"P{i:04d}" for i in range(1, 31)], "for the test")
    after = Scorer.open(Study.open(study.path), checkpoint).direction("pattern")
    np.testing.assert_array_equal(after.vector, before.vector)


def test_a_model_that_is_replaced_while_it_is_read_is_read_again(own: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    study, checkpoint = own
    read, turns = Study.model, []

    def reading(self: Study, name: str = "photo") -> object:
        turns.append(name)
        if len(turns) == 1:
            write_json(self.model_folder(name) / "report.json", {**self.report(name), "label": "another"})
        return read(self, name)

    monkeypatch.setattr(Study, "model", reading)
    assert Scorer.open(study, checkpoint).report["label"] == "another", "report and model are of one fit"
    assert len(turns) == 2

    def never_the_same(self: Study, name: str = "photo") -> object:
        turns.append(name)
        write_json(self.model_folder(name) / "report.json", {**self.report(name), "label": str(len(turns))})
        return read(self, name)

    monkeypatch.setattr(Study, "model", never_the_same)
    with pytest.raises(StudyError, match="is being replaced"):
        Scorer.open(study, checkpoint)


def test_a_strip_opens_no_file(own: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a strip needs was read when the scorer was opened, its codes with the first pattern."""
    study, checkpoint = own
    scorer = Scorer.open(study, checkpoint)
    code = scorer.codes[0]
    opened: list[str] = []

    def watch(event: str, args: tuple) -> None:
        if event == "open" and watching and str(args[0]).startswith(str(study.path)):
            opened.append(str(args[0]))

    watching = True
    sys.addaudithook(watch)
    try:
        for kind in KINDS:
            strip = scorer.strip(code, scorer.direction(kind), scorer.steps(2))
    finally:
        watching = False
    assert opened == []
    assert strip.survival.shape == (5, CURVE_POINTS)
    np.testing.assert_allclose(strip.times[[0, -1]], [0.0, scorer.model.baseline.last_time])
