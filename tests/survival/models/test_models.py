"""Every model of the registry in the one interface, against laws and against its own reference."""

import numpy as np
import pandas as pd
import pytest
from sksurv.ensemble import RandomSurvivalForest
from sksurv.util import Surv

from survival.cox_regression.regression import cox_regression
from survival.curves import kaplan_meier
from survival.errors import FitCancelled, SurvivalError
from survival.metrics.concordance import harrell_c
from survival.models import MODELS, make_model
from survival.models.base import inner_folds
from survival.models.registry import ModelEntry
from tests.survival.cohorts import load_cohort, made_up

QUICK = {
    "cox-ridge": {"n_alphas": 12, "folds": 3},
    "cox-elastic-net": {"n_alphas": 10, "folds": 3},
    "cox-lasso": {"n_alphas": 10, "folds": 3},
    "cox": {},
    "deepsurv": {"members": 3, "epochs": 40, "n_components": 10, "device": "cpu"},
    "forest": {"n_trees": 20, "n_components": 10},
    "boosting": {"n_trees": 30, "n_components": 10},
    "svm": {"n_components": 10, "alphas": (1e-3,)},
    "late-fusion": {"members": {"a": {"blocks": "photo", "settings": {"n_alphas": 8, "folds": 3}}}, "folds": 3},
    "kaplan-meier": {},
    "random-direction": {},
}
OF_PHOTOS = {"cnn", "cox-readouts"}  # test_image_network.py, test_readouts.py
GRADIENT = ("cox-ridge", "cox-elastic-net", "cox-lasso", "cox", "late-fusion", "svm", "random-direction")


@pytest.fixture(scope="module")
def study():
    made = made_up(n=160, shape=(3, 4))
    return {**made, "features": {"photo": made["X"]}}


@pytest.fixture(scope="module", params=sorted(QUICK))
def fitted(request, study):
    train = slice(0, 120)
    model = make_model(request.param, **QUICK[request.param])
    model.fit({"photo": study["X"][train]}, study["time"][train], study["event"][train])
    return request.param, model


def test_every_name_is_tested():
    assert set(QUICK) | OF_PHOTOS == set(MODELS)


def test_risks_and_curves_of_new_patients(fitted, study):
    name, model = fitted
    new = {"photo": study["X"][120:]}
    risk = model.predict(new)
    survival = model.predict_survival_function(new, [0, 6, 12, 24, 48, 1e4])[1]
    assert risk.shape == (40,)
    assert survival.shape == (40, 6)
    assert (survival[:, 0] == 1).all()
    assert (np.diff(survival[:, :5], axis=1) <= 1e-12).all()
    assert np.isnan(survival[:, 5]).all()
    if name not in ("kaplan-meier", "forest"):  # the forest's curves may cross
        assert (np.diff(survival[np.argsort(risk)][:, 3]) <= 1e-9).all()
    own, curves = model.predict_survival_function(new)
    assert curves.shape == (40, len(own))
    c = harrell_c(study["time"][120:], study["event"][120:], risk)
    if name == "kaplan-meier":
        assert c == 0.5
    elif name != "random-direction":
        assert c > 0.65  # the true hazard reaches 0.8


def test_gradients_are_derivatives_of_the_risk(fitted, study):
    name, model = fitted
    x = study["X"][:1].astype(np.float64)
    if name in GRADIENT:
        gradient = model.log_hr_gradient()["photo"]
        assert gradient.shape == (3, 4)
        step = np.random.default_rng(0).normal(size=(3, 4))
        moved = model.predict({"photo": x + step}) - model.predict({"photo": x})
        assert moved[0] == pytest.approx((gradient * step).sum(), abs=1e-9)
    elif name == "deepsurv":
        gradient = model.gradient_at({"photo": x})["photo"]
        step = 1e-2 * np.random.default_rng(0).normal(size=(3, 4))
        moved = model.predict({"photo": x + step}) - model.predict({"photo": x - step})
        assert moved[0] == pytest.approx(2 * (gradient * step).sum(), rel=0.02, abs=1e-5)
        assert model.log_hr_gradient()["photo"].shape == (3, 4)
    else:
        with pytest.raises(SurvivalError, match="no gradient"):
            model.log_hr_gradient()


def test_a_fit_is_repeatable_and_stops_when_asked(fitted, study):
    name, model = fitted
    train = slice(0, 120)
    again = make_model(name, **QUICK[name])
    again.fit({"photo": study["X"][train]}, study["time"][train], study["event"][train])
    np.testing.assert_allclose(again.predict(study["features"]), model.predict(study["features"]), atol=1e-10)
    if name not in ("kaplan-meier", "cox", "random-direction"):
        with pytest.raises(FitCancelled):
            make_model(name, **QUICK[name]).fit(
                study["features"], study["time"], study["event"], cancelled=lambda: True
            )


@pytest.mark.parametrize("name", ["cox-ridge", "deepsurv", "forest", "boosting", "svm"])
def test_out_of_fold_scores_are_honest(study, name):
    """With an outcome that has nothing to do with the features they tell nothing; the fitted scores would."""
    order = np.random.default_rng(5).permutation(160)
    time, event = study["time"][order], study["event"][order]
    model = make_model(name, **QUICK[name]).fit(study["features"], time, event)
    assert abs(harrell_c(time, event, model.out_of_fold_) - 0.5) < 0.12


