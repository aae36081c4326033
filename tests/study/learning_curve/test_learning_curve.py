"""A study's learning curve: from the command to the record, what it says, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from study.__main__ import main
from study.comparison.provenance import stale_reasons
from study.disk.store import Study
from study.errors import StudyError
from study.intake.example import write_example
from study.learning_curve.command import sizes_of
from study.learning_curve.record import (
    FILE_NAME,
    SHARE,
    C,
    LearningCurveResult,
    Target,
    learning_curve_text,
    parse,
    read_learning_curve,
)
from study.learning_curve.run import curve_plan, learn
from study.report.facts import gather
from study.report.sections.learning import learning
from tests.study.report.test_report import words


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study.open(write_example("whas500", tmp_path_factory.mktemp("studies"))[0])


@pytest.fixture(scope="module")
def result(study: Study) -> LearningCurveResult:
    return learn(study, curve_plan(study, repeats=2, samples=100), (150, 250, 500))


def test_the_record_comes_back_as_it_was(study: Study, result: LearningCurveResult) -> None:
    again = read_learning_curve(study)
    for field in dataclasses.fields(result):
        one, two = getattr(result, field.name), getattr(again, field.name)
        if isinstance(one, pd.DataFrame):
            pd.testing.assert_frame_equal(one, two, check_dtype=False)
        else:
            assert one == two or (one != one and two != two)
    assert stale_reasons(study, again) == ()
    assert again.measures == (C,)
    points, curve = again.of(C)
    assert points["patients"].tolist() == [150, 250, 500]
    assert curve["patients"].max() == 4 * 500
    assert (curve["low"] <= curve["value"] + 1e-9).all()


def test_the_command_resumes_and_says_how_many_patients(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["learning-curve", str(study.path), "--sizes", "150,250,500", "--repeats", "2", "--target-c", "0.99"]
    assert main([*words, "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert "A C of 0.99 is not reached with 2,000 patients, four times the study's" in printed
    assert main(["learning-curve", str(study.path), "--show"]) == 0
    assert "150" in capsys.readouterr().out


def test_what_the_sentences_say(result: LearningCurveResult) -> None:
    def said(**changes: float) -> str:
        target = Target(**{"measure": C, "target": 0.75, "patients": 740.0, "low": 512.0, "high": 1633.0, **changes})
        return dataclasses.replace(result, targets=(target,)).sentences()[0]

    assert said() == "A C of 0.75 would take about 740 patients (about 320 events; 95 % interval 510 to 1,600)."
    assert said(high=math.inf).endswith("95 % interval 510 to more than 2,000).")
    assert "is not reached with 2,000 patients" in said(patients=math.inf, high=math.inf)
    assert said(patients=math.inf, low=math.inf, high=math.inf).endswith("(95 % interval: more than 2,000).")
    assert "A recovered share of 0.85" in said(measure=SHARE, target=0.85)  # type: ignore[arg-type]
    assert "150" in learning_curve_text(result)


def test_what_is_refused(study: Study, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="fewer than 10 events to learn from"):
        learn(study, curve_plan(study), (20, 200, 400))
    with pytest.raises(StudyError, match="recovered share is known only"):
        learn(study, curve_plan(study, repeats=2, samples=100), (150, 250, 500), [(SHARE, 0.85)])
    with pytest.raises(StudyError, match="whole numbers of patients"):
        sizes_of("100, many")
    assert sizes_of(" 100,200 ,") == (100, 200)
    with pytest.raises(StudyError, match="is damaged"):
        parse(b"{}", tmp_path)
    with pytest.raises(StudyError, match="no learning curve yet"):
        read_learning_curve(Study.open(write_example("veteran", tmp_path)[0]))


def test_a_damaged_record_is_refused(study: Study, result: LearningCurveResult) -> None:
    values = json.loads((study.path / FILE_NAME).read_text())
    for change in (
        {"kind": "other"},
        {"points": {}},
        {"targets": [{}]},
        {"patients": "many"},
        {"curve": {**values["curve"], "measure": ["x"] * len(values["curve"]["measure"])}},
        {"points": {**values["points"], "value": ["a"] * len(values["points"]["value"])}},
    ):
        with pytest.raises(StudyError, match="is damaged"):
            parse(json.dumps({**values, **change}).encode(), study.path)


def test_a_changed_table_makes_it_stale(study: Study, result: LearningCurveResult) -> None:
    other = dataclasses.replace(result, provenance={**result.provenance, "table_sha256": "0"})
    assert stale_reasons(study, other) == ("Patients, outcomes or covariates of the table have changed since.",)
    assert np.isnan(result.ceiling)


def test_the_report_has_the_curve_and_its_sentences(study: Study, result: LearningCurveResult) -> None:
    facts = dataclasses.replace(gather(study), learning_curve=result)
    page = learning(facts)
    for sentence in result.sentences():
        assert sentence in words(page)
    assert "Patients (logarithmic)" in page
    assert "Out of date" not in page
    old = dataclasses.replace(result, provenance={**result.provenance, "table_sha256": "0"})
    assert "Out of date" in learning(dataclasses.replace(facts, learning_curve=old))
    assert "Not measured" in learning(dataclasses.replace(facts, learning_curve=None))
