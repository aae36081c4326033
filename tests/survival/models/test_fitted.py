"""Models in use: what is saved predicts what was fitted; what cannot be saved says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from survival.errors import SurvivalError
from survival.metrics.estimate import Estimate
from survival.models import make_model
from survival.models.fitted import FittedModel
from survival.models.hazard import LinearHazard
from survival.models.registry import MODELS, why_not_saved
from tests.survival.cohorts import made_up

QUICK = {"n_alphas": 8, "folds": 3}
MEMBERS = {
    "photo": {"blocks": "photo", "model": "cox-ridge", "settings": QUICK},
    "clinical": {"blocks": "clinical", "model": "cox"},
}
CASES = {
    "cox-ridge": (("photo",), QUICK),
    "cox-lasso": (("photo", "clinical"), {**QUICK, "missing": "indicator"}),
    "cox": (("clinical",), {"missing": "indicator"}),
    "svm": (("photo", "clinical"), {"missing": "indicator", "n_components": 5}),
    "late-fusion": (("photo", "clinical"), {"members": MEMBERS, "missing": "indicator", "folds": 3}),
    "random-direction": (("photo",), {}),
    "deepsurv": (("photo", "clinical"), {"missing": "indicator", "n_components": 5, "epochs": 8, "members": 2}),
}


@pytest.fixture(scope="module")
def study() -> dict[str, object]:
    made = made_up(n=120, shape=(2, 6))
    rng = np.random.default_rng(0)
    age = rng.normal(60, 10, 120)
    age[:5] = np.nan
    clinical = pd.DataFrame({"age": age, "site": rng.choice(["lung", "colon", "skin"], 120)})
    return {"X": {"photo": made["X"], "clinical": clinical}, "time": made["time"], "event": made["event"]}


def in_use(model: object, study: dict[str, object]) -> FittedModel:
    n = len(study["time"])  # type: ignore[arg-type]
    rng = np.random.default_rng(1)
    cohort = pd.DataFrame(
        {
            "patient": [f"P{i}" for i in range(n)],
            "time": study["time"],
            "event": study["event"],
            "log_hr": rng.normal(size=n),
            "fold": rng.integers(0, 3, n),
            "quartile": rng.integers(0, 4, n),
        }
    )
    known = Estimate(0.7, 0.6, 0.8, n)
    estimates = {"oof_c_": known, "oof_uno_": known, "calibration_slope_": Estimate(1.0, np.nan, np.nan, n)}
    hazard, path = model.hazard(), model.path_  # type: ignore[attr-defined]
    return FittedModel(hazard, "A model", cohort, estimates, 30.0, float("nan"), path, ("A note.",))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CASES))
def test_what_is_read_predicts_what_was_fitted(name: str, study: dict[str, object], tmp_path: Path) -> None:
    blocks, settings = CASES[name]
    own = {b: study["X"][b] for b in blocks}  # type: ignore[index]
    fitted = make_model(name, **settings).fit(own, study["time"], study["event"])
    in_use(fitted, study).save(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"model.json", "model.npz"}
    read = FittedModel.load(tmp_path)
    assert read.blocks == blocks
    np.testing.assert_allclose(read.predict(own), fitted.predict(own), atol=1e-5 if name == "deepsurv" else 1e-9)
    times = np.array([5.0, 20.0])
    ours, theirs = read.predict_survival_function(own, times)[1], fitted.predict_survival_function(own, times)[1]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for block, gradient in fitted.log_hr_gradient().items():
        np.testing.assert_allclose(read.log_hr_gradient(block), gradient, atol=1e-5)
    assert read.linear == (name != "deepsurv")
    assert np.isnan(read.fold_cosine_)
    assert np.isnan(read.calibration_slope_.low)
    pd.testing.assert_frame_equal(read.cohort_, in_use(fitted, study).cohort_)
    assert read.percentile(read.oof_log_hr_).mean() == pytest.approx(50)  # type: ignore[union-attr]
    np.testing.assert_array_equal(np.bincount(read.quartile(read.oof_log_hr_)), [30, 30, 30, 30])


def test_a_linear_model_moves_by_its_gradient_everywhere(study: dict[str, object]) -> None:
    photo = study["X"]["photo"]  # type: ignore[index]
    model = in_use(make_model("cox-ridge", **QUICK).fit({"photo": photo}, study["time"], study["event"]), study)
    step = np.random.default_rng(2).normal(size=photo.shape[1:])
    moved = model.predict(photo + step) - model.predict(photo)
    np.testing.assert_allclose(moved, np.sum(model.log_hr_gradient() * step), atol=1e-4)
    np.testing.assert_allclose(model.predict(photo[0]), model.predict(photo)[:1])
    with pytest.raises(SurvivalError, match="does not use clinical"):
        model.log_hr_gradient("clinical")


def test_what_cannot_be_saved_says_why(study: dict[str, object]) -> None:
    assert {name for name in MODELS if why_not_saved(name)} == {"forest", "boosting", "cnn", "kaplan-meier"}
    assert "stratified" in why_not_saved("cox", {"strata": "site"}).lower()
    assert "forest" in why_not_saved("late-fusion", {"members": {"a": {"model": "forest"}}})
    assert "network" in why_not_saved("late-fusion", {"members": {"a": {"model": "deepsurv"}}})
    own = {"clinical": study["X"]["clinical"]}  # type: ignore[index]
    for name, settings in (("forest", {"n_trees": 5}), ("cox", {"strata": "site"})):
        model = make_model(name, missing="indicator", **settings).fit(own, study["time"], study["event"])
        with pytest.raises(SurvivalError, match="cannot be saved"):
            model.hazard()
    assert isinstance(
        make_model("cox", missing="indicator").fit(own, study["time"], study["event"]).hazard(), LinearHazard
    )


@pytest.mark.parametrize("what", ["kind", "gradient", "levels", "patients", "estimate"])
def test_damaged_files_get_a_sentence(study: dict[str, object], tmp_path: Path, what: str) -> None:
    own = {"clinical": study["X"]["clinical"]}  # type: ignore[index]
    in_use(make_model("cox", missing="indicator").fit(own, study["time"], study["event"]), study).save(tmp_path)
    document = json.loads((tmp_path / "model.json").read_text())
    meta = document["meta"]
    if what == "kind":
        meta["hazard"]["kind"] = "os.system"
    elif what == "gradient":
        meta["hazard"]["encoding"]["columns"]["clinical"].pop()
    elif what == "levels":
        meta["hazard"]["encoding"]["columns"]["clinical"][0]["fill"] = "x"
    elif what == "patients":
        meta["patients"] = meta["patients"][1:]
    else:
        del meta["estimates"]["oof_c_"]
    (tmp_path / "model.json").write_text(json.dumps(document))
    with pytest.raises(SurvivalError, match="does not describe a model"):
        FittedModel.load(tmp_path)
