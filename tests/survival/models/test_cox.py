import numpy as np
import pytest
from sksurv.linear_model.coxph import BreslowEstimator

from survival.comparison.fit import fit_model
from survival.errors import FitCancelled, SurvivalError
from survival.metrics.concordance import harrell_c
from survival.models import make_model
from survival.models.penalty import PATH_COLUMNS, PathSettings, choose_penalty
from survival.outcome import patient_folds
from tests.survival.cohorts import load_cohort, made_up


def fit(x, time, event, folds=5, **settings):
    """Ridge Cox on one set of folds."""
    return fit_model("cox-ridge", x, time, event, settings={"folds": folds, **settings}, folds=folds, repeats=1)


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
    model = fit(small_study["X"], small_study["time"], small_study["event"], n_alphas=30, n_components=12)
    assert model.path_.components == 12
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
    # swapped among themselves with the events in place, so that the same folds are drawn
    for kind in (True, False):
        rows = np.flatnonzero(held_out & (event == kind))
        time[rows] = time[rows[::-1]]
    again = fit(small_study["X"], time, event, n_alphas=30)
    np.testing.assert_array_equal(again.cohort_["fold"], fold)
    np.testing.assert_array_equal(again.oof_log_hr_[held_out], fitted.oof_log_hr_[held_out])
    np.testing.assert_array_equal(again.cohort_["quartile"][held_out], fitted.cohort_["quartile"][held_out])
    assert not np.allclose(again.oof_log_hr_[~held_out], fitted.oof_log_hr_[~held_out])


@pytest.mark.slow
def test_shuffled_outcomes_give_a_concordance_about_one_half():
    study = made_up(n=150, shape=(60,))
    rng = np.random.default_rng(0)
    values = []
    for _ in range(6):
        order = rng.permutation(150)
        model = fit(study["X"], study["time"][order], study["event"][order], n_alphas=12, folds=3)
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


def test_baseline_is_breslows_on_inner_out_of_fold_scores(small_study):
    model = make_model("cox-ridge", n_alphas=30).fit(small_study["X"], small_study["time"], small_study["event"])
    scores = model.out_of_fold_
    theirs = BreslowEstimator().fit(scores, small_study["event"], small_study["time"])
    ours = model.baseline
    chf = theirs.cum_baseline_hazard_
    np.testing.assert_allclose(ours.cumulative_hazard, [chf(t) for t in ours.times], rtol=1e-9)
    # so on average as many events are predicted as were seen
    steps = np.concatenate([[0], ours.cumulative_hazard])[np.searchsorted(ours.times, small_study["time"], "right")]
    assert (np.exp(scores) * steps).sum() == pytest.approx(small_study["event"].sum())


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


@pytest.mark.parametrize("settings", [{"penalty": "lasso"}, {"penalty": "elastic-net"}])
def test_other_penalties_on_real_data(settings):
    features, time, event = load_cohort("gbsg2")
    model = fit(features.to_numpy(), time, event, **settings, n_alphas=20, folds=4)
    assert 0.64 < model.oof_c_.value < 0.71  # R's coxph has 0.69 on its training data
    assert list(model.path_.table.columns) == list(PATH_COLUMNS)
    assert len(model.path_.table) <= 20
    assert model.path_.alpha in model.path_.table["alpha"].to_numpy()


def test_one_standard_error_rule_penalises_more(small_study):
    flat = small_study["X"].reshape(240, -1)
    fold = patient_folds(small_study["event"], 5, np.random.default_rng(0))
    chosen = []
    for rule in ("best", "1se"):
        settings = PathSettings(1e-3, None, 0.99, 20, 1e-5, rule)
        chosen.append(choose_penalty(flat, small_study["time"], small_study["event"], fold, settings).search)
    best, cautious = chosen
    assert cautious.alpha > best.alpha
    score = best.table["score"]
    assert best.best == np.argmax(score)
    assert cautious.table["score"][cautious.best] >= score[best.best] - best.table["score_se"][best.best]


def test_features_that_predict_nothing_give_the_null_model():
    rng = np.random.default_rng(3)
    time, event = rng.exponential(size=100), rng.uniform(size=100) < 0.7
    model = fit(rng.normal(size=(100, 30)), time, event, penalty="lasso", n_alphas=8, folds=3)
    assert "No penalty predicts better" in model.notes_[0]
    assert not model.log_hr_gradient().any()
    assert (model.predict(rng.normal(size=(5, 30))) == 0).all()
    assert model.percentile(0.0) == pytest.approx(50, abs=35)


def test_progress_and_cancel(small_study):
    data, seen = (small_study["X"], small_study["time"], small_study["event"]), []
    settings = {"n_alphas": 8, "folds": 3}
    fit_model("cox-ridge", *data, settings=settings, folds=3, repeats=2, on_progress=lambda *p: seen.append(p[:2]))
    assert seen == [(done, 6) for done in range(7)]
    with pytest.raises(FitCancelled):
        fit_model("cox-ridge", *data, settings=settings, folds=3, cancelled=lambda: True)


def test_figures_are_means_over_the_repeats_and_scores_are_of_the_first(small_study):
    x, time, event = small_study["X"], small_study["time"], small_study["event"]
    settings = {"n_alphas": 8, "folds": 3}
    both, first = (
        fit_model("cox-ridge", x, time, event, settings=settings, folds=3, repeats=r, samples=30) for r in (2, 1)
    )
    np.testing.assert_array_equal(both.oof_log_hr_, first.oof_log_hr_)
    assert both.calibration_slope_ == first.calibration_slope_
    assert both.fold_cosine_ == first.fold_cosine_
    assert first.oof_c_.value == harrell_c(time, event, first.oof_log_hr_)
    assert both.oof_c_.value != first.oof_c_.value
    assert both.oof_c_.value == pytest.approx(first.oof_c_.value, abs=0.03)


def test_two_runs_give_the_same_numbers(small_study, fitted):
    again = fit(small_study["X"], small_study["time"], small_study["event"], n_alphas=30)
    np.testing.assert_array_equal(again.oof_log_hr_, fitted.oof_log_hr_)
    assert again.oof_c_ == fitted.oof_c_
    assert again.path_.alpha == fitted.path_.alpha
    assert again.fold_cosine_ == fitted.fold_cosine_


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"penalty": "group"}, "no penalty called"),
        ({"rule": "2se"}, "no rule called"),
        ({"variance": 1.5}, "share of variance"),
        ({"n_components": 0}, "at least 1 component"),
        ({"folds": 1}, "2 folds"),
    ],
)
def test_settings_that_make_no_sense(settings, sentence):
    with pytest.raises(SurvivalError, match=sentence):
        make_model("cox-ridge", **settings)


def test_data_that_cannot_carry_a_model(small_study):
    x, time, event = small_study["X"], small_study["time"], small_study["event"]
    few = event & (np.cumsum(event) <= 12)
    with pytest.raises(SurvivalError, match="only 12 events"):
        fit(x, time, few)
    with pytest.raises(SurvivalError, match="239 rows of features but 240 outcomes"):
        fit(x[:-1], time, event)
    with pytest.raises(SurvivalError, match="nothing to learn"):
        fit(np.ones_like(x), time, event, n_alphas=5)
    broken = x.copy()
    broken[7, 0, 0] = np.inf
    with pytest.raises(SurvivalError, match="not finite"):
        fit(broken, time, event)


def test_codes_of_another_shape_are_refused(fitted):
    for shape in ((3, 4, 41), (3, 40, 4), (160,), (2, 160)):
        with pytest.raises(SurvivalError, match="shape"):
            fitted.predict(np.zeros(shape))
