"""What a table probably means: proposals for a person to confirm, from the names and contents of its columns."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields

import numpy as np
import pandas as pd

from study.errors import Findings
from study.settings import KINDS, OPTIONAL_COLUMNS, SAFE_NAME, TAKEN, TIME_UNITS, Columns, Covariate
from study.tables.raw import MISSING
from study.tables.read import read_table

SHOWN_ROWS = 5
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d{1,3})?", re.ASCII)
MAX_VALUES = 12  # different ones in a column that can be a coding
# Names as `_plain` leaves them; earlier ones are better.
NAMES = {
    "patient_id": ("patientid", "patient", "subjectid", "subject", "caseid", "case", "participantid", "id", "mrn"),
    "time": (
        "time",
        "survivaltime",
        "overallsurvival",
        "followup",
        "os",
        "ostime",
        "timetoevent",
        "timetodeath",
        "followuptime",
        "survival",
        "duration",
        "futime",
    ),
    "event": ("event", "status", "death", "dead", "died", "vitalstatus", "osevent", "deceased", "censor", "fustat"),
    "photo": ("photo", "photofile", "image", "imagefile", "picture", "portrait", "filename", "file", "photoname"),
    "age": ("age", "ageyears", "ageatdiagnosis"),
    "sex": ("sex", "gender"),
    "site": ("site", "tumorsite", "tumoursite", "cancersite", "primarysite", "diagnosis", "cancertype"),
    "stage": ("stage", "tumorstage", "tumourstage", "cancerstage", "ajccstage"),
    "ecog": ("ecog", "ecogps", "performancestatus", "ps"),
    "entry": ("entry", "entrytime", "delayedentry", "lefttruncation"),
    "photo_date": ("photodate", "imagedate", "dateofphoto"),
    "baseline_date": ("baselinedate", "diagnosisdate", "dateofdiagnosis", "indexdate"),
}
UNITS = {"days": ("days", "day", "d"), "weeks": ("weeks", "week", "wk"), "months": ("months", "month", "mo", "mos")}
UNITS["years"] = ("years", "year", "yrs", "yr", "y")
# Times at which survival is usually reported; where follow-up is too short for all of them, earlier ones.
USUAL = {"days": (365, 730, 1825), "weeks": (52, 104, 260), "months": (12, 24, 60), "years": (1, 2, 5)}
EARLY = {"days": (7, 30, 90, 180), "weeks": (4, 13, 26), "months": (1, 3, 6), "years": (0.25, 0.5)}
LEAST_FOLLOWED, SHARE_FOLLOWED = 10, 0.1  # patients still at risk beyond a proposed time: a number, and a share of all
ANSWERS = (frozenset({"1", "yes", "y", "true", "t"}), frozenset({"0", "no", "n", "false", "f"}))  # to "did it happen?"
EVENT = ANSWERS[0] | {"dead", "died", "death", "deceased", "event", "exitus"}
CENSORED = ANSWERS[1] | {"alive", "living", "censored", "lost"}


@dataclass(frozen=True)
class Look:
    """A table before anyone has said what it means. values: the different texts of each column that has few. numeric:
    columns that hold numbers alone. cells: of every column. said: what was detected about the file."""

    header: list[str]
    patients: int
    first: list[list[str]]
    values: dict[str, list[str]]
    numeric: frozenset[str] = frozenset()
    said: tuple[str, ...] = ()
    cells: Mapping[str, list[str]] = field(default_factory=dict)

    def numbers(self, column: str) -> np.ndarray:
        """The numbers of a column, nan where a cell holds none. A decimal comma counts as a point here."""
        texts = pd.Series([cell.replace(",", ".") for cell in self.cells.get(column, [])], dtype=object)
        return pd.to_numeric(texts, errors="coerce").to_numpy(np.float64)


def look(data: bytes) -> Look:
    """What stands in a table. Raises StudyError where it is none; rows of the wrong width are left to the check."""
    raw = read_table(data, Findings())
    values, numeric, columns = {}, set(), raw.columns
    for name, cells in columns.items():
        found = {cell[:60] for cell in dict.fromkeys(cells) if cell.lower() not in MISSING}
        if len(found) <= MAX_VALUES:
            values[name] = sorted(found)
        if found and all(NUMBER.fullmatch(cell) for cell in found):
            numeric.add(name)
    return Look(raw.header, len(raw.rows), raw.rows[:SHOWN_ROWS], values, frozenset(numeric), raw.said, columns)


def guess_covariate(column: str, seen: Look, taken: Collection[str] = ()) -> Covariate | None:
    """A covariate from a column: numeric where it holds numbers alone, else categorical; None for free text."""
    base = re.sub(r"[^A-Za-z0-9_-]+", "_", column).strip("_-") or "covariate"
    name = free_name(base[:50], {*TAKEN, *taken})
    if not SAFE_NAME.fullmatch(name):
        return None
    where = "" if name == column else column
    if column in seen.numeric:
        return Covariate(name, KINDS[0], where, label=where[:100])
    return Covariate(name, KINDS[1], where, label=where[:100]) if column in seen.values else None


def _words(name: str) -> list[str]:
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    return [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]


def guess_columns(header: list[str]) -> dict[str, str | None]:
    """Meaning -> column, None where no name fits. A column is proposed once."""
    plain = {name: "".join(w for w in _words(name) if not _unit(w)) or "".join(_words(name)) for name in header}
    found: dict[str, str | None] = {}
    for meaning, names in NAMES.items():
        left = [column for column in header if column not in found.values()]
        fits = [column for name in names for column in left if plain[column] == name]
        found[meaning] = fits[0] if fits else None
    return found


def _unit(word: str) -> str | None:
    return next((unit for unit, words in UNITS.items() if word in words), None)


def guess_unit(column: str | None) -> str:
    """The unit that a column's name tells, months where it tells none."""
    told = [unit for word in _words(column or "") if (unit := _unit(word)) in TIME_UNITS]
    return told[-1] if told and told[-1] else "months"


