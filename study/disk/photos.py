"""Which files in photos/ belong to whom, with no way out of that folder, and which of a patient's photos count.

A patient's photos are named in the photo column of the patient table, several with `;` or `|` between them, or in
photos.csv (patient_id, photo, date), one row per photo. A split is by patient, whatever the number of photos.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from datetime import date
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import pandas as pd

from common.text import count
from faces.errors import FaceError
from faces.photo import EXTENSIONS, load_photo
from study.disk.near_copies import fingerprint, near_copies
from study.disk.refused_photos import read_refused
from study.errors import Findings
from study.files import read_limited, sha256_of
from study.settings import Settings
from study.tables.formats.raw import FILE_NAME, MAX_BYTES, MISSING
from study.tables.read import read_table

FOLDER = "photos"
LIST_NAME = "photos.csv"
LIST_COLUMNS = ("patient_id", "photo")
Dated = tuple[str, date | None]  # name of a file in photos/, and when it was taken
Photos = dict[str, tuple["PhotoFile", ...]]  # patient -> the photos that count under the study's rule, main one first
LISTED_UNUSED = 50  # files of nobody that are named
LEFT_OUT = "The patient is left out of photo models."


class Listed(NamedTuple):
    """A photo as the study lists it: whose, where (file and row), the cell, and when it was taken, if known."""

    patient: str
    where: str
    row: int
    cell: str
    taken: date | None = None


class PhotoFile(NamedTuple):
    """A photo on disk. days: from the baseline date to the photo, nan where either is unknown."""

    path: Path
    taken: date | None = None
    days: float = float("nan")


def photo_name(cell: str) -> str | None:
    """The plain file name that a photo cell names, `NAME.jpg` or `photos/NAME.jpg`; None if it is anything else.

    Only names directly in photos/ are legal: no parent folders, no absolute paths, no hidden files, no other drives.
    """
    if "\\" in cell or ":" in cell or not cell.isprintable() or len(cell) > 255:
        return None
    bare = cell.removeprefix(f"{FOLDER}/")
    if "/" not in bare and bare not in ("", FOLDER):
        return None if bare.startswith(".") else bare
    parts = PurePosixPath(cell).parts
    if len(parts) == 2 and parts[0] == FOLDER:
        parts = parts[1:]
    return parts[0] if len(parts) == 1 and not parts[0].startswith((".", "/")) else None


def photo_cells(cell: str) -> list[str]:
    """The photos that a cell names: several are separated by `;` or `|`."""
    if ";" not in cell and "|" not in cell:
        return [] if cell.lower() in MISSING else [cell]
    return [part for text in cell.replace("|", ";").split(";") if (part := text.strip()).lower() not in MISSING]


def find_photos(folder: Path, table: pd.DataFrame, settings: Settings, findings: Findings, where: str) -> Photos:
    """The photos of each patient of the checked table; problems by row go to `findings`. where: the table's file."""
    files: dict[str, bool] = {}  # name -> whether it is a plain file; one scan, not one stat a patient
    if (folder / FOLDER).is_dir():
        with os.scandir(folder / FOLDER) as entries:
            files = {e.name: e.is_file(follow_symlinks=False) for e in entries if not e.name.startswith(".")}
    refused = read_refused(folder)
    rows = dict(zip(table["patient_id"], table["row"].tolist(), strict=True)) if refused else {}
    for patient in (p for p in refused if p in rows):
        message = f"the photo was refused when the study was made: {refused[patient]}"
        findings.warning(where, rows[patient], message, "Save it again as JPEG or PNG and make the study again.")
    if files and not (folder / LIST_NAME).exists() and (plain := _one_each(folder / FOLDER, table, files)) is not None:
        _report_unused(files, {photo.path.name for some in plain.values() for photo in some}, findings)
        return plain
    listed = list(_listed(folder, table, settings, findings, where))
    if not listed and not files and not refused:
        findings.note(where, None, "the study has no photos.", "Models of clinical columns need none.")
        return {}
    if not listed and files:
        message = f"there are files in {FOLDER}/, but no photo is listed."
        findings.error(where, None, message, f"Name them in column {settings.columns.photo}, or in {LIST_NAME}.")
        return {}
    photos: dict[str, list[Dated]] = {}
    names: dict[str, str] = {}
    for item in listed:
        name = _check(item, files, names, findings, settings.columns.photo)
        if name is not None:
            names[name] = f"{item.where} row {item.row}" if item.where != where else f"row {item.row}"
            photos.setdefault(item.patient, []).append((name, item.taken))
    _report_unused(files, names.keys(), findings)
    stems: dict[str, str] = {}
    for name in names:  # codes are filed under a photo's name without its ending
        stem = os.path.splitext(name)[0]
        if stem in stems:
            message = f"{stems[stem][:60]} and {name[:60]} differ only in their file ending."
            findings.error(f"{FOLDER}/", None, message, "Rename one of them.")
        stems[stem] = name
    without = ~(table["patient_id"].isin(photos.keys() | refused.keys()) | (table["photo"] != ""))
    message = f"{settings.columns.photo} is missing."
    findings.add_each("warning", where, table.loc[without, "row"].to_numpy(), lambda i: (message, LEFT_OUT))
    return _chosen(folder, table, photos, settings.photo_rule, findings, where)


