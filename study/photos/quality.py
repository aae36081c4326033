"""`python -m study quality`: measures, flags and a thumbnail of every photo of a study.

quality.parquet: one row a photo, in the order of patients.csv, the thumbnail as JPEG bytes in a column of its own that
a list never reads. What is measured comes from the store of aligned photos, so that a stopped run resumes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from common.command import path_argument
from common.console import ProgressLine
from common.text import count
from faces.align import resize
from faces.flags import SEVERAL, UNCERTAIN, flags_text, read_flags
from study.disk.face_choices import Choice, read_choices
from study.disk.missing_photos import flag_counts, missing_photos
from study.disk.near_copies import near_copies
from study.disk.places import QUALITY as FILE_NAME
from study.disk.store import Study
from study.errors import Findings, StudyError
from study.files import check_writable, replacing
from study.photos.aligned_store import MEASURES, NO_FACE, AlignedStore, OnProgress, StoredPhoto
from study.photos.confirm import choose_nearest
from study.photos.prepare import with_choice

THUMBNAIL, THUMBNAIL_QUALITY = 128, 88  # px
BLOCK = 32  # rows that are written, and thumbnails that are read, together
TEXTS = ("patient_id", "photo_sha256", "mark", "problem", "reason", "flags")
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in TEXTS]
    + [(name, pa.float64()) for name in MEASURES]
    + [("copy_of", pa.string()), ("thumbnail", pa.binary())]
)
MAX_ROWS = 5_000_000
_DAMAGE = (pa.ArrowException, OSError, KeyError, ValueError)


def _mark(study: Study, choice: Choice | None = None) -> str:
    """What shapes a row besides the photo's bytes."""
    face = f" face {choice.face} {choice.how}" if choice is not None else ""
    return f"3 {'aligned' if study.settings.aligned else 'detected'}{face}"


def _row(stored: StoredPhoto, choice: Choice | None, path: Path) -> dict[str, Any]:
    """Measures, flags (a line each) and thumbnail of one photo; `problem` and `reason` where it has no face."""
    row: dict[str, Any] = {
        **dict.fromkeys(MEASURES, float("nan")),
        "problem": stored.problem,
        "reason": stored.sentence(path),
        "flags": "",
        "thumbnail": b"",
    }
    if stored.fingerprint:
        buffer, square = BytesIO(), Image.fromarray(resize(stored.picture, THUMBNAIL))
        square.save(buffer, "JPEG", quality=THUMBNAIL_QUALITY, subsampling=0)
        row["thumbnail"] = buffer.getvalue()
    if stored.face is not None:
        quality = with_choice(stored.face, len(stored.found), stored.quarters, choice).quality
        row |= {measure: float(getattr(quality, measure)) for measure in MEASURES}
        row["flags"] = flags_text(quality.flags)
    return row


def measure_study(study: Study, on_progress: OnProgress | None = None) -> tuple[int, int]:
    """Measures every photo and writes quality.parquet; returns how many there are, and how many without a face or not
    opened. Excluded patients' photos too: whoever reviews an exclusion must see its photo. Raises StudyError where
    there is no photo or the disk refuses. on_progress: photos done, photos in all.
    """
    if not study.photos:
        raise StudyError(f"No patient of {study.name} has a photo, so there is nothing to check.")
    choose_nearest(study)
    store = AlignedStore.of(study)
    photos = [(patient, file.path) for patient, some in study.photo_files.items() for file in some]
    patients, files = [patient for patient, _ in photos], [path for _, path in photos]
    digests: list[str] = []
    prints: dict[str, bytes] = {}
    unusable = 0
    for _, block in store.blocks(files, on_progress):
        for digest, stored in block:
            digests.append(digest)
            prints[digest] = stored.fingerprint
            unusable += bool(stored.problem)
    copies = _copies(list(zip(patients, digests, strict=True)), prints)

    def rows(start: int) -> Iterator[dict[str, Any]]:
        for i in range(start, min(start + BLOCK, len(files))):
            patient, digest, path, choice = patients[i], digests[i], files[i], store.choices.get(digests[i])
            identity = {"patient_id": patient, "photo_sha256": digest, "mark": _mark(study, choice)}
            copy_of = copies.get((patient, digest), "")
            yield {**identity, **_row(store.photo(path, digest), choice, path), "copy_of": copy_of}

    with replacing(study.path / FILE_NAME) as temporary, pq.ParquetWriter(temporary, _SCHEMA) as writer:
        for start in range(0, len(files), BLOCK):
            writer.write_table(pa.Table.from_pylist(list(rows(start)), schema=_SCHEMA))
    return len(files), unusable


