"""Photos of a study to come: which of the given files each row means, and their copies under the patients' ids."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path, PurePosixPath

from faces.errors import FaceError
from faces.photo import load_photo
from latent.photo_sources import PhotoReader, Source
from study.errors import Findings
from study.files import write_bytes
from study.photos import FOLDER, LIST_COLUMNS, LIST_NAME, photo_cells
from study.tables.raw import FILE_NAME, MISSING
from study.tables.read import read_table


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


@dataclass(frozen=True)
class Wish:
    """A photo that a row asks for. place: of the patient in the table; taken: its date as text, "" if not told."""

    place: int
    where: str
    row: int
    cell: str
    taken: str = ""


@dataclass(frozen=True)
class Match:
    """A photo that was found for a patient."""

    place: int
    where: str
    row: int
    source: Source
    taken: str = ""


def wishes_of_column(cells: list[str], numbers: list[int], column: str, findings: Findings) -> list[Wish]:
    """What the photo column asks for, several with `;` or `|` between them; who has none is told."""
    out: list[Wish] = []
    for place, (cell, number) in enumerate(zip(cells, numbers, strict=True)):
        several = photo_cells(cell)
        if not several:
            findings.warning(FILE_NAME, number, f"{column} is missing.", "The patient has no photo.")
        out += [Wish(place, FILE_NAME, number, one) for one in several]
    return out


def wishes_of_list(data: bytes, ids: list[str], findings: Findings) -> list[Wish]:
    """What a list of photos (patient_id, photo, and date if known) asks for. Raises StudyError where it is no table."""
    raw = read_table(data, findings, LIST_NAME)
    absent = [name for name in LIST_COLUMNS if name not in raw.header]
    if absent:
        findings.error(LIST_NAME, 1, f"no column {', '.join(absent)}.", "It needs patient_id and photo; date if known.")
        return []
    places = {patient: place for place, patient in enumerate(ids)}
    columns = raw.columns
    days = columns.get("date", [""] * len(raw.rows))
    out: list[Wish] = []
    for patient, cell, day, row in zip(columns["patient_id"], columns["photo"], days, raw.numbers, strict=True):
        day = "" if day.lower() in MISSING else day
        if day and not _is_date(day):
            findings.error(LIST_NAME, row, f"date is {day[:40]!r}.", "Write dates as 2026-05-31.")
        elif patient not in places:
            findings.note(LIST_NAME, row, f"patient {patient[:64]!r} is not in the table.", "The photo is not taken.")
        else:
            out.append(Wish(places[patient], LIST_NAME, row, cell, day))
    return out


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def match_photos(wishes: list[Wish], photos: list[Source], column: str, findings: Findings) -> list[Match]:
    """The photo of each wish; what cannot be found, or belongs to another row, is told in `findings`."""
    find = Finder(photos)
    taken: dict[str, int] = {}
    out: list[Match] = []
    for wish in wishes:
        cell = wish.cell[:60]
        source, several = find(wish.cell)
        if several:
            findings.error(wish.where, wish.row, f"several photos are called {cell!r}.", "Give the whole path.")
        elif source is None:
            findings.warning(wish.where, wish.row, f"no photo is called {cell!r}.", "It is left out.")
        elif source.file in taken:
            message = f"{column} {cell!r} already belongs to row {taken[source.file]}."
            findings.error(wish.where, wish.row, message, "Give each patient their own photo.")
        else:
            taken[source.file] = wish.row
            out.append(Match(wish.place, wish.where, wish.row, source, wish.taken))
    if unused := len(photos) - len(taken):
        findings.note("photos", None, f"{unused} photos belong to no patient and are not taken.")
    return out


@dataclass
class Shelf:
    """Copies photos into a study's folder. Names are the patients' ids: file names often carry people's names."""

    folder: Path
    ids: set[str]
    names: set[str] = field(default_factory=set)

    def keep(self, patient: str, source: Source, reader: PhotoReader) -> str:
        """Copies one photo if the gate lets it pass; returns the cell that names it. Raises FaceError."""
        data = reader.read(source.path, source.member)
        load_photo(data, f"The photo of {patient}")
        name, number = patient, 1
        while name.casefold() in self.names or (number > 1 and name.casefold() in self.ids):
            number += 1
            name = f"{patient}_{number}"
        self.names.add(name.casefold())
        cell = f"{FOLDER}/{name}{PurePosixPath(source.file).suffix.lower()}"
        write_bytes(self.folder / cell, data)
        return cell


def keep_photos(
    folder: Path, ids: list[str], matches: list[Match], findings: Findings, on_photo: object = None
) -> tuple[list[tuple[Match, str]], list[dict[str, object]]]:
    """Copies the photos; returns (match, cell) of those that passed the gate, and a record of those that did not."""
    kept: list[tuple[Match, str]] = []
    refused: list[dict[str, object]] = []
    shelf = Shelf(folder, {patient.casefold() for patient in ids})
    with PhotoReader() as reader:
        for i, match in enumerate(matches):
            patient = ids[match.place]
            try:
                kept.append((match, shelf.keep(patient, match.source, reader)))
            except FaceError as error:
                refused.append({"patient_id": patient, "row": match.row, "reason": str(error)})
                findings.warning(match.where, match.row, str(error), "It is left out.")
            if callable(on_photo):
                on_photo(i + 1, len(matches))
    return kept, refused
