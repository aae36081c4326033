"""The report on parts of the photo and on changed photos: figures as they are on disk, and what is not there said."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import numpy as np
import pytest

from study.comparison import features
from study.comparison.fit import fit, fit_plan
from study.comparison.measuring.shortcuts import BACKDROP, FACE
from study.comparison.plan import Plan
from study.comparison.run import compare
from study.disk.store import Study
from study.report.facts import Facts, gather
from study.report.sections.robustness import robustness
from study.robustness.record import Condition, Interval, Robustness, model_digest
from tests.study.comparison.test_shortcuts import made
from tests.study.conftest import patient_table, write_codes, write_study

pytestmark = pytest.mark.slow  # its fixtures take seconds

NOT_KNOWN = float("nan")


def words(part: str) -> str:
    bare = re.sub(r"<(script|style).*?</\1>", " ", part, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", bare)))


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """A study whose outcome the backdrop alone tells, compared with shortcut controls, with a fitted model."""
    photos, hazard = made(100, told_by=BACKDROP)
    rng = np.random.default_rng(3)
    table = patient_table(100)
    table["time_months"] = np.clip(20 * rng.exponential(size=100) / np.exp(2.5 * hazard), 0.05, 600).round(2)
    table["event"] = 1
    folder = write_study(tmp_path_factory.mktemp("shortcuts") / "told", table, photos=100, aligned=True)
    study = Study.open(folder)
    write_codes(study, rng.normal(size=(100, 2, 3)) + hazard[:, None, None])
    fit(study, plan=fit_plan(folds=3, repeats=1, penalties=6, samples=200))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "aligned_photos", lambda *_: photos)
        compare(study, Plan(("photo",), folds=2, repeats=1, samples=40, shuffles=0, penalties=6, shortcuts=True))
    return gather(study)


def looked_at(facts: Facts) -> Robustness:
    fine = Condition("brighter", "Half a stop brighter", 5, 0, Interval(0.21, 0.05, 0.4), Interval(0.3, 0.1, 0.5), 0.71)
    lost = Condition("mirrored", "Mirrored", 0, 5, *[Interval(NOT_KNOWN, NOT_KNOWN, NOT_KNOWN)] * 2, largest=NOT_KNOWN)
    return Robustness(
        study=facts.study.name,
        model="photo",
        model_sha256=model_digest(facts.study, "photo"),
        checkpoint="tiny",
        checkpoint_sha256="c" * 64,
        preset="fast",
        perceptual_name="test",
        aligned=True,
        simulated=False,
        seed=3,
        patients=5,
        complete=4,
        sd=0.5,
        conditions=(fine, lost),
        icc=Interval(0.93, 0.8, 0.97),
        size=Interval(0.25, 0.1, 0.4),
        again=0.0,
        made="2026-01-01T00:00:00Z",
    )


def test_a_backdrop_that_predicts_is_a_warning_with_its_figures(facts: Facts) -> None:
    said = words(robustness(facts))
    c = facts.comparison
    assert c is not None
    for name in (BACKDROP, FACE):
        e = c.estimate(name)
        assert f"{e.value:.3f} ({e.low:.3f} to {e.high:.3f})" in said
    assert "The backdrop alone predicts the outcome" in said
    assert "Minus Photo (W+), ridge Cox, paired" in said
    assert "may be read from how they were taken" in said
    assert said.count(c.candidate(BACKDROP).label) == 1, "it does not stand among the silent controls too"
    assert "study robustness told" in said, "what was not looked at, and how it would be"
    assert "--controls" not in said


def test_changed_photos_are_told_as_they_are_on_disk(facts: Facts) -> None:
    told = robustness(replace(facts, robustness=looked_at(facts)))
    said = words(told)
    assert "+0.21 (0.05 to 0.40)" in said
    assert "0.71" in said
    assert "ICC(2,1)" in said
    assert "0.93 (0.80 to 0.97)" in said
    assert "0, 5 without a face" in said
    assert "no alignment undoes" in said
    assert "Out of date" not in said
    assert "study robustness told" not in said
    assert "Change of log HR" in told
    assert "5 patients are few" in said
    old = replace(looked_at(facts), model_sha256="0" * 64)
    assert "Out of date: The model has been fitted again since." in words(robustness(replace(facts, robustness=old)))


def test_without_photos_nothing_is_said_of_them(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = write_study(tmp_path_factory.mktemp("plain") / "plain", patient_table(40).assign(photo=""))
    said = words(robustness(gather(Study.open(folder))))
    assert "photo" not in said
