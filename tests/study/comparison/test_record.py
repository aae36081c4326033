"""A comparison on disk: round trip, and files that do not fit are refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from study.comparison.plan import Plan
from study.comparison.record import CandidateResult, Comparison, list_comparisons, read_comparison
from study.comparison.tables import TABLES, table_of
from study.errors import StudyError
from survival.comparison import crossval
from survival.comparison.crossval import Scores


def made(m: int = 6) -> Comparison:
    """Two candidates with scores and one that failed, on m patients, 2 repeats, 3 times."""
    rng = np.random.default_rng(0)
    scores = {
        name: Scores(rng.normal(size=(2, m)), rng.random((2, m, 3)), rng.integers(0, 4, (2, m)), ("a note",), 1.5)
        for name in ("age-sex", "photo")
    }
    event = np.arange(m) % 2 == 0
    raw = crossval.CrossValidation(
        np.arange(1.0, m + 1),
        event,
        rng.integers(0, 2, (2, m)),
        np.array([1.0, 2.0, 3.0]),
        rng.random((2, m, 3)),
        scores,
        {"clinical": "It cannot be fitted."},
    )
    patients = pd.DataFrame(
        {
            "patient_id": [f"P{i}" for i in range(m)],
            "time": raw.time,
            "event": event,
            "age": [50.0, np.nan, 60.0, 61.0, 62.0, 63.0][:m],
            "sex": ["female", None, "male", "male", "male", "female"][:m],
        }
    )
    tables = {name: table_of(name) for name in TABLES}
    figures = {"candidate": ["age-sex", "photo"], "measure": ["Harrell C"] * 2}
    tables["figures"] = pd.DataFrame(
        {**figures, "value": [0.6, 0.7], "low": [0.5, np.nan], "high": [0.65, np.nan], "n": [m, m]}
    )
    tables["differences"] = pd.DataFrame(
        {
            "candidate": ["age-sex"],
            "other": ["photo"],
            "measure": ["Harrell C"],
            "value": [-0.1],
            "low": [-0.2],
            "high": [0.05],
        }
    )
    judged = (
        CandidateResult(
            "age-sex", "Age and sex, Cox", "model", "age-sex", "cox", ("age-sex",), {"missing": "indicator"}
        ),
        CandidateResult(
            "photo", "Photo (W+), ridge Cox", "model", "photo", "cox-ridge", ("photo",), {}, ("a note",), 1.5
        ),
        CandidateResult(
            "clinical", "Clinical, Cox", "model", "clinical", "cox", ("clinical",), error="It cannot be fitted."
        ),
    )
    return Comparison(
        name="main",
        study="demo",
        title="Test",
        simulated=True,
        time_unit="months",
        horizons=(2.0,),
        horizons_left_out=(60.0,),
        plan=Plan(features=("age-sex", "photo"), repeats=2),
        candidates=judged,
        patients=patients,
        covariates=("age", "sex"),
        scores=raw,
        tables=tables,
        tau=3.0,
        provenance={"latents_sha256": "ab", "excluded": ["P9"]},
        versions={"numpy": "2"},
        made="2026-05-31T12:00:00Z",
        seconds=12.0,
        notes=("Words.",),
    )


def test_what_is_read_is_what_was_saved(tmp_path: Path) -> None:
    one = made()
    one.save(tmp_path / "comparisons" / "main")
    two = read_comparison(tmp_path)
    assert list_comparisons(tmp_path) == ["main"]
    for key in ("name", "horizons", "plan", "covariates", "tau", "provenance", "versions", "made", "notes"):
        assert getattr(two, key) == getattr(one, key)
    assert [c.name for c in two.candidates] == [c.name for c in one.candidates]
    assert two.candidate("clinical").error == "It cannot be fitted."
    for name, scores in one.scores.scores.items():
        np.testing.assert_array_equal(two.scores.scores[name].log_risk, scores.log_risk)
        np.testing.assert_array_equal(two.scores.scores[name].quartile, scores.quartile)
        np.testing.assert_allclose(two.scores.scores[name].survival, scores.survival, atol=1e-7)
    assert two.patients["sex"].tolist() == one.patients["sex"].tolist()
    assert np.isnan(two.patients["age"][1])
    pd.testing.assert_frame_equal(two.tables["figures"], one.tables["figures"])


def test_figures_and_differences_are_found_both_ways_round() -> None:
    one = made()
    assert one.best().name == "photo"
    assert [c.name for c in one.models] == ["age-sex", "photo"]
    assert np.isnan(one.estimate("photo").low)
    there, back = one.difference("age-sex", "photo"), one.difference("photo", "age-sex")
    assert (there.value, there.low, there.high) == (-back.value, -back.high, -back.low)
    with pytest.raises(StudyError, match="no measure"):
        one.estimate("photo", "Gini")
    with pytest.raises(StudyError, match="no candidate"):
        one.candidate("other")


@pytest.mark.parametrize("what", ["tables", "patients", "plan", "candidates", "kind", "cut", "array"])
def test_what_does_not_fit_is_refused(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "comparisons" / "main"
    made().save(folder)
    document = json.loads((folder / "comparison.json").read_text())
    meta = document["meta"]
    if what == "tables":
        del meta["tables"]["figures"]["low"]
    elif what == "patients":
        meta["patients"] = {k: v[:-1] for k, v in meta["patients"].items()}
    elif what == "plan":
        meta["plan"]["folds"] = 1
    elif what == "candidates":
        meta["candidates"][0]["other"] = 1
    elif what == "kind":
        document["kind"] = "cox-1"
    (folder / "comparison.json").write_text(json.dumps(document)[: -9 if what == "cut" else None])
    if what == "array":
        (folder / "comparison.npz").write_bytes(b"PK")
    with pytest.raises(StudyError, match="study compare"):
        read_comparison(tmp_path)


def test_a_comparison_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no comparison 'main' yet"):
        read_comparison(tmp_path)
    with pytest.raises(StudyError, match="cannot be"):
        read_comparison(tmp_path, "../x")


@pytest.mark.parametrize(
    "wrong",
    [{"features": ("face",)}, {"folds": 1}, {"site": "single"}, {"site_name": "lung"}, {"rule": "x"}, {"models": ()}],
)
def test_a_plan_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(StudyError):
        Plan(**wrong)  # type: ignore[arg-type]
