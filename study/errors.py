"""Errors and findings of the study room: one sentence each, for the person at the screen."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
Sentence = Callable[[int], tuple[str, str]]


class StudyError(Exception):
    """Something about a study on disk is wrong; the message says what, where, and what to do.

    sentence: what is wrong. run: what puts it right, as words after `python -m study`, if a command does: the message
    names the command, and a page offers a button in its place.
    """

    def __init__(self, sentence: str = "", run: Sequence[str] = ()) -> None:
        self.sentence, self.run = sentence, tuple(run)
        super().__init__(f"{sentence} Run `python -m study {shlex.join(run)}`." if run else sentence)


@dataclass(frozen=True)
class Finding:
    """One observation of `check`.

    severity: "error" (the study cannot be used), "warning" (it can, but look at this), "note".
    row: row in the file as a spreadsheet numbers it (header = row 1), or None for the whole file.
    """

    severity: Severity
    where: str
    row: int | None
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        place = self.where if self.row is None else f"{self.where}, row {self.row}"
        return f"{place}: {self.message}" + (f" {self.remedy}" if self.remedy else "")


class Findings:
    """A list of findings that keeps the first `limit` of each severity and counts the rest.

    A table with a million bad rows must not become a million sentences.
    """

    def __init__(self, limit: int = 200) -> None:
        self.limit = limit
        self.items: list[Finding] = []
        self.counts: dict[Severity, int] = dict.fromkeys(SEVERITIES, 0)

    def add(self, severity: Severity, where: str, row: int | None, message: str, remedy: str = "") -> None:
        self.counts[severity] += 1
        if self.counts[severity] <= self.limit:
            self.items.append(Finding(severity, where, row, message, remedy))

    def add_each(self, severity: Severity, where: str, rows: Sequence[int] | NDArray[Any], sentence: Sentence) -> None:
        """One finding for each of these rows; sentence(i): message and remedy of the i-th, asked only while kept."""
        kept = max(0, min(len(rows), self.limit - self.counts[severity]))
        for i in range(kept):
            self.add(severity, where, int(rows[i]), *sentence(i))
        self.counts[severity] += len(rows) - kept

    def error(self, where: str, row: int | None, message: str, remedy: str = "") -> None:
        self.add("error", where, row, message, remedy)

    def warning(self, where: str, row: int | None, message: str, remedy: str = "") -> None:
        self.add("warning", where, row, message, remedy)

    def note(self, where: str, row: int | None, message: str, remedy: str = "") -> None:
        self.add("note", where, row, message, remedy)

    def extend(self, findings: Iterable[Finding]) -> None:
        for f in findings:
            self.add(f.severity, f.where, f.row, f.message, f.remedy)

    def __iter__(self) -> Iterator[Finding]:
        """Errors first, then warnings, then notes; file order inside each."""
        return iter(sorted(self.items, key=lambda f: SEVERITIES.index(f.severity)))

    def __len__(self) -> int:
        return sum(self.counts.values())

    @property
    def errors(self) -> list[Finding]:
        return [f for f in self.items if f.severity == "error"]

    @property
    def left_off(self) -> int:
        """How many findings were counted but not kept."""
        return len(self) - len(self.items)

    def refuse_errors(self) -> None:
        """Raises StudyError with the first error, and how many more there are, if there is any error."""
        more = self.counts["error"] - 1
        if more > 0:
            raise StudyError(f"{self.errors[0]} ({more} more.)", ("check", "STUDY"))
        if more == 0:
            raise StudyError(str(self.errors[0]))
