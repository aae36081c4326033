"""Refits to bootstrap samples: what they say of real cohorts, and what is kept of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from survival.comparison.fit import fit_model
from survival.cox_regression.regression import cox_regression
from survival.errors import FitCancelled, SurvivalError
from survival.models import make_model
from survival.models.fitted import FittedModel
from survival.uncertainty.bootstrap import FEWEST, bootstrap_refits
from survival.uncertainty.refits import Refits
from tests.survival.cohorts import load_cohort, made_up

QUICK = {"n_alphas": 12, "folds": 3}


def refits_of(name: str, X: Any, time: Any, event: Any, settings: dict[str, Any] | None = None, **how: Any) -> Any:
    """(fitted model, its refits)."""
    model = make_model(name, **(settings or {})).fit(X, time, event, entry=how.get("entry"))
    return model, bootstrap_refits(model, X, time, event, model.predict(X), how.pop("entry", None), **how)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["veteran", "whas500", "gbsg2"])
def test_coefficients_spread_as_their_standard_errors_say(name: str) -> None:
    """The bootstrap and the information matrix estimate the same thing on a real cohort."""
    features, time, event = load_cohort(name)
    features = features.loc[:, (features != 0).sum() >= 20]
    x = ((features - features.mean()) / features.std()).to_numpy()
    fit = cox_regression(x, time, event, names=list(features.columns))
    _, refits = refits_of("cox", x, time, event, refits=120)
    ratio = refits.gradient.std(axis=0, ddof=1) / fit.se
    assert 0.85 < np.median(ratio) < 1.35
    assert ratio.min() > 0.6
    assert ratio.max() < 2.2


@pytest.mark.parametrize("name", ["veteran", "whas500"])
def test_a_ridge_model_of_a_real_cohort_keeps_its_scale(name: str) -> None:
    """At the penalty of the fit to all patients the refits spread patients as far as the model does."""
    features, time, event = load_cohort(name)
    x = features.to_numpy()
    model, refits = refits_of("cox-ridge", x, time, event, QUICK)
    scores = refits.predict(x)
    assert scores.shape == (20, len(x))
    assert 0.7 < np.mean(scores.std(axis=1)) / model.predict(x).std() < 1.6
    assert np.corrcoef(scores.mean(axis=0), model.predict(x))[0, 1] > 0.9
    assert np.abs(np.median(scores, axis=1)).max() < 1.0, "about 0 at the sample's median"


def test_a_sample_depends_on_seed_and_number_alone() -> None:
    study = made_up(n=100, shape=(2, 6))
    data = (study["X"], study["time"], study["event"])
    few = refits_of("cox-ridge", *data, QUICK, refits=10, seed=3)[1]
    more = refits_of("cox-ridge", *data, QUICK, refits=12, seed=3)[1]
    other = refits_of("cox-ridge", *data, QUICK, refits=10, seed=4)[1]
    np.testing.assert_array_equal(more.gradient[:10], few.gradient)
    np.testing.assert_array_equal(more.hazard[:10], few.hazard)
    assert not np.allclose(few.gradient, other.gradient)


@pytest.mark.parametrize(("name", "least", "most"), [("cox", 2.0, 5.0), ("cox-ridge", 1.2, 5.0)])
def test_more_patients_narrow_the_spread(name: str, least: float, most: float) -> None:
    """With the root of their number; less under a penalty, which is stronger for few."""
    whole = made_up(n=1130, shape=(2, 6))
    x, spread = whole["X"].reshape(1130, -1)[:, :4], []
    for n in (120, 1080):
        settings = QUICK if name == "cox-ridge" else {}
        refits = refits_of(name, x[:n], whole["time"][:n], whole["event"][:n], settings)[1]
        spread.append(float(np.mean(refits.predict(x[1080:]).std(axis=0))))
    assert least < spread[0] / spread[1] < most, "9 times the patients"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cox-lasso", "cox", "svm", "late-fusion", "random-direction"])
def test_every_linear_model_is_refitted_on_its_own_columns(name: str) -> None:
    study = made_up(n=120, shape=(2, 3))
    rng = np.random.default_rng(0)
    age = rng.normal(60, 10, 120)
    age[:6] = np.nan
    site = rng.choice(["lung", "colon", "skin"], 120)
    site[:3] = "rare"
    X = {"photo": study["X"], "clinical": pd.DataFrame({"age": age, "site": site})}
    settings = {**({} if name in ("cox", "random-direction") else {"folds": 3}), "missing": "indicator"}
    model, refits = refits_of(name, X, study["time"], study["event"], settings, refits=14)
    encoding = model.hazard().encoding
    assert refits is not None
    assert refits.gradient.shape[1] == len(encoding.names)
    assert FEWEST <= len(refits) <= 14
    scores, fitted = refits.predict(encoding.transform(X)), model.predict(X)
    if name not in ("random-direction", "svm"):
        assert np.corrcoef(scores.mean(axis=0), fitted)[0, 1] > 0.7


def test_a_model_of_readouts_is_refitted_on_its_readouts() -> None:
    study = made_up(n=160, shape=(2, 6))
    flat = study["X"].reshape(160, -1)
    measured = flat[:, :3] + 0.1 * np.random.default_rng(0).normal(size=(160, 3)).astype(np.float32)
    X = {"photo": study["X"], "measured": measured}
    model, refits = refits_of("cox-readouts", X, study["time"], study["event"], QUICK)
    scores = refits.predict(model.hazard().encoding.transform(X))
    assert scores.shape == (20, 160)
    assert np.corrcoef(scores.mean(axis=0), model.predict(X))[0, 1] > 0.95
    assert np.abs(np.median(scores, axis=1)).max() < 0.5


def test_with_delayed_entry_samples_are_compared_within_their_risk_sets() -> None:
    study = made_up(n=160, shape=(2, 6))
    entry = np.minimum(np.random.default_rng(0).exponential(4, 160), study["time"] * 0.8)
    data = (study["X"], study["time"], study["event"])
    model, late = refits_of("cox-ridge", *data, QUICK, refits=FEWEST, entry=entry)
    assert late.hazard.shape == (FEWEST, len(model.baseline.times))
    assert (np.diff(late.hazard, axis=1) >= 0).all()
    assert not np.allclose(late.gradient, refits_of("cox-ridge", *data, QUICK, refits=FEWEST)[1].gradient)


def test_the_hazard_of_the_samples_lies_around_the_models() -> None:
    study = made_up(n=240, shape=(2, 6))
    model, refits = refits_of("cox-ridge", study["X"], study["time"], study["event"], QUICK)
    np.testing.assert_allclose(refits.hazard_ratio.mean(axis=0), 1.0, atol=1e-6)
    last = refits.hazard[:, -1] / model.baseline.cumulative_hazard[-1]
    assert 0.7 < last.mean() < 1.4
    assert 0.02 < last.std() < 0.4


def test_no_refits_where_they_cannot_be_had() -> None:
    study = made_up(n=80, shape=(2, 3))
    data = (study["X"], study["time"], study["event"])
    assert refits_of("cox-ridge", *data, QUICK, refits=FEWEST - 1)[1] is None
    network = {"n_components": 3, "epochs": 4, "members": 2}
    assert refits_of("deepsurv", *data, network)[1] is None, "a network is not linear"
    one_event = np.zeros(80, bool)
    one_event[:2] = True
    model = make_model("cox", ties="breslow").fit(study["X"][:, 0, :1], study["time"], one_event)
    refits = bootstrap_refits(model, study["X"][:, 0, :1], study["time"], one_event, np.zeros(80))
    assert refits is None or len(refits) >= FEWEST


def test_refits_are_counted_and_stop_when_asked() -> None:
    study = made_up(n=80, shape=(2, 3))
    model = make_model("cox-ridge", **QUICK).fit(study["X"], study["time"], study["event"])
    data = (study["X"], study["time"], study["event"], model.out_of_fold_)
    counted: list[tuple[int, int]] = []
    bootstrap_refits(model, *data, refits=12, on_progress=lambda *at: counted.append(at))
    assert counted == [(b + 1, 12) for b in range(12)]
    with pytest.raises(FitCancelled):
        bootstrap_refits(model, *data, cancelled=lambda: True)


def test_refits_are_saved_with_the_model_and_may_be_absent(tmp_path: Path) -> None:
    study = made_up(n=120, shape=(2, 6))
    data = (study["X"], study["time"], study["event"])
    fitted = fit_model("cox-ridge", *data, settings=QUICK, folds=3, repeats=1, samples=50)
    fitted.save(tmp_path / "new")
    read = FittedModel.load(tmp_path / "new")
    assert fitted.refits_ is not None
    assert read.refits_ is not None
    for name, array in fitted.refits_.to_arrays().items():
        np.testing.assert_array_equal(read.refits_.to_arrays()[name], array)
    assert read.refits_.gradient.dtype == np.float32
    fitted.refits_ = None  # as a model that was saved before refits were kept
    fitted.save(tmp_path / "old")
    assert FittedModel.load(tmp_path / "old").refits_ is None


@pytest.mark.parametrize("wrong", ["columns", "times", "falling", "one"])
def test_refits_that_do_not_fit_the_model_are_refused(wrong: str, tmp_path: Path) -> None:
    study = made_up(n=80, shape=(2, 3))
    fitted = fit_model("cox-ridge", study["X"], study["time"], study["event"], settings=QUICK, folds=3, repeats=1)
    kept = fitted.refits_
    assert kept is not None
    gradient, offset, hazard = kept.gradient, kept.offset, kept.hazard
    fitted.refits_ = {
        "columns": Refits(gradient[:, 1:], offset, hazard),
        "times": Refits(gradient, offset, hazard[:, 1:]),
        "falling": Refits(gradient, offset, hazard[:, ::-1]),
        "one": Refits(gradient[:1], offset[:1], hazard[:1]),
    }[wrong]
    fitted.save(tmp_path)
    with pytest.raises(SurvivalError, match=r"model\.json"):
        FittedModel.load(tmp_path)
