"""What a table probably means: proposals for a person to confirm, from the names and contents of its columns."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import count

import numpy as np
import pandas as pd

from study.errors import Findings
from study.intake.names import ANSWERS, CENSORED, EVENT, NAMES, WORDS, unit_of, words_of_name
from study.settings import (
    DATE_COLUMNS,
    FIXED_BOUNDS,
    OPTIONAL_COLUMNS,
    SAFE_NAME,
    TAKEN,
    TIME_UNITS,
    Columns,
    Covariate,
    Settings,
)
from study.tables.column import SAFE_ID, Column
from study.tables.dates import date_style
from study.tables.formats.raw import MISSING, RawTable
from study.tables.missing_codes import CODE_WORDS
from study.tables.numbers import plain_number, style_of
from study.tables.patients import follow_up_of
from study.tables.read import read_table

SHOWN_ROWS = 5
MAX_VALUES = 12  # different ones in a column that can be a coding
# Times at which survival is usually reported; where follow-up is too short for all of them, earlier ones.
USUAL = {"days": (365, 730, 1825), "weeks": (52, 104, 260), "months": (12, 24, 60), "years": (1, 2, 5)}
EARLY = {"days": (7, 30, 90, 180), "weeks": (4, 13, 26), "months": (1, 3, 6), "years": (0.25, 0.5)}
LEAST_FOLLOWED, SHARE_FOLLOWED = 10, 0.1  # patients still at risk beyond a proposed time: a number, and a share of all
_CODED = re.compile(r"(\d+)\s*[:=]\s*(.+)")  # 1:DECEASED, as cBioPortal writes it


@dataclass(frozen=True)
class Look:
    """A table whose columns have no meaning yet. values: the different texts of each column that has few. numeric:
    columns that hold numbers alone, but for missing values and common codes for them. dated: columns that hold dates
    alone. ids: columns of different short texts. raw: the table itself. notes: what was detected about the file.
    uneven: the rows that do not fit the header."""

    header: list[str]
    patients: int
    first: list[list[str]]
    values: dict[str, list[str]]
    numeric: frozenset[str] = frozenset()
    dated: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    raw: RawTable = field(default_factory=lambda: RawTable([], [], []))
    uneven: Findings = field(default_factory=Findings)

    @property
    def cells(self) -> Mapping[str, list[str]]:
        return self.raw.columns

    def numbers(self, column: str, settings: Settings | None = None) -> np.ndarray:
        """(n,) the numbers of a column, nan where a cell holds none, or where it is unclear how it writes them."""
        if column not in self.cells:
            return np.empty(0)
        reading = settings.reading if settings is not None else Settings("x", "x").reading
        read = Column.of(self.raw, column, reading, Findings(0))
        unclear = ",." if read.style.problem else ""
        plain = {c: "" if any(mark in c for mark in unclear) else read.style.plain(c) for c in read.counts}
        texts = pd.Series([plain[cell] for cell in read.cells], dtype=object)
        return pd.to_numeric(texts, errors="coerce").to_numpy(np.float64)

    def follow_up(self, settings: Settings) -> np.ndarray:
        """(n,) the times under these settings, nan where not known."""
        if settings.columns.time_from_dates:
            return follow_up_of(self.raw, settings)
        return self.numbers(settings.columns.time, settings)


def look(data: bytes) -> Look:
    """The contents of a table. Raises StudyError where it is not one."""
    uneven = Findings()
    raw = read_table(data, uneven)
    values: dict[str, list[str]] = {}
    numeric, dated, ids = set(), set(), set()
    for name, cells in raw.columns.items():
        texts = [cell for cell in dict.fromkeys(cells) if cell.casefold() not in MISSING]
        if len({cell[:60] for cell in texts}) <= MAX_VALUES:
            values[name] = sorted({cell[:60] for cell in texts})
        rest = [cell for cell in texts if cell.casefold() not in CODE_WORDS]
        if rest and len(rest) >= len(texts) / 2:
            if _all_numbers(rest, name in raw.typed, raw.comma_decimals):
                numeric.add(name)
            style = date_style(rest)
            if style.readable == 1.0 or style.mixed:  # numbers such as 20200131 or 43831 count where all could be dates
                dated.add(name)
        if len(texts) == len(cells) and all(map(SAFE_ID.fullmatch, texts)):
            ids.add(name)
    sets = (frozenset(numeric), frozenset(dated), frozenset(ids))
    return Look(raw.header, len(raw.rows), raw.rows[:SHOWN_ROWS], values, *sets, raw.notes, raw, uneven)


def _all_numbers(cells: Sequence[str], typed: bool, comma_file: bool) -> bool:
    style = style_of(cells, None, typed, comma_file)
    bare = {c: c.replace(",", "").replace(".", "") if style.problem else "" for c in cells}
    return all(plain_number(style.plain(c)) is not None or plain_number(bare[c]) is not None for c in cells)


def guess_covariate(column: str, seen: Look, taken: Collection[str] = ()) -> Covariate | None:
    """A covariate from a column: numeric where it holds numbers alone, else categorical; None for free text and
    dates."""
    base = re.sub(r"[^A-Za-z0-9_-]+", "_", column).strip("_-") or "covariate"
    name = free_name(base[:50], {*TAKEN, *taken})
    if not SAFE_NAME.fullmatch(name):
        return None
    where = "" if name == column else column
    if column in seen.numeric:
        return Covariate(name, "numeric", where, label=where[:100])
    words = column in seen.values and column not in seen.dated
    return Covariate(name, "categorical", where, label=where[:100]) if words else None


def guess_columns(header: list[str], seen: Look | None = None) -> dict[str, str | None]:
    """Meaning -> column, None where no name fits. A column is proposed once.

    seen: the table; a column is proposed only for what its contents can be read as.
    """
    words = {name: words_of_name(name) for name in header}
    plain = {name: "".join(w for w in ws if not unit_of(w)) or "".join(ws) for name, ws in words.items()}
    columns: dict[str, str | None] = dict.fromkeys(NAMES)

    def free(meaning: str, certain: bool = True) -> list[str]:
        left = [c for c in header if c not in columns.values()]
        return left if seen is None else [c for c in left if _can_be(c, meaning, seen, certain)]

    for meaning, names in NAMES.items():
        left = free(meaning)
        fits = [column for name in names for column in left if plain[column] == name]
        columns[meaning] = fits[0] if fits else None
    for meaning, parts in WORDS.items() if seen is not None else ():
        if columns[meaning] is None:
            fits = [c for c in free(meaning, False) if parts & {*words[c], plain[c]}]
            columns[meaning] = fits[0] if len(fits) == 1 else None
    if columns["time"] is not None:  # dates of the end would give it twice
        columns["end_date"] = columns["death_date"] = None
    return columns


def _can_be(column: str, meaning: str, seen: Look, certain: bool) -> bool:
    """Whether a column's contents can be read as this meaning. certain: its whole name says so, not a word of it."""
    if meaning in FIXED_BOUNDS:
        return column in seen.numeric
    if meaning in DATE_COLUMNS:
        return column in seen.dated
    if meaning == "patient_id":
        return column in seen.ids or all(map(SAFE_ID.fullmatch, filter(None, seen.cells[column][:100])))
    if meaning == "event":
        values = seen.values.get(column, [])
        coded = guess_coding(values, column)
        return bool(values) and (all(coded) or set(values) <= set("01234") or certain)
    return column not in seen.dated or column in seen.numeric


