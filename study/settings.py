"""study.toml: what a study is called, which columns mean what, its covariates, and how its photos are embedded.

Read through `read_settings` (a schema, every problem a sentence), written by `settings_text`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from common.parsing import toml_table
from study.errors import Findings, StudyError
from study.files import read_limited
from study.tables.reading import Reading, parse_reading
from study.toml_section import SAFE_NAME, TomlSection, toml_value

FILE_NAME = "study.toml"
MAX_BYTES = 256 * 1024
MAX_COVARIATES = 100
TIME_UNITS = ("days", "weeks", "months", "years")
PRESETS = ("fast", "balanced", "faithful")
VIEWS = {  # of each photo (`faces.views`), in words
    1: "the photo itself",
    2: "the photo and its mirror image",
    4: "the photo, a closer and lighter frame of it, and the mirror images of both",
    6: "the photo, a closer and lighter frame of it, a softer and darker picture of it, and the mirror images of all",
}
KINDS = ("numeric", "categorical")
PHOTO_RULES = ("mean", "first", "last", "nearest")
Scalar = str | int | float | bool


@dataclass(frozen=True)
class Columns:
    """Which column of the patient table holds what. Only the first three must be there; in place of time, two dates.

    entry (when a patient came under observation, in the study's unit) and the dates are used only where study.toml
    names their columns: a column that happens to be called so must not change an analysis. Where end_date (of the last
    contact) or death_date is named, time counts from baseline_date, or photo_date where there is none, to the date of
    death, or of the last contact where that is empty; without an event column, a date of death is the event.
    """

    patient_id: str = "patient_id"
    time: str = "time_months"
    event: str = "event"
    photo: str = "photo"
    age: str = "age"
    sex: str = "sex"
    site: str = "site"
    stage: str = "stage"
    ecog: str = "ecog"
    entry: str = ""
    photo_date: str = ""
    baseline_date: str = ""
    end_date: str = ""
    death_date: str = ""

    @property
    def time_from_dates(self) -> bool:
        """Whether the follow-up is computed from two dates."""
        return bool(self.end_date or self.death_date)

    @property
    def start_date(self) -> str:
        """The column from whose date time counts; "" where none is named."""
        return self.baseline_date or self.photo_date

    def named(self) -> dict[str, str]:
        """Meaning -> column, of every meaning that has one."""
        return {f.name: name for f in fields(self) if (name := str(getattr(self, f.name)))}


REQUIRED_COLUMNS = ("patient_id", "time", "event")
DATE_COLUMNS = ("photo_date", "baseline_date", "end_date", "death_date")
OPTIONAL_COLUMNS = ("entry", *DATE_COLUMNS)
# Legal values of these columns; ages in years, ECOG performance status.
FIXED_BOUNDS = {"time": (0.0, math.inf), "age": (0.0, 120.0), "ecog": (0.0, 5.0), "entry": (0.0, math.inf)}
TAKEN = frozenset({*(f.name for f in fields(Columns)), "row", "competing"})  # columns of the checked table


@dataclass(frozen=True)
class Covariate:
    """A clinical column in addition to age, sex, site, stage and ecog.

    kind: "numeric", or "categorical" with its legal `levels`, the reference first; () takes those of the table, in
    alphabetical order. low, high: what a number may be. label: what tables and figures call it.
    """

    name: str
    kind: str = "numeric"
    column: str = ""
    levels: tuple[str, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    label: str = ""

    @property
    def where(self) -> str:
        """Its column in the file."""
        return self.column or self.name


@dataclass(frozen=True)
class Settings:
    """The contents of study.toml.

    horizons: times, in `time_unit`, at which survival is reported; fixed before the model is fitted.
    event_values / censored_values / competing_values: how the event column is coded in the file. A competing event
    ends the follow-up as a censoring does, so hazards are cause-specific.
    reading: how columns with ambiguous cells are to be read.
    aligned: the photos are already FFHQ-aligned squares, so no face is searched for.
    views: of each photo, a code each, one of VIEWS.
    covariates: further clinical columns. photo_rule: what stands for a patient of several photos: the mean of their
    codes, or the code of the first, last or (to the baseline date) nearest photo.
    source, citation: where the data are from and what to cite.
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
    competing_values: tuple[str, ...] = ()
    reading: Reading = field(default_factory=Reading)
    checkpoint: str = "portraits"
    preset: str = "balanced"
    aligned: bool = False
    views: int = 2
    simulation: dict[str, Scalar] = field(default_factory=dict)
    covariates: tuple[Covariate, ...] = ()
    photo_rule: str = "mean"
    source: str = ""
    citation: str = ""


_TEXTS = ("source", "citation")
_SECTIONS = ("columns", "covariates", "events", "reading", "photos", "embedding", "simulation")
_COVARIATE = ("kind", "column", "levels", "low", "high", "label")
_FIRST = ("name", "title", "simulated", "time_unit", "horizons")
_EMBEDDING = ("checkpoint", "preset", "aligned", "views")


def _horizons(reader: TomlSection) -> tuple[float, ...]:
    value = reader.table.get("horizons", list(Settings.horizons))
    numbers = isinstance(value, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    if numbers and 0 < len(value) <= 12 and all(math.isfinite(v) and v > 0 for v in value):
        return tuple(sorted({float(v) for v in value}))
    reader.refuse("horizons", "a list of one to twelve positive times")
    return Settings.horizons


def _columns(table: dict[str, Any], findings: Findings) -> Columns:
    names = tuple(f.name for f in fields(Columns))
    reader = TomlSection(table, "columns.", names, findings)
    columns = Columns(
        **{
            name: reader.line(name, 100) if name in OPTIONAL_COLUMNS else reader.text(name, getattr(Columns(), name))
            for name in names
        }
    )
    used = list(columns.named().values())
    if len(set(used)) < len(used):
        findings.error(FILE_NAME, None, "[columns] uses one column for two meanings.", "Give each meaning its own.")
    return columns


def _covariates(top: TomlSection, columns: Columns, findings: Findings) -> tuple[Covariate, ...]:
    """Section [covariates.NAME] of each covariate, in file order; one that does not fit is an error and left out."""
    covariates: list[Covariate] = []
    sections = top.subtable("covariates")
    if len(sections) > MAX_COVARIATES:
        findings.error(FILE_NAME, None, f"more than {MAX_COVARIATES} covariates.", "Keep those of the analysis.")
        return ()
    for name, values in sections.items():
        before = findings.counts["error"]
        if not SAFE_NAME.fullmatch(name) or name in TAKEN or not isinstance(values, dict):
            message = f"[covariates.{name[:60]}] cannot be a covariate."
            remedy = "Name it with letters, digits, - and _, other than a fixed column."
            findings.error(FILE_NAME, None, message, remedy)
            continue
        reader = TomlSection(values, f"covariates.{name}.", _COVARIATE, findings)
        made = Covariate(
            name=name,
            kind=reader.text("kind", "numeric", legal=KINDS),
            column=reader.line("column", 100),
            levels=reader.texts("levels", ()) if "levels" in values else (),
            low=reader.number("low", -math.inf),
            high=reader.number("high", math.inf),
            label=reader.line("label", 100),
        )
        if made.where in columns.named().values() or made.where in [c.where for c in covariates]:
            findings.error(FILE_NAME, None, f"[covariates.{name}] uses a column that has a meaning.", "Choose another.")
        if made.levels and (made.kind == "numeric" or len({v.casefold() for v in made.levels}) < 2):
            findings.error(FILE_NAME, None, f"covariates.{name}.levels need two words.", 'Say kind = "categorical".')
        if made.low > made.high:
            findings.error(FILE_NAME, None, f"covariates.{name}: low is above high.", "Exchange them.")
        if findings.counts["error"] == before:
            covariates.append(made)
    return tuple(covariates)


def parse_settings(data: bytes, findings: Findings) -> Settings:
    """Settings from the bytes of study.toml; problems go to `findings` and the default takes their place.

    Raises StudyError when the file is not TOML.
    """
    try:
        table = toml_table(data)
    except ValueError as error:
        raise StudyError(f"{FILE_NAME} is not valid TOML: {str(error)[:200]}. Correct that place.") from error
    top = TomlSection(table, "", (*_FIRST, *_TEXTS, *_SECTIONS), findings)
    for key in ("name", "title"):
        if key not in table:
            findings.error(FILE_NAME, None, f"{key} is missing.", f'Add a line {key} = "...".')
    events = TomlSection(top.subtable("events"), "events.", ("event", "censored", "competing"), findings)
    embedding = TomlSection(top.subtable("embedding"), "embedding.", _EMBEDDING, findings)
    photos = TomlSection(top.subtable("photos"), "photos.", ("rule",), findings)
    columns = _columns(top.subtable("columns"), findings)
    simulation = top.subtable("simulation")
    scalars = {k: v for k, v in simulation.items() if isinstance(v, str | int | float | bool)}
    if len(scalars) < len(simulation) or len(simulation) > 100:
        findings.warning(FILE_NAME, None, "[simulation] holds more than plain values; the others are ignored.")
    settings = Settings(
        name=top.text("name", "unnamed", name=True),
        title=top.text("title", "Unnamed study"),
        simulated=top.flag("simulated", False),
        time_unit=top.text("time_unit", "months", legal=TIME_UNITS),
        horizons=_horizons(top),
        columns=columns,
        event_values=events.texts("event", ("1",)),
        censored_values=events.texts("censored", ("0",)),
        competing_values=events.texts("competing", ()),
        reading=parse_reading(top.subtable("reading"), findings, FILE_NAME),
        checkpoint=embedding.text("checkpoint", "portraits", name=True),
        preset=embedding.text("preset", "balanced", legal=PRESETS),
        aligned=embedding.flag("aligned", False),
        views=embedding.choice("views", 2, tuple(VIEWS)),
        simulation=scalars,
        covariates=_covariates(top, columns, findings),
        photo_rule=photos.text("rule", "mean", legal=PHOTO_RULES),
        source=top.line("source"),
        citation=top.line("citation"),
    )
    codings = [set(v) for v in (settings.event_values, settings.censored_values, settings.competing_values)]
    if len(set().union(*codings)) < sum(map(len, codings)):
        message = "[events] uses one value for both event and censored, or competing."
        findings.error(FILE_NAME, None, message, "Separate them.")
    return settings


def read_settings(folder: Path, findings: Findings) -> Settings:
    """Settings of the study in `folder`; raises StudyError when study.toml is missing, too large or not TOML."""
    return parse_settings(read_limited(folder / FILE_NAME, MAX_BYTES, "The study's settings file"), findings)


def _section(name: str, table: Mapping[str, Any]) -> list[str]:
    """The lines of a section; none where it is empty."""
    lines = [f"{key} = {toml_value(value)}" for key, value in table.items()]
    return ["", f"[{name}]", *lines] if lines else []


def settings_text(settings: Settings, comments: tuple[str, ...] = ()) -> str:
    """study.toml as text; `comments` become its first lines."""

    def values(keys: tuple[str, ...], of: object = settings) -> dict[str, Any]:
        return {key: getattr(of, key) for key in keys}

    top = values(_FIRST) | {key: text for key, text in values(_TEXTS).items() if text}
    lines = [f"# {c}".rstrip() for c in comments] + [f"{key} = {toml_value(value)}" for key, value in top.items()]
    lines += _section("columns", settings.columns.named())
    for covariate in settings.covariates:
        given = values(_COVARIATE, covariate).items()
        keep = {k: v for k, v in given if v not in ("", ()) and not (isinstance(v, float) and math.isinf(v))}
        lines += _section(f"covariates.{covariate.name}", keep)
    events = {"event": settings.event_values, "censored": settings.censored_values}
    lines += _section("events", events | ({"competing": v} if (v := settings.competing_values) else {}))
    reading = settings.reading
    lines += _section("reading", {"merge_spellings": reading.merge_spellings} if reading.merge_spellings else {})
    for section in ("numbers", "dates", "missing"):
        answers = getattr(reading, section).items()
        lines += _section(f"reading.{section}", {toml_value(str(column)): answer for column, answer in answers})
    lines += _section("photos", {"rule": settings.photo_rule} if settings.photo_rule != "mean" else {})
    lines += _section("embedding", values(_EMBEDDING)) + _section("simulation", settings.simulation)
    return "\n".join(lines) + "\n"