def _copies(order: list[tuple[str, str]], prints: dict[str, bytes]) -> dict[tuple[str, str], str]:
    """(patient, digest) -> another patient, earlier in the table, whose photo looks the same but for size or
    compression. Compared here and not on a page: 20,000 photos take seconds."""
    first = {digest: patient for patient, digest in reversed(order) if prints[digest]}
    compared = [(patient, digest) for patient, digest in order if first.get(digest) == patient]
    pairs = near_copies([prints[digest] for _, digest in compared])
    return {compared[j]: compared[i][0] for i, j in pairs if compared[i][0] != compared[j][0]}


def read_quality(study: Study) -> pd.DataFrame | None:
    """One row per photo without its thumbnail: TEXTS, MEASURES, copy_of and `place`, its row in the file. None before
    photos were checked. Rows of photos that have gone, or were measured in another way, are left out.

    Raises StudyError where the file is damaged.
    """
    path = study.path / FILE_NAME
    if not path.is_file():
        return None
    try:
        if pq.read_metadata(path).num_rows > MAX_ROWS:
            raise ValueError("too many rows")
        # An older file has no copy_of; its rows have another mark and are left out below.
        columns = [n for n in (*TEXTS, *MEASURES, "copy_of") if n != "copy_of" or n in pq.read_schema(path).names]
        table = pq.read_table(path, columns=columns).to_pandas()
    except _DAMAGE as error:
        raise StudyError(f"{FILE_NAME} is damaged: delete it and run quality control again.") from error
    table["place"] = np.arange(len(table))
    choices = read_choices(study.path)
    marks = table["photo_sha256"].map({digest: _mark(study, c) for digest, c in choices.items()}).fillna(_mark(study))
    current = table["patient_id"].isin(study.photos.keys()) & (table["mark"] == marks)
    return table[current].reset_index(drop=True)


def thumbnails(study: Study, places: Sequence[int]) -> list[bytes]:
    """JPEG bytes of these rows of the file, b"" where a photo could not be opened. Raises StudyError for a damaged
    file."""
    try:
        file = pq.ParquetFile(study.path / FILE_NAME)
        groups: dict[int, list[bytes]] = {}
        out = []
        for place in places:
            group = int(place) // BLOCK
            if group not in groups:
                groups[group] = file.read_row_group(group, ["thumbnail"])["thumbnail"].to_pylist()
            out.append(groups[group][int(place) % BLOCK] or b"")
        return out
    except (*_DAMAGE, IndexError) as error:
        raise StudyError(f"{FILE_NAME} is damaged: delete it and run quality control again.") from error


def photo_findings(study: Study, table: pd.DataFrame, findings: Findings) -> None:
    """Adds to `findings`, by row: photos that cannot be used or that a person must look at, and one photo, or a copy of
    it, under two patients. table: as `read_quality` gives it."""
    rows = dict(zip(study.patients["patient_id"], study.patients["row"], strict=True))
    for patient, problem, reason in table.loc[table["problem"] != "", ["patient_id", "problem", "reason"]].to_numpy():
        remedy = "Use another photo, or leave the patient out." if problem == NO_FACE else "Replace the photo."
        findings.warning(study.table_name, int(rows[patient]), reason, remedy)
    first: dict[str, str] = {}
    for patient, digest in table[["patient_id", "photo_sha256"]].to_numpy():
        if digest not in first:
            first[digest] = patient
            continue
        whose = first[digest] if first[digest] != patient else "another of theirs"
        message = f"{patient} has the same photo as {whose}."
        findings.warning(study.table_name, int(rows[patient]), message, "Check whose face it is.")
    for patient, text in table.loc[table["flags"] != "", ["patient_id", "flags"]].to_numpy():
        for flag in read_flags(text):
            if flag.kind in (SEVERAL, UNCERTAIN):
                remedy = f"Confirm it on this page, or with `python -m study confirm STUDY {patient} --face NUMBER`."
                findings.warning(study.table_name, int(rows[patient]), f"{patient}: {flag.sentence}", remedy)
    for patient, other in table.loc[table["copy_of"] != "", ["patient_id", "copy_of"]].to_numpy() if len(table) else ():
        message = f"the photo of {patient} looks like that of {other}."
        remedy = "Check whether one person is in the study twice."
        findings.warning(study.table_name, int(rows[patient]), message, remedy)


def add_arguments(parser: Any) -> None:
    parser.add_argument("study", type=path_argument)


def run(args: Any) -> int:
    study = Study.open(args.study)
    check_writable(study.path / FILE_NAME)
    total, unusable = measure_study(study, ProgressLine("photos"))
    print(f"{count(total, 'photo')} checked; {unusable} cannot be used.")
    table = read_quality(study)
    if table is not None:
        for kind, photos in flag_counts(table).most_common():
            print(f"  {photos:6d}  {kind}")
    for group in missing_photos(study, table):
        print(group.sentence(study.time_unit))
    return 0
