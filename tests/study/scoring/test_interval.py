"""The interval of a score: around it, the same for a face whenever it is asked for, and said in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from latent.checkpoints import Checkpoint
from study.photos.prepare import prepare
from study.scoring.files import score_table
from study.scoring.interval import BEFORE_REFITS, NOT_IN_IT, interval_words, why_no_interval
from study.scoring.results import Risk
from study.scoring.scorer import Scorer
from survival.uncertainty.photo import PHOTOS, VIEWS, PhotoSpread
from tests.study.conftest import score_of
from tests.ui.tiny import write_study

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory, make_checkpoint: Callable[[], Checkpoint]) -> Scorer:
    checkpoint = make_checkpoint()
    return Scorer.open(write_study(tmp_path_factory.mktemp("interval") / "s", checkpoint), checkpoint)


def risk(scorer: Scorer, row: int = 0) -> Risk:
    return scorer.risks(scorer.codes[row : row + 1], intervals=True)[0]


def with_photo(scorer: Scorer, sd: float, kind: str = VIEWS) -> Scorer:
    """A scorer whose model knows how far two photos of a person lie apart."""
    model = scorer.study.model(scorer.name)
    assert model.refits_ is not None
    model.photo_ = PhotoSpread(kind, 30, np.full(len(model.refits_), sd))
    return replace(scorer, model=model)


def test_every_number_lies_in_its_interval(scorer: Scorer) -> None:
    for row in range(0, len(scorer.codes), 7):
        one = risk(scorer, row)
        interval = one.interval
        assert interval is not None
        assert interval.log_hr.low < one.log_hr < interval.log_hr.high
        assert interval.hr.low < one.hr < interval.hr.high
        assert interval.percentile.low <= one.percentile <= interval.percentile.high
        assert interval.percentile.low >= 0
        assert interval.percentile.high <= 100
        assert list(interval.horizons) == list(one.horizons)
        for time, survival in one.horizons.items():
            assert interval.horizons[time].low < survival < interval.horizons[time].high
        known = np.isfinite(one.survival)
        np.testing.assert_array_equal(known, np.isfinite(interval.survival.low))
        assert (interval.survival.low[known] <= one.survival[known]).all()
        assert (one.survival[known] <= interval.survival.high[known]).all()


def test_it_is_wider_with_the_photos_part_and_the_same_every_time(scorer: Scorer) -> None:
    scorers = [scorer, scorer, with_photo(scorer, 0.3), with_photo(scorer, 0.9)]
    intervals = [interval for each in scorers if (interval := risk(each).interval) is not None]
    widths = [float(interval.log_hr.high - interval.log_hr.low) for interval in intervals]
    assert widths[0] == widths[1] < widths[2] < widths[3]


def test_words_name_what_is_in_it_and_what_is_not(scorer: Scorer) -> None:
    n = scorer.model.n_patients_
    alone = interval_words(scorer.model)
    assert f"20 random draws of its {n} patients" in alone
    assert "not known" in alone
    views, photos = (interval_words(with_photo(scorer, 0.2, kind).model) for kind in (VIEWS, PHOTOS))
    assert "mirror image" in views
    assert "another light" in views
    assert "30 patients" in photos
    for words in (alone, views, photos):
        assert words.startswith("The 90 % interval contains the ")
        assert NOT_IN_IT in words


def test_a_score_carries_it_into_files(scorer: Scorer) -> None:
    face = prepare(scorer.study.photo_path("P0003"), aligned=True)
    score = score_of(scorer, face, confirmed="made by a test")
    interval = score.risk.interval
    assert interval is not None
    record = json.loads(json.dumps(scorer.record(score), allow_nan=False))["interval"]
    assert record["level"] == 0.9
    assert record["log_hr"]["low"] == pytest.approx(float(interval.log_hr.low))
    assert record["contains"] == interval.words
    assert len(record["curve"]["low"]) == len(score.risk.times)
    row = score_table(scorer.study, [(Path("a.jpg"), score)]).iloc[0]
    assert row["percentile_low"] == pytest.approx(float(interval.percentile.low), abs=0.06)
    for time, limits in interval.horizons.items():
        assert row[f"survival_{time:g}_months_high"] == pytest.approx(float(limits.high), abs=1e-4)


def test_a_model_of_an_earlier_version_has_none_and_says_what_to_do(scorer: Scorer) -> None:
    model = scorer.study.model(scorer.name)
    model.refits_ = None
    old = replace(scorer, model=model)
    assert risk(old).interval is None
    assert why_no_interval(old.model) == BEFORE_REFITS
    assert why_no_interval(scorer.model) == ""
    face = prepare(scorer.study.photo_path("P0003"), aligned=True)
    score = score_of(old, face, confirmed="made by a test")
    assert old.record(score)["interval"] is None
    assert not [name for name in score_table(old.study, [(Path("a.jpg"), score)]) if name.endswith("_low")]


def test_the_unedited_face_of_a_strip_has_its_interval(scorer: Scorer) -> None:
    strip = scorer.strip(scorer.codes[0], scorer.direction(), np.array([-0.5, 0.0, 0.5]))
    assert strip.interval is not None
    assert strip.interval.survival.low.shape == strip.times.shape
    assert strip.interval.log_hr.low < strip.log_hr[1] < strip.interval.log_hr.high


def test_a_patients_honest_score_comes_from_the_fold_without_it(scorer: Scorer) -> None:
    rows = scorer.model.cohort_
    for i in (0, 11):
        without = scorer.left_out(str(rows["patient"].iloc[i]))
        assert without is not None
        assert without.risk.log_hr == pytest.approx(float(rows["log_hr"].iloc[i]))
        assert without.fold == int(rows["fold"].iloc[i]) + 1
        assert 1 <= without.fold <= without.folds == rows["fold"].nunique()
        assert without.risk.percentile == pytest.approx(float(scorer.model.percentile(without.risk.log_hr)))
    assert scorer.left_out("nobody") is None
