"""A compared model becomes the study's model: scores, directions and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from study.__main__ import main
from study.comparison import features
from study.comparison.choose import choose, name_of, use, why_not_chosen
from study.comparison.fit import fit, fit_plan
from study.comparison.measuring.measure import SHARE, TRUTHS
from study.comparison.plan import Plan
from study.comparison.record import CandidateResult, Comparison
from study.comparison.run import compare
from study.disk.exclusions import exclude, include
from study.disk.store import Study
from study.errors import StudyError
from study.scoring.results import risk_of
from study.scoring.status import model_status
from survival.errors import FitCancelled
from tests.study.conftest import make_cohort, scorer_of

pytestmark = pytest.mark.slow
PLAN = Plan(
    ("clinical", "photo"),
    ("default", "svm", "deepsurv", "forest"),
    folds=3,
    repeats=1,
    samples=40,
    shuffles=1,
    penalties=8,
)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Comparison, np.ndarray]:
    study, gradient = make_cohort(tmp_path_factory.mktemp("choose") / "cohort", n=120, shape=(2, 4))
    fit(study, plan=fit_plan(folds=3, repeats=1, penalties=8, samples=200))
    return study, compare(study, PLAN), gradient


def test_the_chosen_model_scores_and_gives_the_direction(compared: tuple[Study, Comparison, np.ndarray]) -> None:
    study, result, gradient = compared
    assert study.chosen_model == "photo"
    name = choose(study, result, "photo / cox-ridge")
    study = Study.open(study.path)
    assert study.chosen_model == name == "photo-cox-ridge"
    model = study.model(name)
    assert model.path_ is not None
    codes, table = study.fitted(name)
    assert len(table) == len(result.patients)
    np.testing.assert_array_equal(model.oof_log_hr_, result.scores.scores["photo / cox-ridge"].log_risk[0])
    risks = risk_of(study, model, codes)
    np.testing.assert_allclose([r.log_hr for r in risks], model.predict(codes))
    assert 0 <= min(r.percentile for r in risks) <= max(r.percentile for r in risks) <= 100
    direction = scorer_of(study).direction()
    assert np.sum(direction.vector * model.log_hr_gradient()) == pytest.approx(1)
    cosine = np.sum(model.log_hr_gradient() * gradient) / np.linalg.norm(model.log_hr_gradient())
    assert cosine / np.linalg.norm(gradient) > 0.9
    assert 0.8 < model.fold_cosine_ <= 1
    report = study.report(name)
    assert report["harrell"]["value"] == pytest.approx(result.estimate("photo / cox-ridge").value)
    told = result.tables["truth"].set_index(["candidate", "measure"])
    for key, row in (
        ("harrell_face", ("", TRUTHS["face_log_hazard"])),
        ("recovered_share", ("photo / cox-ridge", SHARE)),
    ):
        own = report["truth"][key]
        assert [own[k] for k in ("value", "low", "high")] == list(told.loc[row, ["value", "low", "high"]]), key
    assert report["truth"]["recovered_share"]["value"] > 0.7
    changed = replace(study, settings=replace(study.settings, photo_rule="last"))
    assert any("a different one counts" in reason for reason in model_status(changed, name).reasons)
    use(study, "photo")
    assert Study.open(study.path).chosen_model == "photo"
    assert study.model("photo").label == "Photo (W+), ridge Cox"


def test_a_model_without_one_direction_scores_but_gives_none(compared: tuple[Study, Comparison, np.ndarray]) -> None:
    study, result, _ = compared
    choose(study, result, "photo / deepsurv")
    codes, _ = study.fitted(study.chosen_model)
    assert len(risk_of(study, study.model(study.chosen_model), codes[:3])) == 3
    with pytest.raises(StudyError, match="no single direction"):
        scorer_of(study).direction()
    use(study, "photo")
    scorer_of(study).direction()


def test_what_cannot_be_chosen_says_why(compared: tuple[Study, Comparison, np.ndarray]) -> None:
    study, result, _ = compared
    told = {
        "clinical / cox": "than a photo's code",
        "photo / forest": "plain numbers",
        "shuffled": "A control",
    }
    for name, why in told.items():
        assert why in why_not_chosen(result.candidate(name))
        with pytest.raises(StudyError, match=why):
            choose(study, result, name)
    late = CandidateResult("late", "Late", "model", "photo-clinical-late", "late-fusion", ("photo", "clinical"))
    assert "than a photo's code" in why_not_chosen(late)
    assert not why_not_chosen(result.candidate("photo / svm"))
    with pytest.raises(FitCancelled):
        choose(study, result, "photo / svm", cancelled=lambda: True)
    exclude(study.path, ["P0001"], "covered")
    try:
        with pytest.raises(StudyError, match="Compare again first"):
            choose(Study.open(study.path), result, "photo / svm")
    finally:
        include(study.path, ["P0001"])
    with pytest.raises(StudyError, match="no model"):
        use(study, "nothing")
    assert study.chosen_model == "photo"
    assert name_of(result.candidate("photo / svm")) == "photo-svm"


def test_a_damaged_choice_is_refused(compared: tuple[Study, Comparison, np.ndarray], tmp_path: Path) -> None:
    study, _, _ = compared
    path = study.path / "models" / "chosen.json"
    for text in ("{", '{"model": "../x"}', '{"model": 3}', "[]"):
        path.write_text(text)
        with pytest.raises(StudyError, match="again"):
            _ = study.chosen_model
    path.unlink()


def test_the_command_chooses_and_goes_back(
    compared: tuple[Study, Comparison, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    study, _, _ = compared
    assert main(["choose", str(study.path)]) == 1
    assert "can be chosen" in capsys.readouterr().err
    assert main(["choose", str(study.path), "photo / svm"]) == 0
    assert "survival SVM is the model of cohort now" in capsys.readouterr().out
    assert study.chosen_model == "photo-svm"
    assert main(["choose", str(study.path), "--model", "photo"]) == 0
    assert study.chosen_model == "photo"


def test_readouts_are_fitted_with_measurements_and_score_codes_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, gradient = make_cohort(tmp_path / "cohort", n=120, shape=(2, 4))
    codes, _ = study.analysed()
    hazard = codes.reshape(120, -1) @ gradient.ravel()
    seen = np.column_stack([hazard, np.random.default_rng(0).normal(size=120)])
    seen[::9] = np.nan  # no landmarks in some photos
    monkeypatch.setattr(features, "colours_of", lambda *_: seen)
    monkeypatch.setattr(features, "descriptors", lambda *_: codes.reshape(120, -1)[:, :3])
    plan = replace(PLAN, features=("photo",), models=("cox-ridge", "cox-readouts"), shuffles=0)
    result = compare(study, plan)
    chosen = result.candidate("photo / cox-readouts")
    assert chosen.blocks == ("photo", "colour", "descriptor")
    assert chosen.label == "Photo (W+), Cox on readouts"
    shares = result.rows("truth", measure=SHARE).set_index("candidate")["value"]
    assert set(shares.index) == {"photo / cox-ridge", chosen.name}
    assert not result.rows("paths", candidate=chosen.name).empty
    name = choose(study, result, chosen.name)
    model = Study.open(study.path).model(name)
    assert model.blocks == ("photo",)
    np.testing.assert_allclose([r.log_hr for r in risk_of(study, model, codes)], model.predict(codes))
    direction = scorer_of(Study.open(study.path)).direction()
    assert np.sum(direction.vector * model.log_hr_gradient()) == pytest.approx(1)
    cosine = np.sum(model.log_hr_gradient() * gradient) / np.linalg.norm(model.log_hr_gradient())
    assert cosine / np.linalg.norm(gradient) > 0.9
    assert why_not_chosen(replace(chosen, model="cox-ridge")).startswith("It needs more than a photo's code")
    default = compare(study, replace(plan, models=("default",), shuffles=1), "default")
    assert default.models[0].name == "photo / cox-readouts"
    assert next(c for c in default.candidates if c.name == "shuffled").settings["model"] == "cox-readouts"
    monkeypatch.setattr(features, "colours_of", lambda *_: np.where(np.arange(120)[:, None] % 2, np.nan, 1.0))
    half = compare(study, replace(plan, models=("default",)), "half")
    assert half.models[0].name == "photo / cox-ridge", "half of the faces could not be measured"
