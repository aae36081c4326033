"""`python -m study confirm`: which face of a photo is the patient's: confirmed by a person, or the one most like those
in the patient's other photos."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.command import path_argument
from common.text import count
from study.disk.exclusions import check_reason
from study.disk.face_choices import NEAREST, PERSON, Choice, read_choices, write_choices
from study.disk.store import Study
from study.errors import StudyError
from study.files import sha256_of
from study.photos.aligned_store import NO_PHOTO, AlignedStore

CONFIRMED = "Looked at: this is the patient's face."


def confirm(study: Study, patients: Iterable[str], note: str, face: int = 1) -> int:
    """A person says that face number `face` of these patients' photos is theirs; returns how many photos that are.

    Raises StudyError, and changes nothing, for a patient without a photo, a face that is not in it or an empty note.
    """
    note, store = check_reason(note), AlignedStore.of(study)
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    added: dict[str, Choice] = {}
    for patient in dict.fromkeys(patients):
        study.photo_path(patient)  # refuses an unknown patient
        for file in study.photo_files.get(patient, ()):
            digest = sha256_of(file.path)
            stored = store.photo(file.path, digest)
            if stored.problem == NO_PHOTO:
                raise StudyError(f"The photo of {patient} cannot be used: {stored.sentence(file.path)}")
            faces = 1 if study.settings.aligned else len(stored.found)
            if not 1 <= face <= faces:
                raise StudyError(
                    f"There is no face number {face} in the photo of {patient}: {count(faces, 'face')} found."
                )
            added[digest] = Choice(patient, face, PERSON, note, stamp)
    write_choices(study.path, {**store.choices, **added})
    return len(added)


def withdraw(study: Study, patients: Iterable[str]) -> int:
    """Takes choices back; returns how many there were."""
    choices, names = read_choices(study.path), set(patients)
    left = {digest: choice for digest, choice in choices.items() if choice.patient not in names}
    if len(left) < len(choices):
        write_choices(study.path, left)
    return len(choices) - len(left)


def choose_nearest(study: Study) -> int:
    """Where a patient has several photos, and more than one face was found in some: the face nearest to those of the
    other photos, by face descriptor. What a person chose stays. Returns how many photos got a choice."""
    if study.settings.aligned or not any(len(files) > 1 for files in study.photo_files.values()):
        return 0
    store = AlignedStore.of(study)
    after = {digest: choice for digest, choice in store.choices.items() if choice.how == PERSON}
    chosen = 0
    for patient, files in study.photo_files.items():
        if len(files) < 2:
            continue
        faces: dict[str, NDArray[np.float32]] = {}
        for file in files:
            digest, descriptors = sha256_of(file.path), store.face_descriptors(file.path)
            confirmed = after.get(digest)
            if len(descriptors):
                faces[digest] = descriptors if confirmed is None else descriptors[confirmed.face - 1 : confirmed.face]
        for digest, number in nearest_faces(faces).items():
            after[digest] = Choice(patient, number + 1, NEAREST)
            chosen += 1
    if after != store.choices:
        write_choices(study.path, after)
    return chosen


def nearest_faces(faces: Mapping[str, NDArray[np.float32]]) -> dict[str, int]:
    """For each photo with several faces the number (from 0) of the one nearest, on average over the other photos, to
    the nearest face there; photos with one face answer first. faces: photo -> descriptors (faces, 128)."""
    alone = {digest: rows for digest, rows in faces.items() if len(rows) == 1}
    out: dict[str, int] = {}
    for digest, rows in faces.items():
        others = [r for d, r in (alone or faces).items() if d != digest]
        if len(rows) > 1 and others:
            distances = [np.linalg.norm(rows[:, None] - other[None], axis=2).min(axis=1) for other in others]
            out[digest] = int(np.mean(distances, axis=0).argmin())
    return out


def add_arguments(parser: Any) -> None:
    parser.add_argument("study", type=path_argument)
    parser.add_argument("patients", nargs="+", help="patient ids")
    parser.add_argument("--face", type=int, default=1, help="number of the face, by size, 1 the largest (default)")
    parser.add_argument("--note", default=CONFIRMED, help="what was seen, in words")
    parser.add_argument("--undo", action="store_true", help="take the choice back")


def run(args: Any) -> int:
    study = Study.open(args.study)
    if args.undo:
        withdrawn = withdraw(study, args.patients)
        print(f"{count(withdrawn, 'photo')} {'is' if withdrawn == 1 else 'are'} no longer confirmed.")
    else:
        confirmed = confirm(study, args.patients, args.note, args.face)
        print(f"{count(confirmed, 'photo')} confirmed. Run `embed` to include {'it' if confirmed == 1 else 'them'}.")
    return 0
