"""faces.csv: which face of a photo is the patient's, and photos whose uncertain find a person confirmed.

A row a photo, by the sha256 of its bytes. how: `person`, or `nearest`, the face most like those in the patient's other
photos. A photo without a row is taken by its largest face.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.command import path_argument
from faces.errors import FaceError
from faces.flags import CHOSEN, read_flags
from faces.landmarks import find_upright
from faces.photo import load_photo
from study.disk.exclusions import check_reason
from study.disk.store import Study
from study.errors import StudyError
from study.files import read_limited, sha256_of, write_text

FILE_NAME = "faces.csv"
COLUMNS = ("photo_sha256", "patient_id", "face", "how", "note", "when")
PERSON, NEAREST = "person", "nearest"
MAX_BYTES = 64 * 2**20
MAX_FACE = 100
CONFIRMED = "Looked at: this is the patient's face."


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


def key_of(digest: str, choices: Mapping[str, Choice]) -> str:
    """What is made of a photo is kept under its digest, or one of digest and face where a face was chosen."""
    choice = choices.get(digest)
    return digest if choice is None else sha256(f"{digest} {choice.face} {choice.how}".encode()).hexdigest()


def confirmation(study: Study, patient: str) -> str:
    """A person's note on the face in the patient's main photo, "" where nobody confirmed it."""
    choice = read_choices(study.path).get(sha256_of(study.photo_path(patient)))
    return choice.note if choice is not None and choice.how == PERSON else ""


def chosen_face(flags: str) -> int:
    """Number of the face that a code or measure is of, from its stored flags; 1 where no face was chosen."""
    if CHOSEN not in flags:
        return 1
    return next((int(flag.value) for flag in read_flags(flags) if flag.kind == CHOSEN), 1)


def _write(folder: Path, choices: Mapping[str, Choice]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((digest, c.patient, c.face, c.how, c.note, c.when) for digest, c in choices.items())
    write_text(folder / FILE_NAME, buffer.getvalue())


def confirm(study: Study, patients: Iterable[str], note: str, face: int = 1) -> int:
    """A person says that face number `face` of these patients' photos is theirs; returns how many photos that are.

    Raises StudyError, and changes nothing, for a patient without a photo, a face that is not in it or an empty note.
    """
    note, choices = check_reason(note), read_choices(study.path)
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    added: dict[str, Choice] = {}
    for patient in dict.fromkeys(patients):
        study.photo_path(patient)  # refuses an unknown patient
        for file in study.photo_files.get(patient, ()):
            try:
                count = 1 if study.settings.aligned else len(find_upright(load_photo(file.path)).faces)
            except FaceError as error:
                raise StudyError(f"The photo of {patient} cannot be used: {error}") from error
            if not 1 <= face <= count:
                raise StudyError(f"The photo of {patient} has {count} faces found in it, not a face number {face}.")
            added[sha256_of(file.path)] = Choice(patient, face, PERSON, note, stamp)
    _write(study.path, {**choices, **added})
    return len(added)


def withdraw(study: Study, patients: Iterable[str]) -> int:
    """Takes choices back; returns how many there were."""
    choices, names = read_choices(study.path), set(patients)
    left = {digest: choice for digest, choice in choices.items() if choice.patient not in names}
    if len(left) < len(choices):
        _write(study.path, left)
    return len(choices) - len(left)


def choose_nearest(study: Study) -> int:
    """Where a patient has several photos, and more than one face was found in some: the face nearest to those of the
    other photos, by face descriptor. What a person chose stays. Returns how many photos got a choice."""
    if study.settings.aligned or not any(len(files) > 1 for files in study.photo_files.values()):
        return 0
    before = read_choices(study.path)
    after = {digest: choice for digest, choice in before.items() if choice.how == PERSON}
    made = 0
    for patient, files in study.photo_files.items():
        if len(files) < 2:
            continue
        found: dict[str, NDArray[np.float32]] = {}
        for file in files:
            digest, descriptors = sha256_of(file.path), _descriptors(file.path)
            chosen = after.get(digest)
            if len(descriptors):
                found[digest] = descriptors if chosen is None else descriptors[chosen.face - 1 : chosen.face]
        for digest, number in nearest_faces(found).items():
            after[digest] = Choice(patient, number + 1, NEAREST)
            made += 1
    if after != before:
        _write(study.path, after)
    return made


def nearest_faces(found: Mapping[str, NDArray[np.float32]]) -> dict[str, int]:
    """For each photo with several faces the number (from 0) of the one nearest, on average over the other photos, to
    the nearest face there; photos with one face answer first. found: photo -> descriptors (faces, 128)."""
    sure = {digest: rows for digest, rows in found.items() if len(rows) == 1}
    out: dict[str, int] = {}
    for digest, rows in found.items():
        others = [r for d, r in (sure or found).items() if d != digest]
        if len(rows) > 1 and others:
            distances = [np.linalg.norm(rows[:, None] - other[None], axis=2).min(axis=1) for other in others]
            out[digest] = int(np.mean(distances, axis=0).argmin())
    return out


def _descriptors(path: Path) -> NDArray[np.float32]:
    """Descriptors (faces, 128) of the faces in a photo, in the detector's order."""
    from faces.encoder import chip, descriptors

    try:
        upright = find_upright(load_photo(path))
        chips = [chip(upright.photo, face) for face in upright.faces]
    except FaceError:
        return np.zeros((0, 128), np.float32)
    return descriptors(np.stack(chips)) if chips else np.zeros((0, 128), np.float32)


def add_arguments(parser: Any) -> None:
    parser.add_argument("study", type=path_argument)
    parser.add_argument("patients", nargs="+", help="patient ids")
    parser.add_argument("--face", type=int, default=1, help="number of the face, by size, 1 the largest (default)")
    parser.add_argument("--note", default=CONFIRMED, help="what was seen, in words")
    parser.add_argument("--undo", action="store_true", help="take the choice back")


def run(args: Any) -> int:
    study = Study.open(args.study)
    if args.undo:
        print(f"{withdraw(study, args.patients)} photos are no longer confirmed.")
    else:
        print(f"{confirm(study, args.patients, args.note, args.face)} photos confirmed. Run `embed` to take them in.")
    return 0