def guess_horizons(unit: str, time: np.ndarray) -> tuple[float, ...]:
    """Times to report survival at: the usual ones that follow-up carries, where it carries none earlier ones; () where
    not even these. time: (n,) of all patients; at a time, at least 10 of them and a tenth must be followed beyond it:
    farther out a curve is a few patients' fate."""
    known = time[np.isfinite(time)]
    enough = max(LEAST_FOLLOWED, SHARE_FOLLOWED * len(known))
    carried = [tuple(t for t in times[unit] if (known > t).sum() >= enough) for times in (USUAL, EARLY)]
    return tuple(float(t) for t in carried[0] or carried[1])


def guess_coding(values: Collection[str], column: str = "") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(values of an event, values of a censoring) among those of the column; what is in neither is for the person.

    1 and 2 are left to the person, for R's Surv reads 2 as the event and other programs 1; so is a yes or no in a
    column named after censoring, where some tables mean "was censored" and others the event.
    """
    either_way = set(values) == {"1", "2"} or "".join(_words(column)).startswith("cens")
    unclear = ANSWERS[0] | ANSWERS[1] if either_way else frozenset()
    event = tuple(v for v in values if v.casefold() in EVENT - unclear)
    censored = tuple(v for v in values if v.casefold() in CENSORED - unclear)
    return event, censored


def free_name(name: str, taken: Collection[str]) -> str:
    """`name`, or with a number behind it where a column is called so."""
    number, out = 1, name
    while out in taken:
        number += 1
        out = f"{name}_{number}"
    return out


def columns_of(chosen: dict[str, str | None], header: list[str]) -> Columns:
    """Columns for study.toml: what was chosen, and for the rest names that no column has."""
    out: dict[str, str] = {key: name for key, name in chosen.items() if name is not None}
    for f in fields(Columns):
        if f.name not in out and f.name not in OPTIONAL_COLUMNS:
            out[f.name] = free_name(f.name, [*header, *out.values()])
    return Columns(**out)
