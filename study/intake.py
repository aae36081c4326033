"""`python -m study intake`: a study folder from a table and a zip or folder of photos, through the gates, or nothing.

The person says which column means what (`intake_guess` only proposes), how time and event are coded and at which
times survival is reported: the study.toml of the study to come. Rows with errors refuse the table as a whole, with
their numbers in the file that was given. A photo that cannot be used leaves its patient without one and is told.
Photos are stored under the patients' ids: file names often carry people's names.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import signal
import sys
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

from faces.errors import FaceError
from faces.photo import load_photo
from latent.errors import LatentError
from latent.photo_sources import PhotoReader, Source, list_photos
from study.errors import Finding, Findings, StudyError
from study.files import read_limited, write_bytes, write_json, write_text
from study.photos import EXTENSIONS, FOLDER
from study.settings import FILE_NAME as SETTINGS_FILE
from study.settings import MAX_BYTES as MAX_SETTINGS_BYTES
from study.settings import SAFE_NAME, Columns, Settings, parse_settings, settings_text
from study.store import STUDIES, inspect
from study.table import FILE_NAME as PATIENTS_FILE
from study.table import MAX_BYTES, MISSING, parse_patients, read_rows

REPORT = "intake.json"
OnPhoto = Callable[[int, int], None]


@dataclass(frozen=True)
class Table:
    """A checked table: header, cells and row numbers of the file that was given, settings that fit what is written."""

    header: list[str]
    rows: list[list[str]]
    numbers: list[int]
    settings: Settings

    def column(self, name: str) -> list[str]:
        place = self.header.index(name)
        return [row[place] for row in self.rows]


class IntakeRefused(StudyError):
    """The study was not made. findings: why, by row."""

    def __init__(self, findings: Findings) -> None:
        more = findings.counts["error"] - 1
        super().__init__(str(findings.errors[0]) + (f" ({more} more errors in the table.)" if more else ""))
        self.findings = findings


def check_table(data: bytes, settings: Settings, findings: Findings) -> Table:
    """The table as it will be written, checked as a study's is. Problems go to `findings`, with rows of the given file.

    Where no column has the name settings.columns.photo, photos are called as their patients are, and the column is
    added. Raises StudyError where there is no table.
    """
    header, rows, numbers = read_rows(data, findings)
    columns = settings.columns
    if columns.photo not in header and columns.patient_id in header:
        findings.note(PATIENTS_FILE, None, f"no column {columns.photo}: photos are looked for under the patients' ids.")
        place = header.index(columns.patient_id)
        rows = [[*row, row[place]] for row in rows]
        header = [*header, columns.photo]
    used = [getattr(columns, f.name) for f in fields(Columns)]
    if len(set(used)) < len(used):
        findings.error(SETTINGS_FILE, None, "one column is given two meanings.", "Choose another column for one.")
    if not rows:
        return Table(header, rows, numbers, settings)  # every row is an error that was told
    own = Findings(findings.limit)
    parse_patients(_csv(header, rows).encode(), settings, own)
    for found in own.items:  # blank and uneven rows were left out: back to the numbers of the file
        row = numbers[found.row - 2] if found.row is not None and found.row >= 2 else found.row
        findings.items.append(Finding(found.severity, found.where, row, found.message, found.remedy))
    for severity, count in own.counts.items():
        findings.counts[severity] += count
    return Table(header, rows, numbers, settings)


def _csv(header: list[str], rows: list[list[str]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()


class Finder:
    """Which photo of the given ones a cell of the table means: its path, its name, or its name without ending.

    Upper and lower case are alike. A name that several photos share finds none of them.
    """

    def __init__(self, photos: list[Source]) -> None:
        self._paths = {source.file: source for source in photos}
        self._found: dict[str, Source | None] = {}
        for source in photos:
            path = PurePosixPath(source.file)
            bare = path.with_suffix("")
            inside = path.parts[1:]
            keys = {source.file, path.name, bare.as_posix(), bare.name, PurePosixPath(*inside).as_posix()}
            for key in {key.casefold() for key in keys if key != "."}:
                self._found[key] = None if key in self._found else source

    def __call__(self, cell: str) -> tuple[Source | None, bool]:
        """The photo, and whether there are several that the cell could mean."""
        path = cell.replace("\\", "/").removeprefix("./")
        if path in self._paths:
            return self._paths[path], False
        key = path.casefold()
        return self._found.get(key), key in self._found and self._found[key] is None


def match_photos(table: Table, photos: list[Source], findings: Findings) -> list[Source | None]:
    """The photo of each row; who has none is told in `findings`."""
    find, column = Finder(photos), table.settings.columns.photo
    taken: dict[str, int] = {}
    out: list[Source | None] = []
    for cell, number in zip(table.column(column), table.numbers, strict=True):
        out.append(None)
        if cell.lower() in MISSING:
            findings.warning(PATIENTS_FILE, number, f"{column} is missing.", "The patient has no photo.")
            continue
        source, several = find(cell)
        if several:
            findings.error(PATIENTS_FILE, number, f"several photos are called {cell[:60]!r}.", "Give the whole path.")
        elif source is None:
            findings.warning(PATIENTS_FILE, number, f"no photo is called {cell[:60]!r}.", "The patient has no photo.")
        elif source.file in taken:
            message = f"photo {cell[:60]!r} already belongs to row {taken[source.file]}."
            findings.error(PATIENTS_FILE, number, message, "Give each patient their own photo.")
        else:
            taken[source.file] = number
            out[-1] = source
    if unused := len(photos) - len(taken):
        findings.note("photos", None, f"{unused} photos belong to no patient and are not taken.")
    return out


def check_name(name: str, root: Path) -> None:
    """StudyError for a name that cannot be a study's, or is taken."""
    if not SAFE_NAME.fullmatch(name):
        raise StudyError(
            "A study's name is made of letters, digits, - and _, begins with a letter or digit, 64 at most."
        )
    if root.is_dir() and any(entry.name.casefold() == name.casefold() for entry in root.iterdir()):
        raise StudyError(f"There is a study {name} already; nothing is overwritten. Choose another name.")


