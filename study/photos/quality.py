"""`python -m study quality`: every photo aligned, measured and flagged once, with a thumbnail, kept by its sha256.

quality.parquet: one row a photo, in the order of patients.csv, the thumbnail as JPEG bytes in a column of its own that
a list never reads. While it works, finished photos lie in blocks under `quality.parts/`; stopped, it goes on. A photo
whose bytes are the same is never measured twice.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from common.command import path_argument
from faces.align import resize
from faces.errors import FaceError, NoFaceError
from faces.flags import SEVERAL, UNCERTAIN, flags_text, read_flags
from faces.photo import load_photo
from faces.quality import Quality
from study.disk.face_choices import Choice, choose_nearest, read_choices
from study.disk.missing_photos import flag_counts, missing_photos
from study.disk.near_copies import fingerprint, near_copies
from study.disk.places import QUALITY as FILE_NAME
from study.disk.places import QUALITY_PARTS as PARTS
from study.disk.store import Study
from study.errors import Findings, StudyError
from study.files import check_writable, replacing, sha256_of
from study.photos.prepare import prepare

THUMBNAIL, THUMBNAIL_QUALITY = 128, 88  # px
BLOCK = 32  # photos in a part, and thumbnails that are read together
MEASURES = tuple(f.name for f in fields(Quality) if f.name != "flags")
NO_FACE, NO_PHOTO = "no face", "no photo"
TEXTS = ("patient_id", "photo_sha256", "mark", "problem", "reason", "flags")
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in TEXTS]
    + [(name, pa.float64()) for name in MEASURES]
    + [("fingerprint", pa.binary()), ("copy_of", pa.string()), ("thumbnail", pa.binary())]
)
MAX_ROWS = 5_000_000
_ASKED = f"{SEVERAL}|{UNCERTAIN}"  # flags that are a question to a person
_DAMAGE = (pa.ArrowException, OSError, KeyError, ValueError)
Row = dict[str, Any]


@dataclass
class QualityReport:
    """total photos; new: measured in this run; kept: measured before; unusable: without a face, or no photo."""

    total: int
    new: int = 0
    kept: int = 0
    unusable: int = 0


def _mark(study: Study, choice: Choice | None = None) -> str:
    """What else shapes a row besides the photo's bytes."""
    face = f" face {choice.face} {choice.how}" if choice is not None else ""
    return f"3 {'aligned' if study.settings.aligned else 'detected'}{face}"


def measure_photo(path: Path, aligned: bool, choice: Choice | None = None) -> Row:
    """Measures, flags (a line each) and thumbnail of one photo; `problem` and `reason` where it has no face."""
    row: Row = {**dict.fromkeys(MEASURES, float("nan")), **dict.fromkeys(("problem", "reason", "flags"), "")}
    row |= {"fingerprint": b"", "copy_of": "", "thumbnail": b""}
    try:
        photo = load_photo(path)
    except FaceError as error:
        return row | {"problem": NO_PHOTO, "reason": str(error)}
    row["fingerprint"] = fingerprint(photo.pixels)
    try:
        face = prepare(photo, aligned, choice=choice)
    except NoFaceError as error:
        row |= {"problem": NO_FACE, "reason": str(error), "thumbnail": _jpeg(_middle(photo.pixels))}
    except FaceError as error:
        row |= {"problem": NO_PHOTO, "reason": str(error)}
    else:
        row |= {name: float(getattr(face.quality, name)) for name in MEASURES}
        row |= {"flags": flags_text(face.quality.flags), "thumbnail": _jpeg(face.pixels)}
    return row


def _middle(pixels: np.ndarray) -> np.ndarray:
    """The square in the middle of a picture."""
    side = min(pixels.shape[:2])
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def _jpeg(pixels: np.ndarray) -> bytes:
    buffer = BytesIO()
    small = Image.fromarray(resize(np.ascontiguousarray(pixels), THUMBNAIL))
    small.save(buffer, "JPEG", quality=THUMBNAIL_QUALITY, subsampling=0)
    return buffer.getvalue()


