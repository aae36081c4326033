"""A generator tuned to one photo draws faces and nothing else: no score, no feature, no number of a study knows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest

from latent.checkpoints import Checkpoint
from latent.inversion.pivotal_tuning import Pivotal, PivotalSettings, tune
from latent.inversion.settings import InversionSettings
from study.disk.store import Study
from study.errors import StudyError
from study.photos.prepare import prepare
from study.scoring.interval import Interval
from study.scoring.results import Score, risk_of
from study.scoring.scorer import Scorer
from study.scoring.strip import log_hr_steps
from tests.study.conftest import score_of
from tests.ui.tiny import write_study

pytestmark = pytest.mark.slow

Tuned = tuple[Study, Checkpoint, Score, Pivotal]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, make_checkpoint: Callable[[], Checkpoint]) -> Tuned:
    """A study with a model, a scored face, and the generator tuned to it."""
    checkpoint = make_checkpoint()
    study = write_study(tmp_path_factory.mktemp("display") / "s", checkpoint)
    photo = prepare(study.photo_path("P0003"), aligned=True)
    score = score_of(
        Scorer.open(study, checkpoint), photo, InversionSettings("test", steps=1), confirmed="made by a test"
    )
    settings = PivotalSettings(steps=3, learning_rate=0.01, close=0.0)
    return study, checkpoint, score, tune(checkpoint, score.inversion, photo.pixels, settings)


@pytest.mark.slow
def test_the_score_of_a_tuned_face_is_that_of_its_code(made: Tuned) -> None:
    study, checkpoint, score, pivotal = made
    assert np.any(pivotal.picture != pivotal.code_picture), "the picture did change"
    (again,) = risk_of(study, study.model(), score.inversion.ws[None])
    photo = prepare(study.photo_path("P0003"), aligned=True)
    plain = score_of(Scorer.open(study, checkpoint), photo, score.inversion.settings, confirmed="made by a test")
    for risk in (again, plain.risk):
        assert risk.log_hr == score.risk.log_hr
        assert risk.percentile == score.risk.percentile
        assert risk.horizons == score.risk.horizons
        assert np.array_equal(risk.survival, score.risk.survival)


def test_frames_of_a_tuned_generator_leave_every_number_alone(made: Tuned) -> None:
    study, checkpoint, score, pivotal = made
    steps = log_hr_steps(np.log(4.0), 5)
    scorer = Scorer.open(study, checkpoint)
    arguments = (score.inversion.ws, scorer.direction(), steps)
    plain, tuned = scorer.strip(*arguments), scorer.strip(*arguments, draw=pivotal.tuned.draw)
    for field in fields(plain):
        one, other = getattr(plain, field.name), getattr(tuned, field.name)
        one, other = (part.record() if isinstance(part, Interval) else part for part in (one, other))
        same = one == other if isinstance(one, tuple | dict) else np.array_equal(one, other)
        assert same == (field.name != "frames"), field.name
    rounding = np.abs(tuned.frames[2].astype(int) - pivotal.picture).max()
    assert rounding <= 1, "the unedited face is the tuned picture"


def test_a_study_refuses_a_tuned_generator(made: Tuned) -> None:
    study, _, _, pivotal = made
    stranger = pivotal.tuned
    assert stranger.sha256 != study.report()["checkpoint_sha256"]
    with pytest.raises(StudyError, match="another checkpoint than tiny tuned to one photo"):
        Scorer.open(study, stranger)  # type: ignore[arg-type]
    with pytest.raises(StudyError, match="another checkpoint"):
        study.latents(stranger.sha256)
