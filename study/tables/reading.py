"""How the cells of a table are to be read where they do not say so themselves: section [reading] of study.toml.

Keys are columns as the file names them. `numbers`: whether a comma or a point marks decimals; `dates`: whether day or
month comes first; `missing`: codes that stand for a missing value, () says that the column has none;
`merge_spellings`: columns whose spellings of one word count as one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from study.errors import Findings

COMMA_GROUPS, POINT_GROUPS = "1,234.5", "1.234,5"  # a style is written as its example
NUMBER_STYLES = (COMMA_GROUPS, POINT_GROUPS)
DAY_FIRST, MONTH_FIRST = "day first", "month first"
DATE_ORDERS = (DAY_FIRST, MONTH_FIRST)
MAX_COLUMNS, MAX_CODES = 500, 50
KEYS = ("numbers", "dates", "missing", "merge_spellings")


@dataclass(frozen=True)
class Reading:
    """Answers about single columns; a column without one is read by what its values show, or refused."""

    numbers: Mapping[str, str] = field(default_factory=dict)
    dates: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    merge_spellings: tuple[str, ...] = ()

    def codes(self, column: str) -> frozenset[str]:
        """The texts of a column that stand for a missing value, in lower case."""
        return frozenset(code.casefold() for code in self.missing.get(column, ()))


def _texts(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MAX_CODES
        and all(isinstance(v, str | int | float) and not isinstance(v, bool) and len(str(v)) <= 100 for v in value)
    )


def parse_reading(table: Mapping[str, Any], findings: Findings, where: str) -> Reading:
    """The section as TOML has it; what does not fit is an error, and left out. where: the file."""

    def refuse(key: str, expected: str) -> None:
        findings.error(where, None, f"reading.{key} must be {expected}.", f"Correct it in {where}.")

    for key in table:
        if key not in KEYS:
            findings.warning(where, None, f"reading.{str(key)[:40]} is not a setting and is ignored.", f"{KEYS}")
    styles: dict[str, dict[str, str]] = {}
    for key, legal in (("numbers", NUMBER_STYLES), ("dates", DATE_ORDERS)):
        section = table.get(key, {})
        if not isinstance(section, dict) or len(section) > MAX_COLUMNS:
            refuse(key, f"a section, [reading.{key}]")
            section = {}
        for column, value in section.items():
            if value not in legal:
                refuse(f"{key}.{column[:60]}", " or ".join(f'"{style}"' for style in legal))
        styles[key] = {column: value for column, value in section.items() if value in legal}
    section = table.get("missing", {})
    if not isinstance(section, dict) or len(section) > MAX_COLUMNS or not all(map(_texts, section.values())):
        refuse("missing", f'a section of lists of codes, such as hb = ["-99"], {MAX_CODES} at most')
        section = {}
    merged = table.get("merge_spellings", [])
    if not _texts(merged):
        refuse("merge_spellings", 'a list of columns such as ["sex"]')
        merged = []
    missing = {column: tuple(str(code).strip() for code in codes) for column, codes in section.items()}
    return Reading(styles["numbers"], styles["dates"], missing, tuple(map(str, merged)))
