"""Text of unknown origin on a page: shown as it is, whatever it holds.

Streamlit renders markdown in labels, messages, captions, help and badges, and with it pictures (which the browser
fetches from wherever they are said to be), links, formulas, colours, icons and emoji. Whatever comes from a table, a
study.toml, a file's name, a checkpoint or a job passes through here; tests/ui/elements/test_escaping.py finds what does
not.
Labels of figures: survival/plots/labels.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

JOINER = "\u2060"  # takes no room and keeps a pattern apart that markdown finds after its escapes are gone
_CODE = re.compile(r"(`[^`\n]+`)")
_BREAKS = re.compile(r"[\s\x00-\x08\x0e-\x1f\x7f\u2028\u2029]*[\n\r\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u2028\u2029\t]\s*")
# Found in the text that is left after parsing, so that a backslash does not help: addresses, e-mail, :emoji:,
# :material/icons:, :directives[...], and arrows and dashes of ASCII.
_PATTERNS = re.compile(r":(?=[A-Za-z+_-]|//)|\bwww(?=\.)|@(?=\w)|(?<!\S)[<>=~-](?=[-=>]{1,2}(?!\S))", re.I)
_ALWAYS = re.compile(r"([\\`*~$\[\]])|(?<![A-Za-z0-9])(_)|(_)(?![A-Za-z0-9])|(<)(?=[A-Za-z/!?])|(&)(?=#?\w+;)")
_AT_START = re.compile(r"^(#{1,6}(?=\s|$)|>|[-+](?=\s|[-+]|$)|=+$)")
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")


def plain(text: object) -> str:
    """Markdown that shows the text as it is, on one line; what stands between two backquotes is shown as code."""
    line = _BREAKS.sub(" ", str(text)).strip(" ")
    parts = _CODE.split(line)
    return "".join(part if i % 2 else _escaped(part, first=i == 0) for i, part in enumerate(parts))


def _escaped(text: str, first: bool) -> str:
    text = _PATTERNS.sub(lambda found: found[0] + JOINER, text)
    text = _ALWAYS.sub(lambda found: "\\" + found[0], text)
    if first:
        text = _NUMBERED.sub(r"\1\\\2", _AT_START.sub(lambda found: "\\" + found[0], text))
    return text


def trusted(markdown: str) -> str:
    """Markdown that was written in this project and is handed on by name: the caller gives a constant."""
    return markdown


def labelled(function: Callable[[Any], object]) -> Callable[[Any], str]:
    """A format_func whose results are shown as they are."""
    return lambda value: plain(function(value))
