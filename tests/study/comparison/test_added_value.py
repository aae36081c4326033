"""Whether a photo adds to clinical columns is claimed only against a clinical model that does not overfit."""

from __future__ import annotations

import html
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from study.comparison.command import comparison_text
from study.comparison.features import gather
from study.comparison.measuring.added_value import ADDS, OPEN, clinical_models, photo_added, weak_comparator
from study.comparison.plan import Plan
from study.comparison.record import Comparison
from study.comparison.run import compare
from study.description.clinical_cox import clinical_cox
from study.disk.store import Study
from study.files import csv_text, write_text
from study.report.build import report_html
from study.settings import Covariate
from study.tables.covariates import compared_with
from survival.features.encoding import fit_encoding
from tests.study.conftest import make_cohort

pytestmark = pytest.mark.slow

PLAN = {"folds": 3, "repeats": 1, "samples": 60, "shuffles": 0, "penalties": 6, "random_direction": False}
SETS = ("clinical", "photo-clinical-early")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """45 events, clinical columns of 11 parameters that tell nothing, and photo codes that tell much."""
    made, _ = make_cohort(tmp_path_factory.mktemp("added") / "cohort", n=130, shape=(2, 3))
    table = pd.read_csv(made.path / "patients.csv", dtype=str)
    rng = np.random.default_rng(0)
    table["site"] = rng.choice([f"site {c}" for c in "abcdef"], len(table))
    events = np.flatnonzero(table["event"] == "1")
    table.loc[rng.permutation(events)[45:], "event"] = "0"
    write_text(made.path / "patients.csv", csv_text(table))
    return Study.open(made.path)


@pytest.fixture(scope="module")
def usual(study: Study) -> Comparison:
    return compare(study, Plan(SETS, ("cox", "default"), **PLAN), "usual")


def test_a_penalised_clinical_model_is_compared_with(usual: Comparison) -> None:
    assert {judged.name for judged in clinical_models(usual)} == {"clinical / cox", "clinical / cox-ridge"}
    assert weak_comparator(usual) == ""
    added = photo_added(usual)
    assert added is not None
    assert added.verdict == ADDS, "the codes do tell"
    assert added.difference.low > 0
    assert all(usual.difference(added.both.name, base.name).low > 0 for base in clinical_models(usual))


def without_ridge(comparison: Comparison) -> Comparison:
    kept = tuple(c for c in comparison.candidates if c.name != "clinical / cox-ridge")
    return replace(comparison, candidates=kept)


def test_a_gain_on_a_model_that_overfits_is_no_claim(study: Study, usual: Comparison) -> None:
    alone = without_ridge(usual)
    added = photo_added(alone)
    assert added is not None
    assert added.difference.low > 0
    assert added.verdict == OPEN
    assert "45 events for 11 parameters (4.1 each; at least 10 are needed)" in added.why_open
    assert ADDS not in comparison_text(alone)
    assert OPEN in comparison_text(alone)


@pytest.mark.slow
def test_the_report_claims_and_warns_by_the_same_rule(study: Study, usual: Comparison) -> None:
    page = html.unescape(report_html(study, comparison="usual").decode())
    assert f"; {ADDS}." in page
    short = "45 events for 11 parameters (4.1 each; at least 10 are needed)"
    assert f"Clinical columns: {short}. An unpenalised model of all of them overfits." in page
    assert page.count(short) >= 2, "to beware of, and TRIPOD"
    assert any(short in str(finding) for finding in study.findings), "and the check of the table"


@pytest.mark.slow
def test_each_slope_has_one_name(study: Study, usual: Comparison) -> None:
    page = html.unescape(report_html(study, comparison="usual").decode())
    text = comparison_text(usual)
    for said in (page, text):
        assert "Cox slope" not in said
        assert "alibration slope (Cox, log hazard)" in said
    for horizon in usual.horizons:
        assert f"Calibration slope at {horizon:g} months" in page


def test_levels_are_compared_with_the_same_one_everywhere(study: Study, usual: Comparison) -> None:
    """`study cox` and the comparison's table: the same columns, so the same hazard ratios."""
    fit, _ = clinical_cox(study)
    table = usual.tables["coefficients"]
    rows = table[table["candidate"] == "clinical / cox"].set_index("name")["coef"]
    assert set(rows.index) == set(fit.names)
    np.testing.assert_allclose(rows.loc[list(fit.names)], fit.coef, rtol=1e-6)
    assert "site site a" not in fit.names
    assert "stage I" not in fit.names
    words = "Levels are compared with: sex female, site site a, stage I."
    assert compared_with(set(rows.index), usual.patients[list(usual.covariates)]) == words


def test_the_order_of_the_settings_gives_the_reference(study: Study) -> None:
    declared = Covariate("arm", "categorical", levels=("standard", "new", "none"))
    arms = np.array(["new", "standard", "none"])[np.arange(len(study.patients)) % 3]
    settings = replace(study.settings, covariates=(declared,))
    made = replace(study, patients=study.patients.assign(arm=arms), settings=settings)
    names = clinical_cox(made, ["arm"])[0].names
    assert names == ("arm new", "arm none")
    block = gather(made, Plan(("clinical",), **PLAN)).blocks["clinical"]
    assert fit_encoding(block).names[-2:] == names
