"""One column of a patient table, checked text by text: ids, numbers, events, words, dates.

Every problem is a finding with its row as a spreadsheet numbers it, header = row 1. No value is guessed or repaired.
Each different text of a column is checked once, and sentences are made only for findings that are kept, so a table of
tens of thousands of rows takes a fraction of a second.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from study.errors import Findings, Severity
from study.files import safe_cell
from study.settings import Settings
from study.tables.dates import date_style, parse_date
from study.tables.numbers import Style, plain_number, style_of
from study.tables.raw import FILE_NAME, MAX_CELL, MISSING, RawTable
from study.tables.reading import DATE_ORDERS, NUMBER_STYLES, Reading

SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
FORMULA_STARTS = frozenset("=+-@")  # texts are stripped already
MAX_UNKNOWN = 10  # different values of an event column that are listed one by one
Judge = Callable[[str], tuple[Any, str, str]]  # text -> (value, what is wrong with it or "", what to do)
ANSWER = "say which in study.toml, [reading.{section}]: {column} = {options}."


@dataclass(frozen=True, eq=False)
class Column:
    """One column of the file. typed: the file stores its numbers as numbers. comma_file: columns are separated by
    something else than commas, so that a comma may mark decimals."""

    name: str
    cells: Sequence[str]
    numbers: Sequence[int]
    findings: Findings
    where: str
    reading: Reading = field(default_factory=Reading)
    typed: bool = False
    comma_file: bool = False

    @classmethod
    def of(cls, raw: RawTable, name: str, reading: Reading, findings: Findings, where: str = FILE_NAME) -> Column:
        cells = raw.columns[name]
        return cls(name, cells, raw.numbers, findings, where, reading, name in raw.typed, raw.comma_decimals)

    @cached_property
    def counts(self) -> Counter[str]:
        """Different text -> in how many rows."""
        return Counter(self.cells)

    @cached_property
    def missing(self) -> frozenset[str]:
        """The texts of this column, in lower case, that stand for a missing value."""
        return MISSING | self.reading.codes(self.name)

    @cached_property
    def values(self) -> list[str]:
        """The different texts that are not missing."""
        return [cell for cell in self.counts if cell.casefold() not in self.missing]

    @cached_property
    def style(self) -> Style:
        """How the column writes numbers."""
        return style_of(self.values, self.reading.numbers.get(self.name), self.typed, self.comma_file)

    def first_row(self, cell: str) -> int:
        return self.numbers[list(self.cells).index(cell)]

    def error(self, row: int | None, message: str, remedy: str) -> None:
        self.findings.error(self.where, row, message, remedy)

    def judge(self, judge: Judge, severity: Severity = "error") -> list[Any]:
        """The value of each cell; what is wrong goes to the findings, in the order of the rows."""
        results = {cell: judge(cell) for cell in self.counts}
        wrong = {cell: result for cell, result in results.items() if result[1]}
        if wrong:
            self._report(wrong, severity)
        values = {cell: value for cell, (value, _, _) in results.items()}
        return [values[cell] for cell in self.cells]

    def _report(self, wrong: dict[str, tuple[Any, str, str]], severity: Severity) -> None:
        total, listed = sum(self.counts[cell] for cell in wrong), 0
        for cell, number in zip(self.cells, self.numbers, strict=True):
            if listed == total or not self.findings.room(severity):
                break
            if cell in wrong:
                _, message, remedy = wrong[cell]
                self.findings.add(severity, self.where, number, f"{self.name} {message}", remedy)
                listed += 1
        self.findings.count(severity, total - listed)

    def look(self) -> None:
        """Reports cells that no table should hold, and formulas."""
        if any(len(cell) > MAX_CELL or not cell.isprintable() for cell in self.counts):
            self.judge(_cell)
        if any(cell[0] in FORMULA_STARTS and is_formula(cell) for cell in self.counts if cell):
            self.judge(_formula, "warning")


def is_formula(cell: str) -> bool:
    """Whether a spreadsheet would run this text. Numbers, signs alone and marks of a missing value are none."""
    return len(cell) > 1 and safe_cell(cell) != cell and cell.lower() not in MISSING and plain_number(cell) is None


def _cell(cell: str) -> tuple[None, str, str]:
    if len(cell) > MAX_CELL:
        return None, f"holds more than {MAX_CELL} characters.", "Shorten it."
    if not cell.isprintable():
        return None, "holds a line break or control character.", "Remove it."
    return None, "", ""


def _formula(cell: str) -> tuple[None, str, str]:
    found = "looks like a spreadsheet formula." if is_formula(cell) else ""
    return None, found, "It is kept as text and never run; replace it by its value."


def options(section: str, column: str, legal: Sequence[str]) -> str:
    """What to write into study.toml to answer a question about a column."""
    written = " or ".join(f'"{option}"' for option in legal)
    key = column if re.fullmatch(r"[A-Za-z0-9_-]+", column) else f'"{column}"'
    return ANSWER.format(section=section, column=key, options=written)


def number_question(column: Column) -> tuple[str, str]:
    """(what the column's values leave open, what to do); ("", "") where they tell how to read them."""
    style, name = column.style, column.name
    first, answer = style.example, options("numbers", name, NUMBER_STYLES)
    if not style.problem:
        return "", ""
    if style.problem == "ambiguous":
        beside = f" beside {style.beside}" if style.beside else ""
        mark = "comma" if "," in first else "point"
        grouped, decimal = first.replace(",", "").replace(".", ""), first.replace(",", ".")
        words = f"{name} has {first}{beside}: {grouped} (the {mark} groups thousands) or {decimal} (it marks decimals)?"
        return words, _sentence(answer)
    rows = sum(n for cell, n in column.counts.items() if "," in cell and cell in column.values)
    message = f"{name} has decimal commas in {rows} rows, the first {first[:40]!r}."
    if style.problem == "mixed":
        return message, "Use a point for decimals, as other rows have."
    return message, f"Use a point for decimals. Or keep them: {answer}"


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _remark_style(column: Column) -> bool:
    """Reports how the column writes numbers; whether it can be read."""
    message, remedy = number_question(column)
    style = column.style
    if message:
        column.error(column.first_row(style.example), message, remedy)
        return False
    for cells, what in ((style.commas, "decimal commas are read as points"), (style.groups, "thousands are grouped")):
        if cells:
            first = next(cell for cell in column.cells if cell in cells)
            words = f"{column.name}: {what}, {first} as {style.plain(first)}."
            column.findings.note(column.where, None, words)
    return True


def numbers_of(column: Column, low: float, high: float, required: bool, remedy: str = "Correct it.") -> np.ndarray:
    """(n,) float64 of a column; missing is NaN (an error if required); outside [low, high] is an error.

    Where the values do not tell whether a comma or a point groups thousands, one sentence refuses the column.
    """
    readable, style, missing = _remark_style(column), column.style, column.missing

    def judge(cell: str) -> tuple[float, str, str]:
        if cell.casefold() in missing:
            return math.nan, "is missing." if required else "", "Fill it in or remove the row."
        value = plain_number(style.plain(cell))
        if value is None:
            if not readable and ("," in cell or "." in cell):
                return math.nan, "", ""  # reported for the whole column
            return math.nan, f"is {cell[:40]!r}.", f"It must be a number. {_as_code(column, cell)}".strip()
        if value < low:
            what = "negative" if low == 0 else f"below {low:g}"
            correct = f"Correct it or remove the row. {_as_code(column, cell)}".strip()
            return math.nan, f"is {what} ({cell[:40]}).", correct
        if value > high:
            return math.nan, f"is {cell[:40]}, more than {high:g}.", f"{remedy} {_as_code(column, cell)}".strip()
        return value, "", ""

    return np.array(column.judge(judge), dtype=np.float64)


def _as_code(column: Column, cell: str) -> str:
    """How to say that a text stands for a missing value, where that is likely."""
    from study.tables.missing_codes import CODE_NUMBERS, CODE_WORDS

    if cell.casefold() not in CODE_WORDS and plain_number(cell) not in CODE_NUMBERS:
        return ""
    return f"If it stands for a missing value: {code_line(column.name, [cell])}"


def code_line(column: str, codes: Sequence[str]) -> str:
    """What to write into study.toml where these texts of a column stand for a missing value."""
    key = column if re.fullmatch(r"[A-Za-z0-9_-]+", column) else f'"{column}"'
    listed = ", ".join(f'"{code[:40]}"' for code in codes)
    return f"study.toml, [reading.missing]: {key} = [{listed}]."


def check_ids(column: Column) -> None:
    if len({cell.casefold() for cell in column.counts}) == len(column.cells) and all(
        map(SAFE_ID.fullmatch, column.counts)
    ):
        return
    if _several_rows_each(column):
        return
    seen: dict[str, int] = {}
    for cell, row in zip(column.cells, column.numbers, strict=True):
        key = cell.casefold()
        if cell and key not in seen and SAFE_ID.fullmatch(cell):
            seen[key] = row
        elif column.findings.room("error"):
            column.error(row, *_wrong_id(column.name, cell, seen.get(key)))
        else:
            column.findings.count("error", 1)


def _wrong_id(name: str, cell: str, earlier: int | None) -> tuple[str, str]:
    if not cell:
        return f"{name} is missing.", "Every patient needs an id."
    if earlier is not None:
        return f"{name} {cell} is already in row {earlier}.", "Keep one row a patient."
    return f"{name} {cell[:40]!r} is not usable.", "Use letters, digits, . _ - (64 at most)."


def _several_rows_each(column: Column) -> bool:
    """One sentence where most patients have several rows: a long table, as REDCap exports repeated events."""
    repeated = sum(n > 1 for cell, n in column.counts.items() if cell)
    if repeated < 10 or repeated <= len(column.counts) / 2:
        return False
    first = next(cell for cell in column.cells if cell and column.counts[cell] > 1)
    message = (
        f"{len(column.counts)} patients in {len(column.cells)} rows: {first[:40]} alone has {column.counts[first]}."
    )
    remedy = "Keep one row a patient: export one event (REDCap: filter by event, without repeated instruments)."
    column.error(column.first_row(first), f"{column.name}: {message}", remedy)
    return True


def events_of(column: Column, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """(n,) bool whether the event happened, and whether a competing event ended the follow-up, from the coding named in
    study.toml. A competing event counts as censored."""
    coding = {v.casefold(): "event" for v in settings.event_values}
    coding |= {v.casefold(): "censored" for v in settings.censored_values}
    coding |= {v.casefold(): "competing" for v in settings.competing_values}
    legal = "/".join((*settings.event_values, *settings.censored_values, *settings.competing_values))

    def known(cell: str) -> str | None:
        text = cell.casefold()
        return coding.get(text) or (coding.get(text.split(".")[0]) if re.fullmatch(r"\d+\.0+", text) else None)

    unknown = [cell for cell in column.values if known(cell) is None]
    one_by_one = len(unknown) > MAX_UNKNOWN
    for cell in () if one_by_one else unknown:
        message = f"{column.name} is {cell[:40]!r}, not {legal}, in {column.counts[cell]} rows."
        remedy = (
            f'A competing event? study.toml, [events]: competing = ["{cell[:40]}"] counts it as censored at that time '
            "(cause-specific hazard); if it is an event, a censoring or wrong, say so there or correct it."
        )
        column.error(column.first_row(cell), message, remedy)

    def judge(cell: str) -> tuple[str, str, str]:
        kind = known(cell)
        if kind is not None:
            return kind, "", ""
        if cell.casefold() in column.missing:
            return "", "is missing.", "Fill it in or remove the row."
        wrong = f"is {cell[:40]!r}, not {legal}." if one_by_one else ""
        return "", wrong, "Correct it, or [events] in study.toml."

    kinds = np.array(column.judge(judge))
    return kinds == "event", kinds == "competing"


def spelling_key(word: str) -> str:
    """What spellings of one word share: letters without case, signs and spaces between words."""
    return re.sub(r"[\s_\-./]+", " ", unicodedata.normalize("NFKC", word).casefold()).strip()


def spellings(column: Column) -> dict[str, list[str]]:
    """The most frequent spelling -> the others, of each word that the column spells in several ways."""
    groups: dict[str, list[str]] = {}
    for word in column.values:
        groups.setdefault(spelling_key(word), []).append(word)
    out = {}
    for words in groups.values():
        if len(words) > 1:
            first, *others = sorted(words, key=lambda word: (-column.counts[word], word))
            out[first] = others
    return out


def words_of(column: Column, levels: tuple[str, ...] = ()) -> list[str]:
    """Texts of a column, "" where missing; with levels, each as study.toml writes it.

    Spellings of one word (MALE, male) are one where study.toml says so, and a warning where not.
    """
    legal = {level.casefold(): level for level in levels}
    alike = {} if levels or len(column.counts) > 200 else spellings(column)
    merged = {word: first for first, others in alike.items() for word in others}
    if merged and column.name not in column.reading.merge_spellings:
        first, others = next(iter(alike.items()))
        words = ", ".join(repr(word[:40]) for word in (first, *others))
        message = f"{column.name} has {words}: one word in {len(others) + 1} spellings, counted as different levels."
        remedy = f'To merge them: study.toml, [reading]: merge_spellings = ["{column.name}"].'
        column.findings.warning(column.where, column.first_row(others[0]), message, remedy)
        merged = {}
    for first, others in (alike if merged else {}).items():
        rows = sum(column.counts[word] for word in others)
        message = f"{column.name}: {', '.join(word[:40] for word in others)} ({rows} rows) counted as {first[:40]}."
        column.findings.note(column.where, None, message)

    def judge(cell: str) -> tuple[str, str, str]:
        if levels and cell.casefold() in legal:
            return legal[cell.casefold()], "", ""
        if cell.casefold() in column.missing:
            return "", "", ""
        wrong = f"is {cell[:40]!r}, not {'/'.join(levels)[:120]}." if levels else ""
        return merged.get(cell, cell), wrong, "Correct it, or its levels in study.toml."

    return column.judge(judge)


def date_question(column: Column) -> tuple[str, str, str]:
    """(a date of the column, what it leaves open, what to do); "" where day and month can be told apart."""
    style = date_style(column.values, column.reading.dates.get(column.name))
    if style.mixed:
        message = f"{column.name} has both {style.example} (day first) and {style.beside} (month first)."
        return style.example, message, "Write all dates as 2026-05-31."
    if style.ambiguous:
        message = f"{column.name} has {style.example}: is the day or the month first?"
        return style.example, message, _sentence(options("dates", column.name, DATE_ORDERS))
    return "", "", ""


def days_of(column: Column, required: bool = False) -> np.ndarray:
    """(n,) datetime64[D], NaT where missing (an error if required). See `study.tables.dates` for what is read."""
    cell, message, remedy = date_question(column)
    if message:
        column.error(column.first_row(cell), message, remedy)
        return np.full(len(column.cells), np.datetime64("NaT"), dtype="datetime64[D]")
    style = date_style(column.values, column.reading.dates.get(column.name))
    unusual = next((c for c in column.values if not re.match(r"\d{4}-", c)), "")
    if unusual and (day := parse_date(unusual, style.order, style.serial)) is not None:
        how = "Excel's day numbers are read as dates" if style.serial else "dates are read"
        column.findings.note(column.where, None, f"{column.name}: {how}, {unusual[:40]} as {day.isoformat()}.")

    def judge(cell: str) -> tuple[Any, str, str]:
        if cell.casefold() in column.missing:
            return None, "is missing." if required else "", "Fill it in or remove the row."
        day = parse_date(cell, style.order, style.serial)
        if day is None:
            return None, f"is {cell[:40]!r}, not a date.", "Write dates as 2026-05-31."
        return day, "", ""

    return np.array(column.judge(judge), dtype="datetime64[D]")