def _one_each(folder: Path, table: pd.DataFrame, files: dict[str, bool]) -> Photos | None:
    """The photos where every patient names one file of their own and nothing is dated, as in most studies, checked
    on whole columns. None: check every row."""
    names = [cell.removeprefix(f"{FOLDER}/") for cell in table["photo"]]
    joined = "".join(names)
    stems = {name.rpartition(".")[0] for name in names}
    kinds = {f".{name.rpartition('.')[2].lower()}" for name in names}
    if (
        len(stems) < len(names)
        or not kinds.issubset(EXTENSIONS)
        or not all(map(files.get, names))
        or not joined.isprintable()
        or set(joined) & set(";|\\:")
        or {"photo_date", "baseline_date"} & set(table.columns)
    ):
        return None
    root = str(folder)
    return {p: (PhotoFile(Path(f"{root}/{n}")),) for p, n in zip(table["patient_id"], names, strict=True)}


def _report_unused(files: Iterable[str], used: Collection[str], findings: Findings) -> None:
    """Files of nobody, by name: a misspelt row and its photo are found so."""
    unused = sorted(set(files) - set(used))
    if unused:
        listed = ", ".join(name[:60] for name in unused[:LISTED_UNUSED])
        more = f" and {len(unused) - LISTED_UNUSED} more" if len(unused) > LISTED_UNUSED else ""
        findings.note(f"{FOLDER}/", None, f"{count(len(unused), 'file')} without a patient: {listed}{more}.")


def _listed(folder: Path, table: pd.DataFrame, settings: Settings, findings: Findings, where: str) -> Iterator[Listed]:
    cells = table["photo"]
    if (folder / LIST_NAME).exists():
        if cells.ne("").any():
            message = f"photos are listed here and in {LIST_NAME}."
            findings.error(where, None, message, f"Keep column {settings.columns.photo}, or the list.")
        yield from _from_list(folder, table, findings)
        return
    dates = table["photo_date"] if "photo_date" in table else [pd.NaT] * len(table)
    for patient, row, cell, taken in zip(table["patient_id"], table["row"], cells, dates, strict=True):
        several = photo_cells(cell)
        if len(several) > 1 and pd.notna(taken):
            message = f"{len(several)} photos share one date."
            findings.error(where, int(row), message, f"List them with a date each in {LIST_NAME}.")
        for one in several:
            yield Listed(patient, where, int(row), one, taken.date() if pd.notna(taken) else None)


def _from_list(folder: Path, table: pd.DataFrame, findings: Findings) -> Iterator[Listed]:
    """Rows of photos.csv. A file that lacks its columns is an error."""
    raw = read_table(read_limited(folder / LIST_NAME, MAX_BYTES, "The list of photos"), findings, LIST_NAME)
    absent = [name for name in LIST_COLUMNS if name not in raw.header]
    if absent:
        findings.error(LIST_NAME, 1, f"no column {', '.join(absent)}.", "It needs patient_id and photo; date if known.")
        return
    columns = raw.columns
    patients = set(table["patient_id"])
    dates = columns.get("date", [""] * len(raw.rows))
    for patient, cell, day, row in zip(columns["patient_id"], columns["photo"], dates, raw.numbers, strict=True):
        taken: date | None = None
        if day.lower() not in MISSING:
            try:
                taken = date.fromisoformat(day)
            except ValueError:
                findings.error(LIST_NAME, row, f"date is {day[:40]!r}.", "Write dates as 2026-05-31.")
        if patient in patients:
            yield Listed(patient, LIST_NAME, row, cell, taken)
        else:
            findings.note(LIST_NAME, row, f"patient {patient[:64]!r} is not in the table.", "The photo is not used.")


