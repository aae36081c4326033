"""simulate -> fit -> direction recovers what was put in; steps are exact; scores and reports are honest."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from latent.editing.directions import Direction
from study.comparison.choose import choose
from study.comparison.fit import fit, fit_plan, report_text
from study.comparison.plan import Plan
from study.comparison.record import read_comparison
from study.comparison.run import Reporter, compare
from study.disk.models import OUT_OF_FOLD_FILE
from study.disk.store import Study
from study.errors import StudyError
from study.scoring.results import risk_of
from study.scoring.scorer import Scorer
from study.scoring.strip import log_hr_steps
from survival.errors import FitCancelled
from survival.metrics.concordance import harrell_c
from tests.study.conftest import make_cohort, scorer_of, write_codes

PLAN = fit_plan(folds=3, repeats=1, penalties=15, samples=200)
Cohort = tuple[Study, np.ndarray]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Read-only: shared by the tests of this file."""
    study, gradient = make_cohort(tmp_path_factory.mktemp("fitted") / "cohort")
    fit(study, plan=PLAN)
    return Study.open(study.path), gradient


@pytest.fixture
def own(fitted: Cohort, tmp_path: Path) -> Study:
    """A copy that a test may change."""
    return Study.open(shutil.copytree(fitted[0].path, tmp_path / "cohort"))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def test_truth_is_recovered(fitted: Cohort) -> None:
    study, gradient = fitted
    assert cosine(study.model().log_hr_gradient(), gradient) > 0.8
    assert cosine(scorer_of(study).direction().vector, gradient) > 0.8
    report = study.report()
    truth = report["truth"]
    assert truth["harrell_face"]["value"] > 0.75
    assert truth["recovered_share"]["low"] < truth["recovered_share"]["value"] < truth["recovered_share"]["high"]
    assert 0.75 < truth["recovered_share"]["value"] < 1.05
    assert truth["correlation_with_face"] > 0.8
    by_hand = (report["harrell"]["value"] - 0.5) / (truth["harrell_face"]["value"] - 0.5)
    assert truth["recovered_share"]["value"] == pytest.approx(by_hand)
    assert report["harrell"]["value"] == study.model().oof_c_.value


@pytest.mark.parametrize("kind", ["coefficients", "pattern"])
@pytest.mark.parametrize("band", [None, (1, 4)])
def test_a_step_of_two_doubles_the_hazard(fitted: Cohort, kind: str, band: tuple[int, int] | None) -> None:
    study, _ = fitted
    direction = scorer_of(study).direction(kind, band)  # type: ignore[arg-type]
    model, ws = study.model(), study.latents().ws
    before = model.predict(ws)
    after = model.predict(ws + np.float32(np.log(2)) * direction.vector)
    np.testing.assert_allclose(np.exp(after - before), 2.0, rtol=1e-5)
    horizon = np.array([12.0])
    _, s0 = model.predict_survival_function(ws[:5], times=horizon)
    _, s1 = model.predict_survival_function(ws[:5] + np.float32(np.log(2)) * direction.vector, times=horizon)
    np.testing.assert_allclose(s1, s0**2, rtol=1e-4)


def test_pattern_is_covariance_times_gradient(own: Study) -> None:
    """With codes that vary much more along some axes, pattern and coefficients differ."""
    ws = np.array(own.latents().ws)
    scaled = ws * np.linspace(0.2, 3.0, ws.shape[2], dtype=np.float32)
    write_codes(own, scaled)
    study = Study.open(own.path)
    fit(study, plan=PLAN)
    study = Study.open(study.path)
    flat = scaled.reshape(len(scaled), -1)
    expected = np.cov(flat.T) @ study.model().log_hr_gradient().ravel()
    pattern, plain = scorer_of(study).direction("pattern"), scorer_of(study).direction()
    assert cosine(pattern.vector.ravel(), expected) == pytest.approx(1.0, abs=1e-5)
    assert cosine(pattern.vector, plain.vector) < 0.95


