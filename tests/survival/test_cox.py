import numpy as np
import pandas as pd
import pytest
from sksurv.linear_model.coxph import BreslowEstimator

from survival.errors import FitCancelled, SurvivalError
from survival.metrics.concordance import harrell_c
from survival.models.cox_model import CoxModel, uno_horizon
from survival.models.penalty import PathSettings, Ticker, choose_penalty, paths_needed
from survival.outcome import patient_folds
from tests.survival.cohorts import load_cohort, made_up


def cosine(a, b):
    a, b = np.ravel(a), np.ravel(b)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_direction_and_the_hazard_are_recovered(small_study, fitted):
    """simulate -> fit -> gradient. Cosines with the truth at n = 240: measured 0.97 in the features' covariance
    (that is, between the two risks), 0.98 between patterns (covariance times gradient), 0.62 between bare gradients:
    along directions in which faces hardly differ, coefficients are mostly noise (Haufe et al. 2014)."""
    gradient, truth = fitted.log_hr_gradient(), small_study["truth"]
    assert gradient.shape == small_study["X"].shape[1:]
    covariance = np.cov(small_study["X"].reshape(240, -1).astype(float).T)
    root = np.linalg.cholesky(covariance + 1e-9 * np.eye(160))
    assert cosine(root.T @ gradient.ravel(), root.T @ truth.ravel()) > 0.95
    assert cosine(covariance @ gradient.ravel(), covariance @ truth.ravel()) > 0.95
    assert cosine(gradient, truth) > 0.5
    assert np.corrcoef(fitted.oof_log_hr_, small_study["lp"])[0, 1] > 0.85
    ceiling = harrell_c(small_study["time"], small_study["event"], small_study["lp"])
    assert (fitted.oof_c_.value - 0.5) / (ceiling - 0.5) > 0.85
    assert fitted.oof_c_.low < ceiling
    assert fitted.fold_cosine_ > 0.8
    assert fitted.calibration_slope_.low < 1 < fitted.calibration_slope_.high
    assert fitted.notes_ == ()


def test_the_bare_gradient_is_recovered_where_noise_directions_are_left_out(small_study):
    """The same study with as many components as it has factors: cosine 0.88 measured."""
    model = CoxModel("ridge", n_alphas=30, n_components=12)
    model.fit(small_study["X"], small_study["time"], small_study["event"])
    assert model.n_components_ == 12
    assert cosine(model.log_hr_gradient(), small_study["truth"]) > 0.85


def test_lp_is_the_gradient_times_the_code_at_any_place(small_study, fitted):
    gradient, x = fitted.log_hr_gradient(), small_study["X"].astype(float)
    lp = np.tensordot(x, gradient, axes=gradient.ndim)
    np.testing.assert_allclose(fitted.predict(x), lp - np.median(lp), atol=1e-12)
    assert np.median(fitted.predict(small_study["X"])) == pytest.approx(0, abs=1e-12)
    # a step s along gradient / |gradient|^2 changes the log hazard by exactly s
    step = np.log(2) * gradient / (gradient**2).sum()
    np.testing.assert_allclose(fitted.predict(x + step) - fitted.predict(x), np.log(2), atol=1e-10)
    assert fitted.predict(x[3]) == pytest.approx(fitted.predict(x)[3])


def test_out_of_fold_scores_have_not_seen_their_own_outcomes(small_study, fitted):
    """Changing the outcomes of one outer fold changes nothing in that fold's scores and quartiles."""
    fold = fitted.cohort_["fold"].to_numpy()
    held_out = fold == 2
    time, event = small_study["time"].copy(), small_study["event"].copy()
    # swapped among themselves with the events in place, so that the folds are dealt as before
    for kind in (True, False):
        rows = np.flatnonzero(held_out & (event == kind))
        time[rows] = time[rows[::-1]]
    again = CoxModel("ridge", n_alphas=30).fit(small_study["X"], time, event)
    np.testing.assert_array_equal(again.cohort_["fold"], fold)
    np.testing.assert_array_equal(again.oof_log_hr_[held_out], fitted.oof_log_hr_[held_out])
    np.testing.assert_array_equal(again.cohort_["quartile"][held_out], fitted.cohort_["quartile"][held_out])
    assert not np.allclose(again.oof_log_hr_[~held_out], fitted.oof_log_hr_[~held_out])


