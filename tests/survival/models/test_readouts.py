"""Cox on readouts: linear in the codes, better than ridge where measurements hold the hazard, the same after saving."""

import numpy as np
import pandas as pd
import pytest

from survival.comparison.fit import fit_model
from survival.errors import SurvivalError
from survival.metrics.concordance import harrell_c
from survival.models import make_model
from survival.models.fitted import FittedModel
from survival.simulate import weibull_times

QUICK = {"n_alphas": 12, "folds": 3}


def cohort(n, seed=0):
    """(blocks, time, event, hazard): many large nuisances in the codes, and a small part that is also measured."""
    world, rng = np.random.default_rng(99), np.random.default_rng(seed)
    loadings = world.normal(size=(30, 60))
    factors = rng.normal(size=(n, 30)) * np.r_[np.full(27, 3.0), np.ones(3)]
    codes = factors @ loadings + 0.3 * rng.normal(size=(n, 60))
    measured = factors[:, 27:] + 0.2 * rng.normal(size=(n, 3))
    hazard = factors[:, 27] - 0.7 * factors[:, 28]
    time = weibull_times(hazard, 1.3, 30, rng)
    blocks = {"photo": codes.reshape(n, 6, 10).astype(np.float32), "colour": measured}
    return blocks, np.minimum(time, 60.0), time <= 60, hazard


@pytest.fixture(scope="module")
def fitted():
    blocks, time, event, _ = cohort(120)
    return make_model("cox-readouts", **QUICK).fit(blocks, time, event)


def test_it_predicts_better_than_ridge_on_the_codes(fitted):
    blocks, time, event, _ = cohort(120)
    ridge = make_model("cox-ridge", **QUICK).fit({"photo": blocks["photo"]}, time, event)
    new, later, seen, _ = cohort(400, seed=1)
    codes = {"photo": new["photo"]}
    assert harrell_c(later, seen, fitted.predict(codes)) > harrell_c(later, seen, ridge.predict(codes)) + 0.02


def test_it_needs_the_codes_alone_and_is_linear_in_them(fitted):
    new, *_ = cohort(50, seed=2)
    codes = new["photo"].astype(np.float64)
    gradient = fitted.log_hr_gradient()
    assert set(gradient) == {"photo"}
    assert gradient["photo"].shape == (6, 10)
    step = np.random.default_rng(0).normal(size=(6, 10))
    moved = fitted.predict({"photo": codes + step}) - fitted.predict({"photo": codes})
    np.testing.assert_allclose(moved, (gradient["photo"] * step).sum(), atol=1e-9)
    assert fitted.hazard().encoding.shapes == {"photo": (6, 10)}
    np.testing.assert_allclose(fitted.hazard().predict({"photo": codes}), fitted.predict({"photo": codes}))
    blocks, time, event, _ = cohort(120)
    assert np.median(fitted.predict({"photo": blocks["photo"]})) == pytest.approx(0, abs=1e-6)
    df = fitted.effective_parameters(blocks, time, event)
    assert 0 < df[fitted.path_.best] < 3.5


def test_a_fit_to_all_is_saved_and_needs_codes_alone(tmp_path):
    blocks, time, event, _ = cohort(120)
    model = fit_model("cox-readouts", blocks, time, event, settings=QUICK, folds=3, repeats=1, samples=30)
    assert model.blocks == ("photo",)
    assert model.oof_c_.value > 0.62
    model.save(tmp_path)
    again = FittedModel.load(tmp_path)
    np.testing.assert_array_equal(again.predict(blocks["photo"]), model.predict(blocks["photo"]))


def test_missing_measurements_delayed_entry_and_strata():
    blocks, time, event, _ = cohort(150)
    gaps = blocks["colour"].copy()
    gaps[::5] = np.nan
    with_gaps = make_model("cox-readouts", **QUICK).fit({**blocks, "colour": gaps}, time, event)
    assert harrell_c(time, event, with_gaps.predict({"photo": blocks["photo"]})) > 0.7
    site = pd.DataFrame({"site": np.where(np.arange(150) % 2, "a", "b")})
    stratified = make_model("cox-readouts", strata="site", n_alphas=6, folds=3)
    stratified.fit({**blocks, "strata": site}, time, event, entry=time * 0.2)
    assert np.isfinite(stratified.predict({"photo": blocks["photo"], "strata": site})).all()
    with pytest.raises(SurvivalError, match="needs the block photo and measurements"):
        make_model("cox-readouts").fit({"photo": blocks["photo"]}, time, event)
