"""JSON and TOML from files of unknown origin, with a bound on the work and one kind of error: ValueError.

Python's readers raise RecursionError for deep nesting, take quadratic time for TOML keys of many dotted parts, and
give whole numbers that no float can hold. What is read here is at most MAX_DEPTH deep, so that it can be walked,
printed and written again.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from typing import Any, NoReturn

MAX_DEPTH = 64
MAX_DIGITS = 19  # of a whole number: 64 bits
MAX_KEY_PARTS = 16  # of a dotted TOML key; settings have three
_TOML_TOKENS = re.compile(r'[\w-]++|"[^"\n]*+"|\'[^\'\n]*+\'|[ \t]++|.')


def json_value(data: str | bytes, finite: bool = False) -> Any:
    """The value of a JSON text. finite: NaN and Infinity, which are not JSON but which Python writes, are refused.

    Raises ValueError, with a reason, for anything that is not JSON, too deep, or holds a number beyond 64 bits.
    """
    try:
        value = json.loads(
            data, parse_int=_whole, parse_float=_decimal, parse_constant=_no_constant if finite else None
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    _check_depth(value)
    return value


def toml_table(data: bytes) -> dict[str, Any]:
    """The table of a TOML text in UTF-8, a byte order mark allowed. Raises ValueError, with a reason."""
    text = data.decode("utf-8-sig")
    for line in text.splitlines():
        if line.count(".") >= MAX_KEY_PARTS and _dotted_parts(line) > MAX_KEY_PARTS:
            raise ValueError(f"a key has more than {MAX_KEY_PARTS} parts")
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    _check_depth(table)
    return table


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS + 1:
        raise ValueError("a whole number is beyond 64 bits")
    return int(text)


def _decimal(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("a number is beyond double precision")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _dotted_parts(line: str) -> int:
    """The longest run of names or quoted texts with dots between, in time linear in the line."""
    longest = run = 0
    expect_name = True
    for token in _TOML_TOKENS.findall(line):
        if token.isspace():
            continue
        if token == ".":
            expect_name = True
        elif expect_name and run and (len(token) > 1 or token.isalnum() or token in "-_"):
            run, expect_name = run + 1, False
        else:
            run, expect_name = 1, False
        longest = max(longest, run)
    return longest


def _check_depth(value: Any) -> None:
    """Raises ValueError where containers are nested deeper than MAX_DEPTH."""
    level, depth = [value] if isinstance(value, (dict, list)) else [], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError("it is nested too deeply")
        inside = (item for outer in level for item in (outer.values() if isinstance(outer, dict) else outer))
        level = [item for item in inside if isinstance(item, (dict, list))]
