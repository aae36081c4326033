"""`python -m study intake`: a study folder from a table and photos, where there are any, through the gates, or nothing.

The table is CSV, Excel or Parquet; what is written is always patients.csv in UTF-8, with commas and decimal points, and
with an apostrophe before what a spreadsheet would run. The person says which column means what (`intake_guess` only
proposes), how time and event are coded and at which times survival is reported: the study.toml of the study to come.
Rows with errors refuse the table as a whole, with their numbers in the file that was given. A photo that cannot be used
is left out with a warning. Photos are stored under the patients' ids: file names often carry people's names.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from common.command import file_argument, folder_argument, path_argument
from common.files import safe_cell
from common.text import count
from faces.decoding.archive import PhotoArchive
from faces.photo import EXTENSIONS
from latent.datasets.sources import Source, list_photos
from latent.errors import LatentError
from study.disk.photos import LIST_COLUMNS, LIST_NAME
from study.disk.places import ROOT_HELP, studies_root
from study.disk.refused_photos import write_refused
from study.disk.store import inspect
from study.errors import Findings, StudyError
from study.files import check_writable, csv_text, read_limited, write_text
from study.intake.match import Match, Matches, Near, match
from study.intake.photos import keep_photos, report_matches, requests_of_column, requests_of_list
from study.intake.questions import numeric_columns, refuse_unconfirmed
from study.settings import FILE_NAME as SETTINGS_FILE
from study.settings import MAX_BYTES as MAX_SETTINGS_BYTES
from study.settings import SAFE_NAME, Settings, parse_settings, settings_text
from study.tables.column import Column, is_formula
from study.tables.formats.raw import FILE_NAME as PATIENTS_FILE
from study.tables.formats.raw import MAX_BYTES, RawTable
from study.tables.numbers import style_of
from study.tables.patients import patients_of
from study.tables.plausible import plausible
from study.tables.read import read_table
from study.tables.reading import COMMA_GROUPS

OnPhoto = Callable[[int, int], None]


@dataclass(frozen=True)
class Table:
    """A checked table: header, cells and row numbers of the file that was given, settings that fit what is written.

    frame: the checked columns, as `study.tables.patients.patients_of` gives them; None where a row is an error. by_id:
    whether photos are called as their patients are.
    """

    header: list[str]
    rows: list[list[str]]
    numbers: list[int]
    settings: Settings
    frame: pd.DataFrame | None = None
    by_id: bool = False

    def column(self, name: str) -> list[str]:
        place = self.header.index(name)
        return [row[place] for row in self.rows]


class IntakeRefused(StudyError):
    """The study was not made. findings: why, by row."""

    def __init__(self, findings: Findings) -> None:
        more = findings.counts["error"] - 1
        super().__init__(str(findings.errors[0]) + (f" ({count(more, 'more error')} in the table.)" if more else ""))
        self.findings = findings


def check_raw(raw: RawTable, settings: Settings, findings: Findings, photos: bool = True) -> Table:
    """The table as it will be written, checked as a study's is. Problems go to `findings`, with rows of the given file.

    photos: whether the table is to name some. Where no column has the name settings.columns.photo, they are called as
    their patients are, and the column is added; without photos the column goes. Raises StudyError where a column that
    must be there is not.
    """
    columns, header, rows = settings.columns, raw.header, raw.rows
    by_id = photos and columns.photo not in header and columns.patient_id in header
    if by_id:
        findings.note(PATIENTS_FILE, None, f"no column {columns.photo}: photos are expected under the patients' ids.")
        place = header.index(columns.patient_id)
        header, rows = [*header, columns.photo], [[*row, row[place]] for row in rows]
    elif not photos and columns.photo in header:
        findings.note(PATIENTS_FILE, None, f"column {columns.photo} is left out: no photos were given.")
        place = header.index(columns.photo)
        header = header[:place] + header[place + 1 :]
        rows = [row[:place] + row[place + 1 :] for row in rows]
    used = [*columns.named().values(), *(c.where for c in settings.covariates)]
    if len(set(used)) < len(used):
        findings.error(SETTINGS_FILE, None, "one column is given two meanings.", "Choose another column for one.")
    if not rows:
        return Table(header, rows, raw.numbers, settings)  # every row is an error that was reported
    whole = replace(raw, header=header, rows=rows)
    frame = patients_of(whole, settings, findings)
    refuse_unconfirmed(whole, settings, findings)
    plausible(frame, settings, findings, PATIENTS_FILE)
    rows, settings = with_points(whole, settings)
    return Table(header, rows, raw.numbers, settings, frame, by_id)


def with_points(raw: RawTable, settings: Settings) -> tuple[list[list[str]], Settings]:
    """The rows with plain decimals in the columns of numbers, and settings that read them so.

    A column whose plain decimals could be taken for thousands (1.129 next to 453) gets an entry in [reading.numbers].
    """
    rows, styles = raw.rows, dict(settings.reading.numbers)
    for name in (name for name in raw.header if name in numeric_columns(settings)):
        column, place = Column.of(raw, name, settings.reading, Findings()), raw.header.index(name)
        plain = {cell: column.style.plain(cell) for cell in column.values}
        styles.pop(name, None)
        if style_of(set(plain.values())).problem:
            styles[name] = COMMA_GROUPS
        if any(cell != written for cell, written in plain.items()):
            rows = [list(row) for row in rows] if rows is raw.rows else rows
            for row in rows:
                row[place] = plain.get(row[place], row[place])
    return rows, replace(settings, reading=replace(settings.reading, numbers=styles))


def _write_csv(path: Path, header: list[str], rows: list[list[str]]) -> None:
    safe = [[safe_cell(cell) if is_formula(cell) else cell for cell in row] for row in rows]
    write_text(path, csv_text(pd.DataFrame(safe, columns=header)))


def check_name(name: str, root: Path) -> None:
    """StudyError for a name that cannot be a study's, or is taken."""
    if not SAFE_NAME.fullmatch(name):
        message = "A study's name is made of letters, digits, - and _, begins with a letter or digit, 64 at most."
        raise StudyError(message)
    if root.is_dir() and any(entry.name.casefold() == name.casefold() for entry in root.iterdir()):
        raise StudyError(f"There is a study {name} already; nothing is overwritten. Choose another name.")


