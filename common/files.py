"""Files that people and commands rely on: written whole or not at all, read with a limit; and whether one can be
written, asked before the work whose result it is.

Everything is written under a temporary name first, then moved with `os.replace`, so that a file is absent, old or
complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def temporary_name(path: Path) -> Path:
    """A name next to `path` that no other writer uses."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")


def safe_cell(text: str) -> str:
    """A text that a spreadsheet would run as a formula (= + - @, tab, return first) gets an apostrophe in front."""
    return f"'{text}" if text.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


def why_not_writable(path: Path, needed: int = 0) -> str:
    """Why a file or folder cannot be made at `path`, as the end of a sentence; '' where it can.

    needed : bytes that it will take. The nearest folder above that exists must take a file (tried with one that has no
    name) and have that much room.
    """
    folder = path.absolute().parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        return f"{folder.name} is a file, and a folder is needed"
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
            file.flush()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return f"nothing can be written in {folder.name or folder}/ ({error.strerror or error})"
    if free < needed:
        need, left = (f"{n / 2**30:.1f} GB" if n >= 2**30 else f"{max(n / 2**20, 0.1):.1f} MB" for n in (needed, free))
        return (
            f"it needs about {need} and {left} are free where {folder.name or folder}/ is; make room "
            "or choose another place"
        )
    return ""


class Files:
    """Reading and writing for one room: what the disk refuses becomes that room's `error`, one sentence."""

    def __init__(self, error: type[Exception]) -> None:
        self.error = error

    @contextmanager
    def replacing(self, path: Path) -> Iterator[Path]:
        """Yields a temporary path next to `path`; on success it takes the place of `path`, on any error it is removed.

        Raises the room's error when the disk refuses (full, read-only, not a folder).
        """
        temporary = temporary_name(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            os.replace(temporary, path)
        except OSError as error:
            raise self._unwritable(path.name, error) from error
        finally:
            with suppress(OSError):
                temporary.unlink()

    def write_bytes(self, path: Path, data: bytes) -> None:
        with self.replacing(path) as temporary:
            temporary.write_bytes(data)

    def write_text(self, path: Path, text: str) -> None:
        """UTF-8, `\\n` line ends on every system, so that the same text is the same bytes."""
        self.write_bytes(path, text.encode("utf-8"))

    def write_json(self, path: Path, value: Any) -> None:
        self.write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")

    @contextmanager
    def replacing_folder(self, folder: Path) -> Iterator[Path]:
        """Yields a temporary folder; on success it takes the place of `folder`, on any error `folder` stays as it was.

        A folder that exists cannot be replaced in one system call: the old one is moved aside first and moved back
        should the second move fail.
        """
        temporary, aside = temporary_name(folder), temporary_name(folder)
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
            raise self._unwritable(f"{folder.name}/", error) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(aside, ignore_errors=True)

    def read_limited(self, path: Path, limit: int, what: str) -> bytes:
        """The file's bytes; the room's error if it is missing, not a plain file, or larger than `limit` bytes."""
        if not path.is_file():
            raise self.error(f"{what} is missing ({path.name}).")
        try:
            with path.open("rb") as file:
                data = file.read(limit + 1)
        except OSError as error:
            raise self._unreadable(path, error) from error
        if len(data) > limit:
            raise self.error(
                f"{path.name} is larger than {limit / 2**20:.0f} MB, the most that is read; split or trim it."
            )
        return data

    def sha256_of(self, path: Path) -> str:
        """Hex digest of a file's bytes, read in blocks."""
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise self._unreadable(path, error) from error

    def check_writable(self, path: Path, needed: int = 0) -> None:
        """The room's error where a file or folder could not be written at `path`: asked before the work whose result
        it is. needed : bytes that it will take."""
        if why := why_not_writable(path, needed):
            raise self.error(f"{path.name} could not be written: {why}.")

    def _unwritable(self, name: str, error: OSError) -> Exception:
        if issubclass(self.error, OSError):
            return error
        return self.error(f"{name} could not be written: {error.strerror or error}.")

    def _unreadable(self, path: Path, error: OSError) -> Exception:
        return self.error(f"{path.name} could not be read: {error.strerror or error}.")


PLAIN = Files(OSError)  # leaves the system's error as it is
