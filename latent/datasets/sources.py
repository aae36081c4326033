"""Which photos a training set is made of: folders, zip files and outputs of the portrait renderer, as one list."""

import importlib.util
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from common.parsing import json_value
from faces.decoding.archive import PhotoArchive
from faces.errors import FaceError, PhotoError
from faces.photo import EXTENSIONS, MAX_BYTES
from latent.errors import LatentError

# Pictures that the gate refuses with a sentence: they belong into the report, other files do not.
REFUSED_SUFFIXES = (".gif", ".jp2", ".jxl", ".dcm", ".cr2", ".cr3", ".nef", ".arw", ".dng")
CANDIDATES = EXTENSIONS + REFUSED_SUFFIXES


@dataclass(frozen=True)
class Source:
    """One photo: name of the input that it is in (`folder`), its path there with `/` (`file`), the file on disk, the
    member where that is a zip, and the renderer's factors where they are known."""

    folder: str
    file: str
    path: Path
    member: str | None = None
    factors: dict[str, Any] = field(default_factory=dict)


def list_photos(inputs: list[Path], renderer: Path | None = None) -> tuple[list[Source], int]:
    """All photos of the inputs sorted by name, and how many other files the inputs hold. Raises LatentError."""
    module = _load_renderer(renderer) if renderer else None
    sources: list[Source] = []
    others = 0
    for given in inputs:
        if (given / "factors.csv").exists():
            photos = _rendered(given, module)
        else:
            names = _names(given)
            wanted = [name for name in names if name.lower().endswith(CANDIDATES)]
            others += len(names) - len(wanted)
            if given.is_dir():
                photos = [Source(given.resolve().name, name, given / name) for name in wanted]
            else:
                photos = [Source(given.name, name, given, name) for name in wanted]
        if not photos:
            raise LatentError(
                f"{given} holds no photo: give JPEG, PNG, WebP, HEIC, AVIF, BMP or TIFF files in folders or zips."
            )
        sources += photos
    return sources, others


class PhotoReader(ExitStack):
    """Reads photos of a list; a context manager. A zip stays open: its directory is checked once."""

    def __init__(self) -> None:
        super().__init__()
        self._archives: dict[Path, PhotoArchive] = {}

    def read(self, path: Path, member: str | None) -> bytes:
        """The bytes of one photo, one more than the gate takes at most. Raises FaceError where they cannot be read."""
        if member is not None:
            if path not in self._archives:
                self._archives[path] = self.enter_context(PhotoArchive(path))
            return self._archives[path].read(member)
        try:
            with path.open("rb") as file:
                return file.read(MAX_BYTES + 1)
        except OSError as error:
            raise PhotoError("The file cannot be opened.") from error


def _names(given: Path) -> list[str]:
    if given.is_dir():
        files = (p for p in given.rglob("*") if p.is_file() and not p.name.startswith("."))
        return sorted(p.relative_to(given).as_posix() for p in files)
    try:
        with PhotoArchive(given) as archive:
            return sorted(archive.names)
    except FaceError as error:
        raise LatentError(str(error)) from error


def _rendered(folder: Path, renderer: ModuleType | None) -> list[Source]:
    """Photos of a renderer's factor table, with its factors and, given the renderer, identity coefficients."""
    table = folder / "factors.csv"
    sources = []
    try:
        settings = json_value((folder / "run.json").read_bytes()) if (folder / "run.json").exists() else {}
        for record in pd.read_csv(table).to_dict("records"):
            row = {str(name): value for name, value in record.items()}
            path = folder / row["image"]
            if not path.resolve().is_relative_to(folder.resolve()):
                raise LatentError(f"{table} names a picture outside its folder; render again.")
            if not path.exists():  # a run that was interrupted, or is still running
                continue
            if renderer is not None:
                drawn = renderer.draw(settings["command"], settings["seed"], int(row["index"]))
                if drawn.seed != row["seed"]:
                    raise LatentError(f"{table}: row {row['index']} was not drawn by the renderer that was given.")
                row |= {f"identity_{i:03d}": float(v) for i, v in enumerate(drawn.identity)}
            sources.append(Source(folder.resolve().name, row.pop("image"), path, None, row))
    except (KeyError, ValueError, TypeError, AttributeError, OSError, pd.errors.ParserError) as error:
        raise LatentError(f"{table} or its run.json was not written by the portrait renderer; render again.") from error
    return sources


def _load_renderer(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("factors", folder / "factors.py")
    if spec is None or spec.loader is None or not (folder / "factors.py").exists():
        raise LatentError(f"{folder} is not the portrait renderer: it has no factors.py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules["factors"] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module
