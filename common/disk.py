"""Whether something can be written, asked before the work whose result it is."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path


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
        return (
            f"it needs about {_size(needed)} and {_size(free)} are free where {folder.name or folder}/ is; make room "
            "or choose another place"
        )
    return ""


def _size(number: int) -> str:
    return f"{number / 2**30:.1f} GB" if number >= 2**30 else f"{max(number / 2**20, 0.1):.1f} MB"
