"""Aligned photos on disk while a training set is being made, identified by the sha256 of the photo's bytes.

`OUT.parts/` holds files of some dozens of photos each, written whole or not at all; a run that is stopped at any
instant loses at most the last of them. They depend on the photo and the size alone: which photos are left out is
decided at the end.
"""

import json
import time
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.files import PLAIN
from common.parsing import json_value
from latent.errors import LatentError

FORMAT = 1  # raised when alignment changes, so that old parts are not reused
PART_PHOTOS = 64
PART_SECONDS = 20.0


@dataclass(frozen=True, eq=False)
class AlignedPhoto:
    """Pixels uint8 (size, size, 3), and facts: faces_found and the measures of quality, plain JSON values."""

    pixels: NDArray[np.uint8]
    facts: dict[str, Any]


class Parts:
    """The parts of one training set; `add` what is new, `flush` at the end. Raises LatentError where the folder was
    started with other settings."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size = folder, size
        self.facts: dict[str, dict[str, Any]] = {}  # by sha256: facts of an aligned photo, or {"reason": sentence}
        self._files: list[tuple[Path, list[str]]] = []
        self._new: dict[str, AlignedPhoto | str] = {}
        self._written = time.monotonic()
        settings = {"format": FORMAT, "size": size}
        folder.mkdir(parents=True, exist_ok=True)
        recorded = folder / "settings.json"
        if recorded.exists() and recorded.read_text() != json.dumps(settings):
            raise LatentError(f"{folder} was started with another --size or version: use that, or delete the folder.")
        PLAIN.write_text(recorded, json.dumps(settings))
        for file in folder.glob("*.tmp"):
            file.unlink(missing_ok=True)
        for file in sorted(folder.glob("part-*.npz")):
            self._take(file)

    def add(self, sha256: str, outcome: AlignedPhoto | str) -> None:
        """One aligned photo, or the reason why it cannot be; written when enough have come together."""
        if sha256 in self.facts:
            return
        self._new[sha256] = outcome
        self.facts[sha256] = {"reason": outcome} if isinstance(outcome, str) else outcome.facts
        if len(self._new) >= PART_PHOTOS or time.monotonic() - self._written > PART_SECONDS:
            self.flush()

    def flush(self) -> None:
        if not self._new:
            return
        aligned = [outcome.pixels for outcome in self._new.values() if not isinstance(outcome, str)]
        empty = np.zeros((0, self.size, self.size, 3), np.uint8)
        rows = json.dumps([[sha, self.facts[sha]] for sha in self._new]).encode()
        part = self.folder / f"part-{len(self._files):06d}-{uuid.uuid4().hex[:8]}.npz"
        with PLAIN.replacing(part) as temporary, temporary.open("wb") as file:
            np.savez(file, pixels=np.stack(aligned) if aligned else empty, rows=np.frombuffer(rows, np.uint8))
        self._files.append((part, [sha for sha, outcome in self._new.items() if not isinstance(outcome, str)]))
        self._new.clear()
        self._written = time.monotonic()

    def pixels(self) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        """Every aligned photo that was written, one part in memory at a time."""
        for file, aligned in self._files:
            with np.load(file, allow_pickle=False) as part:
                yield from zip(aligned, part["pixels"], strict=True)

    def remove(self) -> None:
        """Delete the folder's parts, and the folder where nothing else is in it."""
        for file in (*self.folder.glob("part-*.npz"), *self.folder.glob("*.tmp"), self.folder / "settings.json"):
            file.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _take(self, file: Path) -> None:
        """Register what a part holds; one that a failing disk has damaged is dropped and its photos aligned again."""
        try:
            with file.open("rb") as stream, np.load(stream, allow_pickle=False) as part:
                rows = json_value(part["rows"].tobytes())
                bytes_held = part.zip.getinfo("pixels.npy").file_size  # its header, a hundred bytes, included
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            rows, bytes_held = [], -1
        aligned = [sha for sha, facts in rows if "reason" not in facts]
        if bytes_held < len(aligned) * self.size * self.size * 3:
            file.unlink()
            return
        self._files.append((file, aligned))
        self.facts |= dict(rows)
