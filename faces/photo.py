"""The one gate for photos: untrusted bytes in, an upright sRGB picture out.

Only an allow-list of formats is opened, and limits on bytes, sides and pixels are checked before pixels are decoded.
EXIF orientation is applied; all metadata is then dropped, as are the bytes.
"""

import hashlib
import io
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from faces.errors import PhotoError

MAX_BYTES = 25 * 1024 * 1024
MAX_PIXELS = 50_000_000
MAX_SIDE = 20_000  # px
MIN_SIDE = 32  # px
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
_DECODING = threading.Lock()  # one photo at a time, so that memory is bounded by the largest

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, eq=False)
class Photo:
    """An upright photo: pixels uint8 (H, W, 3) sRGB, source: what to call it before people."""

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


def load_photo(data: bytes | Path, source: str = "") -> Photo:
    """Open a photo from bytes or a file; PhotoError, one sentence naming `source`, where it cannot be used."""
    if isinstance(data, Path):
        source = source or data.name
        if not data.is_file():
            raise PhotoError(f"{source}: there is no such file.")
        with data.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    source = source or "The photo"
    if len(data) > MAX_BYTES:
        raise PhotoError(f"{source} is larger than {MAX_BYTES >> 20} MB: save it smaller and try again.")
    with _DECODING:
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(image.size, source)
                image.load()
                orientation = image.getexif().get(274, 1)
                upright = _to_rgb(image)
            if orientation in _UPRIGHT:
                upright = upright.transpose(_UPRIGHT[orientation])
            return Photo(np.array(upright), source)
        except PhotoError:
            raise
        except Exception as error:
            raise PhotoError(f"{source} cannot be read as a photo: save it as JPEG or PNG and try again.") from error


def _check_size(size: tuple[int, int], source: str) -> None:
    width, height = size
    if max(size) > MAX_SIDE or width * height > MAX_PIXELS:
        raise PhotoError(f"{source} has {width} x {height} pixels: save it with at most 50 million and try again.")
    if min(size) < MIN_SIDE:
        raise PhotoError(f"{source} has only {width} x {height} pixels: use a photo of at least {MIN_SIDE} px a side.")


def _to_rgb(image: Image.Image) -> Image.Image:
    return image.convert("RGB")