def test_what_is_on_disk(fitted: Cohort) -> None:
    study, _ = fitted
    folder = study.model_folder()
    assert {p.name for p in folder.iterdir()} >= {"model.json", "model.npz", "report.json", OUT_OF_FOLD_FILE}
    assert not [p for p in folder.parent.iterdir() if p.name.startswith(".")]
    scores = pd.read_csv(folder / OUT_OF_FOLD_FILE)
    assert list(scores["patient_id"]) == list(study.patients["patient_id"])
    time, event = study.patients["time"].to_numpy(), study.patients["event"].to_numpy()
    report = study.report()
    assert report["harrell"]["value"] == pytest.approx(harrell_c(time, event, scores["log_hr"]), abs=1e-6)
    model = study.model()
    for name, own in (("harrell", model.oof_c_), ("uno", model.oof_uno_)):
        assert [report[name][k] for k in ("value", "low", "high")] == [own.value, own.low, own.high], "told once"
    assert report["uno_tau"] == model.uno_tau_
    assert report["checkpoint_sha256"] == study.embedding.checkpoint_sha256
    assert report["latents_sha256"] == study.embedding.latents_sha256
    assert "share of it recovered" in report_text(report)


def test_only_patients_with_photo_and_code(own: Study) -> None:
    own.photo_path("P0005").unlink()
    opened = Study.open(own.path)
    report = fit(opened, plan=PLAN)
    assert (report["patients"], report["patients_in_table"]) == (239, 240)
    assert "1 left out" in report_text(report)
    assert "P0005" not in (opened.model_folder() / OUT_OF_FOLD_FILE).read_text()


def test_a_refused_or_stopped_fit_keeps_the_old_model(fitted: Cohort) -> None:
    study, _ = fitted
    folder = study.model_folder()
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(FitCancelled):
        fit(study, plan=PLAN, cancelled=lambda: True)
    table = study.patients.assign(event=False)
    hopeless = Study(study.path, study.settings, table, study.photos)
    with pytest.raises(StudyError, match="0 events"):
        fit(hopeless, plan=PLAN)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


@pytest.mark.slow
def test_a_fit_is_a_comparison_of_one_candidate(own: Study) -> None:
    """The same numbers as a comparison with other candidates, and as the model that is chosen from it."""
    plan = Plan(("clinical", "photo"), folds=3, repeats=2, samples=40, shuffles=1, penalties=8)
    result = compare(own, plan)
    fit(own, plan=fit_plan(folds=3, repeats=2, samples=40, penalties=8))
    report = own.report()
    c = result.estimate("photo / cox-ridge")
    assert [report["harrell"][key] for key in ("value", "low", "high")] == [c.value, c.low, c.high]
    chosen = own.report(choose(own, result, "photo / cox-ridge"))
    differs = {key for key in report if repr(report[key]) != repr(chosen[key])}
    assert differs == {"model", "comparison"}
    model, other = own.model(), own.model("photo-cox-ridge")
    np.testing.assert_array_equal(model.log_hr_gradient(), other.log_hr_gradient())
    assert model.fold_cosine_ == other.fold_cosine_
    read = read_comparison(own.path)  # as read from disk, with and without the finished folds
    for keep in (True, False):
        if not keep:
            shutil.rmtree(own.path / "comparisons.parts")
        assert own.report(choose(own, read, "photo / cox-ridge"))["fold_cosine"] == report["fold_cosine"]


def test_a_stopped_fit_resumes(own: Study) -> None:
    shutil.rmtree(own.path / "comparisons.parts")
    seen: list[int] = []
    reporter = Reporter(lambda _: None, lambda done, *_: seen.append(done))
    with pytest.raises(FitCancelled, match="finished folds are kept"):
        fit(own, plan=PLAN, reporter=reporter, cancelled=lambda: len(seen) > 1)
    done = len(list((own.path / "comparisons.parts").glob("*.npz")))
    assert 0 < done < 3
    seen.clear()
    fit(own, plan=PLAN, reporter=reporter)
    assert seen[0] == done


