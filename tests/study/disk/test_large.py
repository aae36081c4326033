"""20,000 patients: everything is there, and the work goes with the different texts of a column, not with its rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.cohort import SETTINGS, row_by_row, write_large
from study.description.flow import flow
from study.description.table_one import follow_up, table_one
from study.disk.store import Study
from study.scoring.check import check
from study.tables import values
from survival.curves import kaplan_meier

N = 20_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_large(tmp_path_factory.mktemp("large") / "large", N, photos=False)


def test_it_opens_validates_and_is_described(folder: Path) -> None:
    study, findings = check(str(folder))
    assert (findings.counts["error"], findings.counts["warning"]) == (0, 0)
    assert len(study.patients) == flow(study)[-1].patients == N
    assert follow_up(study).events == int(study.patients["event"].sum())
    assert set(table_one(study)["variable"]) >= {"age", "sex", "site", "stage", "ecog", "bmi", "arm"}
    curve = kaplan_meier(study.patients["time"], study.patients["event"])
    assert curve.n == N
    assert (np.diff(curve.survival) <= 0).all()


def test_each_different_text_is_judged_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    number = values.plain_number
    monkeypatch.setattr(values, "plain_number", lambda text: asked.append(text) or number(text))
    study = Study.open(folder)
    numeric = study.patients[["time", "age", "ecog", "bmi"]]
    assert len(asked) <= int(numeric.nunique().sum()) < len(numeric.to_numpy().ravel()) / 5


def test_the_benchmarks_baseline_finds_the_same(tmp_path: Path) -> None:
    folder = write_large(tmp_path / "small", 300)
    study = Study.open(folder)
    times, events, photos = row_by_row(folder)
    assert study.patients["time"].tolist() == times
    assert study.patients["event"].tolist() == events
    assert len(study.photos) == photos == 300
    assert study.settings.covariates == SETTINGS.covariates
    (folder / "patients.csv").write_text((folder / "patients.csv").read_text().replace(",a,", ",=a,", 1))
    with pytest.raises(RuntimeError, match="formula"):
        row_by_row(folder)