def _check(item: Listed, files: dict[str, bool], taken: dict[str, str], findings: Findings, column: str) -> str | None:
    """The file's name if the photo can be used; else None, and why."""
    column = column if item.where != LIST_NAME else "photo"
    name, cell = photo_name(item.cell), item.cell[:60]
    if name is None:
        message = f"{column} {cell!r} does not name a file in {FOLDER}/."
        findings.error(item.where, item.row, message, f"Write {FOLDER}/NAME.jpg.")
    elif not name.lower().endswith(EXTENSIONS):
        findings.error(item.where, item.row, f"{column} {cell!r} is not a photo.", f"Use {', '.join(EXTENSIONS)}.")
    elif name in taken:
        message = f"{column} {name[:60]} already belongs to {taken[name]}."
        findings.error(item.where, item.row, message, "Give each patient their own photo.")
    elif name not in files:
        findings.warning(item.where, item.row, f"{FOLDER}/{name[:60]} is not there.", "It is left out of photo models.")
    elif not files[name]:
        message = f"{FOLDER}/{name[:60]} is a link or folder."
        findings.error(item.where, item.row, message, "Put the photo itself there.")
    else:
        return name
    return None


def _chosen(
    folder: Path, table: pd.DataFrame, dated: dict[str, list[Dated]], rule: str, findings: Findings, where: str
) -> Photos:
    """Each patient's photos under the study's rule, with the days from the baseline date."""
    baseline: dict[str, date] = {}
    if "baseline_date" in table:
        days = table.loc[table["baseline_date"].notna(), ["patient_id", "baseline_date"]]
        baseline = {patient: day.date() for patient, day in days.itertuples(index=False)}
    rows = dict(zip(table["patient_id"], table["row"], strict=True))
    files: Photos = {}
    for patient in (p for p in table["patient_id"] if p in dated):
        start = baseline.get(patient)
        photos = [
            PhotoFile(folder / FOLDER / name, taken, (taken - start).days if taken and start else float("nan"))
            for name, taken in dated[patient]
        ]
        if len(photos) > 1 and all(photo.taken is not None for photo in photos):
            photos.sort(key=lambda photo: photo.taken or date.min)
        if len(photos) > 1 and rule == "nearest":
            if np.isnan([photo.days for photo in photos]).any():
                message = f"{len(photos)} photos, and which is nearest to the baseline date is unknown."
                remedy = "Give dates, or another rule in study.toml, [photos]."
                findings.error(where, int(rows[patient]), message, remedy)
            photos.sort(key=lambda photo: abs(photo.days))
        elif rule == "last":
            photos.reverse()
        files[patient] = tuple(photos if rule == "mean" else photos[:1])
    return files


def check_photos(table: pd.DataFrame, files: Photos, findings: Findings, where: str = FILE_NAME) -> None:
    """Opens every photo through the photo gate; looks for one file under two names, and for near copies."""
    seen: dict[str, str] = {}
    opened: list[tuple[str, str, int, bytes]] = []
    for patient, row in zip(table["patient_id"], table["row"], strict=True):
        for photo in files.get(patient, ()):
            path = photo.path
            try:
                pixels = load_photo(path).pixels
            except FaceError as error:
                findings.warning(where, int(row), str(error), LEFT_OUT)
                continue
            digest = sha256_of(path)
            if digest in seen:
                message = f"{path.name} is the same photo as {seen[digest]}."
                findings.warning(where, int(row), message, "Check whose face it is.")
            else:
                opened.append((patient, path.name, int(row), fingerprint(pixels)))
            seen.setdefault(digest, path.name)
    for first, second in near_copies([bits for *_, bits in opened]):
        (one, name, _, _), (other, same, row, _) = opened[first], opened[second]
        if one != other:
            message = f"{same} looks like {name}, the photo of {one}."
            findings.warning(where, row, message, "Check whether one person is in the study twice.")