@pytest.mark.parametrize(("name", "command"), [("photo", "fit cohort"), ("mine", "choose cohort 'photo / svm'")])
def test_a_model_of_an_older_version_names_the_command_that_makes_it_again(own: Study, name: str, command: str) -> None:
    folder = own.model_folder(name)
    if not folder.exists():
        shutil.copytree(own.model_folder(), folder)
        report = json.loads((folder / "report.json").read_text()) | {"candidate": "photo / svm"}
        (folder / "report.json").write_text(json.dumps(report))
    document = json.loads((folder / "model.json").read_text()) | {"kind": "cox-1"}
    (folder / "model.json").write_text(json.dumps(document))
    with pytest.raises(StudyError, match=re.escape(f"Run `python -m study {command}`.")) as error:
        own.model(name)
    assert "not written by this version" in str(error.value)


def test_risks_agree_with_the_model(fitted: Cohort) -> None:
    study, _ = fitted
    model, ws = study.model(), np.array(study.latents().ws[:4])
    risks = risk_of(study, model, ws)
    np.testing.assert_allclose([r.log_hr for r in risks], model.predict(ws))
    order = np.argsort([r.log_hr for r in risks])
    percentiles = np.array([r.percentile for r in risks])[order]
    assert (np.diff(percentiles) >= 0).all()
    for risk in risks:
        assert risk.hr == pytest.approx(np.exp(risk.log_hr))
        assert list(risk.horizons) == [12.0, 24.0, 60.0]
        assert (np.diff(risk.survival) <= 0).all()
        assert risk.times[0] == 0
        assert risk.survival[0] == 1


@pytest.mark.slow
def test_edit_strip(own: Study, make_checkpoint: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames, hazards and curves of one face belong together, frame by frame."""
    study = own
    checkpoint = make_checkpoint()
    shape = (checkpoint.num_ws, checkpoint.w_dim)
    rng = np.random.default_rng(0)
    codes = checkpoint.statistics.mean + rng.standard_normal((len(study.photos), *shape))
    write_codes(study, codes, checkpoint.sha256)
    study = Study.open(study.path)
    with pytest.raises(StudyError, match="fitted on other codes"):
        study.model()
    fit(study, plan=PLAN)
    study = Study.open(study.path)
    ws = np.array(study.latents().ws[0])
    steps = log_hr_steps(np.log(4), 5)
    scorer = Scorer.open(study, checkpoint)
    direction = scorer.direction("pattern")
    strip = scorer.strip(ws, direction, steps)
    assert strip.frames.shape == (5, checkpoint.resolution, checkpoint.resolution, 3)
    np.testing.assert_allclose(strip.log_hr - strip.log_hr[2], steps, atol=1e-4)
    np.testing.assert_allclose(strip.hr / strip.hr[2], [0.25, 0.5, 1, 2, 4], rtol=1e-4)
    np.testing.assert_allclose(strip.hr_step, [0.25, 0.5, 1, 2, 4])
    assert strip.log_hr[2] == pytest.approx(float(study.model().predict(ws)[0]), abs=1e-5)
    assert (np.diff(strip.survival, axis=0) <= 0).all()
    assert (np.diff(strip.percentile) >= 0).all()
    np.testing.assert_allclose(strip.survival[4], strip.survival[2] ** 4, rtol=1e-3)
    assert strip.horizons.shape == (5, 3)
    stranger = json.loads((study.model_folder() / "report.json").read_text()) | {"checkpoint_sha256": "0" * 64}
    monkeypatch.setattr(Study, "report", lambda self, name="photo": stranger)
    with pytest.raises(StudyError, match="fitted with another checkpoint"):
        Scorer.open(study, checkpoint)


def test_direction_refusals(fitted: Cohort, tmp_path: Path) -> None:
    study, _ = fitted
    with pytest.raises(StudyError, match="not a kind of direction"):
        scorer_of(study).direction("magic")  # type: ignore[arg-type]
    with pytest.raises(StudyError, match="are not a band"):
        scorer_of(study).direction(band=(3, 99))
    with pytest.raises(StudyError, match="must be odd"):
        log_hr_steps(count=4)
    assert isinstance(scorer_of(study).direction(), Direction)
    assert log_hr_steps(count=3)[1] == 0
