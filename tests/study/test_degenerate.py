"""Cohorts that carry less than is asked: each step ends in figures or one sentence, never in a traceback or a nan."""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from study.__main__ import main
from study.comparison.fit import fit, fit_plan, report_text
from study.comparison.plan import Plan
from study.comparison.run import compare
from study.disk.store import Study
from study.errors import StudyError
from study.files import write_bytes
from study.report.build import report_html
from study.settings import Columns, Settings, settings_text
from tests.study.conftest import patient_table, write_codes, write_study

TABLES = Path(__file__).resolve().parents[1] / "data" / "tables"
NOT_A_NUMBER = re.compile(r"\b(nan|inf|infinity|NaN)\b")
PLAN = Plan(("clinical",), folds=3, repeats=1, samples=20, shuffles=1, penalties=5)
WITH_PHOTO = Plan(("clinical", "photo"), folds=3, repeats=1, samples=20, shuffles=1, penalties=5)


def usual(n: int = 60) -> pd.DataFrame:
    return patient_table(n, seed=3)


def one_time() -> pd.DataFrame:
    table = usual()
    return table.assign(time_months=np.where(table["event"] == 1, 5.0, table["time_months"]))


def events(n: int) -> pd.DataFrame:
    table = usual()
    return table.assign(event=(np.arange(len(table)) < n).astype(int))


def separated() -> pd.DataFrame:
    """All men die, no woman does."""
    table = usual()
    return table.assign(event=(table["sex"] == "male").astype(int))


def ordered() -> pd.DataFrame:
    """Age says exactly who dies when."""
    table = usual()
    return table.assign(age=30 + np.arange(60), time_months=61.0 - np.arange(60), event=1)


def collinear() -> pd.DataFrame:
    table = usual()
    return table.assign(ecog=(table["age"] - 30) // 11, stage=np.where(table["sex"] == "male", "II", "I"))


def copied() -> pd.DataFrame:
    table = usual()
    return table.assign(site=np.where(table["sex"] == "male", "lung", "pancreas"), ecog=(table["sex"] == "male") * 1)


def lonely() -> pd.DataFrame:
    """One patient in a level."""
    table = usual()
    return table.assign(site=np.where(np.arange(60) == 7, "thymus", "lung"))


def constant() -> pd.DataFrame:
    return usual().assign(age=50, sex="male", site="lung", stage="II", ecog=1)


def missing() -> pd.DataFrame:
    """No patient has all covariates."""
    table = usual().astype({"age": object, "ecog": object})
    table.loc[::2, "age"], table.loc[1::2, "ecog"] = "", ""
    return table


COHORTS: dict[str, Callable[[], pd.DataFrame]] = {
    "all events at one time": one_time,
    "no event": lambda: events(0),
    "one event": lambda: events(1),
    "three events": lambda: events(3),
    "twelve events": lambda: events(12),
    "all events": lambda: events(60),
    "separated": separated,
    "ordered": ordered,
    "collinear": collinear,
    "copied": copied,
    "one patient in a level": lonely,
    "constant covariates": constant,
    "covariates missing": missing,
    "one time for all": lambda: usual().assign(time_months=5.0),
    "two times": lambda: usual().assign(time_months=np.where(np.arange(60) % 2, 5.0, 9.0)),
    "two patients": lambda: usual(2),
    "five patients": lambda: usual(5),
}


@pytest.fixture
def open_cohort(tmp_path: Path) -> Callable[[str], Study]:
    return lambda name: Study.open(write_study(tmp_path / "s", COHORTS[name]()))


def says(text: str) -> str:
    """The text, which holds no figure that is none."""
    assert not NOT_A_NUMBER.search(text), NOT_A_NUMBER.search(text)
    assert "Traceback" not in text
    return text


def words_of(page: bytes) -> str:
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", page.decode(), flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", " ", text))


def one_sentence(error: str) -> None:
    assert says(error).strip().endswith("."), error
    assert "\n" not in error.strip(), error


@pytest.mark.parametrize("name", COHORTS)
def test_a_clinical_cox_model_is_printed_or_refused(
    name: str, open_cohort: Callable[[str], Study], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["cox", str(open_cohort(name).path)])
    out, error = capsys.readouterr()
    says(out)
    assert code in (0, 1)
    if code:
        assert not out
        one_sentence(error)
    else:
        assert "Cox regression of s" in out


@pytest.mark.slow
@pytest.mark.parametrize("name", COHORTS)
def test_a_comparison_and_its_report_are_written_or_refused(name: str, open_cohort: Callable[[str], Study]) -> None:
    study = open_cohort(name)
    try:
        compare(study, PLAN)
    except StudyError as error:
        one_sentence(str(error))
    says(words_of(report_html(study)))


def coded(folder: Path, table: pd.DataFrame, codes: np.ndarray) -> Study:
    """A study with these codes (n, 2, 4)."""
    write_study(folder, table)
    for patient in table["patient_id"]:
        write_bytes(folder / "photos" / f"{patient}.jpg", patient.encode())
    write_codes(Study.open(folder), codes)
    return Study.open(folder)


def noise(n: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, 2, 4))


CODES: dict[str, Callable[[int], np.ndarray]] = {
    "noise": noise,
    "all alike": lambda n: np.ones((n, 2, 4)),
    "one that differs": lambda n: np.ones((n, 2, 4)) + 3.0 * (np.arange(n) == 0)[:, None, None],
    "one dimension": lambda n: noise(n)[:, :1, :1] * np.ones((1, 2, 4)),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "codes"),
    [
        *(("twelve events", codes) for codes in CODES),
        ("all events at one time", "noise"),
        ("one event", "noise"),
        ("no event", "noise"),
        ("one time for all", "noise"),
        ("five patients", "noise"),
    ],
)
def test_a_photo_model_is_fitted_compared_and_reported_or_refused(name: str, codes: str, tmp_path: Path) -> None:
    table = COHORTS[name]()
    study = coded(tmp_path / "s", table, CODES[codes](len(table)))
    for step in (
        lambda: says(report_text(fit(study, plan=fit_plan(folds=3, repeats=1, penalties=5, samples=200)))),
        lambda: compare(study, WITH_PHOTO),
    ):
        try:
            step()
        except StudyError as error:
            one_sentence(str(error))
    says(words_of(report_html(Study.open(study.path))))


def test_events_at_one_time_are_fitted_and_their_hazards_not_tested(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "onetime"
    folder.mkdir()
    shutil.copy(TABLES / "onetime.csv", folder / "patients.csv")
    (folder / "study.toml").write_text(settings_text(Settings("onetime", "One time")))
    assert main(["cox", str(folder)]) == 0
    out = says(capsys.readouterr().out)
    assert "sex male" in out
    assert "cannot be tested: all events happen at one time" in out


@pytest.mark.slow
def test_a_risk_set_that_is_emptied_at_first_does_not_end_the_curve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "late"
    folder.mkdir()
    shutil.copy(TABLES / "empty_risk.csv", folder / "patients.csv")
    (folder / "study.toml").write_text(settings_text(Settings("late", "Late", columns=Columns(entry="entered"))))
    assert main(["cox", str(folder)]) == 0
    out = says(capsys.readouterr().out)
    assert "Median survival in months: 2 (" not in out
    assert "Only 1 patient is under observation when an early event happens" in out
    assert "begin at 2 months" in out
    study = Study.open(folder)
    assert "Only 1 patient is under observation" in words_of(report_html(study))
    compare(study, PLAN)
    page = says(words_of(report_html(study)))
    assert page.count("Only 1 patient is under observation") == 1
