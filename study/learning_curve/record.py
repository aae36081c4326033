"""The result on disk: `learning-curve.json`, numbers only, no patient's id."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from common.parsing import json_value
from common.text import interval
from study.comparison.plan import Plan
from study.disk.places import LEARNING_CURVE as FILE_NAME
from study.disk.store import Study
from study.errors import StudyError
from study.files import read_limited, without_nan, write_json

KIND = "learning-curve-1"
MAX_BYTES = 2**20
C, SHARE = "Harrell's C", "Recovered share"
COLUMNS = ("measure", "patients", "events", "value", "low", "high", "spread")
CURVE = ("measure", "patients", "value", "low", "high")
REPEATS = 5  # of the folds, by default


@dataclass(frozen=True)
class Target:
    """Patients that a value of a measure would take: value, low, high, inf beyond what the curve reaches."""

    measure: str
    target: float
    patients: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class LearningCurveResult:
    """study, simulated, label: of the model. points: COLUMNS, a row for each measure and number of patients; the
    interval is of bootstrap samples of patients and repeats, spread the standard deviation over repeats. curve: CURVE,
    the fitted inverse power law up to `beyond` patients with its 95 % band. targets: what was asked. ceiling: C of
    the true hazard of a simulated study, else nan. notes: sentences. plan, covariates, provenance: what it was made
    from. made: UTC."""

    study: str
    simulated: bool
    label: str
    patients: int
    events: int
    beyond: int
    points: pd.DataFrame
    curve: pd.DataFrame
    targets: tuple[Target, ...]
    ceiling: float
    notes: tuple[str, ...]
    plan: Plan
    covariates: tuple[str, ...]
    provenance: dict[str, Any]
    made: str

    @property
    def measures(self) -> tuple[str, ...]:
        """C, and the share where there is a true hazard."""
        return tuple(dict.fromkeys(self.points["measure"]))

    def of(self, measure: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Points and fitted curve of a measure."""
        return self.points[self.points["measure"] == measure], self.curve[self.curve["measure"] == measure]

    def sentences(self) -> list[str]:
        """What the curve says about the targets, one sentence each."""
        return [self._sentence(target) for target in self.targets]

    def _sentence(self, t: Target) -> str:
        aim = f"{'A C' if t.measure == C else 'A recovered share'} of {t.target:g}"
        low, high = (self._patients(v) for v in (t.low, t.high))
        within = f"95 % interval {low} to {high}" if low != high else f"95 % interval: {low}"
        if t.patients > self.beyond:
            return (
                f"{aim} is not reached with {self.beyond:,} patients, {_times(self.beyond / self.patients)} the "
                f"study's, which is as far as the curve is drawn ({within})."
            )
        rate = self.events / self.patients
        return (
            f"{aim} would take about {self._patients(t.patients)} patients (about {_round(t.patients * rate):,} "
            f"events; {within})."
        )

    def _patients(self, value: float) -> str:
        return f"more than {self.beyond:,}" if value > self.beyond else f"{_round(value):,}"


def _times(factor: float) -> str:
    return {2: "twice", 3: "three times", 4: "four times"}.get(round(factor), f"{factor:.1f} times")


def _round(value: float) -> int:
    """Two significant digits: the curve knows no more."""
    return int(float(f"{max(value, 1):.2g}"))


def learning_curve_text(result: LearningCurveResult) -> str:
    """The result as a table for a terminal."""
    lines = [
        f"Learning curve of {result.study}: {result.label}; {result.plan.repeats} x {result.plan.folds} folds by "
        "patient, out of fold, 95 % intervals over patients and random parts.",
        "",
        f"  {'patients':>9}{'events':>8}  " + "".join(f"{name:<26}" for name in result.measures),
    ]
    for n, rows in result.points.groupby("patients", sort=True):
        cells = {r["measure"]: interval(r["value"], r["low"], r["high"], 3) for r in rows.to_dict("records")}
        events = int(rows["events"].iloc[0])
        lines.append(f"  {n:>9,}{events:>8,}  " + "".join(f"{cells[name]:<26}" for name in result.measures))
    return "\n".join([*lines, "", *result.sentences(), *(f"Note: {note}" for note in result.notes)])


def has_learning_curve(study: Study) -> bool:
    return (study.path / FILE_NAME).is_file()


def write_learning_curve(study: Study, result: LearningCurveResult) -> None:
    values = {**vars(result), "plan": asdict(result.plan), "targets": [asdict(t) for t in result.targets]}
    values |= {name: getattr(result, name).to_dict("list") for name in ("points", "curve")}
    write_json(study.path / FILE_NAME, {"kind": KIND, **without_nan(values)})


def read_learning_curve(study: Study) -> LearningCurveResult:
    """What was found. Raises StudyError, one sentence, where nothing was, or it is damaged."""
    if not has_learning_curve(study):
        raise StudyError(f"{study.name} has no learning curve yet.", ("learning-curve", study.name))
    return parse(read_limited(study.path / FILE_NAME, MAX_BYTES, "The learning curve"), study.path)


def parse(data: bytes, folder: Path) -> LearningCurveResult:
    """From learning-curve.json. Raises StudyError for anything else."""
    try:
        values = json_value(data)
        if values["kind"] != KIND:
            raise ValueError("kind")
        return LearningCurveResult(
            study=str(values["study"]),
            simulated=bool(values["simulated"]),
            label=str(values["label"]),
            patients=int(values["patients"]),
            events=int(values["events"]),
            beyond=int(values["beyond"]),
            points=_frame(values["points"], COLUMNS),
            curve=_frame(values["curve"], CURVE),
            targets=tuple(
                Target(
                    str(t["measure"]), *(_number(t[name], math.inf) for name in ("target", "patients", "low", "high"))
                )
                for t in values["targets"]
            ),
            ceiling=_number(values["ceiling"], math.nan),
            notes=tuple(map(str, values["notes"])),
            plan=Plan.from_dict(values["plan"]),
            covariates=tuple(map(str, values["covariates"])),
            provenance=dict(values["provenance"]),
            made=str(values["made"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, StudyError) as error:
        raise StudyError(f"{FILE_NAME} is damaged.", ("learning-curve", folder.name)) from error


def _frame(columns: Mapping[str, Any], names: tuple[str, ...]) -> pd.DataFrame:
    if set(columns) != set(names) or len({len(columns[name]) for name in names}) != 1 or not columns[names[0]]:
        raise ValueError("columns")
    if not {str(m) for m in columns["measure"]} <= {C, SHARE}:
        raise ValueError("measure")
    return pd.DataFrame(
        {
            name: [str(v) for v in columns[name]]
            if name == "measure"
            else [_number(v, math.nan) for v in columns[name]]
            for name in names
        }
    )


def _number(value: Any, absent: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise TypeError(value)
    return absent if value is None else float(value)
