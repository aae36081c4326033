"""The result on disk: `robustness.json` (summary, no patient's id) and `robustness.csv` (every score, a row each)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from common.files import safe_cell
from common.parsing import json_value
from study.disk.places import ROBUSTNESS as FILE_NAME
from study.disk.places import ROBUSTNESS_TABLE as TABLE_NAME
from study.disk.store import Study
from study.errors import StudyError
from study.files import csv_text, read_limited, sha256_of, without_nan, write_json, write_text

KIND = "robustness-1"
COLUMNS = ("patient_id", "change", "log_hr", "difference", "difference_sd", "reason")
MAX_BYTES = 2**22
PATIENTS = 20  # measured by default; fewer give rough intervals


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % bootstrap interval over patients; nan where there is none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Condition:
    """What one change of the photo did to the score, in standard deviations of the cohort's out-of-fold log_hr.

    patients: with a score both ways. failed: photos in which no face was found any more, or no code.
    mean: of the differences. size: mean of their absolute values. largest: of those.
    """

    name: str
    label: str
    patients: int
    failed: int
    mean: Interval
    size: Interval
    largest: float


@dataclass(frozen=True)
class Robustness:
    """study, model, checkpoint, preset: what was asked. model_sha256: of the model's numbers. aligned: whether photos
    count as squares already, so that no alignment undoes a turn or a crop. patients: drawn by seed. sd: the unit.
    icc: ICC(2,1) over `complete` patients with a score under all conditions. size: mean absolute difference over all
    changes. again: largest difference, in the unit, between the unchanged photo's score now and that of its code in
    the study. made: UTC. simulated: whether the study is."""

    study: str
    model: str
    model_sha256: str
    checkpoint: str
    checkpoint_sha256: str
    preset: str
    perceptual_name: str
    aligned: bool
    simulated: bool
    seed: int
    patients: int
    complete: int
    sd: float
    conditions: tuple[Condition, ...]
    icc: Interval
    size: Interval
    again: float
    made: str

    @property
    def caveats(self) -> list[str]:
        """Sentences on what limits the result."""
        sentences = []
        if self.patients < PATIENTS:
            sentences.append(f"{self.patients} patients are few: the intervals are rough.")
        if self.aligned:
            sentences.append("The photos are already aligned, so no alignment undoes a turn or another crop.")
        return sentences

    def frame(self) -> pd.DataFrame:
        """label, value, low, high of the mean differences, for a plot or a CSV."""
        rows = [(c.label, c.mean.value, c.mean.low, c.mean.high) for c in self.conditions]
        return pd.DataFrame(rows, columns=["label", "value", "low", "high"])


def model_digest(study: Study, name: str) -> str:
    """SHA-256 of the saved numbers of a model."""
    return sha256_of(study.model_folder(name) / "model.npz")


def write_robustness(study: Study, result: Robustness, table: pd.DataFrame) -> None:
    """The table first, then its summary."""
    safe = {name: [safe_cell(str(v)) for v in table[name]] for name in ("patient_id", "reason")}
    write_text(study.path / TABLE_NAME, csv_text(table.assign(**safe)[list(COLUMNS)], float_format="%.6g"))
    write_json(study.path / FILE_NAME, {"kind": KIND, **without_nan(asdict(result))})


def has_robustness(study: Study) -> bool:
    return (study.path / FILE_NAME).is_file()


def read_robustness(study: Study) -> Robustness:
    """What was found. Raises StudyError, one sentence, where nothing was, or it is damaged."""
    if not has_robustness(study):
        raise StudyError(f"The robustness of {study.name} has not been measured.", ("robustness", study.name))
    return parse(read_limited(study.path / FILE_NAME, MAX_BYTES, "The robustness result"), study.path)


def parse(data: bytes, folder: Path) -> Robustness:
    """From robustness.json. Raises StudyError for anything else."""
    try:
        values = json_value(data)
        if values.pop("kind") != KIND:
            raise ValueError("kind")
        return Robustness(**_read(Robustness, values))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise StudyError(f"{FILE_NAME} is damaged.", ("robustness", folder.name)) from error


def _read(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dataclass of this module from JSON, each of its declared type."""
    return {field.name: _READERS[str(field.type)](values[field.name]) for field in fields(cls)}


_READERS: dict[str, Callable[[Any], Any]] = {
    "str": str,
    "int": int,
    "bool": bool,
    "float": lambda value: math.nan if value is None else float(value),
    "Interval": lambda value: Interval(**_read(Interval, value)),
    "tuple[Condition, ...]": lambda values: tuple(Condition(**_read(Condition, value)) for value in values),
}


def stale_reasons(study: Study, result: Robustness) -> tuple[str, ...]:
    """Why it is not of the study as it is now, in sentences; () where it is."""
    try:
        if result.model != study.chosen_model:
            return (f"It was measured for model {result.model}, but {study.chosen_model} is the study's model now.",)
        if result.model_sha256 != model_digest(study, result.model):
            return ("The model has been fitted again since.",)
    except StudyError as error:
        return (str(error),)
    return ()