def intake(
    root: Path, settings: Settings, data: bytes, photos: Path, on_photo: OnPhoto | None = None
) -> tuple[Path, Findings]:
    """Makes the study `settings.name` under `root`; returns its folder and what was found.

    data: the table; photos: a zip or a folder. Raises IntakeRefused for errors in the table, StudyError where it cannot
    be made at all; nothing is left on disk then.
    """
    check_name(settings.name, root)
    findings = Findings()
    table = check_table(data, settings, findings)
    if findings.counts["error"]:
        raise IntakeRefused(findings)
    try:
        offered = [
            s for s in list_photos([photos])[0] if s.file.lower().endswith(EXTENSIONS) and not s.path.is_symlink()
        ]
    except LatentError as error:
        raise StudyError(str(error)) from error
    matched = match_photos(table, offered, findings)
    if findings.counts["error"]:
        raise IntakeRefused(findings)
    if not any(matched):
        raise StudyError("None of the photos belongs to a patient: check which column names them, and how.")
    for stale in root.glob(f".{settings.name}.*.tmp"):  # of an intake that was killed
        shutil.rmtree(stale, ignore_errors=True)
    temporary = root / f".{settings.name}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        _fill(temporary, table, matched, findings, on_photo)
        _put(temporary, root / settings.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return root / settings.name, findings


def _fill(
    folder: Path, table: Table, matched: list[Source | None], findings: Findings, on_photo: OnPhoto | None
) -> None:
    """Everything of a study into a folder that nobody sees yet, and a look at it as at any study."""
    ids, place = table.column(table.settings.columns.patient_id), table.header.index(table.settings.columns.photo)
    rows = [list(row) for row in table.rows]
    refused: list[dict[str, Any]] = []
    with PhotoReader() as reader:
        for i, (patient, source) in enumerate(zip(ids, matched, strict=True)):
            rows[i][place] = ""
            if source is not None:
                try:
                    rows[i][place] = _keep(folder, patient, source, reader)
                except FaceError as error:
                    refused.append({"patient_id": patient, "row": table.numbers[i], "reason": str(error)})
                    findings.warning(PATIENTS_FILE, table.numbers[i], str(error), "The patient has no photo.")
            if on_photo is not None:
                on_photo(i + 1, len(ids))
    write_bytes(folder / PATIENTS_FILE, _csv(table.header, rows).encode())
    write_json(folder / REPORT, {"columns": asdict(table.settings.columns), "photos_refused": refused})
    write_text(folder / SETTINGS_FILE, settings_text(table.settings))
    inspect(folder)[1].refuse_errors()


def _keep(folder: Path, patient: str, source: Source, reader: PhotoReader) -> str:
    """Copies one photo if the gate lets it pass; returns the cell that names it. Raises FaceError."""
    data = reader.read(source.path, source.member)
    load_photo(data, f"The photo of {patient}")
    cell = f"{FOLDER}/{patient}{PurePosixPath(source.file).suffix.lower()}"
    write_bytes(folder / cell, data)
    return cell


def _put(temporary: Path, folder: Path) -> None:
    check_name(folder.name, folder.parent)
    try:
        os.rename(temporary, folder)
    except OSError as error:
        raise StudyError(f"{folder.name}/ could not be put in place: {error.strerror or error}.") from error


def read_plan(path: Path) -> Settings:
    """The settings of a study to come. Raises StudyError for the first thing that is wrong."""
    findings = Findings()
    settings = parse_settings(read_limited(path, MAX_SETTINGS_BYTES, "The plan"), findings)
    findings.refuse_errors()
    return settings


def add_arguments(parser: Any) -> None:
    parser.add_argument("table", type=Path, help="the patients, as CSV")
    parser.add_argument("photos", type=Path, help="zip or folder of their photos")
    parser.add_argument(
        "--plan", type=Path, required=True, help="study.toml of the study to come: name, columns, coding"
    )
    parser.add_argument("--root", type=Path, default=STUDIES, help="folder of the studies (default studies)")


def run(args: Any) -> int:
    from study.console import progress_line

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))  # so that the temporary folder goes
    data = read_limited(args.table, MAX_BYTES, "The table")
    try:
        folder, findings = intake(args.root, read_plan(args.plan), data, args.photos, progress_line("patients"))
    except IntakeRefused as error:
        for finding in error.findings:
            print(f"{finding.severity:<8}{finding}")
        raise
    for finding in findings:
        print(f"{finding.severity:<8}{finding}")
    study, _ = inspect(folder)
    print(f"{folder}: {len(study.patients)} patients, {len(study.photos)} with a photo.")
    return 0
