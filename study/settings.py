"""study.toml: what a study is called, which columns mean what, and how its photos are embedded.

Read through `read_settings` (a schema, every problem a sentence), written by `settings_text`.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from study.errors import Findings, StudyError
from study.files import read_limited

FILE_NAME = "study.toml"
MAX_BYTES = 256 * 1024
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
TIME_UNITS = ("days", "weeks", "months", "years")
PRESETS = ("fast", "balanced", "faithful")
Scalar = str | int | float | bool


@dataclass(frozen=True)
class Columns:
    """Which column of patients.csv holds what. The last five may be absent from the file."""

    patient_id: str = "patient_id"
    time: str = "time_months"
    event: str = "event"
    photo: str = "photo"
    age: str = "age"
    sex: str = "sex"
    site: str = "site"
    stage: str = "stage"
    ecog: str = "ecog"


REQUIRED_COLUMNS = ("patient_id", "time", "event", "photo")


@dataclass(frozen=True)
class Settings:
    """The contents of study.toml.

    horizons: times, in `time_unit`, at which survival is reported; fixed before the model is fitted.
    event_values / censored_values: how the event column is coded in the file.
    aligned: the photos are already FFHQ-aligned squares, so no face is searched for.
    simulation: free record of how a simulated study was made.
    """

    name: str
    title: str
    simulated: bool = False
    time_unit: str = "months"
    horizons: tuple[float, ...] = (12.0, 24.0, 60.0)
    columns: Columns = field(default_factory=Columns)
    event_values: tuple[str, ...] = ("1",)
    censored_values: tuple[str, ...] = ("0",)
    checkpoint: str = "portraits"
    preset: str = "balanced"
    aligned: bool = False
    simulation: dict[str, Scalar] = field(default_factory=dict)


_TOP = ("name", "title", "simulated", "time_unit", "horizons", "columns", "events", "embedding", "simulation")


class _Reader:
    """Takes typed values out of a TOML table and notes what does not fit."""

    def __init__(self, table: dict[str, Any], section: str, known: tuple[str, ...], findings: Findings) -> None:
        self.table, self.section, self.findings = table, section, findings
        for key in table:
            if key not in known:
                near = get_close_matches(key, known, 1)
                hint = f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(known)}."
                findings.warning(FILE_NAME, None, f"{section}{key} is not a setting and is ignored.", hint)

    def refuse(self, key: str, expected: str) -> None:
        self.findings.error(FILE_NAME, None, f"{self.section}{key} must be {expected}.", "Correct it in study.toml.")

    def text(self, key: str, default: str, legal: tuple[str, ...] = (), name: bool = False) -> str:
        value = self.table.get(key, default)
        if not isinstance(value, str) or not value.strip() or len(value) > 300:
            self.refuse(key, "a short text")
        elif legal and value not in legal:
            self.refuse(key, f"one of {', '.join(legal)}")
        elif name and not SAFE_NAME.fullmatch(value):
            self.refuse(key, "a name of letters, digits, - and _ (64 at most)")
        else:
            return value
        return default

    def flag(self, key: str, default: bool) -> bool:
        value = self.table.get(key, default)
        if isinstance(value, bool):
            return value
        self.refuse(key, "true or false")
        return default

    def texts(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = self.table.get(key, list(default))
        if isinstance(value, list) and 0 < len(value) <= 20 and all(isinstance(v, str | int) for v in value):
            return tuple(str(int(v)) if isinstance(v, bool) else str(v).strip() for v in value)
        self.refuse(key, 'a list of texts such as ["1"]')
        return default

    def subtable(self, key: str) -> dict[str, Any]:
        value = self.table.get(key, {})
        if isinstance(value, dict):
            return value
        self.refuse(key, f"a section, [{key}]")
        return {}


def _horizons(reader: _Reader) -> tuple[float, ...]:
    value = reader.table.get("horizons", list(Settings.horizons))
    numbers = isinstance(value, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    if numbers and 0 < len(value) <= 12 and all(math.isfinite(v) and v > 0 for v in value):
        return tuple(sorted({float(v) for v in value}))
    reader.refuse("horizons", "a list of one to twelve positive times")
    return Settings.horizons


def _columns(table: dict[str, Any], findings: Findings) -> Columns:
    names = tuple(f.name for f in fields(Columns))
    reader = _Reader(table, "columns.", names, findings)
    columns = replace(Columns(), **{name: reader.text(name, getattr(Columns(), name)) for name in names})
    used = [getattr(columns, name) for name in names]
    if len(set(used)) < len(used):
        findings.error(FILE_NAME, None, "[columns] uses one column for two meanings.", "Give each meaning its own.")
    return columns


def _simulation(table: dict[str, Any], findings: Findings) -> dict[str, Scalar]:
    kept = {k: v for k, v in table.items() if isinstance(v, str | int | float | bool)}
    if len(kept) < len(table) or len(table) > 100:
        findings.warning(FILE_NAME, None, "[simulation] holds more than plain values; the others are ignored.")
    return kept


def parse_settings(data: bytes, findings: Findings) -> Settings:
    """Settings from the bytes of study.toml; problems go to `findings` and the default takes their place.

    Raises StudyError when the file is no TOML at all.
    """
    try:
        table = tomllib.loads(data.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StudyError(f"{FILE_NAME} is not valid TOML: {str(error)[:200]}. Correct that place.") from error
    top = _Reader(table, "", _TOP, findings)
    for key in ("name", "title"):
        if key not in table:
            findings.error(FILE_NAME, None, f"{key} is missing.", f'Add a line {key} = "...".')
    events = _Reader(top.subtable("events"), "events.", ("event", "censored"), findings)
    embedding = _Reader(top.subtable("embedding"), "embedding.", ("checkpoint", "preset", "aligned"), findings)
    settings = Settings(
        name=top.text("name", "unnamed", name=True),
        title=top.text("title", "Unnamed study"),
        simulated=top.flag("simulated", False),
        time_unit=top.text("time_unit", "months", legal=TIME_UNITS),
        horizons=_horizons(top),
        columns=_columns(top.subtable("columns"), findings),
        event_values=events.texts("event", ("1",)),
        censored_values=events.texts("censored", ("0",)),
        checkpoint=embedding.text("checkpoint", "portraits", name=True),
        preset=embedding.text("preset", "balanced", legal=PRESETS),
        aligned=embedding.flag("aligned", False),
        simulation=_simulation(top.subtable("simulation"), findings),
    )
    if set(settings.event_values) & set(settings.censored_values):
        findings.error(FILE_NAME, None, "[events] uses one value for both event and censored.", "Separate them.")
    return settings


def read_settings(folder: Path, findings: Findings) -> Settings:
    """Settings of the study in `folder`; raises StudyError when study.toml is missing, too large or no TOML."""
    return parse_settings(read_limited(folder / FILE_NAME, MAX_BYTES, "The study's settings file"), findings)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return "[" + ", ".join(_toml(v) for v in value) + "]"


def _lines(table: dict[str, Any]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in table.items()]


def settings_text(settings: Settings, comments: tuple[str, ...] = ()) -> str:
    """study.toml as text; `comments` become its first lines."""
    top = {key: getattr(settings, key) for key in ("name", "title", "simulated", "time_unit", "horizons")}
    columns = {f.name: getattr(settings.columns, f.name) for f in fields(Columns)}
    embedding = {key: getattr(settings, key) for key in ("checkpoint", "preset", "aligned")}
    lines = [f"# {c}".rstrip() for c in comments] + _lines(top)
    lines += ["", "[columns]", *_lines(columns)]
    lines += [
        "",
        "[events]",
        f"event = {_toml(settings.event_values)}",
        f"censored = {_toml(settings.censored_values)}",
    ]
    lines += ["", "[embedding]", *_lines(embedding)]
    if settings.simulation:
        lines += ["", "[simulation]", *_lines(settings.simulation)]
    return "\n".join(lines) + "\n"
