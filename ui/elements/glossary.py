"""Terms of the field in plain words, read from docs/glossary.md: the one place that defines them, for app and readers.

An entry is a line `**Term** (`key`): sentence or two.`; headings only order them.
"""

import re
from functools import cache
from pathlib import Path

FILE = Path(__file__).resolve().parents[2] / "docs" / "glossary.md"
ENTRY = re.compile(r"\*\*(?P<term>.+?)\*\* \(`(?P<key>[^`]+)`\): (?P<sentence>\S.*)")


class GlossaryError(Exception):
    """The glossary is missing or a line of it cannot be read; the message says which and what to do."""


@cache
def read(file: Path = FILE) -> dict[str, str]:
    """Key to plain sentence. Raises GlossaryError for a missing file, a malformed line and a key that occurs twice."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise GlossaryError(
            f"The glossary {file.parent.name}/{file.name} cannot be read. Restore it from the repository."
        ) from error
    sentences: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.startswith("**"):
            continue
        entry = ENTRY.fullmatch(line.strip())
        if entry is None:
            raise GlossaryError(f"{file.name}, line {number}: write **Term** (`key`): one or two sentences.")
        if entry["key"] in sentences:
            raise GlossaryError(f"{file.name}, line {number}: the key `{entry['key']}` occurs twice. Rename one.")
        sentences[entry["key"]] = entry["sentence"]
    return sentences


GLOSSARY = read()
