"""The photo column of patients.csv: which file in photos/ belongs to whom, with no way out of that folder."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pandas as pd

from faces.errors import FaceError
from faces.photo import load_photo
from study.errors import Findings
from study.files import sha256_of
from study.settings import Settings
from study.table import FILE_NAME, MISSING

FOLDER = "photos"
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def photo_name(cell: str) -> str | None:
    """The plain file name that a photo cell names, `NAME.jpg` or `photos/NAME.jpg`; None if it is anything else.

    Only names directly in photos/ are legal: no parent folders, no absolute paths, no hidden files, no other drives.
    """
    if "\\" in cell or ":" in cell or not cell.isprintable() or len(cell) > 255:
        return None
    parts = PurePosixPath(cell).parts
    if len(parts) == 2 and parts[0] == FOLDER:
        parts = parts[1:]
    return parts[0] if len(parts) == 1 and not parts[0].startswith((".", "/")) else None


def _files_in(folder: Path) -> dict[str, bool]:
    """File name -> whether it is a plain file that lies in this folder. One scan, not one stat a patient."""
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        return {e.name: e.is_file(follow_symlinks=False) for e in entries if not e.name.startswith(".")}


def find_photos(folder: Path, table: pd.DataFrame, settings: Settings, findings: Findings) -> list[Path | None]:
    """The photo file of each row of `table`, None where there is none; problems by row go to `findings`."""
    files = _files_in(folder / FOLDER)
    column = settings.columns.photo
    taken: dict[str, int] = {}
    out: list[Path | None] = []
    for cell, row in zip(table["photo"], table["row"], strict=True):
        out.append(None)
        name = photo_name(cell) if cell.lower() not in MISSING else ""
        if name == "":
            findings.warning(FILE_NAME, int(row), f"{column} is missing.", "The patient is left out of photo models.")
        elif name is None:
            message = f"{column} {cell[:60]!r} does not name a file in {FOLDER}/."
            findings.error(FILE_NAME, int(row), message, f"Write {FOLDER}/NAME.jpg.")
        elif not name.lower().endswith(EXTENSIONS):
            findings.error(FILE_NAME, int(row), f"{column} {cell[:60]!r} is no photo.", f"Use {', '.join(EXTENSIONS)}.")
        elif name in taken:
            message = f"{column} {name} already belongs to row {taken[name]}."
            findings.error(FILE_NAME, int(row), message, "Give each patient their own photo.")
        elif name not in files:
            message = f"{FOLDER}/{name[:60]} is not there."
            findings.warning(FILE_NAME, int(row), message, "The patient is left out of photo models.")
        elif not files[name]:
            findings.error(
                FILE_NAME, int(row), f"{FOLDER}/{name[:60]} is a link or folder.", "Put the photo itself there."
            )
        else:
            taken[name] = int(row)
            out[-1] = folder / FOLDER / name
    unused = len(files) - sum(name in taken for name in files)
    if unused:
        findings.note(f"{FOLDER}/", None, f"{unused} files belong to no patient.")
    return out


def check_photos(table: pd.DataFrame, paths: list[Path | None], findings: Findings) -> None:
    """Opens every photo through the photo gate and looks for the same file under two names."""
    seen: dict[str, str] = {}
    for path, row in zip(paths, table["row"], strict=True):
        if path is None:
            continue
        try:
            load_photo(path)
        except FaceError as error:
            findings.warning(FILE_NAME, int(row), str(error), "The patient is left out of photo models.")
            continue
        digest = sha256_of(path)
        if digest in seen:
            message = f"{path.name} is the same photo as {seen[digest]}."
            findings.warning(FILE_NAME, int(row), message, "Check whose face it is.")
        seen.setdefault(digest, path.name)
