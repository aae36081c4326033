"""Dates as tables write them: which way round day and month are is what all values of a column show, or is asked.

Read: 2026-05-31 (also with `/`, `.`, or a time of day behind it), 20260531, 31.05.2026, 31/05/2026, 05/31/2026,
31-May-2026, May 31, 2026, 31MAY2026, 31. Mai 2026, and Excel's day numbers in a column that holds nothing else. Years
have four digits: two would be a guess.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta

from study.tables.reading import DAY_FIRST, MONTH_FIRST

EARLIEST, LATEST = date(1900, 1, 1), date(2100, 1, 1)
EXCEL_DAYS = (10_000, 80_000)  # 1927 to 2119; larger numbers are not dates, smaller ones are durations
_EXCEL_START = date(1899, 12, 30)
_TIME = r"(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?: ?[AaPp][Mm])?(?:Z|[+-]\d{2}:?\d{2})?)?"
_ISO = re.compile(rf"(?P<year>\d{{4}})([-/.])(?P<month>\d{{1,2}})\2(?P<day>\d{{1,2}}){_TIME}", re.ASCII)
_PACKED = re.compile(r"(?P<year>(?:19|20)\d{2})(?P<month>\d{2})(?P<day>\d{2})", re.ASCII)
_NUMERIC = re.compile(rf"(\d{{1,2}})([-/.]) ?(\d{{1,2}})\2 ?(\d{{4}}){_TIME}", re.ASCII)
_DAY_MONTH = re.compile(rf"(\d{{1,2}})\.?[-/ ]?([^\W\d_]{{3,9}})\.?[-/ ,]{{0,2}}(\d{{4}}){_TIME}")
_MONTH_DAY = re.compile(rf"([^\W\d_]{{3,9}})\.? ?(\d{{1,2}})(?:st|nd|rd|th)?,? (\d{{4}}){_TIME}")
_SERIAL = re.compile(r"\d{5}(\.\d{1,15})?", re.ASCII)
_NAMES = (
    "jan january januar|feb february februar|mar march märz maerz mrz|apr april|may mai|jun june juni|jul july juli|"
    "aug august|sep sept september|oct okt october oktober|nov november|dec dez december dezember"
)
MONTHS = {name: number for number, names in enumerate(_NAMES.split("|"), 1) for name in names.split()}


@dataclass(frozen=True)
class DateStyle:
    """How a column writes dates. order: DAY_FIRST or MONTH_FIRST; ambiguous: both orders are legal for every value
    that needs one, such as `example`; mixed: some values allow only one order, some only the other (`example`,
    `other`); serial: Excel's day numbers; readable: the share of values that are dates."""

    order: str = DAY_FIRST
    ambiguous: bool = False
    mixed: bool = False
    serial: bool = False
    readable: float = 0.0
    example: str = ""
    other: str = ""


def date_style(cells: Collection[str], chosen: str | None = None) -> DateStyle:
    """What the different texts of a column (without missing ones) show. chosen: the order that a person named."""
    if not cells:
        return DateStyle()
    serial = all(map(_is_serial, cells))
    numeric = sorted(filter(_NUMERIC.fullmatch, cells))
    both = {cell: (parse_date(cell, DAY_FIRST), parse_date(cell, MONTH_FIRST)) for cell in numeric}
    # With points between, people write the day first everywhere.
    days = [c for c, (day, month) in both.items() if day and (not month or "." in c)]
    months = [c for c, (day, month) in both.items() if month and not day]
    open_ones = [c for c, (day, month) in both.items() if day and month and day != month and c not in days]
    order = chosen or (MONTH_FIRST if months and not days else DAY_FIRST)
    readable = sum(parse_date(c, order, serial) is not None for c in cells) / len(cells)
    if chosen is None and days and months:
        return DateStyle(order, mixed=True, readable=readable, example=days[0], other=months[0])
    ambiguous = chosen is None and bool(open_ones) and not days and not months
    return DateStyle(order, ambiguous, False, serial, readable, open_ones[0] if open_ones else "")


def parse_date(cell: str, order: str = DAY_FIRST, serial: bool = False) -> date | None:
    """The day that a text names, None where it names none, or one outside 1900 to 2099."""
    if serial and _is_serial(cell):
        return _EXCEL_START + timedelta(days=int(float(cell)))
    if match := _ISO.fullmatch(cell) or _PACKED.fullmatch(cell):
        return _day(match["year"], match["month"], match["day"])
    if match := _NUMERIC.fullmatch(cell):
        day, month = (match[1], match[3]) if order == DAY_FIRST else (match[3], match[1])
        return _day(match[4], month, day)
    if (match := _DAY_MONTH.fullmatch(cell)) and match[2].casefold() in MONTHS:
        return _day(match[3], str(MONTHS[match[2].casefold()]), match[1])
    if (match := _MONTH_DAY.fullmatch(cell)) and match[1].casefold() in MONTHS:
        return _day(match[3], str(MONTHS[match[1].casefold()]), match[2])
    return None


def _is_serial(cell: str) -> bool:
    return bool(_SERIAL.fullmatch(cell)) and EXCEL_DAYS[0] <= float(cell) < EXCEL_DAYS[1]


def _day(year: str, month: str, day: str) -> date | None:
    with suppress(ValueError):
        if EARLIEST <= (out := date(int(year), int(month), int(day))) < LATEST:
            return out
    return None
