"""Competing events count as censored, and every command that prints hazards or survival says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.__main__ import main
from study.comparison.features import gather
from study.comparison.plan import Plan
from study.disk.store import Study
from study.intake.make import intake
from study.report.build import report_html
from study.settings import Columns, Settings

CASE = Path(__file__).parents[2] / "data" / "cases" / "tables" / "compete.csv"
PLAN = Settings("made", "Made", columns=Columns(photo="none"), horizons=(12.0,), competing_values=("2",))


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study.open(intake(tmp_path, PLAN, CASE.read_bytes())[0])


def test_the_sentence_counts_who_is_in_the_study(study: Study) -> None:
    count = int(study.patients["competing"].sum())
    assert f"(event = 2) ended the follow-up of {count} patients" in study.competing_note
    assert not study.patients.loc[study.patients["competing"], "event"].any()


@pytest.mark.parametrize("verb", ["cox", "check"])
def test_commands_say_it(study: Study, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, str(study.path)]) == 0
    assert study.competing_note in capsys.readouterr().out


def test_a_comparison_and_the_report_say_it(study: Study) -> None:
    assert study.competing_note in gather(study, Plan(("clinical",))).notes
    assert report_html(study).decode().count("hazards are cause-specific") >= 2, "beside the curve and to beware of"


def test_without_competing_events_nothing_is_said(tmp_path: Path) -> None:
    table = CASE.read_bytes().replace(b",2,", b",0,")
    made, _ = intake(tmp_path, Settings("made", "Made", columns=Columns(photo="none"), horizons=(12.0,)), table)
    assert Study.open(made).competing_note == ""
    assert b"cause-specific" not in report_html(Study.open(made))
