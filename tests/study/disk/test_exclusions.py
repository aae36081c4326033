"""Exclusions: laws of taking out and back, hostile files, who is analysed, embedded and counted then."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from latent.checkpoints import Checkpoint
from study.comparison.fit import fit, fit_plan, report_text
from study.description.flow import flow
from study.disk.exclusions import FILE_NAME, MAX_REASON, Exclusion, exclude, include, read_exclusions
from study.disk.store import Study
from study.embedding.command import embed
from study.errors import Findings, StudyError
from study.files import read_limited, write_bytes, write_json
from study.scoring.check import check, summary
from tests.study.conftest import make_cohort, patient_table, write_codes, write_study

IDS = [f"P{i:04d}" for i in range(1, 13)]
people = st.lists(st.sampled_from(IDS), max_size=8)


def listed(folder: Path) -> dict[str, Exclusion]:
    findings = Findings()
    found = read_exclusions(folder, findings)
    assert not findings.errors
    return found


@given(first=people, second=people)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_laws_of_taking_out_and_back(tmp_path: Path, first: list[str], second: list[str]) -> None:
    (tmp_path / FILE_NAME).unlink(missing_ok=True)
    assert exclude(tmp_path, first, "blurred") == list(dict.fromkeys(first))
    before = listed(tmp_path)
    assert list(before) == list(dict.fromkeys(first))
    fresh = exclude(tmp_path, second, "wrong person")
    assert set(fresh) == set(second) - set(first)
    assert {p: e.reason for p, e in listed(tmp_path).items()} == {
        **dict.fromkeys(first, "blurred"),
        **dict.fromkeys(second, "wrong person"),
    }
    assert set(include(tmp_path, fresh)) == set(fresh)
    assert set(listed(tmp_path)) == set(before), "taking back is the inverse of taking out"
    include(tmp_path, IDS)
    assert listed(tmp_path) == {}
    assert include(tmp_path, IDS) == []


def test_the_time_is_utc_and_the_reason_is_kept(tmp_path: Path) -> None:
    exclude(tmp_path, ["P1"], '  second photo of "P2", see letter  ', datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC))
    assert listed(tmp_path) == {"P1": Exclusion('second photo of "P2", see letter', "2026-03-04T05:06:07Z")}


@pytest.mark.parametrize("reason", ["", "  ", "=1+1", "-cmd", "a\nb", "x" * (MAX_REASON + 1)])
def test_a_reason_that_cannot_be_changes_nothing(tmp_path: Path, reason: str) -> None:
    exclude(tmp_path, ["P1"], "blurred")
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(StudyError):
        exclude(tmp_path, ["P2"], reason)
    with pytest.raises(StudyError, match="not a patient's id"):
        exclude(tmp_path, ["P2", "../P3"], "blurred")
    assert (tmp_path / FILE_NAME).read_bytes() == before


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfe\x00",
        b"patient_id,reason\nP0001,blurred\n",
        b"patient_id,reason,when\nP0001,blurred\n",
        b"patient_id,reason,when\nP0001,,2026\n",
        b"patient_id,reason,when\nP0001,=HYPERLINK(1),2026\n",
        b"patient_id,reason,when\n../x,blurred,2026\n",
        b"patient_id,reason,when\nP0001,a,2026\nP0001,b,2026\n",
        b'patient_id,reason,when\nP0001,"a,2026\n',
    ],
)
def test_a_damaged_list_refuses_the_study_and_is_not_overwritten(tmp_path: Path, data: bytes) -> None:
    folder = write_study(tmp_path / "s", patient_table(12), photos=12)
    write_bytes(folder / FILE_NAME, data)
    with pytest.raises(StudyError, match=FILE_NAME):
        Study.open(folder)
    with pytest.raises(StudyError, match=FILE_NAME):
        exclude(folder, ["P0002"], "blurred")
    assert (folder / FILE_NAME).read_bytes() == data


def test_a_patient_who_left_the_table_is_only_noted(tiny_study: Study) -> None:
    exclude(tiny_study.path, ["X1", "P0001"], "blurred")
    opened = Study.open(tiny_study.path)
    assert any("X1 is not in the table" in f.message for f in opened.findings)
    assert flow(opened)[1].lost == (("blurred", 1),)


def test_analysed_leaves_them_out_and_takes_them_back(tiny_study: Study) -> None:
    ws = np.random.default_rng(0).standard_normal((12, 4, 8)).astype(np.float16)
    write_codes(tiny_study, ws)
    exclude(tiny_study.path, ["P0002", "P0005"], "blurred")
    codes, table = Study.open(tiny_study.path).analysed()
    kept = [i for i in range(12) if i not in (1, 4)]
    assert list(table["patient_id"]) == [IDS[i] for i in kept]
    np.testing.assert_array_equal(codes, ws[kept])
    include(tiny_study.path, ["P0002", "P0005"])
    np.testing.assert_array_equal(Study.open(tiny_study.path).analysed()[0], ws)
    exclude(tiny_study.path, IDS, "all")
    with pytest.raises(StudyError, match="No patient"):
        Study.open(tiny_study.path).analysed()


@given(out=people, failed=people, coded=people)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_flow_loses_everyone_once_and_ends_at_the_analysis(
    tiny_study: Study, out: list[str], failed: list[str], coded: list[str]
) -> None:
    folder = tiny_study.path
    (folder / FILE_NAME).unlink(missing_ok=True)
    exclude(folder, out, "blurred")
    some = Study(folder, tiny_study.settings, tiny_study.patients, {p: tiny_study.photos[p] for p in set(coded)})
    for name in ("index.parquet", "latents.npy"):
        (folder / name).unlink(missing_ok=True)
    if some.photos:
        write_codes(some, np.ones((len(some.photos), 2, 4)))
    rows = [{"patient_id": p, "photo": f"{p}.jpg", "reason": f"{p}.jpg: no face was found."} for p in failed]
    write_json(folder / "embedding.json", {"failures": rows})
    study = Study.open(folder)
    steps = flow(study)
    for before, after in pairwise(steps):
        assert before.patients - after.patients == sum(n for _, n in after.lost)
    assert steps[0].patients == 12
    analysed = set(coded) - set(out)
    assert steps[-1].patients == len(analysed)
    if analysed:
        assert len(study.analysed()[1]) == len(analysed)
    refused = set(failed) - set(out) - set(coded)
    assert steps[3].lost == ((("No face was found.", len(refused)),) if refused else ())


def test_a_photo_cell_says_why_there_is_no_photo(tmp_path: Path) -> None:
    table = patient_table(12)
    table.loc[0, "photo"] = ""
    table.loc[1, "photo"] = "photos/gone.jpg"
    study = Study.open(write_study(tmp_path / "s", table, photos=12))
    assert dict(flow(study)[2].lost) == {"No photo named in the table": 1, "Photo file not in the folder": 1}
    assert flow(study)[-1].lost == (("Photo not embedded yet", 10),)


@pytest.mark.slow
def test_they_are_not_embedded(tmp_path: Path, make_checkpoint: Callable[[], Checkpoint]) -> None:
    folder = write_study(tmp_path / "s", patient_table(4), photos=4, aligned=True, preset="fast")
    exclude(folder, ["P0001", "P0003"], "blurred")
    study = Study.open(folder)
    assert embed(study, make_checkpoint()).total == 2
    assert list(Study.open(folder).latents().index["patient_id"]) == ["P0002", "P0004"]
    assert b'"excluded"' in read_limited(folder / "embedding.json", 10**6, "report")
    exclude(folder, ["P0002", "P0004"], "blurred too")
    with pytest.raises(StudyError, match="nothing to embed"):
        embed(Study.open(folder), make_checkpoint())


def test_the_fit_leaves_them_out_says_so_and_stays_with_its_patients(tmp_path: Path) -> None:
    study, _ = make_cohort(tmp_path / "cohort", n=90)
    exclude(study.path, ["P0001", "P0002"], "blurred")
    study = Study.open(study.path)
    report = fit(study, plan=fit_plan(folds=3, repeats=1, penalties=10, samples=200))
    assert (report["patients"], report["excluded"]) == (88, ["P0001", "P0002"])
    assert "or one of 2 excluded" in report_text(report)
    include(study.path, ["P0001"])
    exclude(study.path, ["P0010"], "wrong person")
    later = Study.open(study.path)
    codes, table = later.fitted()
    assert list(table["patient_id"]) == list(study.patients["patient_id"][2:]), "those it was fitted on"
    assert codes.shape[0] == 88
    assert "P0001" in set(later.analysed()[1]["patient_id"])
    assert "2 patients excluded" in summary(*check(str(study.path), quick=True))
