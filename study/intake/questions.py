"""What a table leaves open under given settings: each is put to a person before anything is made of the table.

Thousands or decimals, day or month first, codes for missing values; spellings of one word may be merged, and need not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from study.errors import Findings
from study.settings import DATE_COLUMNS, FIXED_BOUNDS, Settings
from study.tables.column import Column
from study.tables.dates import parse_date
from study.tables.formats.raw import FILE_NAME, RawTable
from study.tables.missing_codes import proposed_codes
from study.tables.numbers import as_plain, plain_number
from study.tables.reading import COMMA_GROUPS, DATE_ORDERS, POINT_GROUPS
from study.tables.values import code_line, date_question, number_question, spellings

Kind = Literal["numbers", "dates", "missing", "spellings"]


@dataclass(frozen=True)
class Question:
    """sentence: what is open about a column. choices: (words, answer as [reading] has it), one to be chosen for
    "numbers" and "dates", any for "missing"; for "spellings" the one choice is to merge."""

    kind: Kind
    column: str
    sentence: str
    choices: tuple[tuple[str, str], ...]


def questions(raw: RawTable, settings: Settings) -> list[Question]:
    """Everything that is open, in the order of the columns; what `settings.reading` answers is left out."""
    numeric = numeric_columns(settings)
    dates = {name for key in DATE_COLUMNS if (name := getattr(settings.columns, key))}
    words = {getattr(settings.columns, key) for key in ("sex", "site", "stage")}
    words |= {c.where for c in settings.covariates if c.kind != "numeric" and not c.levels}
    out: list[Question] = []
    for name in raw.header:
        column = Column.of(raw, name, settings.reading, Findings(0))
        if name in numeric:
            out += [*_numbers(column), *_missing(column, *numeric[name])]
        elif name in dates:
            out += _dates(column)
        elif name in words and name not in settings.reading.merge_spellings and len(column.counts) <= 200:
            out += _spellings(column)
    return out


def numeric_columns(settings: Settings) -> dict[str, tuple[float, float]]:
    """The columns of the file that are to hold numbers, with the lowest and highest that they may hold."""
    named = {name: bounds for key, bounds in FIXED_BOUNDS.items() if (name := getattr(settings.columns, key))}
    return named | {c.where: (c.low, c.high) for c in settings.covariates if c.kind == "numeric"}


def _numbers(column: Column) -> list[Question]:
    sentence, _ = number_question(column)
    if not sentence:
        return []
    example = column.style.example
    choices = tuple((f"{example} is {as_plain(example, style)}", style) for style in (COMMA_GROUPS, POINT_GROUPS))
    return [Question("numbers", column.name, sentence, choices)]


def _dates(column: Column) -> list[Question]:
    example, sentence, _ = date_question(column)
    days = {order: parse_date(example, order) for order in DATE_ORDERS}
    if not sentence or any(day is None for day in days.values()):
        return []  # both orders among the dates: no answer makes it right
    choices = tuple((f"{example} is {day:%d %B %Y}" if day else "", order) for order, day in days.items())
    return [Question("dates", column.name, sentence, choices)]


def _missing(column: Column, low: float, high: float) -> list[Question]:
    if column.name in column.reading.missing or column.style.problem:
        return []
    plain = {cell: column.style.plain(cell) for cell in column.values}
    codes = proposed_codes({cell: column.counts[cell] for cell in column.values}, plain, low, high)
    if not codes:
        return []
    listed = ", ".join(f"{code} ({rows} row{'s' if rows > 1 else ''})" for code, rows in codes.items())
    sentence = f"{column.name} has {listed}: codes for a missing value?"
    return [Question("missing", column.name, sentence, tuple((f"{c} ({n})", c) for c, n in codes.items()))]


def _spellings(column: Column) -> list[Question]:
    alike = spellings(column)
    if not alike:
        return []
    pairs = "; ".join(", ".join((first, *others)) for first, others in list(alike.items())[:5])
    sentence = f"{column.name} spells one word in several ways ({pairs}), so they count as different levels."
    return [Question("spellings", column.name, sentence, ((f"Merge the spellings of {column.name}", "merge"),))]


def answered(settings: Settings, question: Question, answers: Sequence[str]) -> Settings:
    """The settings with the answers to one question."""
    reading, name = settings.reading, question.column
    if question.kind == "spellings":
        if answers and name not in reading.merge_spellings:
            reading = replace(reading, merge_spellings=(*reading.merge_spellings, name))
    elif question.kind == "missing":
        reading = replace(reading, missing={**reading.missing, name: tuple(answers)})
    elif answers and question.kind == "numbers":
        reading = replace(reading, numbers={**reading.numbers, name: answers[0]})
    elif answers:
        reading = replace(reading, dates={**reading.dates, name: answers[0]})
    return replace(settings, reading=reading)


def refuse_unconfirmed(raw: RawTable, settings: Settings, findings: Findings) -> None:
    """An error for each column with likely codes for missing values that would pass for numbers, and that nobody has
    confirmed or denied; other codes are errors of their own already."""
    bounds = numeric_columns(settings)
    for question in questions(raw, settings):
        if question.kind != "missing":
            continue
        low, high = bounds[question.column]
        codes = [c for _, c in question.choices if (v := plain_number(c)) is not None and low <= v <= high]
        if codes:
            remedy = f"If so: {code_line(question.column, codes)} If they are values: an empty list there."
            findings.error(FILE_NAME, None, question.sentence, remedy)