def test_shuffled_outcomes_give_a_concordance_about_one_half():
    study = made_up(n=150, shape=(60,))
    rng = np.random.default_rng(0)
    values = []
    for _ in range(6):
        order = rng.permutation(150)
        model = CoxModel("ridge", n_alphas=12, folds=3).fit(study["X"], study["time"][order], study["event"][order])
        values.append(model.oof_c_.value)
    assert abs(np.mean(values) - 0.5) < 0.05


def test_survival_of_new_codes(small_study, fitted):
    times, survival = fitted.predict_survival_function(small_study["X"][:20])
    assert times[0] == 0
    assert (survival[:, 0] == 1).all()
    assert (np.diff(survival, axis=1) <= 0).all()
    order = np.argsort(fitted.predict(small_study["X"][:20]))
    assert (np.diff(survival[order], axis=0) <= 0).all()
    at, values = fitted.predict_survival_function(small_study["X"][:20], [12, 24, 59.9, 60.1])
    assert list(at) == [12, 24, 59.9, 60.1]
    assert np.isnan(values[:, 3]).all()
    np.testing.assert_array_equal(values[:, 0], survival[:, np.flatnonzero(times <= 12)[-1]])


def test_baseline_is_breslows_on_out_of_fold_scores(small_study, fitted):
    theirs = BreslowEstimator().fit(fitted.oof_log_hr_, small_study["event"], small_study["time"])
    ours = fitted.baseline
    chf = theirs.cum_baseline_hazard_
    np.testing.assert_allclose(ours.cumulative_hazard, [chf(t) for t in ours.times], rtol=1e-9)
    # so on average as many events are predicted as were seen
    steps = np.concatenate([[0], ours.cumulative_hazard])[np.searchsorted(ours.times, small_study["time"], "right")]
    assert (np.exp(fitted.oof_log_hr_) * steps).sum() == pytest.approx(small_study["event"].sum())


def test_survival_stays_sensible_at_absurd_risks(fitted):
    _, survival = fitted.survival([-1000, 1000])
    assert np.isfinite(survival).all()
    assert (survival[0] == 1).all()
    assert survival[1, 0] == 1
    assert survival[1, -1] == 0
    for bad in ([-1], [np.nan]):
        with pytest.raises(SurvivalError):
            fitted.survival([0], bad)


def test_percentile_and_quartile_against_out_of_fold_scores(fitted):
    scores = fitted.cohort_["log_hr"].to_numpy()
    assert fitted.percentile(-99.0) == 0
    assert fitted.percentile(99.0) == 100
    assert fitted.percentile(float(np.median(scores))) == pytest.approx(50, abs=0.5)
    assert fitted.percentile(scores).mean() == pytest.approx(50)
    assert list(fitted.quartile([-99, fitted.cuts_[1], 99])) == [0, 2, 3]
    sizes = np.bincount(fitted.cohort_["quartile"], minlength=4)
    assert sizes.sum() == 240
    assert sizes.min() > 30  # cut-points come from other patients, so groups are only about equal


