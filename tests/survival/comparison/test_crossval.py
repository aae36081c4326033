"""Comparisons of models: honest, paired, resumable, the same on one process and on several."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from survival.comparison.crossval import (
    Candidate,
    cross_validate,
    draw_folds,
    draw_folds_and_times,
    external_test,
    mean_cosine,
)
from survival.comparison.evaluate import HARRELL, SCALED_IBS, added_value, evaluate
from survival.comparison.optimism import bootstrap_optimism
from survival.curves import kaplan_meier
from survival.errors import FitCancelled, SurvivalError
from survival.metrics.bootstrap import sample_weights
from survival.metrics.concordance import harrell_c, harrell_resampled
from survival.metrics.probability import evaluation_times
from survival.models import make_model
from survival.outcome import check_outcome
from tests.survival.cohorts import made_up, uno_c

QUICK = {"n_alphas": 10, "folds": 3}


@pytest.fixture(scope="module")
def study():
    made = made_up(n=150, shape=(2, 5))
    clinical = pd.DataFrame(
        {"noise": np.random.default_rng(0).normal(size=150), "site": np.where(np.arange(150) % 3 == 0, "a", "b")}
    )
    return {"X": {"photo": made["X"], "clinical": clinical}, "time": made["time"], "event": made["event"]}


@pytest.fixture(scope="module")
def plan(study):
    fold = draw_folds(check_outcome(study["time"], study["event"]), 3, 2, seed=1)
    return {"fold": fold, "times": evaluation_times(study["time"], study["event"], fold, n=5)}


CANDIDATES = (
    Candidate("photo", "cox-ridge", ("photo",), QUICK),
    Candidate("clinical", "cox", ("clinical",)),
    Candidate("null", "kaplan-meier", ("clinical",)),
)


@pytest.fixture(scope="module")
def comparison(study, plan):
    return cross_validate(CANDIDATES, **study, **plan)


def test_every_score_is_of_a_model_fitted_to_the_other_folds(study, plan, comparison):
    assert not comparison.failed
    gradients = {}
    for r in range(2):
        for k in range(3):
            train, test = plan["fold"][r] != k, plan["fold"][r] == k
            model = make_model("cox-ridge", **QUICK)
            model.fit({"photo": study["X"]["photo"][train]}, study["time"][train], study["event"][train])
            new = {"photo": study["X"]["photo"][test]}
            np.testing.assert_array_equal(comparison.scores["photo"].log_risk[r, test], model.predict(new))
            survival = model.predict_survival_function(new, plan["times"])[1]
            np.testing.assert_array_equal(comparison.scores["photo"].survival[r, test], survival)
            cuts = np.percentile(model.out_of_fold_, [25, 50, 75])
            quartile = np.searchsorted(cuts, model.predict(new), side="right")
            np.testing.assert_array_equal(comparison.scores["photo"].quartile[r, test], quartile)
            null = kaplan_meier(study["time"][train], study["event"][train]).at(plan["times"])
            np.testing.assert_array_equal(comparison.null[r, test], np.tile(null, (test.sum(), 1)))
            gradients[r, k] = model.log_hr_gradient()["photo"].ravel()
    cosines = [np.corrcoef(gradients[0, a], gradients[0, b])[0, 1] for a, b in ((0, 1), (0, 2), (1, 2))]
    assert comparison.scores["photo"].fold_cosine == pytest.approx(np.mean(cosines), abs=0.05)
    assert comparison.scores["photo"].fold_cosine == pytest.approx(mean_cosine([gradients[0, k] for k in range(3)]))
    assert np.isnan(comparison.scores["null"].fold_cosine)
    np.testing.assert_array_equal(comparison.scores["null"].survival, comparison.null)
    assert (comparison.scores["null"].quartile == -1).all()
    assert set(np.unique(comparison.scores["clinical"].quartile)) == {0, 1, 2, 3}


def test_a_patients_outcome_does_not_reach_its_score(study, plan, comparison):
    time = study["time"].copy()
    held_out = plan["fold"][0] == 1
    for kind in (True, False):
        rows = np.flatnonzero(held_out & (study["event"] == kind))
        time[rows] = time[rows[::-1]]
    again = cross_validate(CANDIDATES[:1], study["X"], time, study["event"], plan["times"], plan["fold"][:1])
    ours = comparison.scores["photo"].log_risk[0]
    np.testing.assert_array_equal(again.scores["photo"].log_risk[0, held_out], ours[held_out])
    assert not np.allclose(again.scores["photo"].log_risk[0, ~held_out], ours[~held_out])


def test_a_stopped_comparison_resumes(study, plan, comparison, tmp_path):
    seen = []

    def stop():
        return len(seen) > 4

    with pytest.raises(FitCancelled, match="finished folds are kept"):
        cross_validate(
            CANDIDATES, **study, **plan, cache=tmp_path, on_progress=lambda *p: seen.append(p), cancelled=stop
        )
    kept = len(list(tmp_path.glob("*.npz")))
    assert 0 < kept < 18
    again = []
    resumed = cross_validate(CANDIDATES, **study, **plan, cache=tmp_path, on_progress=lambda *p: again.append(p))
    assert again[0][:2] == (kept, 18)
    assert [p[0] for p in again] == list(range(kept, 19))
    assert again[-1] == (18, 18, 0.0)
    assert all(p[2] is None or p[2] >= 0 for p in again)
    assert not list(tmp_path.glob("*.tmp"))
    for name, scores in comparison.scores.items():
        np.testing.assert_array_equal(resumed.scores[name].log_risk, scores.log_risk)
        np.testing.assert_array_equal(resumed.scores[name].survival, scores.survival)
    for path in list(tmp_path.glob("*.npz"))[:2]:  # damaged files are done again
        path.write_bytes(path.read_bytes()[:-40])
    third = []
    cross_validate(CANDIDATES, **study, **plan, cache=tmp_path, on_progress=lambda *p: third.append(p))
    assert third[0][0] == 16


def test_the_cache_knows_data_settings_and_times(study, plan, tmp_path):
    one = CANDIDATES[2:]

    def found(**change):
        seen = []
        given = {**study, **plan, "candidates": one, **change}
        cross_validate(**given, cache=tmp_path, on_progress=lambda *p: seen.append(p[0]))
        return seen[0]

    assert found() == 0
    assert found() == 6
    later = study["time"].copy()
    later[0] += 0.25
    assert found(time=later) == 0
    assert found(times=plan["times"][:3]) == 0
    other = {**study["X"], "clinical": study["X"]["clinical"].assign(noise=lambda t: t["noise"] + 1e-12)}
    assert found(X=other) == 0
    assert found(candidates=[replace(one[0], model="cox")]) == 0
    assert found() == 6


@pytest.mark.slow
def test_several_processes_give_what_one_gives(study, plan, comparison, tmp_path):
    two = cross_validate(CANDIDATES[:2], **study, **plan, workers=2, cache=tmp_path)
    for name in ("photo", "clinical"):
        np.testing.assert_allclose(two.scores[name].log_risk, comparison.scores[name].log_risk, atol=1e-10)
    with pytest.raises(FitCancelled):
        cross_validate(CANDIDATES[:2], **study, **plan, workers=2, cancelled=lambda: True)


def test_a_model_that_cannot_be_fitted_fails_alone(study, plan):
    wide = Candidate("wide", "cox", ("photo",))
    broken = {**study["X"], "photo": np.repeat(study["X"]["photo"], 12, axis=2)}
    found = cross_validate([wide, CANDIDATES[1]], broken, study["time"], study["event"], **plan)
    assert "use a penalised Cox" in found.failed["wide"]
    assert set(found.scores) == {"clinical"}
    with pytest.raises(SurvivalError, match="use a penalised"):
        evaluate(found, (plan["times"][2],), samples=20).difference("wide", "clinical")


@pytest.mark.slow
def test_figures_are_those_of_the_metrics_and_differences_are_paired(study, comparison, plan):
    horizon = float(plan["times"][2])
    found = evaluate(comparison, (horizon,), samples=60, seed=4)
    time, event = study["time"], study["event"]
    risks = comparison.scores["photo"].log_risk
    figure = found.measures["photo"][HARRELL]
    assert figure.value == pytest.approx(np.mean([harrell_c(time, event, r) for r in risks]))
    uno = np.mean([uno_c(time, event, r, tau=plan["times"][-1]) for r in risks])
    assert found.measures["photo"]["Uno C"].value == pytest.approx(uno)
    one = cross_validate(CANDIDATES[:1], **study, times=plan["times"], fold=plan["fold"][:1])
    single = evaluate(one, (horizon,), samples=60, seed=4, calibrate=False).measures["photo"][HARRELL].estimate()
    assert single == harrell_resampled(time, event, risks[0], sample_weights(150, 60, 4)).estimate()
    difference = found.difference("photo", "clinical")
    assert difference.value == pytest.approx(figure.value - found.measures["clinical"][HARRELL].value)
    assert difference.low > 0.05
    assert found.measures["null"][SCALED_IBS].value == 0
    assert found.measures["null"][f"AUC({horizon:g})"].value == 0.5
    assert found.measures["photo"][SCALED_IBS].estimate().low > 0
    assert found.difference("photo", "null", "IBS").high < 0
    table = found.table()
    assert set(table["measure"]) == {HARRELL, "Uno C", f"AUC({horizon:g})", f"Brier({horizon:g})", "IBS", SCALED_IBS}
    assert found.calibrations["photo"][0].estimates()["ici"].value < 0.15
    assert found.slopes["photo"].low < 1.3
    assert added_value(comparison, "clinical", "photo").p < 1e-6
    assert added_value(comparison, "photo", "clinical").p > 0.01
    with pytest.raises(SurvivalError, match="among the times"):
        evaluate(comparison, (horizon + 1,))
    with pytest.raises(SurvivalError, match="no candidate"):
        found.difference("photo", "x")


def test_missing_values_are_refused_or_filled_in(study, plan):
    holes = study["X"]["clinical"].copy()
    holes.loc[[2, 90], "noise"] = np.nan
    X = {**study["X"], "clinical": holes}
    filled, both = {**QUICK, "missing": "indicator"}, ("photo", "clinical")
    members = {block: {"blocks": block, "model": "cox-ridge", "settings": filled} for block in both}
    candidates = [
        Candidate("late", "late-fusion", both, {"members": members}),
        Candidate("early", "cox-ridge", both, filled),
        Candidate("strict", "cox-ridge", ("clinical",), QUICK),
    ]
    found = cross_validate(candidates, X, study["time"], study["event"], plan["times"], plan["fold"][:1])
    assert "noise is missing in row" in found.failed["strict"]
    for name in ("late", "early"):
        assert harrell_c(study["time"], study["event"], found.scores[name].log_risk[0]) > 0.65
        assert any("noise is missing for" in note for note in found.scores[name].notes)


def test_an_external_set_is_scored_by_models_of_the_cohort(study, plan):
    first = {k: v[:100] for k, v in study["X"].items()}
    second = {k: v[100:] for k, v in study["X"].items()}
    t, e = study["time"], study["event"]
    times = np.linspace(3, 20, 4)
    found = external_test(CANDIDATES[:1], first, t[:100], e[:100], second, t[100:], e[100:], times)
    model = make_model("cox-ridge", **QUICK).fit({"photo": first["photo"]}, t[:100], e[:100])
    np.testing.assert_array_equal(found.scores["photo"].log_risk[0], model.predict({"photo": second["photo"]}))
    assert found.time.shape == (50,)
    assert evaluate(found, (times[1],), samples=40, calibrate=False).measures["photo"][HARRELL].value > 0.65
    with pytest.raises(SurvivalError, match="different blocks"):
        external_test(CANDIDATES[:1], first, t[:100], e[:100], {"photo": second["photo"]}, t[100:], e[100:], times)


def test_bootstrap_optimism_takes_off_what_fitting_adds():
    rng = np.random.default_rng(0)
    x, time = rng.normal(size=(80, 12)), rng.exponential(size=80)
    event = rng.uniform(size=80) < 0.8
    seen = []
    found = bootstrap_optimism("cox", {}, x, time, event, samples=25, on_progress=lambda *p: seen.append(p))
    assert found.apparent > 0.6  # on features that tell nothing
    assert abs(found.corrected - 0.5) < 0.06
    assert seen[-1] == (25, 25)
    with pytest.raises(FitCancelled):
        bootstrap_optimism("cox", {}, x, time, event, samples=5, cancelled=lambda: True)


def test_folds_are_drawn_by_seed_and_repeat_alone(study):
    outcome = check_outcome(study["time"], study["event"])
    three, one = draw_folds(outcome, 5, 3, seed=7), draw_folds(outcome, 5, 1, seed=7)
    np.testing.assert_array_equal(three[:1], one)
    assert (three[0] != three[1]).any()
    for r in range(3):
        sizes = np.bincount(three[r])
        assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"candidates": []}, "at least one candidate"),
        ({"candidates": [CANDIDATES[0], CANDIDATES[0]]}, "each with a different name"),
        ({"candidates": [Candidate("x", "cox-ridge", ("mri",))]}, "needs the block mri"),
        ({"candidates": [Candidate("x", "tree", ("photo",))]}, "no model called"),
        ({"times": np.array([1.0, 1e5])}, "shortest follow-up"),
        ({"fold": np.zeros((2, 3))}, "folds have shape"),
    ],
)
def test_comparisons_that_make_no_sense(study, plan, change, sentence):
    with pytest.raises(SurvivalError, match=sentence):
        cross_validate(**{"candidates": CANDIDATES, **study, **plan, **change})


def test_folds_that_cannot_be_compared_name_how_many_can():
    """Of few events a fold may hold only late ones: the page has to say so before the start, not the job after it."""
    rng = np.random.default_rng(0)
    event = np.arange(90) < 16
    outcome = check_outcome(np.where(event, rng.exponential(20, 90), 60.0) + rng.random(90) / 9, event)
    with pytest.raises(SurvivalError, match=r"16 events.*use 3 folds") as refused:
        draw_folds_and_times(outcome, 4, 3)
    assert "drawn 3 times" in str(refused.value)
    fold, times = draw_folds_and_times(outcome, 3, 3)
    assert fold.shape == (3, 90)
    assert (np.diff(times) > 0).all()
