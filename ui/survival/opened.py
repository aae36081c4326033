"""What the Survival model page knows: the comparisons of the chosen study, read once for all sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from ui.cohort.opened import Opened

if TYPE_CHECKING:
    from study.comparison.record import Comparison, Judged
    from survival.metrics.estimate import Estimate


def names(found: Opened) -> list[str]:
    """Finished comparisons of the study, "main" first."""
    from study.comparison.record import list_comparisons

    return sorted(list_comparisons(found.study.path), key=lambda name: (name != "main", name))


def comparison(found: Opened, name: str) -> Comparison:
    """That comparison; StudyError, one sentence, where it is damaged."""
    return _comparison(found.key, name, found)


@st.cache_resource(show_spinner=False, max_entries=4)
def _comparison(key: str, name: str, _found: Opened) -> Comparison:
    from study.comparison.record import read_comparison

    return read_comparison(_found.study.path, name)


def stale(found: Opened, name: str) -> tuple[str, ...]:
    """Why it is not of the study as it is now; () where it is."""
    return _stale(found.key, name, found)


@st.cache_data(show_spinner=False, max_entries=8)
def _stale(key: str, name: str, _found: Opened) -> tuple[str, ...]:
    from study.comparison.standing import stale_reasons

    return stale_reasons(_found.study, comparison(_found, name))


def best_first(result: Comparison, measure: str = "Harrell C", controls: bool = False) -> list[Judged]:
    """Candidates with scores by a measure, the best first; controls, where wanted, after the models."""
    table = result.tables["figures"]
    own = table[table["measure"] == measure].set_index("candidate")["value"]
    lower = measure == "IBS" or measure.startswith("Brier")
    there = [c for c in result.candidates if c.name in own.index and not c.error]
    order = sorted(there, key=lambda c: (c.role == "control", own[c.name] if lower else -own[c.name]))
    return [c for c in order if controls or c.role != "control"]


def labels(result: Comparison) -> dict[str, str]:
    """Name of each candidate -> what it is called on the page."""
    return {c.name: c.label for c in result.candidates}


def frame(result: Comparison, table: str, **columns: object) -> pd.DataFrame:
    """Rows of a table where the columns have these values; `candidate` becomes `model` with the label."""
    own = result.tables[table]
    for column, value in columns.items():
        own = own[own[column] == value]
    called = labels(result)
    shown = own.assign(candidate=[called.get(str(name), str(name)) for name in own["candidate"]])
    return shown.rename(columns={"candidate": "model"}).reset_index(drop=True)


@dataclass(frozen=True, eq=False)
class Calibrated:
    """One model's calibration at a horizon: groups, curve (None where there is none), figures with intervals."""

    groups: pd.DataFrame
    curve: pd.DataFrame | None
    mean_predicted: float
    figures: dict[str, Estimate]


def calibration(result: Comparison, name: str, horizon: float) -> Calibrated:
    """What was measured of one model's calibration at a horizon."""
    from survival.metrics.estimate import Estimate

    figures = {
        str(row["measure"]): Estimate(float(row["value"]), float(row["low"]), float(row["high"]), len(result.patients))
        for row in _at(result, "calibration", name, horizon).to_dict("records")
    }
    curve = _at(result, "calibration_curves", name, horizon)
    mean = figures.pop("mean predicted").value
    return Calibrated(_at(result, "calibration_groups", name, horizon), curve if len(curve) else None, mean, figures)


def _at(result: Comparison, table: str, name: str, horizon: float) -> pd.DataFrame:
    own = result.tables[table]
    rows = own[(own["candidate"] == name) & (own["horizon"] == horizon)]
    return rows.drop(columns=["candidate", "horizon"]).reset_index(drop=True)
