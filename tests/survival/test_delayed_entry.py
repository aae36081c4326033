"""Late entries and strata through the whole way of a model: fit, folds, figures, files."""

import numpy as np
import pandas as pd
import pytest

from survival.comparison.crossval import Candidate, cross_validate, draw_folds
from survival.comparison.evaluate import HARRELL, evaluate
from survival.comparison.fit import fit_model
from survival.comparison.subgroups import subgroup_table
from survival.cox_regression.regression import cox_regression
from survival.cox_regression.risk_sets import AtRisk
from survival.curves import kaplan_meier, quartile_curves
from survival.errors import SurvivalError
from survival.metrics.calibration import calibration_slope
from survival.metrics.concordance import harrell_c, harrell_resampled
from survival.metrics.hazard_ratios import hazard_ratios
from survival.metrics.pairs import harrell_columns, harrell_pairs
from survival.models import make_model
from survival.models.fitted import FittedModel
from survival.outcome import check_outcome

SITE_HAZARD = np.array([0.0, 1.5, -1.0])


def truncated(n: int = 400, seed: int = 0) -> dict:
    """A population in which late comers are only seen if they live until they come; the frail among them are missing.

    x (n, 6), of which the first tells the hazard; site, whose baselines differ and whose x do as well.
    """
    rng = np.random.default_rng(seed)
    size = 4 * n
    site = rng.integers(0, 3, size)
    x = rng.normal(size=(size, 6))
    x[:, 0] += SITE_HAZARD[site] / 2
    end = 20 * rng.exponential(size=size) / np.exp(x[:, 0] + SITE_HAZARD[site])
    entry = np.where(rng.random(size) < 0.7, rng.uniform(0, 25, size), 0.0)
    stop = np.minimum(end, entry + rng.uniform(3, 40, size))
    seen = np.flatnonzero(entry < stop)[:n]
    return {
        "x": x[seen],
        "site": np.array(["a", "b", "c"])[site[seen]],
        "time": stop[seen],
        "event": (end <= stop)[seen],
        "entry": entry[seen],
    }


@pytest.fixture(scope="module")
def late() -> dict:
    return truncated()


@pytest.mark.slow
@pytest.mark.parametrize("model", ["cox-ridge", "cox-lasso", "cox"])
def test_a_cox_model_takes_entries_and_strata(late, model):
    blocks = {"clinical": pd.DataFrame(late["x"], columns=list("pqrstu")).assign(site=late["site"])}
    settings = {} if model == "cox" else {"folds": 4, "n_alphas": 12}
    made = make_model(model, strata="site", **settings)
    fitted = made.fit(blocks, late["time"], late["event"], entry=late["entry"])
    plain = cox_regression(late["x"], late["time"], late["event"], strata=late["site"], entry=late["entry"])
    score = late["x"] @ plain.coef
    assert np.corrcoef(fitted.predict(blocks), score)[0, 1] > 0.98
    ignored = make_model(model, **settings).fit({"x": late["x"]}, late["time"], late["event"])
    biased = abs(ignored.log_hr_gradient()["x"][0] - plain.coef[0])
    assert abs(fitted.log_hr_gradient()["clinical"][0] - plain.coef[0]) < (1e-8 if model == "cox" else biased)
    _, survival = fitted.predict_survival_function(blocks, [2.0, 5.0])
    assert survival.shape == (len(score), 2)
    same = np.median(late["x"], axis=0)
    rows = pd.DataFrame(np.tile(same, (3, 1)), columns=list("pqrstu")).assign(site=["a", "b", "c"])
    low, high, safe = fitted.predict_survival_function({"clinical": rows}, [2.0])[1][:, 0]
    assert high < low < safe, "each site has its own baseline"
    with pytest.raises(SurvivalError, match="stratified Cox model"):
        fitted.hazard()


@pytest.mark.parametrize("model", ["forest", "boosting", "svm", "deepsurv"])
def test_a_model_that_cannot_take_entries_refuses_them(late, model):
    with pytest.raises(SurvivalError, match="cannot handle delayed entry"):
        make_model(model).fit(late["x"], late["time"], late["event"], entry=late["entry"])


def test_concordance_of_bootstrap_weights_is_that_of_repeated_rows(late):
    time, event, entry = (late[key][:80] for key in ("time", "event", "entry"))
    risk = np.round(late["x"][:80, 0], 1)
    rng = np.random.default_rng(1)
    weight = rng.multinomial(80, np.full(80, 1 / 80), size=5).T.astype(float)
    concordant, comparable = harrell_pairs(time, event, risk, weight, entry)
    for b in range(5):
        rows = np.repeat(np.arange(80), weight[:, b].astype(int))
        known = harrell_columns(time[rows], event[rows], risk[rows, None], AtRisk(entry[rows]))[0]
        assert concordant[b] / comparable[b] == pytest.approx(known, abs=1e-12)
    assert harrell_resampled(time, event, risk, weight, entry).samples[1] == concordant[2] / comparable[2]


