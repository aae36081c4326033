"""The comparisons of the chosen study: read once for all sessions, and parts of their tables."""

from __future__ import annotations

import pandas as pd

from study.comparison.provenance import stale_reasons
from study.comparison.record import CandidateResult, Comparison, list_comparisons, read_comparison
from survival.metrics.estimate import Estimate
from ui.shell.resources import OpenedStudy, study_data, study_resource


def names(opened: OpenedStudy) -> list[str]:
    """Finished comparisons of the study, "main" first."""
    return sorted(list_comparisons(opened.study.path), key=lambda name: (name != "main", name))


@study_resource
def comparison(opened: OpenedStudy, name: str) -> Comparison:
    """That comparison; StudyError, one sentence, where it is damaged."""
    return read_comparison(opened.study.path, name)


@study_data
def stale(opened: OpenedStudy, name: str) -> tuple[str, ...]:
    """Why it is not of the study as it is now; () where it is."""
    return stale_reasons(opened.study, comparison(opened, name))


def best_first(result: Comparison, measure: str = "Harrell C", controls: bool = False) -> list[CandidateResult]:
    """Candidates with scores by a measure, the best first; controls, where wanted, after the models."""
    return [c for c in result.best_first(measure) if controls or c.role != "control"]


def labels(result: Comparison) -> dict[str, str]:
    """Name of each candidate -> what it is called on the page."""
    return {c.name: c.label for c in result.candidates}


def frame(result: Comparison, table: str, **columns: object) -> pd.DataFrame:
    """Rows of a table where the columns have these values; `candidate` becomes `model` with the label."""
    rows = result.tables[table]
    for column, value in columns.items():
        rows = rows[rows[column] == value]
    called = labels(result)
    shown = rows.assign(candidate=[called.get(str(name), str(name)) for name in rows["candidate"]])
    return shown.rename(columns={"candidate": "model"}).reset_index(drop=True)


def calibration(
    result: Comparison, name: str, horizon: float
) -> tuple[pd.DataFrame, pd.DataFrame | None, float, dict[str, Estimate]]:
    """One model's calibration at a horizon: groups, curve (None: there is none), mean predicted risk, estimates."""
    tables = [result.tables[kind] for kind in ("calibration", "calibration_curves", "calibration_groups")]
    chosen = [t[(t["candidate"] == name) & (t["horizon"] == horizon)] for t in tables]
    measured, curve, groups = (t.drop(columns=["candidate", "horizon"]).reset_index(drop=True) for t in chosen)
    estimates = {
        str(row["measure"]): Estimate(float(row["value"]), float(row["low"]), float(row["high"]), len(result.patients))
        for row in measured.to_dict("records")
    }
    return groups, curve if len(curve) else None, estimates.pop("mean predicted").value, estimates
