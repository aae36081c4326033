"""exclusions.csv: patients that a person took out of the analysis, with the reason and when.

Whoever is listed keeps photo and row and can be taken back at any time; embedding, fitting and everything that asks
for the analysed patients leaves them out. A file that cannot be read refuses the study: it must not bring people back
into an analysis unseen.
"""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from common.files import safe_cell
from common.text import count
from study.errors import Findings, StudyError
from study.files import csv_text, read_limited, write_text
from study.tables.column import SAFE_ID

FILE_NAME = "exclusions.csv"
COLUMNS = ("patient_id", "reason", "when")
MAX_BYTES = 64 * 2**20
MAX_REASON = 200
_REPAIR = "Correct the row, or remove it to take the patient back."


@dataclass(frozen=True)
class Exclusion:
    """Why a patient was taken out. when: date and time in UTC, as 2026-05-31T12:00:00Z."""

    reason: str
    when: str


def check_reason(reason: str) -> str:
    """The reason without space around it. Raises StudyError for one that says nothing or a table cannot hold."""
    reason = reason.strip()
    if not reason:
        raise StudyError("Say why: an exclusion without a reason cannot be judged later.")
    if len(reason) > MAX_REASON or not reason.isprintable():
        raise StudyError(f"Keep the reason to one line of {MAX_REASON} characters.")
    if safe_cell(reason) != reason:
        raise StudyError("Begin the reason with a letter or digit: a spreadsheet would take this one for a formula.")
    return reason


def read_exclusions(folder: Path, findings: Findings, patients: Collection[str] | None = None) -> dict[str, Exclusion]:
    """patient_id -> exclusion, in file order; problems by row go to `findings`. patients: those of the table."""
    if not (folder / FILE_NAME).exists():
        return {}
    exclusions: dict[str, Exclusion] = {}
    data = read_limited(folder / FILE_NAME, MAX_BYTES, "The list of exclusions")
    for row, (patient, reason, when) in _rows(data, findings):
        try:
            good = bool(SAFE_ID.fullmatch(patient)) and when.isprintable() and len(when) <= 40
            reason = check_reason(reason)
        except StudyError:
            good = False
        if not good:
            findings.error(FILE_NAME, row, "this is not an exclusion with id, reason and time.", _REPAIR)
        elif patient in exclusions:
            findings.error(FILE_NAME, row, f"{patient} is listed twice.", _REPAIR)
        else:
            exclusions[patient] = Exclusion(reason, when)
            if patients is not None and patient not in patients:
                findings.note(FILE_NAME, row, f"{patient} is not in the table.", "Nothing is left out for this row.")
    return exclusions


def _rows(data: bytes, findings: Findings) -> Iterator[tuple[int, list[str]]]:
    try:
        rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error):
        findings.error(FILE_NAME, None, "the file is not a UTF-8 table.", "Restore it, or delete it to take all back.")
        return
    if not rows or tuple(cell.strip() for cell in rows[0]) != COLUMNS:
        findings.error(FILE_NAME, 1, f"the header is not {','.join(COLUMNS)}.", "Restore it.")
        return
    for number, cells in enumerate(rows[1:], start=2):
        if len(cells) == len(COLUMNS):
            yield number, [cell.strip() for cell in cells]
        elif any(cell.strip() for cell in cells):
            findings.error(FILE_NAME, number, f"{count(len(cells), 'cell')} in place of {len(COLUMNS)}.", _REPAIR)


def changes_since(now: Collection[str], then: Collection[str]) -> list[str]:
    """Sentences on who was excluded or re-included between two states."""
    changes = ((set(now) - set(then), "excluded"), (set(then) - set(now), "re-included"))
    return [
        f"{count(len(patients), 'patient')} {'was' if len(patients) == 1 else 'were'} {what} since."
        for patients, what in changes
        if patients
    ]


def exclude(folder: Path, patients: Iterable[str], reason: str, when: datetime | None = None) -> list[str]:
    """Takes patients out, all for one reason; returns those who were not out before. A new reason replaces an old one.

    Raises StudyError, and changes nothing, for a reason or an id that cannot be, or a file that is damaged.
    """
    reason = check_reason(reason)
    stamp = (when or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    patients = list(dict.fromkeys(patients))
    for patient in patients:
        if not SAFE_ID.fullmatch(patient):
            raise StudyError(f"{patient[:64]!r} is not a patient's id.")
    with _changing(folder) as listed:
        fresh = [patient for patient in patients if patient not in listed]
        listed.update(dict.fromkeys(patients, Exclusion(reason, stamp)))
    return fresh


def include(folder: Path, patients: Iterable[str]) -> list[str]:
    """Takes patients back into the analysis; returns those who were out. Raises StudyError for a damaged file."""
    with _changing(folder) as listed:
        return [patient for patient in dict.fromkeys(patients) if listed.pop(patient, None) is not None]


@contextmanager
def _changing(folder: Path) -> Iterator[dict[str, Exclusion]]:
    """The exclusions, to be changed in place and written at the end; one change at a time on this machine."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise StudyError(f"{folder.name} cannot be opened: {error.strerror or error}.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        findings = Findings()
        before = read_exclusions(folder, findings)
        findings.refuse_errors()
        listed = dict(before)
        yield listed
        if listed != before:
            rows = [(patient, e.reason, e.when) for patient, e in listed.items()]
            write_text(folder / FILE_NAME, csv_text(pd.DataFrame(rows, columns=list(COLUMNS))))
    finally:
        os.close(handle)