def test_plain_cox_with_table_and_strata():
    features, time, event = load_cohort("veteran")
    frame = features[["karnofsky_score", "age_in_years"]].assign(
        cell=np.where(features["celltype_smallcell"] == 1, "small", "other")
    )
    model = make_model("cox", strata="cell").fit({"clinical": frame}, time, event)
    direct = cox_regression(frame.iloc[:, :2], time, event, strata=frame["cell"])
    np.testing.assert_allclose(model.log_hr_gradient()["clinical"], direct.coef, rtol=1e-9)
    _, survival = model.predict_survival_function({"clinical": frame.iloc[:4].assign(cell=["small", "other"] * 2)}, 100)
    same = model.predict_survival_function({"clinical": frame.iloc[[0, 0]].assign(cell=["small", "other"])}, 100)[1]
    assert np.isfinite(survival).all()
    assert same[0, 0] != same[1, 0]
    with pytest.raises(SurvivalError, match="No table has a column"):
        make_model("cox", strata="stage").fit({"clinical": frame}, time, event)
    wide = np.random.default_rng(0).normal(size=(137, 140))
    with pytest.raises(SurvivalError, match="use a penalised"):
        make_model("cox").fit(wide, time, event)


def test_the_forest_is_scikit_survivals():
    features, time, event = load_cohort("veteran")
    ours = make_model("forest", n_trees=10, min_leaf=10, missing="refuse").fit(features, time, event)
    z = ((features - features.mean()) / features.std()).to_numpy()
    theirs = RandomSurvivalForest(10, min_samples_leaf=10, min_samples_split=20, random_state=0)
    theirs.fit(z, Surv.from_arrays(event, time))
    risk = ours.predict(features)
    np.testing.assert_allclose(risk, np.log(theirs.predict(z)) - np.median(np.log(theirs.predict(z))), atol=1e-9)
    at = np.array([30.0, 100.0, 200.0])
    curves = [[f(t) for t in at] for f in theirs.predict_survival_function(z)]
    np.testing.assert_allclose(ours.predict_survival_function(features, at)[1], curves, atol=1e-12)


def test_the_null_is_kaplan_meier(study):
    model = make_model("kaplan-meier").fit(study["features"], study["time"], study["event"])
    expected = kaplan_meier(study["time"], study["event"]).at([5, 20])
    np.testing.assert_array_equal(
        model.predict_survival_function(study["features"], [5, 20])[1], np.tile(expected, (160, 1))
    )


def test_fusion_uses_both_sides():
    study = made_up(n=220, shape=(6,), strength=0.9)
    rng = np.random.default_rng(1)
    clinical = rng.normal(size=220)
    factor = np.exp(-1.0 * clinical)
    time, event = study["time"] * factor, study["event"]
    features = {"photo": study["X"], "clinical": pd.DataFrame({"stage": clinical})}
    quick = {"n_alphas": 12, "folds": 3}
    train, test = np.arange(160), np.arange(160, 220)
    blocks = {k: (v[train] if isinstance(v, np.ndarray) else v.iloc[train]) for k, v in features.items()}
    new = {k: (v[test] if isinstance(v, np.ndarray) else v.iloc[test]) for k, v in features.items()}
    members = {
        "photo": {"blocks": "photo", "model": "cox-ridge", "settings": quick},
        "clinical": {"blocks": "clinical", "model": "cox"},
    }
    late = make_model("late-fusion", members=members, folds=3).fit(blocks, time[train], event[train])
    early = make_model("cox-ridge", **quick).fit(blocks, time[train], event[train])
    alone = make_model("cox", ties="breslow").fit({"clinical": blocks["clinical"]}, time[train], event[train])
    c = {
        name: harrell_c(time[test], event[test], model.predict(new))
        for name, model in {"late": late, "early": early}.items()
    }
    c["clinical"] = harrell_c(time[test], event[test], alone.predict({"clinical": new["clinical"]}))
    assert min(c["late"], c["early"]) > c["clinical"] + 0.03
    assert late.used_ == ("photo", "clinical")
    assert (late.join_.coef > 0.5).all()
    assert set(late.log_hr_gradient()) == {"photo", "clinical"}
    moved = {**new, "photo": new["photo"].astype(float) + 0.1}
    expected = 0.1 * late.log_hr_gradient()["photo"].sum()
    np.testing.assert_allclose(late.predict(moved) - late.predict(new), expected, atol=1e-6)


def test_copies_of_a_patient_stay_together():
    event = np.arange(60) % 2 == 0
    drawn = np.random.default_rng(0).integers(60, size=200)
    fold = inner_folds(event[drawn], drawn, 4, 0)
    for patient in np.unique(drawn):
        assert len(set(fold[drawn == patient])) == 1


def test_the_registry(monkeypatch):
    with pytest.raises(SurvivalError, match="no model called 'tree'"):
        make_model("tree")
    with pytest.raises(SurvivalError, match="does not take these settings"):
        make_model("forest", trees=3)
    monkeypatch.setitem(MODELS, "lost", ModelEntry("survival.models.nowhere:Model", "lost"))
    with pytest.raises(SurvivalError, match="cannot be loaded"):
        make_model("lost")
    with pytest.raises(SurvivalError, match="not been fitted"):
        make_model("cox-ridge").predict(np.ones((2, 2)))
