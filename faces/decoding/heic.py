"""HEIC and HEIF photos through pi-heif (libheif and libde265), which decodes and does not encode.

The package is optional. Its Pillow plugin holds the picture twice; here bands are cut from its buffer instead.
"""

from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MODES = {"RGB": 3, "RGBA": 4, "L": 1, "LA": 2}  # channels of 8 bits


def readable() -> bool:
    """Whether pi-heif is installed."""
    return find_spec("pi_heif") is not None


class HeicPicture:
    """The main picture of a file, with as much of PIL.Image's interface as this folder uses.

    Turns and mirrorings of the container are applied by libheif; orientation in EXIF repeats them and is not read.
    Raises SyntaxError or ValueError for damaged files.
    """

    format = "HEIC"

    def __init__(self, data: bytes) -> None:
        from pi_heif import HeifFile

        self._file: Any = HeifFile(data, convert_hdr_to_8bit=True, hdr_to_16bit=False, remove_stride=True)
        picture = self._file[self._file.primary_index]
        self.size: tuple[int, int] = picture.size
        self.width, self.height = self.size
        self.mode: str = picture.mode
        self.has_transparency_data = self.mode in ("RGBA", "LA")
        self.is_animated = len(self._file) > 1
        profile = picture.info.get("icc_profile")
        self.info: dict[str, Any] = {"icc_profile": profile} if profile else {}
        self._pixels: NDArray[np.uint8] | None = None

    def draft(self, mode: str | None, size: tuple[int, int]) -> None:
        """Nothing: libheif decodes whole pictures."""

    def getexif(self) -> dict[int, Any]:
        return {}

    def load(self) -> None:
        """Decode. ValueError where the picture has not the size and mode that its header promised."""
        picture = self._file[self._file.primary_index]
        data = picture.data
        if picture.size != self.size or picture.mode != self.mode or self.mode not in MODES:
            raise ValueError("the picture is not what its header says")
        rows = np.frombuffer(data, np.uint8)[: self.height * picture.stride].reshape(self.height, picture.stride)
        channels = MODES[self.mode]
        pixels = rows[:, : self.width * channels].reshape(self.height, self.width, channels)
        self._pixels = pixels[..., 0] if channels == 1 else pixels

    def crop(self, box: tuple[int, int, int, int]) -> Image.Image:
        """Part (left, top, right, bottom) of the decoded picture."""
        assert self._pixels is not None
        left, top, right, bottom = box
        return Image.fromarray(np.ascontiguousarray(self._pixels[top:bottom, left:right]))