def _write(path: Path, rows: Iterator[list[Row]]) -> None:
    with replacing(path) as temporary, pq.ParquetWriter(temporary, _SCHEMA) as writer:
        for block in rows:
            writer.write_table(pa.Table.from_pylist(block, schema=_SCHEMA))


class _Known:
    """Where the row of each photo's bytes lies: file and place. Thumbnails stay on disk."""

    def __init__(self, study: Study) -> None:
        self.folder, self.study, self.choices = study.path, study, read_choices(study.path)
        self.places: dict[str, tuple[Path, int, int]] = {}
        self.prints: dict[str, bytes] = {}
        self._open: tuple[Path, int, list[Row]] | None = None
        for path in [study.path / FILE_NAME, *sorted((study.path / PARTS).glob("*.parquet"))]:
            self._take(path)

    def _take(self, path: Path) -> None:
        try:
            file = pq.ParquetFile(path)
            for group in range(file.num_row_groups):
                rows = file.read_row_group(group, ["photo_sha256", "mark", "fingerprint"]).to_pylist()
                for i, row in enumerate(rows):
                    if row["mark"] == self.mark(row["photo_sha256"]):
                        self.places[row["photo_sha256"]] = (path, group, i)
                        self.prints[row["photo_sha256"]] = row["fingerprint"]
        except _DAMAGE:
            return  # made anew

    def mark(self, digest: str) -> str:
        """What a row of this photo is marked with, if it is of the face chosen today."""
        return _mark(self.study, self.choices.get(digest))

    def put(self, rows: list[Row]) -> None:
        path = self.folder / PARTS / f"{rows[0]['photo_sha256'][:16]}-{len(rows)}.parquet"
        _write(path, iter([rows]))
        self._take(path)

    def row(self, digest: str, patient: str) -> Row:
        path, group, place = self.places[digest]
        if self._open is None or self._open[:2] != (path, group):
            self._open = (path, group, pq.ParquetFile(path).read_row_group(group).to_pylist())
        return {**self._open[2][place], "patient_id": patient}


def measure_study(study: Study, on_photo: Callable[[int, int], None] | None = None) -> QualityReport:
    """Measures every photo that is not measured yet and writes quality.parquet. Excluded patients' photos too: to
    judge an exclusion, its photo must be seen. Raises StudyError where there is no photo or the disk refuses."""
    if not study.photos:
        raise StudyError(f"No patient of {study.name} has a photo, so there is nothing to look at.")
    choose_nearest(study)
    known = _Known(study)
    photos = [(patient, f.path) for patient, some in study.photo_files.items() for f in some]
    report = QualityReport(len(photos))
    waiting: list[Row] = []
    order: list[tuple[str, str]] = []
    fresh: set[str] = set()
    for number, (patient, path) in enumerate(photos, start=1):
        digest = sha256_of(path)
        order.append((patient, digest))
        if digest in known.places or digest in fresh:
            report.kept += 1
        else:
            row = measure_photo(path, study.settings.aligned, known.choices.get(digest))
            waiting.append({"patient_id": patient, "photo_sha256": digest, "mark": known.mark(digest), **row})
            fresh.add(digest)
            report.new += 1
        if len(waiting) == BLOCK:
            known.put(waiting)
            waiting = []
        if on_photo is not None:
            on_photo(number, report.total)
    if waiting:
        known.put(waiting)

    copies = _copies(order, known.prints)

    def blocks() -> Iterator[list[Row]]:
        for start in range(0, len(order), BLOCK):
            block = [
                {**known.row(digest, patient), "copy_of": copies.get((patient, digest), "")}
                for patient, digest in order[start : start + BLOCK]
            ]
            report.unusable += sum(bool(row["problem"]) for row in block)
            yield block

    _write(study.path / FILE_NAME, blocks())
    shutil.rmtree(study.path / PARTS, ignore_errors=True)
    return report


def _copies(order: list[tuple[str, str]], prints: dict[str, bytes]) -> dict[tuple[str, str], str]:
    """(patient, digest) -> another patient, earlier in the table, whose photo looks the same but for size or
    compression. Compared here and not on a page: 20,000 photos take seconds."""
    once = {digest: patient for patient, digest in reversed(order) if prints.get(digest)}
    told = [(patient, digest) for patient, digest in order if once.get(digest) == patient]
    pairs = near_copies([prints[digest] for _, digest in told])
    return {told[j]: told[i][0] for i, j in pairs if told[i][0] != told[j][0]}