@pytest.mark.slow
def test_a_comparison_counts_everyone_from_entry_on(late, tmp_path):
    fold = draw_folds(check_outcome(late["time"], late["event"]), 3, 1)
    candidates = [
        Candidate("cox", "cox", ("x",)),
        Candidate("ridge", "cox-ridge", ("x",), {"folds": 3, "n_alphas": 8}),
        Candidate("null", "kaplan-meier", ("x",)),
        Candidate("random", "random-direction", ("x",)),
        Candidate("fusion", "late-fusion", ("x", "y"), {"folds": 3, "members": None}),
        Candidate("forest", "forest", ("x",)),
    ]
    blocks = {"x": late["x"][:, :3], "y": late["x"][:, 3:]}
    work = {"cache": tmp_path, "entry": late["entry"]}
    found = cross_validate(candidates, blocks, late["time"], late["event"], np.array([2.0, 5.0]), fold, **work)
    assert list(found.failed) == ["forest"]
    train = fold[0] != 0
    curve = kaplan_meier(late["time"][train], late["event"][train], late["entry"][train])
    np.testing.assert_allclose(found.null[0, fold[0] == 0], np.tile(curve.at([2.0, 5.0]), ((fold[0] == 0).sum(), 1)))
    by_hand = cox_regression(
        blocks["x"][train], late["time"][train], late["event"][train], entry=late["entry"][train]
    ).coef
    own = found.scores["cox"].log_risk[0, ~train]
    expected = blocks["x"][~train] @ by_hand
    np.testing.assert_allclose(own - own.mean(), expected - expected.mean(), atol=1e-8)
    measured = evaluate(found, (2.0,), samples=60)
    assert set(measured.measures["cox"]) == {HARRELL}, "the others need everyone from time 0"
    assert not measured.calibrations
    risk = found.scores["cox"].log_risk[0]
    c = harrell_c(late["time"], late["event"], risk, late["entry"])
    assert measured.measures["cox"][HARRELL].value == pytest.approx(c, abs=1e-12)
    assert measured.slopes["cox"] == calibration_slope(late["time"], late["event"], risk, late["entry"])
    table = subgroup_table(found, pd.DataFrame({"site": late["site"]}), (2.0,), samples=30)
    assert set(table["measure"]) == {HARRELL, "Cox slope"}
    again = cross_validate(
        candidates[:1], blocks, late["time"], late["event"], np.array([2.0, 5.0]), fold, cache=tmp_path
    )
    assert not np.allclose(again.scores["cox"].log_risk, found.scores["cox"].log_risk), "another question, another job"
    ratios, _ = hazard_ratios(risk, found.scores["cox"].quartile[0], late["time"], late["event"], None, late["entry"])
    score = (risk - risk.mean()) / risk.std()
    fit = cox_regression(score, late["time"], late["event"], entry=late["entry"])
    assert ratios["hr"].iloc[0] == pytest.approx(np.exp(fit.coef[0]))


@pytest.mark.slow
def test_the_photo_model_takes_entries_and_keeps_them_in_its_file(late, tmp_path):
    settings = {"folds": 3, "n_alphas": 8}
    data = (late["x"], late["time"], late["event"])
    model = fit_model("cox-ridge", *data, entry=late["entry"], settings=settings, folds=3, repeats=1)
    cohort = model.cohort_
    np.testing.assert_array_equal(cohort["entry"], late["entry"])
    c = harrell_c(late["time"], late["event"], cohort["log_hr"], late["entry"])
    assert model.oof_c_.value == pytest.approx(c, abs=1e-12)
    assert np.isnan(model.oof_uno_.value)
    fit = cox_regression(cohort["log_hr"], late["time"], late["event"], ties="breslow", entry=late["entry"])
    assert model.calibration_slope_.value == pytest.approx(fit.coef[0], rel=1e-6)
    model.save(tmp_path / "late")
    loaded = FittedModel.load(tmp_path / "late")
    pd.testing.assert_frame_equal(loaded.cohort_, cohort)
    curves = quartile_curves(*(cohort[key] for key in ("time", "event", "quartile", "entry")))
    assert all(curve.entry is not None for curve in curves.values())
