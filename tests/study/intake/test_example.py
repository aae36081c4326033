"""Real cohorts as studies of clinical columns alone, from the table on disk to the model, against R (tests/data/r)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from study.__main__ import main
from study.description.clinical_cox import clinical_model
from study.description.flow import flow
from study.disk.store import Study
from study.errors import StudyError
from study.intake.example import EXAMPLES, example_settings, write_example
from study.scoring.check import check
from study.settings import read_settings
from study.tables.covariates import clinical_table, parameters_of
from survival.cox_regression.proportional import proportional_hazards_test
from survival.cox_regression.regression import CoxFit, cox_regression
from survival.curves import kaplan_meier, logrank
from survival.metrics.concordance import harrell_c

COX = json.loads((Path(__file__).parents[2] / "data" / "r" / "cox.json").read_text())


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Study]:
    root = tmp_path_factory.mktemp("examples")
    return {name: Study.open(write_example(name, root)[0]) for name in EXAMPLES}


@pytest.fixture(params=sorted(EXAMPLES))
def cohort(request: pytest.FixtureRequest, studies: dict[str, Study]) -> tuple[Study, dict]:
    return studies[request.param], COX[request.param]


def as_in_r(fit: CoxFit) -> list[str]:
    """Names of the columns as tests/data/r writes them."""
    return [name.replace(" ", "_").lower() for name in fit.names]


def columns_of(expected: dict) -> list[str]:
    """R's columns; age has one name in every study."""
    return ["age" if name == "age_in_years" else name for name in expected["columns"]]


