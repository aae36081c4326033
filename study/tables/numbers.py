"""Numbers as tables write them, and what a column's values show of its decimal mark and thousands separator.

`1,129` is 1129 to one person and 1.129 to another. The rule looks at all values of a column: `3,5` shows that a comma
marks decimals, `1,129,000` or `1,129.5` that it groups thousands. Where nothing shows it, the column is not read before
a person has chosen one (`[reading.numbers]` in study.toml).
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from study.tables.reading import COMMA_GROUPS, POINT_GROUPS

_PLAIN = re.compile(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,3})?", re.ASCII)
_SIGN = r"[+-]?"
_COMMA_DECIMAL = re.compile(rf"{_SIGN}\d{{1,30}},\d{{1,30}}", re.ASCII)
# Signs that group thousands and never mark decimals: spaces (as Excel and people type them) and apostrophes.
_SPACES = " \u00a0\u2009\u202f'\u2019"
_SPACED = re.compile(rf"{_SIGN}\d{{1,3}}([{_SPACES}]\d{{3}})+([.,]\d{{1,30}})?", re.ASCII)
_MARKS = {COMMA_GROUPS: (",", "."), POINT_GROUPS: (".", ",")}  # of thousands and of decimals
_GROUPED = {  # several groups of thousands, or one with decimals behind it: no other style writes a number so
    style: re.compile(rf"{_SIGN}\d{{1,3}}((\{group}\d{{3}}){{2,10}}|(\{group}\d{{3}})+\{mark}\d{{1,30}})", re.ASCII)
    for style, (group, mark) in _MARKS.items()
}
_EITHER = re.compile(rf"{_SIGN}[1-9]\d{{0,2}}([.,])\d{{3}}", re.ASCII)  # 1,129 and 1.129, not 0.129
Problem = Literal["", "ambiguous", "mixed", "comma"]


def plain_number(text: str) -> float | None:
    """The finite number of a plain decimal: no `1_000`, no `0x10`, no `inf`. None for anything else."""
    if not _PLAIN.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class Style:
    """How a column writes numbers. style: COMMA_GROUPS or POINT_GROUPS; groups: cells whose thousands are grouped;
    commas: cells with a decimal comma; problem: why the column cannot be read before a person has chosen how, with
    `example`, one of the cells, and `other`, another number of the column."""

    style: str = COMMA_GROUPS
    groups: frozenset[str] = frozenset()
    commas: frozenset[str] = frozenset()
    problem: Problem = ""
    example: str = ""
    other: str = ""

    def plain(self, cell: str) -> str:
        """The cell as a plain decimal (`1234.5`); a cell that is not a number in this style stays as it is."""
        return as_plain(cell, self.style) if self.groups or self.commas else cell


def as_plain(cell: str, style: str) -> str:
    """A number of this style as a plain decimal; any other text as it is."""
    group, decimal = _MARKS[style]
    if _SPACED.fullmatch(cell):
        return re.sub(f"[{_SPACES}]", "", cell).replace(",", ".")
    match = _EITHER.fullmatch(cell)
    if _GROUPED[style].fullmatch(cell) or (match is not None and match[1] == group):
        return cell.replace(group, "").replace(decimal, ".")
    if style == POINT_GROUPS and _COMMA_DECIMAL.fullmatch(cell):
        return cell.replace(",", ".")
    return cell


def style_of(cells: Collection[str], chosen: str | None = None, typed: bool = False, comma_file: bool = False) -> Style:
    """What the different texts of a column show.

    chosen: the style that a person named. typed: the file stores numbers, not texts (Excel, Parquet), so a point marks
    decimals. comma_file: the columns are separated by something else than commas, so a decimal comma is likely.
    """
    marked = [c for c in cells if ("," in c or "." in c or _SPACED.fullmatch(c)) and len(c) <= 64]
    if not any("," in c or c.count(".") != 1 or _EITHER.fullmatch(c) for c in marked):
        return Style()  # plain decimals at most
    strong = {style: _first(marked, pattern) for style, pattern in _GROUPED.items()}
    either = {mark: sorted(c for c in marked if (m := _EITHER.fullmatch(c)) and m[1] == mark) for mark in ",."}
    decimal = {
        ",": _first((c for c in marked if c not in either[","]), _COMMA_DECIMAL),
        ".": _first((c for c in marked if "." in c and c not in either["."]), _PLAIN),
    }
    if chosen is not None:
        return _made(marked, chosen)
    shows = {COMMA_GROUPS: strong[COMMA_GROUPS] or decimal["."], POINT_GROUPS: strong[POINT_GROUPS] or decimal[","]}
    if shows[COMMA_GROUPS] and shows[POINT_GROUPS]:
        return Style(problem="mixed", example=shows[POINT_GROUPS], other=shows[COMMA_GROUPS])
    if strong[COMMA_GROUPS] or (shows[COMMA_GROUPS] and not either[","]):
        return _made(marked, COMMA_GROUPS)
    if strong[POINT_GROUPS] or (shows[POINT_GROUPS] and not either["."]):
        made = _made(marked, POINT_GROUPS)
        unexpected = made.commas and not made.groups and not comma_file
        return Style(problem="comma", example=decimal[","]) if unexpected else made
    if either[","]:
        return Style(problem="ambiguous", example=either[","][0], other=_other_number(cells, either[","]))
    if either["."] and not typed:
        other = _other_number(cells, either["."])
        # 1.129 next to numbers below 1000 without a mark is probably a thousand.
        if comma_file or (other and other not in marked):
            return Style(problem="ambiguous", example=either["."][0], other=other)
    return _made(marked, COMMA_GROUPS)


def _first(cells: Iterable[str], pattern: re.Pattern[str]) -> str:
    return next(filter(pattern.fullmatch, cells), "")


def _other_number(cells: Collection[str], either: list[str]) -> str:
    """Another number of the column, one without any mark where there is one."""
    others = (c for c in cells if c not in either and plain_number(c) is not None)
    return min(others, key=lambda c: ("." in c, c), default="")


def _made(marked: list[str], style: str) -> Style:
    plain = {c: as_plain(c, style) for c in marked}
    changed = frozenset(c for c, p in plain.items() if p != c)
    commas = frozenset(c for c in changed if _COMMA_DECIMAL.fullmatch(c) and style == POINT_GROUPS)
    return Style(style, changed - commas, commas)
