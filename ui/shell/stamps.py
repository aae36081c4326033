"""Whether the files in a folder changed: what was read from them is kept until they do.

Every click asks, and a study may hold tens of thousands of photos. So a large folder is looked through again when a
file came, went or was replaced, which changes the folder itself, and otherwise, for files that were changed in place,
every few seconds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LARGE_FOLDER, SCAN_SECONDS = 100, 5.0
Inside = tuple[int, list[str]]  # digest of the files in a folder, its folders
_large: dict[
    str, tuple[int, float, Inside]
] = {}  # folder -> its own time of change, when looked through, what was in it


def stamp(folder: Path, without: frozenset[str] = frozenset(), only: frozenset[str] | None = None) -> str:
    """Another text where a file in a folder or its folders came, went, or has another name, size or time of change.

    without, only: names directly in `folder` that are left out, or looked at. Names that begin with a dot are left out
    everywhere: they are files that are being written.
    """
    total, folders = 0, [str(folder)]
    with suppress(OSError):  # there is no such folder
        total, folders = _scan(str(folder), lambda name: name not in without and (only is None or name in only))
    while folders:
        with suppress(OSError):  # gone since
            inside, below = _known(folders.pop())
            total += inside
            folders += below
    return f"{total & 0xFFFFFFFFFFFFFFFF:016x}"


def _known(folder: str) -> Inside:
    """`_scan`, or what it found of a large folder a moment ago."""
    changed, now = os.stat(folder).st_mtime_ns, time.monotonic()
    known = _large.get(folder)
    if known is not None and known[0] == changed and now - known[1] < SCAN_SECONDS:
        digest, below = known[2]
        return digest, list(below)
    found = _scan(folder, lambda _: True, lambda inside: _large.update({folder: (changed, now, inside)}))
    return found[0], list(found[1])


def _scan(folder: str, wanted: Callable[[str], bool], keep: Callable[[Inside], None] | None = None) -> Inside:
    """keep: takes the result where the folder is large."""
    total, count, below = 0, 0, list[str]()
    with os.scandir(folder) as entries:
        for entry in entries:
            count += 1
            if entry.name.startswith(".") or not wanted(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                total += hash(entry.path)
                below.append(entry.path)
            else:
                with suppress(OSError):  # gone since, or a link to nothing
                    facts = entry.stat()
                    total += hash((entry.path, facts.st_mtime_ns, facts.st_size, facts.st_ino))
    if count >= LARGE_FOLDER and keep is not None:
        keep((total, below))
    return total, below