def guess_unit(column: str | None) -> str:
    """The unit in a column's name, months where it names none."""
    units = [unit for word in words_of_name(column or "") if (unit := unit_of(word)) in TIME_UNITS]
    return units[-1] if units and units[-1] else "months"


def guess_horizons(unit: str, time: np.ndarray) -> tuple[float, ...]:
    """Times to report survival at: the common ones that follow-up carries, where it carries none earlier ones; () where
    not even these. time: (n,) of all patients; at a time, at least 10 of them and a tenth must be followed beyond it:
    farther out a curve is a few patients' fate."""
    finite = time[np.isfinite(time)]
    enough = max(LEAST_FOLLOWED, SHARE_FOLLOWED * len(finite))
    carried = [tuple(t for t in times[unit] if (finite > t).sum() >= enough) for times in (USUAL, EARLY)]
    return tuple(float(t) for t in carried[0] or carried[1])


def _meant(value: str) -> str:
    """The word of a coded value: deceased of 1:DECEASED."""
    coded = _CODED.fullmatch(value)
    return (coded[2] if coded else value).strip().casefold()


def guess_coding(values: Collection[str], column: str = "") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(values of an event, values of a censoring) among those of the column; what is in neither is for the person.

    1 and 2 are left to the person, for R's Surv reads 2 as the event and other programs 1; so is a yes or no in a
    column named after censoring, where some tables mean "was censored" and others the event.
    """
    name = "".join(words_of_name(column))
    either_way = set(values) == {"1", "2"} or name.startswith(("cens", "zens"))
    unclear = ANSWERS[0] | ANSWERS[1] if either_way else frozenset()
    event, censored = EVENT - unclear, CENSORED - unclear
    if "alive" in name or "lebt" in name:  # "alive: yes" is a censoring
        event, censored = (event - ANSWERS[0]) | ANSWERS[1], (censored - ANSWERS[1]) | ANSWERS[0]
    return tuple(v for v in values if _meant(v) in event), tuple(v for v in values if _meant(v) in censored)


def free_name(name: str, taken: Collection[str]) -> str:
    """`name`, or with a number behind it where a column is called so."""
    return next(free for i in count(1) if (free := name if i == 1 else f"{name}_{i}") not in taken)


def columns_of(chosen: Mapping[str, str | None], header: list[str]) -> Columns:
    """Columns for study.toml: what was chosen, and for the rest names that no column has."""
    out: dict[str, str] = {key: name for key, name in chosen.items() if name is not None}
    for f in fields(Columns):
        if f.name not in out and f.name not in OPTIONAL_COLUMNS:
            out[f.name] = free_name(f.name, [*header, *out.values()])
    return Columns(**out)
