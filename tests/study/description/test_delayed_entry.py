"""A study whose patients came under observation late: fit, compare, choose, report, and what each of them says."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from study.__main__ import main
from study.comparison.choose import choose
from study.comparison.fit import fit, fit_plan, report_text
from study.comparison.plan import Plan
from study.comparison.provenance import stale_reasons
from study.comparison.record import Comparison, read_comparison
from study.comparison.run import compare
from study.comparison.saved_model import DELAYED_ENTRY
from study.description.clinical_cox import clinical_cox
from study.description.delayed_entry import LATE_ENTRY
from study.description.inversion_error import error_and_survival
from study.disk.store import Study
from study.errors import StudyError
from study.files import csv_text, write_text
from study.report.build import report_html
from study.settings import Columns, Settings, settings_text
from survival.metrics.concordance import harrell_c
from tests.study.conftest import make_cohort

pytestmark = pytest.mark.slow  # its fixtures take seconds

PLAN = Plan(
    ("clinical", "photo", "photo-clinical-late"),
    ("default", "forest"),
    folds=3,
    repeats=1,
    samples=40,
    shuffles=1,
    penalties=8,
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """As make_cohort, but two thirds of the patients were first seen when part of their time had gone by."""
    made, _ = make_cohort(tmp_path_factory.mktemp("late") / "cohort", n=180, shape=(2, 4))
    table = pd.read_csv(made.path / "patients.csv", dtype=str)
    share = np.random.default_rng(3).uniform(0, 0.9, len(table)) * (np.arange(len(table)) % 3 > 0)
    table["enrolled"] = (table["time_months"].astype(float) * share).round(3).astype(str)
    write_text(made.path / "patients.csv", csv_text(table))
    settings = Settings(name="cohort", title="Late", simulated=True, columns=Columns(entry="enrolled"))
    write_text(made.path / "study.toml", settings_text(settings))
    late = Study.open(made.path)
    assert late.left_truncated
    fit(late, plan=fit_plan(folds=3, repeats=1, penalties=8, samples=200))
    return late


@pytest.fixture(scope="module")
def result(study: Study) -> Comparison:
    return compare(study, PLAN)


def test_fit_counts_everyone_from_entry_on_and_says_so(study: Study) -> None:
    model, report = study.model(), study.report()
    table = study.analysed()[1]
    scores = model.cohort_
    c = harrell_c(table["time"], table["event"], scores["log_hr"], table["entry"])
    assert report["harrell"]["value"] == pytest.approx(c, abs=1e-12)
    assert report["harrell"]["value"] != pytest.approx(harrell_c(table["time"], table["event"], scores["log_hr"]))
    assert report["uno"] is None
    assert DELAYED_ENTRY in report["notes"]
    said = report_text(report)
    assert DELAYED_ENTRY in said
    assert "Uno C (to" not in said
    assert report["truth"]["recovered_share"]["value"] > 0.6


def test_a_comparison_counts_everyone_from_entry_on_and_says_what_is_missing(study: Study, result: Comparison) -> None:
    read = read_comparison(study.path)
    table = study.analysed()[1]
    np.testing.assert_array_equal(read.scores.entry, table["entry"])
    assert LATE_ENTRY in read.notes
    risk = read.scores.scores["photo / cox-ridge"].log_risk[0]
    c = harrell_c(table["time"], table["event"], risk, table["entry"])
    assert read.estimate("photo / cox-ridge").value == pytest.approx(c, abs=1e-6)
    with pytest.raises(StudyError, match="no measure called 'Uno C'"):
        read.estimate("photo / cox-ridge", "Uno C")
    assert set(read.tables["figures"]["measure"]) == {"Harrell C", "Cox slope"}
    assert read.tables["over_time"].empty
    assert read.tables["decision"].empty
    assert read.horizons == ()
    refused = [c for c in read.candidates if c.error]
    assert {c.model for c in refused} <= {"forest", "late-fusion"}
    assert all("choose Cox models" in c.error for c in refused)
    assert {
        "clinical / cox",
        "photo / cox-ridge",
        "photo-clinical-late / cox-ridge",
        "shuffled",
        "random-direction",
    } <= {c.name for c in read.candidates if not c.error}
    own = read.tables["coefficients"]
    own = own[own["candidate"] == "clinical / cox"].set_index("name")["coef"]
    plain, _ = clinical_cox(study)
    assert own["age"] == pytest.approx(plain.coef[plain.names.index("age")], rel=1e-4)
    assert stale_reasons(study, read) == ()


def test_an_entry_that_changed_makes_a_comparison_stale(study: Study, result: Comparison) -> None:
    before = (study.path / "patients.csv").read_text()
    table = pd.read_csv(study.path / "patients.csv", dtype=str)
    table.loc[1, "enrolled"] = "0.0"
    try:
        write_text(study.path / "patients.csv", csv_text(table))
        assert stale_reasons(Study.open(study.path), result) == (
            "Patients, outcomes or covariates of the table have changed since.",
        )
    finally:
        write_text(study.path / "patients.csv", before)


def test_a_chosen_model_keeps_entries(study: Study, result: Comparison) -> None:
    name = choose(study, result, "photo / cox-ridge")
    model = study.model(name)
    np.testing.assert_array_equal(model.cohort_["entry"], result.scores.entry)
    assert np.isnan(model.oof_uno_.value)
    assert study.report(name)["uno"] is None
    assert np.isfinite(model.calibration_slope_.value)
    choose_back = main(["choose", str(study.path), "--model", "photo"])
    assert choose_back == 0


def test_the_report_names_the_figures_that_count_from_entry_on(study: Study, result: Comparison) -> None:
    said = html.unescape(re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", report_html(study).decode(), flags=re.DOTALL))
    assert said.count(LATE_ENTRY) >= 2, "beside the figures and among the methods"
    assert DELAYED_ENTRY in said
    for absent in ("Table 4.", "Decision curves", "Along time", "inverse probability of censoring weights"):
        assert absent not in said
    assert "Table 3." in said


def test_the_commands_say_it(study: Study, result: Comparison, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(study.path), "--show"]) == 0
    assert LATE_ENTRY in capsys.readouterr().out


def test_the_errors_hazard_ratio_counts_from_entry_on(study: Study) -> None:
    table = study.analysed()[1]
    index = pd.read_parquet(study.path / "index.parquet")
    index["perceptual"] = np.random.default_rng(0).normal(size=len(index))
    found = error_and_survival(study, table, index)
    ignored = error_and_survival(Study.open(without_entry(study)), table.drop(columns="entry"), index)
    assert found.alone[0].hr != pytest.approx(ignored.alone[0].hr)


def without_entry(study: Study) -> Path:
    folder = study.path.parent / "plain"
    folder.mkdir(exist_ok=True)
    write_text(folder / "patients.csv", (study.path / "patients.csv").read_text())
    write_text(folder / "study.toml", settings_text(Settings(name="plain", title="Plain", simulated=True)))
    return folder