def covariates(study: Study) -> list[str]:
    """Those that R was given: creatinine is missing for many, the year of the sample was left out."""
    return [c for c in clinical_table(study.patients, study.settings) if c not in ("creatinine", "sample_yr")]


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_coefficients_likelihoods_tests_and_concordance(cohort: tuple[Study, dict], ties: str) -> None:
    study, expected = cohort
    model, theirs = clinical_model(study, covariates(study), ties=ties), expected[ties]
    fit = model.fit
    assert (fit.n, fit.events, model.left_out) == (expected["n"], expected["events"], 0)
    order = [as_in_r(fit).index(name) for name in columns_of(expected)]
    assert sorted(order) == list(range(len(fit.names)))
    np.testing.assert_allclose(fit.coef[order], theirs["coef"], rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(fit.se[order], theirs["se"], rtol=1e-6)
    np.testing.assert_allclose([fit.null, fit.log_likelihood], theirs["loglik"], rtol=1e-10)
    np.testing.assert_allclose(fit.tests()["chisq"], [theirs[k] for k in ("logtest", "waldtest", "sctest")], rtol=1e-6)
    assert model.concordance == pytest.approx(theirs["concordance"], abs=1e-8)
    for transform, values in theirs["zph"].items():
        ours = proportional_hazards_test(fit, transform)["chisq"].to_numpy()
        np.testing.assert_allclose(ours[[*order, len(order)]], values["chisq"], rtol=1e-5, atol=1e-7)


def test_kaplan_meier_and_log_rank(cohort: tuple[Study, dict]) -> None:
    study, expected = cohort
    curve = kaplan_meier(study.patients["time"], study.patients["event"])
    np.testing.assert_allclose(curve.at(expected["km"]["time"]), expected["km"]["surv"], atol=1e-10)
    name, _, level = expected["stratum"].rpartition("_")
    group = study.patients[name].str.lower() == level
    test = logrank(study.patients["time"], study.patients["event"], group)
    assert test.statistic == pytest.approx(expected["logrank"], rel=1e-8)


@pytest.mark.parametrize("name", ["gbsg2", "whas500", "flchain"])
def test_strata(studies: dict[str, Study], name: str) -> None:
    study, expected = studies[name], COX[name]
    stratum = expected["stratum"].rpartition("_")[0]
    fit = clinical_model(study, covariates(study), strata=stratum).fit
    order = [as_in_r(fit).index(c) for c in columns_of(expected) if c != expected["stratum"]]
    np.testing.assert_allclose(fit.coef[order], expected["stratified"]["coef"], rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose([fit.null, fit.log_likelihood], expected["stratified"]["loglik"], rtol=1e-10)


def test_entry_times_reach_the_model(studies: dict[str, Study], tmp_path: Path) -> None:
    """A study whose table has entry times gives R's Surv(start, stop, event)."""
    import pandas as pd

    from study.files import csv_text, write_text
    from study.settings import settings_text
    from tests.survival.cox_regression.test_truncation import VALUES

    study = studies["whas500"]
    table = pd.read_csv(study.path / "patients.csv", dtype=str)
    time = table["time"].astype(float)
    table["came"] = np.floor(time * (np.arange(1, len(table) + 1) % 4) / 5)
    text = settings_text(study.settings).replace('ecog = "ecog"', 'ecog = "ecog"\nentry = "came"')
    write_text(tmp_path / "late" / "study.toml", text)
    write_text(tmp_path / "late" / "patients.csv", csv_text(table))
    late = Study.open(tmp_path / "late")
    assert late.left_truncated
    assert not study.left_truncated
    assert any("delayed entry" in str(f) for f in late.findings)
    model, theirs = clinical_model(late), VALUES["whas500"]
    order = [as_in_r(model.fit).index(name) for name in theirs["columns"]]
    np.testing.assert_allclose(model.fit.coef[order], theirs["efron"]["coef"], rtol=1e-4, atol=1e-8)
    assert model.concordance == pytest.approx(theirs["efron"]["concordance"], abs=1e-8)
    np.testing.assert_allclose(model.curve.survival[1:], theirs["km"]["surv"], atol=1e-12)


def test_they_are_studies_without_photos(cohort: tuple[Study, dict]) -> None:
    study, expected = cohort
    _, findings = check(str(study.path))
    assert not findings.errors
    assert study.photos == {}
    with pytest.raises(StudyError, match="has no photos, so there is no photo model"):
        study.analysed()
    steps = flow(study)
    assert (steps[0].patients, steps[-1].name, steps[-1].patients) == (
        expected["n"],
        "Analysed by clinical columns",
        expected["n"],
    )
    assert study.settings.source.startswith("scikit-survival")
    assert study.settings.citation
    assert study.time_unit == "days"


def test_settings_read_back_as_they_were_written(studies: dict[str, Study]) -> None:
    from study.errors import Findings

    for name, study in studies.items():
        findings = Findings()
        assert read_settings(study.path, findings) == example_settings(name)[0]
        assert not findings.items


def test_what_cannot_be_asked(studies: dict[str, Study], tmp_path: Path) -> None:
    study = studies["veteran"]
    with pytest.raises(StudyError, match="no covariate 'photo'"):
        clinical_model(study, ["photo"])
    with pytest.raises(StudyError, match="no covariate 'x'"):
        clinical_model(study, strata="x")
    with pytest.raises(StudyError, match="no example"):
        write_example("titanic", tmp_path)
    write_example("veteran", tmp_path)
    with pytest.raises(StudyError, match="nothing is overwritten"):
        write_example("veteran", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["veteran"]


def test_parameters_are_counted_as_the_regression_has_them(cohort: tuple[Study, dict]) -> None:
    study, _ = cohort
    names = covariates(study)
    counted = parameters_of(study.patients, study.settings)
    assert sum(counted[name] for name in names) == len(clinical_model(study, names).fit.names)


def test_patients_with_a_missing_covariate_are_left_out_and_counted(studies: dict[str, Study]) -> None:
    study = studies["flchain"]
    model = clinical_model(study)
    assert model.left_out == int(study.patients["creatinine"].isna().sum()) == 1350
    own = study.patients.dropna(subset="creatinine")
    x = own[["creatinine"]].to_numpy()
    plain = cox_regression(x, own["time"], own["event"])
    assert clinical_model(study, ["creatinine"]).fit.coef == pytest.approx(plain.coef)
    assert clinical_model(study, ["creatinine"]).concordance == pytest.approx(
        harrell_c(own["time"], own["event"], x[:, 0] * plain.coef[0])
    )


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["example", "veteran", "--root", str(tmp_path), "--called", "lung"]) == 0
    assert "137 patients, 128 events, no photos" in capsys.readouterr().out
    assert main(["cox", str(tmp_path / "lung")]) == 0
    said = capsys.readouterr().out
    assert "137 patients, 128 events, efron ties" in said
    assert "Median survival in days: 80 (95 % CI 52 to 100)." in said
    assert "Levels are compared with: celltype adeno, prior_therapy no, treatment standard." in said
    assert main(["cox", str(tmp_path / "lung"), "--covariates", "karnofsky_score"]) == 0
    assert "compared with" not in capsys.readouterr().out
    assert main(["cox", str(tmp_path / "lung"), "--covariates", "nothing"]) == 1
    assert "has no covariate" in capsys.readouterr().err
