"""Writing to disk: always to a temporary name first, then `os.replace`, so that a file is absent, old or complete."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.disk import why_not_writable
from study.errors import StudyError


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it takes the place of `path`, on any error it vanishes.

    Raises StudyError when the disk refuses (full, read-only, not a folder).
    """
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise StudyError(f"{path.name} could not be written: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def check_writable(path: Path, needed: int = 0) -> None:
    """StudyError where a file or folder could not be written at `path`: asked before the work whose result it is.
    needed: bytes that it will take."""
    if why := why_not_writable(path, needed):
        raise StudyError(f"{path.name} could not be written: {why}.")


def write_bytes(path: Path, data: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """UTF-8, `\\n` line ends on every system, so that the same text is the same bytes."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_array(path: Path, array: NDArray[Any]) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def csv_text(table: pd.DataFrame, **options: Any) -> str:
    return str(table.to_csv(index=False, lineterminator="\n", **options))


def safe_cell(text: str) -> str:
    """A text that a spreadsheet would run as a formula (= + - @, tab, return first) gets an apostrophe in front."""
    return f"'{text}" if text.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder; on success it takes the place of `folder`, on any error `folder` stays as it was.

    A folder that exists cannot be replaced in one system call: the old one is moved aside first and moved back
    should the second move fail.
    """
    temporary = _temporary(folder)
    aside = _temporary(folder)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if folder.exists():
            os.replace(folder, aside)
        try:
            os.replace(temporary, folder)
        except OSError:
            if aside.exists():
                os.replace(aside, folder)
            raise
    except OSError as error:
        raise StudyError(f"{folder.name}/ could not be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes, read in blocks; raises StudyError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StudyError(f"{path.name} could not be read: {error.strerror or error}.") from error


def read_limited(path: Path, limit: int, what: str) -> bytes:
    """The file's bytes; StudyError if it is missing, not a plain file, or larger than `limit` bytes."""
    if not path.is_file():
        raise StudyError(f"{what} is missing ({path.name}).")
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise StudyError(f"{path.name} could not be read: {error.strerror or error}.") from error
    if len(data) > limit:
        raise StudyError(f"{path.name} is larger than {limit / 2**20:.0f} MB, the most that is read; split or trim it.")
    return data
