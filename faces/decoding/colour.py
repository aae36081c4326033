"""Any picture that Pillow decoded to sRGB, a band of rows at a time, so that no second copy of the whole is in memory.

16 bit is scaled to 8, the colour profile or else the PNG gamma is applied, transparency is laid over white.
"""

import io
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin

from faces.decoding.heic import HeicPicture

Picture = Image.Image | HeicPicture
MAX_PROFILE = 4 * 1024 * 1024  # bytes of a colour profile that is applied
WHITE = (255, 255, 255)  # what shows through transparent parts
BAND_PIXELS = 2_000_000  # in a band of rows
GAMMA_MIN, GAMMA_MAX = 0.1, 4.0  # exponents that a PNG may name; others are nonsense and ignored
SRGB_GAMMA = 1 / 2.2  # what most writers put into gAMA for sRGB
SAME_GAMMA = 0.03  # relative difference below which a file's gamma is taken for sRGB's


def srgb_pixels(image: Picture, step: int = 1) -> NDArray[np.uint8]:
    """A loaded picture as sRGB, uint8 (H / step, W / step, 3), rounded up; blocks of step x step are averaged."""
    width, height = image.size
    out = np.empty((-(-height // step), -(-width // step), 3), np.uint8)
    convert = _Converter(image)
    rows = max(1, BAND_PIXELS // (width * step)) * step
    for top, band in _bands(image, rows):
        colour = convert(band)
        if step > 1:
            colour = colour.reduce(step)
        out[top // step : top // step + colour.height] = np.asarray(colour)
    return out


def _bands(image: Picture, rows: int) -> Iterator[tuple[int, Image.Image]]:
    for top in range(0, image.height, rows):
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        if "transparency" in image.info:
            band.info["transparency"] = image.info["transparency"]
        yield top, band


class _Converter:
    """RGB of bands of one picture, of any mode."""

    def __init__(self, image: Picture) -> None:
        self.sixteen = _sixteen_table(image) if image.mode.startswith("I;16") else None
        rows = max(1, BAND_PIXELS // image.width)
        self.transparent = image.has_transparency_data
        # Where no pixel shows at all: some programs write an alpha channel and leave it empty.
        self.drop_alpha = self.transparent and all(
            band.convert("RGBA").getchannel("A").getextrema() == (0, 0) for _, band in _bands(image, rows)
        )
        self.profile = image.info.get("icc_profile")
        self.transforms: dict[str, ImageCms.ImageCmsTransform | None] = {}
        self.gamma = None if self.profile else _gamma_table(image)

    def __call__(self, band: Image.Image) -> Image.Image:
        if self.sixteen is not None:
            return self._srgb(Image.fromarray(self.sixteen[np.asarray(band)]))
        if not self.transparent:
            return self._srgb(band.convert("RGB") if band.mode in ("P", "1") else band)
        band = band.convert("RGBA")
        colour = self._srgb(band.convert("RGB"))
        if self.drop_alpha:
            return colour
        canvas = Image.new("RGB", band.size, WHITE)
        canvas.paste(colour, mask=band.getchannel("A"))
        return canvas

    def _srgb(self, image: Image.Image) -> Image.Image:
        """RGB of an L, RGB, CMYK or YCbCr picture; a profile that does not fit or cannot be read is ignored."""
        if image.mode not in self.transforms:
            self.transforms[image.mode] = _transform(self.profile, image.mode)
        transform = self.transforms[image.mode]
        if transform is not None:
            try:
                if (converted := ImageCms.applyTransform(image, transform)) is not None:
                    return converted
            except (ImageCms.PyCMSError, ValueError):
                pass
        rgb = image if image.mode == "RGB" else image.convert("RGB")
        return rgb.point(self.gamma) if self.gamma is not None else rgb


def _sixteen_table(image: Picture) -> NDArray[np.uint8]:
    """Grey of 16 (or 12) bits to 8: the full range of the file to 0-255."""
    top, inverted = 65535, False
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        top = 4095 if image.tag_v2.get(ExifTags.Base.BitsPerSample) == (12,) else top
        inverted = image.tag_v2.get(ExifTags.Base.PhotometricInterpretation) == 0  # Pillow leaves white at zero there
    table = np.rint(np.minimum(np.arange(65536) / top, 1) * 255).astype(np.uint8)
    return 255 - table if inverted else table


def _transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform from a file's colour profile to sRGB; None where none is needed, or the profile is unusable."""
    space = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}.get(mode)
    if not profile or not space or len(profile) > MAX_PROFILE:
        return None
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if given.profile.xcolor_space.strip() != space or "sRGB" in ImageCms.getProfileDescription(given):
            return None
        return ImageCms.buildTransform(given, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        return None


def _gamma_table(image: Picture) -> list[int] | None:
    """256 values for each of three channels that undo a PNG's gamma and apply sRGB's; None where nothing is to do.

    A chunk sRGB overrules gAMA (PNG specification 11.3.3).
    """
    gamma = image.info.get("gamma")
    if image.format != "PNG" or "srgb" in image.info or not isinstance(gamma, float | int):
        return None
    if not GAMMA_MIN <= gamma <= GAMMA_MAX or abs(gamma / SRGB_GAMMA - 1) < SAME_GAMMA:
        return None
    linear = (np.arange(256) / 255) ** (1 / gamma)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * encoded).astype(int).tolist() * 3
