"""faces.csv: which face of a photo is the patient's, and photos whose uncertain detection a person confirmed.

One row per photo, by the SHA-256 of its bytes. how: `person`, or `nearest`: most like the faces in the patient's other
photos. Without a row, the largest face of a photo is the patient's.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from faces.flags import CHOSEN, read_flags
from study.disk.store import Study
from study.errors import StudyError
from study.files import csv_text, read_limited, sha256_of, write_text

FILE_NAME = "faces.csv"
COLUMNS = ("photo_sha256", "patient_id", "face", "how", "note", "when")
PERSON, NEAREST = "person", "nearest"
MAX_BYTES = 64 * 2**20
MAX_FACE = 100


@dataclass(frozen=True)
class Choice:
    """face: its number in the photo, 1 the largest; how: PERSON or NEAREST; note: why; when: UTC."""

    patient: str
    face: int
    how: str
    note: str = ""
    when: str = ""


def read_choices(folder: Path) -> dict[str, Choice]:
    """sha256 of a photo -> the choice. Raises StudyError for a damaged file: it must not change faces unseen."""
    if not (folder / FILE_NAME).exists():
        return {}
    damaged = StudyError(f"{FILE_NAME} is damaged: restore it, or delete it to take the largest face of every photo.")
    try:
        text = read_limited(folder / FILE_NAME, MAX_BYTES, "The list of chosen faces").decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
        if tuple(rows[0]) != COLUMNS:
            raise damaged
        out = {}
        for digest, patient, face, how, note, when in rows[1:]:
            if len(bytes.fromhex(digest)) != 32 or how not in (PERSON, NEAREST) or not 1 <= int(face) <= MAX_FACE:
                raise damaged
            out[digest] = Choice(patient, int(face), how, note, when)
        return out
    except (UnicodeDecodeError, csv.Error, ValueError, IndexError) as error:
        raise damaged from error


def confirmation(study: Study, patient: str) -> str:
    """A person's note on the face in the patient's main photo, "" where nobody confirmed it."""
    choice = read_choices(study.path).get(sha256_of(study.photo_path(patient)))
    return choice.note if choice is not None and choice.how == PERSON else ""


def chosen_face(flags: str) -> int:
    """Number of the face that a code or measure is of, from its stored flags; 1 where no face was chosen."""
    if CHOSEN not in flags:
        return 1
    return next((int(flag.value) for flag in read_flags(flags) if flag.kind == CHOSEN), 1)


def write_choices(folder: Path, choices: Mapping[str, Choice]) -> None:
    """Writes all choices of a study; StudyError where the disk refuses."""
    rows = [(digest, c.patient, c.face, c.how, c.note, c.when) for digest, c in choices.items()]
    write_text(folder / FILE_NAME, csv_text(pd.DataFrame(rows, columns=list(COLUMNS))))
