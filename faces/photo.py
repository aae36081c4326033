"""The one gate for photos: untrusted bytes in, an upright sRGB picture out.

Only an allow-list of formats is opened, and limits on bytes, sides and pixels are checked before pixels are decoded.
EXIF orientation and the colour profile are applied; then all metadata and the bytes are dropped. Transparent parts
become white. Of a camera's multi-picture JPEG the main picture is taken; animations and files of several pages are
refused, because which picture is meant is for the person to say. Nothing is logged.
"""

import hashlib
import io
import logging
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin, UnidentifiedImageError

from faces.containers import PHOTO_STARTS, foreign_kind, trap
from faces.errors import PhotoError

MAX_BYTES = 25 * 1024 * 1024
MAX_PIXELS = 50_000_000
MAX_SIDE = 20_000  # px
MIN_SIDE = 32  # px
MAX_PROFILE = 4 * 1024 * 1024  # bytes of a colour profile that is applied
MAX_LABEL = 80  # characters of a source label
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
TIFF_COMPRESSIONS = ("raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate")
WHITE = (255, 255, 255)  # what shows through transparent parts
DAMAGED = "is damaged, cut off or of an unusual kind"
SAVE_AS = "save it as JPEG or PNG and try again"
logging.getLogger("PIL").setLevel(logging.INFO)  # at debug level Pillow writes out every EXIF value, names among them
_DECODING = threading.Lock()  # one photo at a time, so that memory is bounded by the largest

_TO_UPRIGHT = {  # EXIF orientation: what to do
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
    source = "".join(c for c in source if c.isprintable())[:MAX_LABEL].strip() or "The photo"
    data = _read(data, source)
    if not data:
        raise PhotoError(f"{source} is an empty file: choose the photo again.")
    if kind := foreign_kind(data):
        raise PhotoError(f"{source} is {kind}, which cannot be read here: save the photo as JPEG or PNG and try again.")
    if reason := trap(data):
        raise PhotoError(f"{source} {reason}: {SAVE_AS}.")
    with _DECODING:
        return Photo(_decode(data, source), source)


def _read(data: bytes | Path, source: str) -> bytes:
    """The bytes, at most MAX_BYTES of them."""
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


def _decode(data: bytes, source: str) -> NDArray[np.uint8]:
    """Upright RGB pixels, uint8 (H, W, 3)."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_header(image, source)
            image.load()  # a TIFF turns itself upright here and drops the tag
            upright = _to_rgb(image)
            turn = _TO_UPRIGHT.get(_orientation(image))
            return np.array(upright if turn is None else upright.transpose(turn))
    except PhotoError:
        raise
    except UnidentifiedImageError as error:
        if data.startswith(PHOTO_STARTS):
            raise PhotoError(f"{source} {DAMAGED}: {SAVE_AS}.") from error
        raise PhotoError(f"{source} is not a JPEG, PNG, WebP, BMP or TIFF photo: {SAVE_AS}.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoError(_too_large(source)) from error
    except MemoryError as error:
        raise PhotoError(f"{source} needs more memory than there is: save it smaller and try again.") from error
    except Exception as error:  # Pillow's readers raise nearly anything on damaged files
        raise PhotoError(f"{source} {DAMAGED}: {SAVE_AS}.") from error


def _check_header(image: Image.Image, source: str) -> None:
    """Refuse, before pixels are decoded, what is too large or small, holds several pictures or an odd kind of pixel."""
    width, height = image.size
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise PhotoError(_too_large(source))
    if min(width, height) < MIN_SIDE:
        raise PhotoError(f"{source} has only {width} x {height} pixels: use a photo of at least {MIN_SIDE} px a side.")
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise PhotoError(f"{source} holds several pictures: save the one you want as JPEG or PNG and try again.")
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.info.get("compression") not in TIFF_COMPRESSIONS:
        raise PhotoError(f"{source} is a TIFF with an uncommon compression: {SAVE_AS}.")
    if image.mode in ("I", "F", "LAB", "HSV"):
        raise PhotoError(f"{source} has a kind of pixel ({image.mode}) that photos do not have: {SAVE_AS}.")


def _too_large(source: str) -> str:
    return (
        f"{source} has more than {MAX_PIXELS // 1_000_000} million pixels or {MAX_SIDE} px a side: "
        "save it smaller and try again."
    )


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1-8; 1 where there is none or the EXIF data are damaged."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    """sRGB of a loaded picture of any mode: 16 bit scaled to 8, colour profile applied, transparency over white."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I;16"):
        return _to_srgb(_sixteen_to_eight(image), profile)
    if not image.has_transparency_data:
        return _to_srgb(image.convert("RGB") if image.mode in ("P", "1") else image, profile)
    image = image.convert("RGBA")
    alpha = image.getchannel("A")
    colour = _to_srgb(image.convert("RGB"), profile)
    if alpha.getextrema() == (0, 0):  # some programs write an alpha channel and leave it empty
        return colour
    canvas = Image.new("RGB", image.size, WHITE)
    canvas.paste(colour, mask=alpha)
    return canvas


def _sixteen_to_eight(image: Image.Image) -> Image.Image:
    """Grey of 16 (or 12) bits to 8: the full range of the file to 0-255."""
    top, inverted = 65535, False
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        top = 4095 if image.tag_v2.get(ExifTags.Base.BitsPerSample) == (12,) else top
        inverted = image.tag_v2.get(ExifTags.Base.PhotometricInterpretation) == 0  # Pillow leaves white at zero there
    table = np.rint(np.minimum(np.arange(65536) / top, 1) * 255).astype(np.uint8)
    return Image.fromarray((255 - table if inverted else table)[np.asarray(image)])


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB of an L, RGB, CMYK or YCbCr picture; a profile that does not fit or cannot be read is left aside."""
    space = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}.get(image.mode)
    if profile and space and len(profile) <= MAX_PROFILE:
        try:
            given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if given.profile.xcolor_space.strip() == space and "sRGB" not in ImageCms.getProfileDescription(given):
                srgb = ImageCms.createProfile("sRGB")
                if converted := ImageCms.profileToProfile(image, given, srgb, outputMode="RGB"):
                    return converted
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
            pass
    return image if image.mode == "RGB" else image.convert("RGB")
