"""Who is in which photo of a training set, and which people are held out of training: by patient, never by photo.

Two photos of one person in training and test would let a model recognise the person instead of learning anything.
"""

import hashlib
from collections import Counter
from pathlib import Path, PurePosixPath

import pandas as pd

from latent.datasets.sources import Source
from latent.errors import LatentError

FROM = ("folder", "name", "photo")
TRAIN, HELD_OUT = "train", "held_out"
MAX_TABLE_BYTES = 64 << 20
NO_ROW = "The table of patients has no row for this photo."
NO_FOLDER = "The photo lies in no patient's folder."


def patients_from(sources: list[Source], how: str, separator: str = "_") -> list[str | None]:
    """Patient of each photo, None where it has none.

    how: "folder", the first folder below the input (in a zip below the one folder that holds everything); "name", the
    file's name up to the first `separator`; "photo", every photo is of another person.
    """
    if how == "photo":
        return [f"{source.folder}/{source.file}" for source in sources]
    if how == "name":
        return [PurePosixPath(source.file).stem.split(separator)[0] or None for source in sources]
    tops: dict[Path, set[str]] = {}
    for source in sources:
        tops.setdefault(source.path, set()).add(source.file.partition("/")[0])
    wrapped = {source.path for source in sources if source.member is not None and len(tops[source.path]) == 1}
    folders = [PurePosixPath(source.file).parts[1 if source.path in wrapped else 0 : -1] for source in sources]
    return [parts[0] if parts else None for parts in folders]


def patients_from_table(sources: list[Source], table: Path, photo: str, patient: str) -> list[str | None]:
    """Patient of each photo by a CSV with the columns `photo` and `patient`; None where it has no row.

    A photo is named by its path in the input, with or without the input's name in front, or by its bare name where no
    two photos share that. Raises LatentError for a table that cannot be read or gives one photo to two patients.
    """
    patient_of = _table(table, photo, patient)
    bare = Counter(PurePosixPath(source.file).name for source in sources)
    patients = []
    for source in sources:
        name = PurePosixPath(source.file).name
        keys = [source.file, f"{source.folder}/{source.file}", *([name] if bare[name] == 1 else [])]
        patients.append(next((patient_of[key] for key in keys if key in patient_of), None))
    return patients


def _table(table: Path, photo: str, patient: str) -> dict[str, str]:
    try:
        if table.stat().st_size > MAX_TABLE_BYTES:
            raise LatentError(f"{table.name} is larger than {MAX_TABLE_BYTES >> 20} MB, too much for a patient table.")
        rows = pd.read_csv(table, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except OSError as error:
        raise LatentError(f"{table} cannot be read: {error.strerror or error}.") from error
    except (ValueError, pd.errors.ParserError) as error:
        raise LatentError(f"{table.name} is not a comma-separated UTF-8 table; save it as CSV again.") from error
    for column in (photo, patient):
        if column not in rows:
            raise LatentError(f"{table.name} has no column {column!r}: name it with --photo-column, --patient-column.")
    patient_of: dict[str, str] = {}
    for number, (name, who) in enumerate(zip(rows[photo], rows[patient], strict=True), 2):
        name, who = name.strip().replace("\\", "/").removeprefix("./"), who.strip()
        if not name or not who:
            raise LatentError(f"{table.name}, row {number}: photo or patient is missing; fill it in.")
        if patient_of.setdefault(name, who) != who:
            raise LatentError(
                f"{table.name}, row {number}: {name[:60]} already belongs to patient {patient_of[name][:40]}."
            )
    return patient_of


def hold_out(patients: list[str], share: float, seed: int = 0) -> list[str]:
    """`TRAIN` or `HELD_OUT` for each photo, all photos of a patient alike; `share` of the patients are held out.

    A patient's place in the order is a hash of seed and id, so hardly anyone changes sides when patients are added.
    Raises LatentError where fewer than two patients, or a share outside (0, 1), leave one side empty.
    """
    people = sorted(set(patients), key=lambda who: hashlib.sha256(f"{seed}:{who}".encode()).digest())
    if not 0 < share < 1:
        raise LatentError(f"--hold-out must be a share between 0 and 1, not {share}.")
    if len(people) < 2:
        raise LatentError("There is only one patient, so no one can be held out; check how patients are named.")
    out = set(people[: min(max(1, round(share * len(people))), len(people) - 1)])
    return [HELD_OUT if who in out else TRAIN for who in patients]