def intake(
    root: Path,
    settings: Settings,
    data: bytes,
    photos: Path | None = None,
    on_photo: OnPhoto | None = None,
    photo_list: bytes | None = None,
    near: Near = "ask",
    names: bool = True,
) -> tuple[Path, Findings]:
    """Makes the study `settings.name` under `root`; returns its folder and what was found.

    data: the table; photos: a zip or a folder, None for a study without; photo_list: a table of patient_id, photo and
    date, in place of the photo column. near: what becomes of photos that are called nearly as the table says. names:
    whether warnings and notes name files. Raises IntakeRefused for errors in the tables, StudyError where it
    cannot be made at all; nothing is left on disk then.
    """
    check_name(settings.name, root)
    check_writable(root / settings.name, 2 * len(data))
    findings = Findings()
    table = check_raw(read_table(data, findings), settings, findings, photos is not None and photo_list is None)
    if findings.counts["error"]:
        raise IntakeRefused(findings)
    matches: list[Match] = []
    if photos is not None:
        matching = match_photos(table, offered_photos(photos), photo_list, findings)
        matches = report_matches(matching, table.settings.columns.photo, near, findings, names)
        if findings.counts["error"]:
            raise IntakeRefused(findings)
        if not matches:
            raise StudyError("None of the photos belongs to a patient: check which column names them, and how.")
    for stale in root.glob(f".{settings.name}.*.tmp"):  # of an intake that was killed
        shutil.rmtree(stale, ignore_errors=True)
    temporary = root / f".{settings.name}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        _fill(temporary, table, matches, photo_list is not None, findings, on_photo)
        check_name(settings.name, root)
        try:
            os.rename(temporary, root / settings.name)
        except OSError as error:
            raise StudyError(f"{settings.name}/ could not be put in place: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return root / settings.name, findings


def offered_photos(photos: Path) -> list[Source]:
    """The photos of a zip or folder. Raises StudyError."""
    try:
        listed = list_photos([photos])[0]
    except LatentError as error:
        raise StudyError(str(error)) from error
    return [s for s in listed if s.file.lower().endswith(EXTENSIONS) and not s.path.is_symlink()]


def offered_in(name: str, data: bytes) -> list[Source]:
    """The photos of a zip that is in memory, by name alone: they cannot be read from these. Raises FaceError."""
    with PhotoArchive(Path(name), data) as archive:
        names = sorted(archive.names)
    return [Source(name, file, Path(name), file) for file in names if file.lower().endswith(EXTENSIONS)]


def match_photos(table: Table, offered: list[Source], photo_list: bytes | None, findings: Findings) -> Matches:
    """Which of the photos each row of the table, or of the list, means."""
    columns, settings = table.settings.columns, table.settings
    if photo_list is None:
        requests = requests_of_column(table.column(columns.photo), table.numbers, columns.photo, findings)
    else:
        requests = requests_of_list(photo_list, table.column(columns.patient_id), findings, settings.reading)
    return match(requests, offered, table.by_id)


def _fill(
    folder: Path, table: Table, matches: list[Match], listed: bool, findings: Findings, on_photo: OnPhoto | None
) -> None:
    """Writes a whole study into a temporary folder and checks it like any study."""
    columns = table.settings.columns
    ids, rows = table.column(columns.patient_id), [list(row) for row in table.rows]
    stored, refused = keep_photos(folder, ids, matches, findings, on_photo)
    if listed:
        cells = [[ids[match.request.place], cell, match.request.taken] for match, cell in stored]
        _write_csv(folder / LIST_NAME, [*LIST_COLUMNS, "date"], cells)
    elif columns.photo in table.header:
        place = table.header.index(columns.photo)
        for row in rows:
            row[place] = ""
        for match, cell in stored:
            row = rows[match.request.place]
            row[place] += (";" if row[place] else "") + cell
    _write_csv(folder / PATIENTS_FILE, table.header, rows)
    write_refused(folder, refused)
    write_text(folder / SETTINGS_FILE, settings_text(table.settings))
    inspect(folder)[1].refuse_errors()


def read_plan(path: Path) -> Settings:
    """The settings of a study to come. Raises StudyError for the first thing that is wrong."""
    findings = Findings()
    settings = parse_settings(read_limited(path, MAX_SETTINGS_BYTES, "The plan"), findings)
    findings.refuse_errors()
    return settings


def add_arguments(parser: Any) -> None:
    parser.add_argument("table", type=file_argument, help="the patients: CSV, Excel (.xlsx) or Parquet")
    photos = "zip or folder of their photos; none: clinical columns alone"
    parser.add_argument("photos", type=path_argument, nargs="?", help=photos)
    listed = "table of patient_id, photo and date, for several photos each"
    parser.add_argument("--photo-list", type=file_argument, help=listed)
    plan = "study.toml of the study to come: name, columns, coding"
    parser.add_argument("--plan", type=file_argument, required=True, help=plan)
    near = parser.add_mutually_exclusive_group()
    takes = "take photos that are called nearly as the table says; each is listed"
    near.add_argument("--accept-matches", dest="near", action="store_const", const="accept", default="ask", help=takes)
    leaves = "leave such photos out; without either, they are listed and nothing is made"
    near.add_argument("--exact-matches", dest="near", action="store_const", const="leave", help=leaves)
    quiet = "do not name files of photos that are left out or matched (for logs)"
    parser.add_argument("--without-names", action="store_true", help=quiet)
    parser.add_argument("--root", type=folder_argument, default=studies_root(), help=ROOT_HELP)


def run(args: Any) -> int:
    from common.console import ProgressLine

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))  # so that the temporary folder goes
    data = read_limited(args.table, MAX_BYTES, "The table")
    try:
        listed = read_limited(args.photo_list, MAX_BYTES, "The list of photos") if args.photo_list else None
        plan = read_plan(args.plan)
        photos = (args.photos, ProgressLine("photos"), listed, args.near, not args.without_names)
        folder, findings = intake(args.root, plan, data, *photos)
    except IntakeRefused as error:
        _print(error.findings)
        raise
    _print(findings)
    study, _ = inspect(folder)
    print(f"{folder}: {count(len(study.patients), 'patient')}, {len(study.photos)} with a photo.")
    return 0


def _print(findings: Findings) -> None:
    for finding in findings:
        print(f"{finding.severity:<8}{finding}")
    if findings.left_off:
        print(f"... and {findings.left_off} more of the same kinds.")
