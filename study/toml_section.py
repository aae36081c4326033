"""Sections of a TOML file: typed values out of them, with a sentence for what does not fit, and values as TOML text."""

from __future__ import annotations

import json
import math
import re
from difflib import get_close_matches
from typing import Any

from study.errors import Findings

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class TomlSection:
    """Typed values of one section; what does not fit is an error among the findings, and the default takes its place.

    section: its name with a point at the end, "" for the top. known: its keys; others are warned of. file: its name.
    """

    def __init__(
        self, table: dict[str, Any], section: str, known: tuple[str, ...], findings: Findings, file: str = "study.toml"
    ) -> None:
        self.table, self.section, self.findings, self.file = table, section, findings, file
        for key in table:
            if key not in known:
                near = get_close_matches(key, known, 1)
                hint = f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(known)}."
                findings.warning(self.file, None, f"{section}{key} is not a setting and is ignored.", hint)

    def refuse(self, key: str, expected: str) -> None:
        self.findings.error(self.file, None, f"{self.section}{key} must be {expected}.", f"Correct it in {self.file}.")

    def text(self, key: str, default: str, legal: tuple[str, ...] = (), name: bool = False) -> str:
        value = self.table.get(key, default)
        if not isinstance(value, str) or not value.strip() or len(value) > 300:
            self.refuse(key, "a short text")
        elif legal and value not in legal:
            self.refuse(key, f"one of {', '.join(legal)}")
        elif name and not SAFE_NAME.fullmatch(value):
            self.refuse(key, "a name of letters, digits, - and _ (64 at most)")
        else:
            return value
        return default

    def line(self, key: str, longest: int = 1000) -> str:
        """A text that may be absent or empty."""
        value = self.table.get(key, "")
        if isinstance(value, str) and len(value) <= longest and (value.isprintable() or not value):
            return value.strip()
        self.refuse(key, f"one line of text, at most {longest} characters")
        return ""

    def number(self, key: str, default: float) -> float:
        value = self.table.get(key, default)
        if isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value):
            return float(value)
        self.refuse(key, "a number")
        return default

    def choice(self, key: str, default: int, legal: tuple[int, ...]) -> int:
        value = self.table.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and value in legal:
            return value
        self.refuse(key, f"one of {', '.join(map(str, legal))}")
        return default

    def flag(self, key: str, default: bool) -> bool:
        value = self.table.get(key, default)
        if isinstance(value, bool):
            return value
        self.refuse(key, "true or false")
        return default

    def texts(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = self.table.get(key, list(default))
        if (
            isinstance(value, list)
            and bool(default) <= len(value) <= 20
            and all(isinstance(v, str | int) for v in value)
        ):
            return tuple(str(int(v)) if isinstance(v, bool) else str(v).strip() for v in value)
        self.refuse(key, 'a list of texts such as ["1"]')
        return default

    def subtable(self, key: str) -> dict[str, Any]:
        value = self.table.get(key, {})
        if isinstance(value, dict):
            return value
        self.refuse(key, f"a section, [{key}]")
        return {}


def toml_value(value: Any) -> str:
    """A text, number, truth value or list of these as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return "[" + ", ".join(toml_value(v) for v in value) + "]"