def test_several_photos_a_patient():
    study = made_up(n=120, shape=(50,))
    rng = np.random.default_rng(1)
    rows = rng.permutation(np.r_[np.arange(120), np.arange(40)])
    x = study["X"][rows] + 0.02 * rng.normal(size=(160, 50)).astype(np.float32)
    ids = np.array([f"p{i}" for i in rows])
    model = CoxModel("ridge", n_alphas=15, folds=3).fit(x, study["time"][rows], study["event"][rows], groups=ids)
    assert model.oof_log_hr_.shape == (160,)
    assert (model.n_patients_, model.oof_c_.n, len(model.cohort_)) == (120, 120, 120)
    # the patient's score is the mean of its photos' scores, all from one fold
    mean = pd.Series(model.oof_log_hr_).groupby(ids).mean()
    np.testing.assert_allclose(mean[model.cohort_["patient"]], model.cohort_["log_hr"], atol=1e-5)
    copies = CoxModel("ridge", n_alphas=15, folds=3).fit(
        np.repeat(study["X"], 2, axis=0), np.repeat(study["time"], 2), np.repeat(study["event"], 2), np.arange(240) // 2
    )
    once = CoxModel("ridge", n_alphas=15, folds=3).fit(study["X"], study["time"], study["event"])
    np.testing.assert_allclose(copies.log_hr_gradient(), once.log_hr_gradient(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("settings", [{"penalty": "lasso"}, {"penalty": "elastic-net", "choose_by": "harrell"}])
def test_other_penalties_on_real_data(settings):
    features, time, event = load_cohort("gbsg2")
    model = CoxModel(**settings, n_alphas=20, folds=4).fit(features.to_numpy(), time, event)
    assert 0.64 < model.oof_c_.value < 0.71  # R's coxph has 0.69 on its own training data
    assert len(model.alphas_) == len(model.path_) <= 20
    assert model.alpha_ in model.alphas_


def test_one_standard_error_rule_penalises_more(small_study):
    flat = small_study["X"].reshape(240, -1)
    fold = patient_folds(small_study["event"], 5, np.random.default_rng(0))
    chosen = []
    for rule in ("best", "1se"):
        settings = PathSettings(1e-3, None, 0.99, 20, 1e-5, "partial-likelihood", rule, 5)
        chosen.append(choose_penalty(flat, small_study["time"], small_study["event"], fold, settings, Ticker(6)))
    best, cautious = chosen
    assert cautious.alpha > best.alpha
    assert best.best == np.argmax(best.score)
    assert cautious.score[cautious.best] >= best.score[best.best] - best.score_se[best.best]


def test_features_that_tell_nothing_are_called_so():
    rng = np.random.default_rng(3)
    time, event = rng.exponential(size=100), rng.uniform(size=100) < 0.7
    model = CoxModel("lasso", n_alphas=8, folds=3).fit(rng.normal(size=(100, 30)), time, event)
    assert "tell nothing" in model.notes_[0]
    assert not model.log_hr_gradient().any()
    assert (model.predict(rng.normal(size=(5, 30))) == 0).all()
    assert model.percentile(0.0) == pytest.approx(50, abs=35)


def test_progress_and_cancel(small_study):
    seen = []
    model = CoxModel("ridge", n_alphas=8, folds=3)
    model.fit(small_study["X"], small_study["time"], small_study["event"], on_progress=lambda f, m: seen.append((f, m)))
    fractions = [f for f, _ in seen]
    assert len(seen) == paths_needed(3)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert {m for _, m in seen} == {f"Outer fold {k} of 3" for k in (1, 2, 3)} | {"Fitting the final model"}
    before = model.log_hr_gradient()
    with pytest.raises(FitCancelled):
        model.fit(small_study["X"] * 2, small_study["time"], small_study["event"], cancelled=lambda: True)
    np.testing.assert_array_equal(model.log_hr_gradient(), before)


def test_two_runs_give_the_same_numbers(small_study, fitted):
    again = CoxModel("ridge", n_alphas=30).fit(small_study["X"], small_study["time"], small_study["event"])
    np.testing.assert_array_equal(again.oof_log_hr_, fitted.oof_log_hr_)
    assert again.oof_c_ == fitted.oof_c_
    assert again.alpha_ == fitted.alpha_


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"penalty": "group"}, "no penalty called"),
        ({"choose_by": "aic"}, "no criterion called"),
        ({"rule": "2se"}, "no rule called"),
        ({"l1_ratio": 0}, "l1_ratio is 0"),
        ({"variance": 1.5}, "share of variance"),
        ({"n_components": 0}, "at least 1 component"),
        ({"folds": 1}, "2 folds"),
    ],
)
def test_settings_that_make_no_sense(settings, sentence):
    with pytest.raises(SurvivalError, match=sentence):
        CoxModel(**settings)


def test_data_that_cannot_carry_a_model(small_study):
    x, time, event = small_study["X"], small_study["time"], small_study["event"]
    few = event & (np.cumsum(event) <= 12)
    with pytest.raises(SurvivalError, match="only 12 events"):
        CoxModel().fit(x, time, few)
    with pytest.raises(SurvivalError, match="239 rows of features but 240 outcomes"):
        CoxModel().fit(x[:-1], time, event)
    with pytest.raises(SurvivalError, match="nothing to learn"):
        CoxModel(n_alphas=5).fit(np.ones_like(x), time, event)
    broken = x.copy()
    broken[7, 0, 0] = np.inf
    with pytest.raises(SurvivalError, match="Row 8"):
        CoxModel().fit(broken, time, event)


def test_codes_of_another_shape_are_refused(fitted):
    for shape in ((3, 4, 41), (3, 40, 4), (160,), (2, 160)):
        with pytest.raises(SurvivalError, match="shape"):
            fitted.predict(np.zeros(shape))
    with pytest.raises(SurvivalError, match="not been fitted"):
        CoxModel().predict(np.zeros((1, 3)))


def test_uno_horizon_leaves_a_tenth():
    assert uno_horizon(np.arange(1.0, 101)) in (90.0, 91.0)
