"""A comparison from a study to its result: same patients for all, resumed, stale, refused in sentences."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from study.__main__ import main
from study.comparison import run as running
from study.comparison.candidates import candidates_of
from study.comparison.choose import why_not_chosen
from study.comparison.command import add_arguments, arguments_of, plan_of
from study.comparison.features import STRATIFIED, available_sets, gather
from study.comparison.measuring.added_value import wrong_way
from study.comparison.measuring.duration import expected_seconds, measured_here, seconds_here
from study.comparison.plan import Plan
from study.comparison.provenance import stale_reasons
from study.comparison.record import MODEL, Comparison, read_comparison
from study.comparison.run import PARTS, QUIET, Reporter, compare
from study.disk.exclusions import exclude, include
from study.disk.latents import read_latents
from study.disk.store import Study
from study.errors import StudyError
from study.files import csv_text, write_text
from study.tables.covariates import compared_with
from survival.comparison.subgroups import ALL
from survival.errors import FitCancelled
from survival.metrics.concordance import harrell_c
from tests.latents_file import write_latents
from tests.study.conftest import make_cohort, patient_table, write_study

pytestmark = pytest.mark.slow
SETS = ("age-sex", "clinical", "photo", "photo-clinical-late")
QUICK = Plan(SETS, folds=3, repeats=1, samples=40, shuffles=2, penalties=8)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_cohort(tmp_path_factory.mktemp("compared") / "cohort", n=150, shape=(3, 4))[0]


@pytest.fixture(scope="module")
def result(study: Study) -> Comparison:
    return compare(study, QUICK, "quick")


def test_the_result_holds_all_that_page_and_report_show(study: Study, result: Comparison) -> None:
    read = read_comparison(study.path, "quick")
    assert [c.name for c in read.models] == [
        "age-sex / cox",
        "clinical / cox",
        "clinical / cox-ridge",
        "photo / cox-ridge",
        "photo-clinical-late / cox-ridge",
    ]
    assert [c.name for c in read.candidates if c.role == "control"] == ["kaplan-meier", "shuffled", "random-direction"]
    assert not read.scores.failed
    assert set(read.tables["figures"]["candidate"]) == {c.name for c in read.candidates}
    for name, table in read.tables.items():
        assert len(table), name
    photo, risk = "photo / cox-ridge", read.scores.scores["photo / cox-ridge"].log_risk[0]
    assert read.estimate(photo).value == pytest.approx(harrell_c(read.scores.time, read.scores.event, risk), rel=1e-6)
    assert read.estimate(photo).value > 0.7
    assert read.difference(photo, "age-sex / cox").low > 0
    pd.testing.assert_frame_equal(read.tables["paths"], result.tables["paths"], rtol=1e-6)
    assert list(read.patients["patient_id"]) == list(study.patients["patient_id"])
    path = read.tables["paths"]
    own = path[path["candidate"] == photo]
    assert own["chosen"].sum() == 1
    assert (np.diff(own["effective"]) > 0).all()
    assert own["effective"].iloc[-1] <= 12
    share = read.tables["truth"].set_index("measure").loc["share recovered", "value"]
    assert 0.5 < share <= 1.01


def test_levels_without_a_coefficient_are_named_as_what_the_others_are_compared_with(result: Comparison) -> None:
    table = result.tables["coefficients"]
    names = set(table.loc[table["candidate"] == "clinical / cox", "name"])
    covariates = result.patients[list(result.covariates)]
    told = compared_with(names, covariates)
    for name in ("sex", "site", "stage"):
        first = min(covariates[name])
        assert f"{name} {first}" not in names
        assert f"{name} {first}" in told
    assert told == "Levels are compared with: sex female, site lung, stage I."
    assert "ecog" not in told, "numbers have no levels"
    assert compared_with({"age"}, covariates) == ""
    rare = pd.DataFrame({"site": ["bone"] * 5 + ["lung"] * 6 + ["skin", ""]})
    assert compared_with({"site lung"}, rare) == (
        "Levels are compared with: site bone (skin: rare, counted with lung)."
    )


def test_a_score_that_ranks_worse_than_guessing_is_named_beside_its_p(result: Comparison) -> None:
    figures = result.tables["figures"].copy()
    backwards = (figures["candidate"] == "age-sex / cox") & (figures["measure"] == "Harrell C")
    figures.loc[backwards, "value"] = 0.477
    changed = replace(result, tables=result.tables | {"figures": figures})
    said = wrong_way(changed, ["age-sex / cox", "photo / cox-ridge"])
    assert said == "For Age and sex, Cox, with a C below 0.5, the test only shows that the score points the wrong way."
    assert wrong_way(changed, ["photo / cox-ridge"]) == ""


def test_a_figure_is_the_same_wherever_it_stands(study: Study) -> None:
    """More samples than subgroups and curves take for themselves."""
    plan = Plan(("photo",), folds=3, repeats=1, samples=400, shuffles=0, penalties=8)
    found = compare(study, plan, "same")
    figures = found.tables["figures"].set_index(["candidate", "measure"])
    whole = found.tables["subgroups"]
    whole = whole[whole["variable"] == ALL]
    shared = [row for row in whole.to_dict("records") if (row["candidate"], row["measure"]) in figures.index]
    assert {"Harrell C", "Uno C", "scaled IBS", "Cox slope"} <= {row["measure"] for row in shared}
    for row in shared:
        expected = figures.loc[(row["candidate"], row["measure"])]
        assert [row[key] for key in ("value", "low", "high")] == list(expected[["value", "low", "high"]]), row[
            "measure"
        ]
    over = found.tables["over_time"]
    assert found.horizons
    for horizon in found.horizons:
        for measure in ("AUC", "Brier"):
            row = over[
                (over["candidate"] == "photo / cox-ridge") & (over["measure"] == measure) & (over["time"] == horizon)
            ]
            expected = figures.loc[("photo / cox-ridge", f"{measure}({horizon:g})")]
            assert row[["value", "low", "high"]].iloc[0].tolist() == list(expected[["value", "low", "high"]])


def test_controls_tell_nothing(result: Comparison) -> None:
    assert result.estimate("kaplan-meier").value == 0.5
    each = result.tables["shuffles"]["harrell"]
    assert len(each) == 2
    assert result.estimate("shuffled").value == pytest.approx(each.mean(), abs=1e-9)
    assert abs(each.mean() - 0.5) < 0.08
    assert "shuffled" not in result.scores.scores, "its scores are of other outcomes"
    with pytest.raises(StudyError, match="no difference"):
        result.difference("photo / cox-ridge", "shuffled")


def test_a_shuffled_outcome_is_one_half_even_beside_a_strong_covariate(tmp_path: Path) -> None:
    table = patient_table(300)
    table["age"] = np.linspace(30, 90, 300).round(1)
    table["time_months"] = np.round(60 - table["age"] / 2 + np.random.default_rng(0).normal(0, 2, 300), 2)
    study = Study.open(write_study(tmp_path / "strong", table.assign(photo="")))
    found = compare(study, Plan(("age-sex",), folds=3, repeats=1, samples=60, shuffles=4))
    assert found.estimate("age-sex / cox").value > 0.9
    control = found.estimate("shuffled")
    assert abs(control.value - 0.5) < 0.05
    assert control.low < 0.5 < control.high
    assert found.tables["shuffles"]["harrell"].sub(0.5).abs().max() < 0.1


def test_a_stopped_comparison_goes_on_and_a_further_model_fits_only_itself(study: Study, result: Comparison) -> None:
    kept = len(list((study.path / PARTS).glob("*.npz")))
    seen: list[tuple[str, int, int]] = []
    reporter = Reporter(lambda _: None, lambda done, total, left, what: seen.append((what, done, total)))
    again = compare(study, QUICK, "again", reporter=reporter)
    first = {what: (done, total) for what, done, total in reversed(seen)}
    assert first["fits"][0] == first["fits"][1] == 7 * 3
    assert first["control fits"] == (3, 6), "the first of two shuffles, all of it from before"
    assert kept == 7 * 3 + 2 * 3
    np.testing.assert_array_equal(
        again.scores.scores["photo / cox-ridge"].log_risk, result.scores.scores["photo / cox-ridge"].log_risk
    )
    pd.testing.assert_frame_equal(again.tables["figures"], result.tables["figures"])
    other = Plan(("clinical",), ("cox-ridge",), folds=3, repeats=1, samples=40, shuffles=0, penalties=8)
    with pytest.raises(FitCancelled):
        compare(study, other, "stopped", cancelled=lambda: True)
    assert not (study.path / "comparisons" / "stopped").exists()


def test_it_is_stale_when_exclusions_codes_or_table_change(study: Study, result: Comparison, tmp_path: Path) -> None:
    assert stale_reasons(study, result) == ()
    exclude(study.path, ["P0003"], "covered")
    assert "1 patient was excluded since." in stale_reasons(Study.open(study.path), result)
    include(study.path, ["P0003"])
    before = (study.path / "patients.csv").read_text()
    try:
        table = pd.read_csv(study.path / "patients.csv", dtype=str)
        write_text(study.path / "patients.csv", csv_text(table, quoting=1))
        assert stale_reasons(Study.open(study.path), result) == (), "the same values in another form"
        table.loc[0, "age"] = "77"
        write_text(study.path / "patients.csv", csv_text(table))
        assert "covariates" in stale_reasons(Study.open(study.path), result)[0]
    finally:
        write_text(study.path / "patients.csv", before)
    latents, record = read_latents(study.path)
    codes = np.array(latents.ws)
    write_latents(study.path, codes + 1, latents.index, record)
    assert "The photos have been embedded again since." in stale_reasons(Study.open(study.path), result)
    write_latents(study.path, codes, latents.index, record)
    assert stale_reasons(Study.open(study.path), result) == ()


def test_few_events_get_a_penalty(tmp_path: Path) -> None:
    table = patient_table(90)
    table.loc[14:, "event"] = 0
    study = Study.open(write_study(tmp_path / "few", table.drop(columns="photo").assign(photo="")))
    plan = Plan(folds=3, repeats=1, shuffles=1)
    candidates, _ = candidates_of(study, plan, gather(study, plan))
    assert [c.name for c in candidates if c.role == MODEL] == ["age-sex / cox-ridge", "clinical / cox-ridge"]


def test_a_study_without_photos_has_no_photo_sets(tmp_path: Path) -> None:
    table = patient_table(130)
    table.loc[:4, "age"] = np.nan
    study = Study.open(write_study(tmp_path / "plain", table.drop(columns="photo").assign(photo="")))
    assert available_sets(study) == ("age-sex", "clinical")
    cohort = gather(study, Plan())
    assert set(cohort.blocks) == {"age-sex", "clinical"}
    assert np.isnan(cohort.patients["age"][0])
    with pytest.raises(StudyError, match="has no feature set 'photo': The study has no photos"):
        gather(study, Plan(("photo",)))
    found = compare(study, Plan(folds=3, repeats=1, samples=30, shuffles=1), "main")
    assert [c.name for c in found.models] == ["age-sex / cox", "clinical / cox"]
    assert "missing" in " ".join(found.candidate("age-sex / cox").notes)
    assert found.provenance.get("latents_sha256") is None
    assert stale_reasons(study, found) == ()


def test_sites_pooled_stratified_or_one_alone(study: Study) -> None:
    single = gather(study, Plan(("clinical", "photo"), site="single", site_name="lung"))
    assert set(single.patients["site"]) == {"lung"}
    assert "site" not in single.blocks["clinical"]
    assert len(single.blocks["photo"]) == len(single.patients) < len(study.patients)
    plan = Plan(("clinical", "photo"), site="strata")
    found, _ = candidates_of(study, plan, gather(study, plan))
    assert found[0].settings["strata"] == "site"
    assert "stratified by site" in found[0].label
    assert (found[1].settings["strata"], found[1].blocks) == ("site", ("photo", "strata"))
    forest = Plan(("photo",), ("forest",), site="strata")
    cohort = gather(study, forest)
    with pytest.raises(StudyError, match="Only Cox models can have a baseline hazard per site"):
        candidates_of(study, forest, cohort)
    with pytest.raises(StudyError, match="No patient"):
        gather(study, Plan(("clinical",), site="single", site_name="moon"))
    sets = ("clinical", "photo", "photo-clinical-early")
    plan = Plan(sets, folds=3, repeats=1, samples=30, shuffles=0, penalties=8, site="strata")
    strata = compare(study, plan, "strata")
    assert not strata.scores.failed
    assert all(c.label.endswith("stratified by site") for c in strata.models)
    assert not strata.tables["coefficients"]["name"].str.startswith("site").any()
    assert set(strata.tables["paths"]["candidate"]) == {
        "clinical / cox-ridge",
        "photo / cox-ridge",
        "photo-clinical-early / cox-ridge",
    }
    assert "photo / cox-ridge" in set(strata.tables["truth"]["candidate"])
    assert "stratified Cox model" in why_not_chosen(strata.candidate("photo / cox-ridge"))
    assert stale_reasons(study, strata) == ()


def test_a_baseline_a_site_ends_where_the_site_is_not_followed(study: Study) -> None:
    plan = Plan(("clinical",), folds=3, repeats=1, samples=30, shuffles=0, site="strata")
    short = study.patients.copy()
    lung = short["site"] == "lung"
    late = lung & (short["time"] > 14)
    short.loc[late, "event"], short.loc[late, "time"] = False, 14.0
    found = compare(replace(study, patients=short), plan, "short")
    assert not found.scores.failed
    assert found.scores.times[-1] <= 14
    assert (found.horizons, found.horizons_left_out) == ((12.0,), (24.0, 60.0))
    assert STRATIFIED in found.notes
    nobody = study.patients.assign(event=study.patients["event"] & ~lung)
    with pytest.raises(StudyError, match="Site lung has too few events for a separate baseline hazard"):
        compare(replace(study, patients=nobody), plan, "none")


def test_models_that_cannot_be_asked_for_are_refused(study: Study) -> None:
    for models, told in ((("kaplan-meier",), "no model called"), (("cox",), "None of these models")):
        plan = Plan(("photo",), models)
        cohort = gather(study, plan)
        with pytest.raises(StudyError, match=told):
            candidates_of(study, plan, cohort)
    plan = Plan(("photo", "clinical"), ("cox", "cox-ridge"))
    found, notes = candidates_of(study, plan, gather(study, plan))
    assert [c.name for c in found if c.role == "model"] == [
        "photo / cox-ridge",
        "clinical / cox",
        "clinical / cox-ridge",
    ]
    assert "does not accept a photo" in notes[0]


def test_a_model_that_fails_is_said_and_the_others_go_on(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(("clinical", "age-sex"), folds=3, repeats=1, samples=30, shuffles=0)
    real = running.candidates_of

    def spoilt(*given: object) -> object:
        found, notes = real(*given)  # type: ignore[arg-type]
        broken = [running.replace(found[0], settings={"strata": "nothing"}), *found[1:]]
        return tuple(broken), notes

    monkeypatch.setattr(running, "candidates_of", spoilt)
    found = compare(study, plan, "spoilt", reporter=QUIET)
    assert "stratify" in found.candidate("clinical / cox").error
    assert [c.name for c in found.models] == ["age-sex / cox"]


def test_a_set_is_called_by_what_is_in_it(tmp_path: Path) -> None:
    study = Study.open(write_study(tmp_path / "men", patient_table(60).assign(sex="male", photo="")))
    plan = Plan()
    found, _ = candidates_of(study, plan, gather(study, plan))
    assert found[0].label == "Age, Cox"


def test_covariates_are_columns_that_differ(tmp_path: Path) -> None:
    table = patient_table(40).assign(site="lung", ecog="")
    study = Study.open(write_study(tmp_path / "same", table))
    assert study.covariates == ("age", "sex", "stage")


def test_the_command_prints_the_table_and_shows_it_again(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", str(study.path), "--name", "told", "--features", "clinical,photo", "--repeats", "1"]
    words += ["--folds", "3", "--samples", "40", "--shuffles", "1", "--penalties", "8", "--workers", "1"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "Photo (W+), ridge Cox" in said
    assert "minus that of Clinical, Cox, paired" in said
    assert "simulated study" in said
    assert main(["compare", str(study.path), "--name", "told", "--show"]) == 0
    assert "Photo (W+), ridge Cox" in capsys.readouterr().out
    assert main(["compare", str(study.path), "--features", "nose"]) == 1
    assert "no feature set" in capsys.readouterr().err


def test_the_time_expected_grows_with_the_work() -> None:
    sets = ("clinical", "photo")
    few = expected_seconds(Plan(sets, repeats=1), sets, 150)
    assert few < expected_seconds(Plan(sets, repeats=3), sets, 150) < expected_seconds(Plan(sets), sets, 600)
    assert expected_seconds(Plan(sets), sets, 600, workers=4) < expected_seconds(Plan(sets), sets, 600)
    assert expected_seconds(Plan(sets, ("default", "forest")), sets, 600) > expected_seconds(Plan(sets), sets, 600)


def test_the_time_promised_is_that_of_comparisons_made_here(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing before the first one; a comparison whose folds were kept measures nothing."""
    monkeypatch.setenv("LATENT_HEALTH_CACHE", str(tmp_path))
    sets = ("clinical",)
    plan = Plan(sets, folds=3, repeats=1, samples=20, shuffles=1, seed=41, penalties=8)
    assert seconds_here(plan, sets, 150) is None
    compare(study, plan, "timed")
    first = seconds_here(plan, sets, 150)
    assert first is not None
    assert 0 < first[0] < first[1]
    kept = (tmp_path / "speeds.json").read_bytes()
    compare(study, plan, "timed")
    assert (tmp_path / "speeds.json").read_bytes() == kept
    measured_here(plan, sets, 150, 1, 143.0)
    low, high = seconds_here(plan, sets, 150) or (0.0, 0.0)
    assert low < 143 < high


@pytest.mark.parametrize(
    "plan",
    [
        Plan(),
        Plan(("photo", "age-sex"), ("default", "forest"), folds=4, repeats=2, seed=3, samples=40, shuffles=0),
        Plan(penalties=20, rule="1se", site="single", site_name="lung", shortcuts=True),
    ],
)
def test_arguments_give_the_plan_that_they_were_made_of(plan: Plan) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert plan_of(parser.parse_args(["demo", *arguments_of(plan)])) == plan
