"""The result on disk: `robustness.json` (figures, no patient's id) and `robustness.csv` (every score, a row each)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from common.files import safe_cell
from common.parsing import json_value
from study.disk.places import ROBUSTNESS as FILE_NAME
from study.disk.places import ROBUSTNESS_TABLE as TABLE_NAME
from study.disk.store import Study
from study.errors import StudyError
from study.files import csv_text, read_limited, sha256_of, write_json, write_text

KIND = "robustness-1"
COLUMNS = ("patient_id", "change", "log_hr", "difference", "difference_sd", "reason")
MAX_BYTES = 2**22


@dataclass(frozen=True)
class Figure:
    """A number with its 95 % bootstrap interval over patients; nan where there is none."""

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
    mean: Figure
    size: Figure
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
    icc: Figure
    size: Figure
    again: float
    made: str

    def frame(self) -> pd.DataFrame:
        """label, value, low, high of the mean differences, for a figure or a CSV."""
        rows = [(c.label, c.mean.value, c.mean.low, c.mean.high) for c in self.conditions]
        return pd.DataFrame(rows, columns=["label", "value", "low", "high"])


def model_digest(study: Study, name: str) -> str:
    """SHA-256 of the saved numbers of a model."""
    return sha256_of(study.model_folder(name) / "model.npz")


def write_robustness(study: Study, found: Robustness, table: pd.DataFrame) -> None:
    """The table first, then the figures that speak of it."""
    safe = {name: [safe_cell(str(v)) for v in table[name]] for name in ("patient_id", "reason")}
    write_text(study.path / TABLE_NAME, csv_text(table.assign(**safe)[list(COLUMNS)], float_format="%.6g"))
    write_json(study.path / FILE_NAME, {"kind": KIND, **_plain(asdict(found))})


def _plain(value: Any) -> Any:
    """JSON has no nan: null stands for it."""
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
        told = json_value(data)
        if told.pop("kind") != KIND:
            raise ValueError("kind")
        conditions = tuple(
            Condition(
                str(c["name"]),
                str(c["label"]),
                int(c["patients"]),
                int(c["failed"]),
                _figure(c["mean"]),
                _figure(c["size"]),
                _number(c["largest"]),
            )
            for c in told["conditions"]
        )
        texts = (
            "study",
            "model",
            "model_sha256",
            "checkpoint",
            "checkpoint_sha256",
            "preset",
            "perceptual_name",
            "made",
        )
        return Robustness(
            **{name: str(told[name]) for name in texts},
            aligned=bool(told["aligned"]),
            simulated=bool(told["simulated"]),
            seed=int(told["seed"]),
            patients=int(told["patients"]),
            complete=int(told["complete"]),
            sd=_number(told["sd"]),
            conditions=conditions,
            icc=_figure(told["icc"]),
            size=_figure(told["size"]),
            again=_number(told["again"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise StudyError(f"{FILE_NAME} is damaged.", ("robustness", folder.name)) from error


def _figure(told: dict[str, Any]) -> Figure:
    return Figure(*(_number(told[name]) for name in ("value", "low", "high")))


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def stale_reasons(study: Study, found: Robustness) -> tuple[str, ...]:
    """Why it is not of the study as it is now, in sentences; () where it is."""
    try:
        if found.model != study.chosen_model:
            return (f"It is of model {found.model}, and {study.chosen_model} is the study's model now.",)
        if found.model_sha256 != model_digest(study, found.model):
            return ("The model was fitted anew since.",)
    except StudyError as error:
        return (str(error),)
    return ()
