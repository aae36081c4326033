"""The one gate for photos: untrusted bytes in, an upright sRGB picture out.

Only an allow-list of formats is opened, and limits on bytes, sides, pixels and memory are checked before pixels are
decoded (`containers`, `decoding`). EXIF orientation and colour profile or gamma are applied (`colour`); then all
metadata and the bytes are dropped. Transparent parts become white. Of a camera's multi-picture JPEG the main picture
is taken; animations and files of several pages are refused, because only the person can say which picture is meant.
Nothing is logged.
"""

import hashlib
import logging
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faces.changes.mirror import is_mirrored, mirror
from faces.decoding.containers import foreign_kind, trap
from faces.decoding.decode import SAVE_AS, decode
from faces.errors import PhotoError

MAX_BYTES = 25 * 1024 * 1024
MAX_LABEL = 80  # characters of a source label
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".avif", ".bmp", ".tif", ".tiff")
logging.getLogger("PIL").setLevel(logging.INFO)  # at debug level Pillow writes out every EXIF value, names among them
_DECODING = threading.Lock()  # one photo at a time, so that memory is bounded by the largest


@dataclass(frozen=True, eq=False)
class Photo:
    """An upright photo: pixels uint8 (H, W, 3) sRGB, source: its name in messages."""

    pixels: NDArray[np.uint8]
    source: str

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            raise PhotoError(f"{self.source or 'The photo'} is not an 8-bit RGB picture.")

    @cached_property
    def sha256(self) -> str:
        """Hex digest of shape and pixels: the same picture has the same digest, whatever file it came from."""
        digest = hashlib.sha256(repr(self.pixels.shape).encode())
        digest.update(self.pixels.tobytes())
        return digest.hexdigest()

    @cached_property
    def is_mirrored(self) -> bool:
        """Whether it is turned over before a face is searched for and aligned (`faces.changes.mirror`)."""
        return is_mirrored(self.pixels)

    def mirrored(self) -> "Photo":
        """Its mirror image."""
        return Photo(mirror(self.pixels), self.source)


def load_photo(data: bytes | Path, source: str = "") -> Photo:
    """Open a photo from bytes or a file; PhotoError, one sentence naming `source`, where it cannot be used."""
    if isinstance(data, Path):
        source = source or data.name
    source = "".join(c for c in source if c.isprintable())[:MAX_LABEL].strip() or "The photo"
    data = _read(data, source)
    if not data:
        raise PhotoError(f"{source} is an empty file: choose the photo again.")
    if kind := foreign_kind(data):
        raise PhotoError(f"{source} is {kind}, which cannot be read here: save the photo as JPEG or PNG and try again.")
    if reason := trap(data):
        raise PhotoError(f"{source} {reason}: {SAVE_AS}.")
    with _DECODING:
        return Photo(decode(data, source), source)


def _read(data: bytes | Path, source: str) -> bytes:
    if isinstance(data, Path):
        try:
            if not data.is_file():
                raise PhotoError(f"{source}: there is no such file; choose the photo again.")
            with data.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            raise PhotoError(f"{source}: the file cannot be opened; choose the photo again.") from error
    if len(data) > MAX_BYTES:
        raise PhotoError(f"{source} is larger than {MAX_BYTES >> 20} MB: save it smaller and try again.")
    return data
