"""From the bytes of a photo that passed the sniffing to upright sRGB pixels.

What a header says is checked against limits before pixels are decoded: on sides, on pixels, and on the memory that the
format's decoder takes. Large pictures are reduced while they are decoded (JPEG) or converted.
"""

import io
import math
from contextlib import nullcontext

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError, features

from faces.decoding.colour import srgb_pixels
from faces.decoding.containers import PHOTO_STARTS, is_heic
from faces.decoding.heic import HeicPicture
from faces.errors import PhotoError

MAX_PIXELS = 50_000_000  # in the file
MAX_SIDE = 20_000  # px
MIN_SIDE = 32  # px
MAX_KEPT = 25_000_000  # pixels after decoding: larger photos are halved
MAX_DECODED = 220_000_000  # bytes that a decoder may hold
# Copies of the decoded picture that a format's decoder holds at once. WebP and AVIF: their own, and Pillow's.
COPIES = {"WEBP": 3, "AVIF": 3, "HEIC": 1}
BYTES = {"1": 1, "L": 1, "P": 1, "LA": 4, "PA": 4, "I;16": 2, "I;16B": 2, "I;16L": 2}  # a pixel; others 4
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", *(("AVIF",) if features.check("avif") else ()))
TIFF_COMPRESSIONS = ("raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate")
DAMAGED = "is damaged, cut off or of an unusual kind"
SAVE_AS = "save it as JPEG or PNG and try again"

_TO_UPRIGHT = {  # EXIF orientation: what to do
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(data: bytes, source: str) -> NDArray[np.uint8]:
    """Upright sRGB pixels, uint8 (H, W, 3), of at most MAX_KEPT pixels. Raises PhotoError, one sentence."""
    try:
        with (
            nullcontext(HeicPicture(data)) if is_heic(data) else Image.open(io.BytesIO(data), formats=FORMATS) as image
        ):
            _check_header(image, source)
            width, height = image.size
            step = math.ceil(math.sqrt(width * height / MAX_KEPT))
            if step > 1:
                image.draft(None, (-(-width // step), -(-height // step)))  # JPEG: fewer pixels are decoded
                step = max(1, step * image.width // width)
            image.load()  # a TIFF turns itself upright here and drops the tag
            pixels = srgb_pixels(image, step)
            turn = _TO_UPRIGHT.get(_orientation(image))
        return pixels if turn is None else np.array(Image.fromarray(pixels).transpose(turn))
    except PhotoError:
        raise
    except UnidentifiedImageError as error:
        if data.startswith(PHOTO_STARTS) or data[4:8] == b"ftyp":
            raise PhotoError(f"{source} {DAMAGED}: {SAVE_AS}.") from error
        raise PhotoError(f"{source} is not a JPEG, PNG, WebP, HEIC, AVIF, BMP or TIFF photo: {SAVE_AS}.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoError(_too_large(source, MAX_PIXELS)) from error
    except MemoryError as error:
        raise PhotoError(f"{source} needs more memory than there is: save it smaller and try again.") from error
    except Exception as error:  # readers raise nearly anything on damaged files
        raise PhotoError(f"{source} {DAMAGED}: {SAVE_AS}.") from error


def _check_header(image: Image.Image | HeicPicture, source: str) -> None:
    """Refuse, before pixels are decoded, what is too large or small, holds several pictures or an odd kind of pixel."""
    width, height = image.size
    most = MAX_PIXELS
    if image.format not in ("JPEG", "MPO"):  # these are reduced while they are decoded; progressive: `containers.trap`
        turned = (
            isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(ExifTags.Base.Orientation, 1) != 1
        )
        copies = 2 if turned else COPIES.get(image.format or "", 1)
        most = min(MAX_PIXELS, MAX_DECODED // (BYTES.get(image.mode, 4) * copies))
    if max(width, height) > MAX_SIDE or width * height > most:
        raise PhotoError(_too_large(source, most))
    if min(width, height) < MIN_SIDE:
        raise PhotoError(
            f"{source} has only {width} x {height} pixels: use a photo of at least {MIN_SIDE} px per side."
        )
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise PhotoError(f"{source} holds several pictures: save the one you want as JPEG or PNG and try again.")
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.info.get("compression") not in TIFF_COMPRESSIONS:
        raise PhotoError(f"{source} is a TIFF with an uncommon compression: {SAVE_AS}.")
    if image.mode in ("I", "F", "LAB", "HSV"):
        raise PhotoError(f"{source} has a kind of pixel ({image.mode}) that photos do not have: {SAVE_AS}.")


def _too_large(source: str, most: int) -> str:
    return (
        f"{source} has more than {most // 1_000_000} million pixels or {MAX_SIDE} px per side: save it smaller or as "
        "JPEG and try again."
    )


def _orientation(image: Image.Image | HeicPicture) -> int:
    """EXIF orientation 1-8; 1 where there is none or the EXIF data are damaged."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1
