"""Photos of a study to come: what the table asks for, what was found, and copies under the patients' ids."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from common.text import count
from faces.errors import FaceError
from faces.photo import load_photo
from latent.datasets.sources import PhotoReader
from study.disk.photos import FOLDER, LIST_COLUMNS, LIST_NAME, photo_cells
from study.errors import Findings
from study.files import write_bytes
from study.intake.match import Match, Matches, Near, Request
from study.tables.column import Column
from study.tables.formats.raw import FILE_NAME
from study.tables.read import read_table
from study.tables.reading import Reading
from study.tables.values import days_of

LISTED_UNUSED = 100  # photos of nobody that are named


def requests_of_column(cells: list[str], numbers: list[int], column: str, findings: Findings) -> list[Request]:
    """What the photo column asks for, several with `;` or `|` between them; patients without one are reported."""
    out: list[Request] = []
    for place, (cell, number) in enumerate(zip(cells, numbers, strict=True)):
        several = photo_cells(cell)
        if not several:
            findings.warning(FILE_NAME, number, f"{column} is missing.", "The patient has no photo.")
        out += [Request(place, FILE_NAME, number, one) for one in several]
    return out


def requests_of_list(data: bytes, ids: list[str], findings: Findings, reading: Reading | None = None) -> list[Request]:
    """The requests of a list of photos (patient_id, photo, and date if known). StudyError where it is not a table."""
    raw = read_table(data, findings, LIST_NAME)
    absent = [name for name in LIST_COLUMNS if name not in raw.header]
    if absent:
        findings.error(LIST_NAME, 1, f"no column {', '.join(absent)}.", "It needs patient_id and photo; date if known.")
        return []
    places = {patient: place for place, patient in enumerate(ids)}
    columns = raw.columns
    days = [""] * len(raw.rows)
    if "date" in columns:
        dates = days_of(Column.of(raw, "date", reading or Reading(), findings, LIST_NAME))
        days = ["" if str(day) == "NaT" else str(day) for day in dates]
    out: list[Request] = []
    for patient, cell, day, row in zip(columns["patient_id"], columns["photo"], days, raw.numbers, strict=True):
        if patient in places:
            out.append(Request(places[patient], LIST_NAME, row, cell, day))
        else:
            findings.note(LIST_NAME, row, f"patient {patient[:64]!r} is not in the table.", "The photo is not used.")
    return out


def report_matches(matches: Matches, column: str, near: Near, findings: Findings, names: bool = True) -> list[Match]:
    """The matches to take. What could not be found, or belongs to another row, goes to `findings`.

    near: "ask" makes each near match an error, "accept" takes them with a note each, "leave" leaves them out.
    names: whether warnings and notes name files, which often carry people's names.
    """
    for request, sources in matches.several:
        names_of = ", ".join(source.file[:60] for source in sources[:3])
        if len(sources) > 1:
            message, remedy = f"several photos are called {request.cell[:60]!r}: {names_of}.", "Give the full path."
        else:
            message = f"{request.cell[:60]!r} may be {names_of}, and so may another row."
            remedy = "Write the photo's full name."
        findings.error(request.where, request.row, message, remedy)
    for request, row in matches.doubled:
        message = f"{column} {request.cell[:60]!r} already belongs to row {row}."
        findings.error(request.where, request.row, message, "Give each patient their own photo.")
    absent = list(matches.absent)
    for match in matches.near:
        request, file = match.request, match.source.file[:80]
        message = f"{request.cell[:60]!r} is probably {file}; it differs in {match.differs}."
        if near == "ask":
            remedy = "To take such matches add --accept-matches; to leave them out, --exact-matches."
            findings.error(request.where, request.row, message, remedy)
        elif near == "accept":
            words = f"{request.cell[:60]!r} is matched to {file}; it" if names else "the photo's name"
            findings.note(request.where, request.row, f"{words} differs in {match.differs}.")
        else:
            absent.append(request)
    for request in absent:
        message = f"no photo is called {request.cell[:60]!r}." if names else "the photo named here does not exist."
        findings.warning(request.where, request.row, message, "It is left out.")
    unused = [*matches.unused, *([match.source for match in matches.near] if near == "leave" else [])]
    if unused:
        listed = f": {', '.join(source.file[:80] for source in unused[:LISTED_UNUSED])}" if names else ""
        more = f" and {len(unused) - LISTED_UNUSED} more" if names and len(unused) > LISTED_UNUSED else ""
        findings.note("photos", None, f"{count(len(unused), 'photo')} without a patient, not used{listed}{more}.")
    return matches.taken(near == "accept")


def keep_photos(
    folder: Path, ids: list[str], matches: list[Match], findings: Findings, on_photo: object = None
) -> tuple[list[tuple[Match, str]], list[dict[str, object]]]:
    """Copies the photos; returns (match, cell) of those that passed the gate, and a record of those that did not.

    They are called as their patients are: file names often carry people's names.
    """
    stored: list[tuple[Match, str]] = []
    refused: list[dict[str, object]] = []
    folded, used = {patient.casefold() for patient in ids}, set[str]()
    with PhotoReader() as reader:
        for i, match in enumerate(matches):
            patient, request = ids[match.request.place], match.request
            try:
                data = reader.read(match.source.path, match.source.member)
                load_photo(data, f"The photo of {patient}")
                name, number = patient, 1
                while name.casefold() in used or (number > 1 and name.casefold() in folded):
                    number += 1
                    name = f"{patient}_{number}"
                used.add(name.casefold())
                cell = f"{FOLDER}/{name}{PurePosixPath(match.source.file).suffix.lower()}"
                write_bytes(folder / cell, data)
                stored.append((match, cell))
            except FaceError as error:
                refused.append({"patient_id": patient, "row": request.row, "reason": str(error)})
                findings.warning(request.where, request.row, str(error), "It is left out.")
            if callable(on_photo):
                on_photo(i + 1, len(matches))
    return stored, refused
