"""What the texts of a column mean: numbers, events, words, dates; and what they leave open."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from common.text import count
from study.settings import Settings
from study.tables.column import Column
from study.tables.dates import date_style, parse_date
from study.tables.missing_codes import CODE_NUMBERS, CODE_WORDS
from study.tables.numbers import plain_number
from study.tables.reading import DATE_ORDERS, NUMBER_STYLES

MAX_UNKNOWN = 10  # different values of an event column that are listed one by one


def _key(column: str) -> str:
    """A column's name as a key of study.toml."""
    return column if re.fullmatch(r"[A-Za-z0-9_-]+", column) else f'"{column}"'


def _choice(section: str, column: str, legal: Sequence[str]) -> str:
    """What to write into study.toml to answer a question about a column."""
    options = " or ".join(f'"{option}"' for option in legal)
    return f"which in study.toml, [reading.{section}]: {_key(column)} = {options}."


def number_question(column: Column) -> tuple[str, str]:
    """(what the column's values leave open, what to do); ("", "") where they show how to read them."""
    style, name = column.style, column.name
    first, answer = style.example, _choice("numbers", name, NUMBER_STYLES)
    if not style.problem:
        return "", ""
    if style.problem == "ambiguous":
        other = f" next to {style.other}" if style.other else ""
        mark = "comma" if "," in first else "point"
        grouped, decimal = first.replace(",", "").replace(".", ""), first.replace(",", ".")
        words = f"{name} has {first}{other}: {grouped} (the {mark} groups thousands) or {decimal} (it marks decimals)?"
        return words, f"Say {answer}"
    rows = sum(n for cell, n in column.counts.items() if "," in cell and cell in column.values)
    message = f"{name} has decimal commas in {count(rows, 'row')}, the first {first[:40]!r}."
    if style.problem == "mixed":
        return message, "Use a point for decimals, as other rows have."
    return message, f"Use a point for decimals. Or keep them: say {answer}"


def numbers_of(column: Column, low: float, high: float, required: bool, remedy: str = "Correct it.") -> np.ndarray:
    """(n,) float64 of a column; missing is NaN (an error if required); outside [low, high] is an error.

    Where the values do not show whether a comma or a point groups thousands, one sentence refuses the column.
    """
    style, missing = column.style, column.missing
    question, answer = number_question(column)
    if question:
        column.error(column.first_row(style.example), question, answer)
    for cells, what in ((style.commas, "decimal commas are read as points"), (style.groups, "thousands are grouped")):
        if cells:
            first = next(cell for cell in column.cells if cell in cells)
            words = f"{column.name}: {what}, {first} as {style.plain(first)}."
            column.findings.note(column.where, None, words)

    def judge(cell: str) -> tuple[float, str, str]:
        if cell.casefold() in missing:
            return math.nan, "is missing." if required else "", "Fill it in or remove the row."
        value = plain_number(style.plain(cell))
        if value is None:
            if question and ("," in cell or "." in cell):
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
    if cell.casefold() not in CODE_WORDS and plain_number(cell) not in CODE_NUMBERS:
        return ""
    return f"If it stands for a missing value: {code_line(column.name, [cell])}"


def code_line(column: str, codes: Sequence[str]) -> str:
    """What to write into study.toml where these texts of a column stand for a missing value."""
    listed = ", ".join(f'"{code[:40]}"' for code in codes)
    return f"study.toml, [reading.missing]: {_key(column)} = [{listed}]."


def events_of(column: Column, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """(n,) bool whether the event happened, and whether a competing event ended the follow-up, from the coding named in
    study.toml. A competing event counts as censored."""
    codes = {kind: getattr(settings, f"{kind}_values") for kind in ("event", "censored", "competing")}
    coding = {v.casefold(): kind for kind, values in codes.items() for v in values}
    legal = "/".join(chain(*codes.values()))

    def known(cell: str) -> str | None:
        text = cell.casefold()
        return coding.get(text) or (coding.get(text.split(".")[0]) if re.fullmatch(r"\d+\.0+", text) else None)

    unknown = [cell for cell in column.values if known(cell) is None]
    one_by_one = len(unknown) > MAX_UNKNOWN
    for cell in () if one_by_one else unknown:
        message = f"{column.name} is {cell[:40]!r}, not {legal}, in {count(column.counts[cell], 'row')}."
        coded = f'study.toml, [events]: competing = ["{cell[:40]}"] counts it as censored at that time'
        others = "if it is an event, a censoring or wrong, say so there or correct it."
        remedy = f"A competing event? {coded} (cause-specific hazard); {others}"
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


def spellings(column: Column) -> dict[str, list[str]]:
    """The most frequent spelling -> the others, of each word that the column spells in several ways: they share the
    letters without case, signs and spaces between words."""
    groups: dict[str, list[str]] = {}
    for word in column.values:
        shared = re.sub(r"[\s_\-./]+", " ", unicodedata.normalize("NFKC", word).casefold()).strip()
        groups.setdefault(shared, []).append(word)
    ranked = (sorted(words, key=lambda word: (-column.counts[word], word)) for words in groups.values())
    return {first: others for first, *others in ranked if others}


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
        words = f"{', '.join(word[:40] for word in others)} ({count(sum(column.counts[w] for w in others), 'row')})"
        column.findings.note(column.where, None, f"{column.name}: {words} counted as {first[:40]}.")

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
        message = f"{column.name} has both {style.example} (day first) and {style.other} (month first)."
        return style.example, message, "Write all dates as 2026-05-31."
    if style.ambiguous:
        message = f"{column.name} has {style.example}: is the day or the month first?"
        return style.example, message, f"Say {_choice('dates', column.name, DATE_ORDERS)}"
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