def read_quality(study: Study) -> pd.DataFrame | None:
    """One row a photo without its thumbnail: TEXTS, MEASURES, copy_of and `place`, its number in the file. None
    before there is one. Rows of photos that are not there any more, or were measured in another way, are left out.

    Raises StudyError where the file is damaged.
    """
    path = study.path / FILE_NAME
    if not path.is_file():
        return None
    try:
        if pq.read_metadata(path).num_rows > MAX_ROWS:
            raise ValueError("too many rows")
        # An older file does not know copies; its rows are of another mark and left out below.
        there = [n for n in (*TEXTS, *MEASURES, "copy_of") if n != "copy_of" or n in pq.read_schema(path).names]
        table = pq.read_table(path, columns=there).to_pandas()
    except _DAMAGE as error:
        raise StudyError(f"{FILE_NAME} is damaged: delete it and look the photos over again.") from error
    table["place"] = np.arange(len(table))
    choices = read_choices(study.path)
    wanted = table["photo_sha256"].map({digest: _mark(study, c) for digest, c in choices.items()}).fillna(_mark(study))
    kept = table["patient_id"].isin(study.photos.keys()) & (table["mark"] == wanted)
    return table[kept].reset_index(drop=True)


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
        raise StudyError(f"{FILE_NAME} is damaged: delete it and look the photos over again.") from error


def photo_findings(study: Study, table: pd.DataFrame, findings: Findings) -> None:
    """Photos that cannot be used, and one photo, or a copy of it, under two patients, from `read_quality`; to
    `findings`, by row."""
    rows = dict(zip(study.patients["patient_id"], study.patients["row"], strict=True))
    for patient, problem, reason in table.loc[table["problem"] != "", ["patient_id", "problem", "reason"]].to_numpy():
        remedy = "Use another photo, or leave the patient out." if problem == NO_FACE else "Replace the photo."
        findings.warning(study.table_name, int(rows[patient]), reason, remedy)
    once = table[~table["photo_sha256"].duplicated()]
    first = dict(zip(once["photo_sha256"], once["patient_id"], strict=True))
    again = table[table["photo_sha256"].duplicated()]
    for patient, digest in zip(again["patient_id"], again["photo_sha256"], strict=True):
        message = (
            f"{patient} has the same photo as {first[digest] if first[digest] != patient else 'another of theirs'}."
        )
        findings.warning(study.table_name, int(rows[patient]), message, "Check whose face it is.")
    for patient, text in table.loc[table["flags"].str.contains(_ASKED, regex=True), ["patient_id", "flags"]].to_numpy():
        for flag in read_flags(text):
            if flag.kind in (SEVERAL, UNCERTAIN):
                remedy = f"Confirm it on this page, or by `python -m study confirm STUDY {patient} --face NUMBER`."
                findings.warning(study.table_name, int(rows[patient]), f"{patient}: {flag.sentence}", remedy)
    for patient, other in table.loc[table["copy_of"] != "", ["patient_id", "copy_of"]].to_numpy() if len(table) else ():
        message = f"the photo of {patient} looks like that of {other}."
        remedy = "Check whether one person is in the study twice."
        findings.warning(study.table_name, int(rows[patient]), message, remedy)


def add_arguments(parser: Any) -> None:
    parser.add_argument("study", type=path_argument)


def run(args: Any) -> int:
    from common.console import ProgressLine

    study = Study.open(args.study)
    check_writable(study.path / FILE_NAME)
    report = measure_study(study, ProgressLine("photos"))
    print(f"{report.new} photos looked over, {report.kept} were known; {report.unusable} cannot be used.")
    table = read_quality(study)
    if table is not None:
        for kind, count in flag_counts(table).most_common():
            print(f"  {count:6d}  {kind}")
    for group in missing_photos(study, table):
        print(group.sentence(study.time_unit))
    return 0
