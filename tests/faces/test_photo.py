"""The photo gate on good files: every format, depth, mode and orientation gives the same upright picture."""

import io
import logging
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from faces.decoding import colour
from faces.decoding import decode as decoding
from faces.errors import PhotoError
from faces.photo import Photo, load_photo

ORIENTATION = 0x0112


def encode(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def with_orientation(image: Image.Image, orientation: int, format: str, **options: object) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encode(image, format, exif=exif.tobytes(), **options)


def stored(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """How a camera with this orientation tag stores an upright picture (TIFF 6.0: where row 0 and column 0 lie)."""
    return {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, 1),
        7: np.rot90(pixels, 2).transpose(1, 0, 2),
        8: np.rot90(pixels, -1),
    }[orientation]


@pytest.fixture(scope="module")
def picture(astronaut: Photo) -> Image.Image:
    return Image.fromarray(astronaut.pixels[:160, 160:280])


def difference(photo: Photo, image: Image.Image) -> float:
    expected = np.asarray(image.convert("RGB")).astype(float)
    assert photo.pixels.shape == expected.shape
    return float(np.abs(photo.pixels - expected).mean())


@pytest.mark.parametrize(
    ("format", "options", "tolerance"),
    [
        ("JPEG", {"quality": 95}, 2.5),
        ("JPEG", {"quality": 95, "progressive": True}, 2.5),
        ("PNG", {}, 0),
        ("PNG", {"compress_level": 1, "dpi": (72, 72)}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 3),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("TIFF", {"compression": "tiff_adobe_deflate"}, 0),
        ("TIFF", {"compression": "packbits"}, 0),
    ],
)
def test_formats_give_the_same_picture(
    picture: Image.Image, format: str, options: dict[str, object], tolerance: float
) -> None:
    photo = load_photo(encode(picture, format, **options), "x")
    assert photo.pixels.dtype == np.uint8
    assert difference(photo, picture) <= tolerance


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_all_orientations_come_out_upright(picture: Image.Image, orientation: int, format: str) -> None:
    lying = Image.fromarray(np.ascontiguousarray(stored(np.asarray(picture), orientation)))
    options = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}.get(format, {})
    photo = load_photo(with_orientation(lying, orientation, format, **options))
    assert difference(photo, picture) <= (2.5 if format == "JPEG" else 0)


@settings(max_examples=25)
@given(orientation=st.integers(1, 8), height=st.integers(32, 50), width=st.integers(32, 50), seed=st.integers(0, 99))
def test_orientation_law(orientation: int, height: int, width: int, seed: int) -> None:
    """Storing for any orientation and loading is the identity, for any shape."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    lying = Image.fromarray(np.ascontiguousarray(stored(pixels, orientation)))
    assert np.array_equal(load_photo(with_orientation(lying, orientation, "PNG")).pixels, pixels)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_impossible_orientation_is_ignored(picture: Image.Image, orientation: int) -> None:
    assert difference(load_photo(with_orientation(picture, orientation, "PNG")), picture) == 0


@pytest.mark.filterwarnings("default::UserWarning")
def test_damaged_exif_does_not_cost_the_photo(picture: Image.Image) -> None:
    for exif in (
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12" * 50,
    ):
        photo = load_photo(encode(picture, "JPEG", quality=95, exif=exif))
        assert difference(photo, picture) < 2.5


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_sixteen_bit_grey_is_scaled(picture: Image.Image, format: str, order: str) -> None:
    grey = picture.convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    data = encode(deep, format)
    if format == "TIFF" and order == ">u2":
        deep = Image.frombytes("I;16B", grey.size, (np.asarray(grey).astype(np.uint16) * 257).astype(order).tobytes())
        data = encode(deep, format)
    assert difference(load_photo(data), grey) == 0


def test_sixteen_bit_grey_with_white_at_zero(picture: Image.Image) -> None:
    grey = picture.convert("L")
    data = encode(Image.fromarray((255 - np.asarray(grey)).astype(np.uint16) * 257), "TIFF", tiffinfo={262: 0})
    assert difference(load_photo(data), grey) == 0


def sixteen_bit_png(pixels: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel, written by hand: Pillow reads but does not write them."""

    height, width, channels = pixels.shape
    rows = pixels.astype(">u2").reshape(height, -1).view(np.uint8)
    raw = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()
    kind = {3: 2, 4: 6}[channels]

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def test_sixteen_bit_colour_and_alpha(picture: Image.Image) -> None:
    deep = np.asarray(picture).astype(np.uint16) * 257
    assert difference(load_photo(sixteen_bit_png(deep)), picture) == 0
    opaque = np.concatenate([deep, np.full((*deep.shape[:2], 1), 65535, np.uint16)], axis=2)
    assert difference(load_photo(sixteen_bit_png(opaque)), picture) == 0


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "RGBX", "YCbCr"])
def test_modes(picture: Image.Image, mode: str) -> None:
    image = picture.quantize(256) if mode == "P" else picture.convert(mode)
    format = "PNG" if mode in ("1", "L", "P") else "TIFF"
    assert difference(load_photo(encode(image, format)), image) == 0


def test_cmyk_jpeg(picture: Image.Image) -> None:
    assert difference(load_photo(encode(picture.convert("CMYK"), "JPEG", quality=98)), picture) < 2.5


@pytest.mark.parametrize(
    ("mode", "format"), [("RGBA", "PNG"), ("LA", "PNG"), ("RGBA", "TIFF"), ("LA", "TIFF"), ("RGBA", "WEBP")]
)
def test_transparent_parts_become_white(picture: Image.Image, mode: str, format: str) -> None:
    alpha = Image.fromarray(np.where(np.arange(120) < 60, 0, 255).astype(np.uint8)[None].repeat(160, axis=0))
    image = picture.convert(mode)
    image.putalpha(alpha)
    photo = load_photo(encode(image, format, **({"lossless": True, "exact": True} if format == "WEBP" else {})))
    assert (photo.pixels[:, :60] == 255).all()
    assert np.array_equal(photo.pixels[:, 60:], np.asarray(picture.convert(mode[:-1]).convert("RGB"))[:, 60:])


def test_half_transparent_is_mixed_with_white(picture: Image.Image) -> None:
    image = picture.convert("RGBA")
    image.putalpha(128)
    expected = np.asarray(picture) * (128 / 255) + 255 * (127 / 255)
    assert np.abs(load_photo(encode(image, "PNG")).pixels - expected).max() <= 1


def test_palette_with_transparency(picture: Image.Image) -> None:
    image = picture.quantize(16)
    index = int(np.asarray(image)[0, 0])
    photo = load_photo(encode(image, "PNG", transparency=index))
    hidden = np.asarray(image) == index
    assert (photo.pixels[hidden] == 255).all()
    assert np.array_equal(photo.pixels[~hidden], np.asarray(image.convert("RGB"))[~hidden])
    several = bytes([0, 128] + [255] * 14)
    load_photo(encode(image, "PNG", transparency=several))


def test_an_empty_alpha_channel_is_ignored(picture: Image.Image) -> None:
    image = picture.convert("RGBA")
    image.putalpha(0)
    assert difference(load_photo(encode(image, "PNG")), picture) == 0


def swapped_profile() -> bytes:
    """sRGB with the primaries of red and blue exchanged, under another name: a profile with a visible effect."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {}
    for index in range(int.from_bytes(profile[128:132], "big")):
        entry = 132 + 12 * index
        tags[bytes(profile[entry : entry + 4])] = int.from_bytes(profile[entry + 4 : entry + 8], "big")
    red, blue = tags[b"rXYZ"], tags[b"bXYZ"]
    profile[red : red + 20], profile[blue : blue + 20] = profile[blue : blue + 20], profile[red : red + 20]
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "abcd".encode("utf-16-be")).replace(b"sRGB", b"abcd")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_the_colour_profile_is_applied(picture: Image.Image, format: str) -> None:
    options = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}.get(format, {})
    photo = load_photo(encode(picture, format, icc_profile=swapped_profile(), **options))
    red, green, blue = picture.split()
    assert difference(photo, Image.merge("RGB", (blue, green, red))) < 2.5


@pytest.mark.parametrize("profile", [b"garbage", b"\0" * 200, swapped_profile()[:300]])
def test_a_broken_profile_is_left_aside(picture: Image.Image, profile: bytes) -> None:
    assert difference(load_photo(encode(picture, "PNG", icc_profile=profile)), picture) == 0


def test_a_profile_for_other_pixels_is_left_aside(picture: Image.Image) -> None:
    grey = picture.convert("L")
    assert difference(load_photo(encode(grey, "PNG", icc_profile=swapped_profile())), grey) == 0


def test_of_a_multi_picture_jpeg_the_first_is_taken(picture: Image.Image) -> None:
    data = encode(picture, "MPO", save_all=True, append_images=[picture.rotate(180)], quality=95)
    assert difference(load_photo(data), picture) < 2.5


def test_a_film_appended_to_a_jpeg_is_ignored(picture: Image.Image) -> None:
    film = b"\xff\xda\0\x08" * 500
    assert difference(load_photo(encode(picture, "JPEG", quality=95) + film), picture) < 2.5


def test_from_a_file_and_its_name(picture: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "visit 3.png"
    path.write_bytes(encode(picture, "PNG"))
    photo = load_photo(path)
    assert photo.source == "visit 3.png"
    assert load_photo(path, "patient 7").source == "patient 7"
    assert load_photo(path.read_bytes()).source == "The photo"


def test_the_label_is_made_printable(picture: Image.Image) -> None:
    photo = load_photo(encode(picture, "PNG"), "a\x1b[31m\nb" + "c" * 500)
    assert photo.source.isprintable()
    assert len(photo.source) <= 80


def test_sha256_is_of_the_picture_not_the_file(picture: Image.Image) -> None:
    png, bmp = load_photo(encode(picture, "PNG"), "a"), load_photo(encode(picture, "BMP"), "b")
    assert png.sha256 == bmp.sha256
    turned = load_photo(encode(picture.transpose(Image.Transpose.TRANSPOSE), "PNG"))
    assert turned.sha256 != png.sha256
    assert Photo(np.zeros((4, 9, 3), np.uint8), "").sha256 != Photo(np.zeros((9, 4, 3), np.uint8), "").sha256


def test_a_photo_is_eight_bit_rgb() -> None:
    for bad in (np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3), np.float32)):
        with pytest.raises(PhotoError):
            Photo(bad, "x")


def test_nothing_is_logged(picture: Image.Image, caplog: pytest.LogCaptureFixture) -> None:
    exif = Image.Exif()
    exif[0x013B] = "Jane Doe"  # artist
    with caplog.at_level(logging.DEBUG):
        load_photo(encode(picture, "JPEG", exif=exif.tobytes()), "Jane Doe")
        load_photo(encode(picture, "TIFF", exif=exif.tobytes()), "Jane Doe")
        with pytest.raises(PhotoError):
            load_photo(b"Jane Doe", "Jane Doe")
    assert "Jane" not in caplog.text


PHOTOS = Path(__file__).parents[1] / "data" / "photos"


def test_heic(astronaut: Photo) -> None:
    photo = load_photo(PHOTOS / "astronaut.heic")
    assert difference(photo, Image.fromarray(astronaut.pixels[:240, 120:320])) < 5


def test_a_heic_that_its_container_turns(astronaut: Photo) -> None:
    upright = Image.fromarray(astronaut.pixels[60:220, 170:290]).resize((90, 120))
    assert difference(load_photo(PHOTOS / "astronaut-turned.heic"), upright) < 5


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_avif_and_its_orientation(picture: Image.Image, orientation: int) -> None:
    lying = Image.fromarray(np.ascontiguousarray(stored(np.asarray(picture), orientation)))
    assert difference(load_photo(with_orientation(lying, orientation, "AVIF", quality=90)), picture) < 4


# Primaries in XYZ of D50, as ICC profiles hold them: Display P3 and Adobe RGB (1998).
P3 = [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
ADOBE = [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]
SRGB = [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]


def icc(primaries: list[list[float]], gamma: float | None, name: str = "wide") -> bytes:
    """A matrix profile (ICC.1:2010) with these primaries; gamma: None for sRGB's own curve."""

    def fixed(value: float) -> bytes:
        return round(value * 65536).to_bytes(4, "big", signed=True)

    def parametric() -> bytes:
        values = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045) if gamma is None else (gamma,)
        return b"para\0\0\0\0" + (0 if gamma else 3).to_bytes(2, "big") + b"\0\0" + b"".join(map(fixed, values))

    def text(value: str) -> bytes:
        raw = value.encode("utf-16-be")
        return b"mluc\0\0\0\0" + struct.pack(">LL", 1, 12) + b"enUS" + struct.pack(">LL", len(raw), 28) + raw

    tags = {b"desc": text(name), b"cprt": text("none")}
    tags[b"wtpt"] = b"XYZ \0\0\0\0" + b"".join(map(fixed, (0.9642, 1.0, 0.8249)))
    for channel, kind in enumerate((b"r", b"g", b"b")):
        tags[kind + b"XYZ"] = b"XYZ \0\0\0\0" + b"".join(fixed(row[channel]) for row in primaries)
        tags[kind + b"TRC"] = parametric()
    table, body, place = b"", b"", 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        data += bytes(-len(data) % 4)
        table += tag + struct.pack(">LL", place + len(body), len(data))
        body += data
    head = bytearray(128)
    head[8:12], head[12:24] = b"\x04\0\0\0", b"mntrRGB XYZ "
    head[36:40] = b"acsp"
    head[68:80] = b"".join(map(fixed, (0.9642, 1.0, 0.8249)))
    head[0:4] = (place + len(body)).to_bytes(4, "big")
    return bytes(head) + struct.pack(">L", len(tags)) + table + body


def in_other_primaries(pixels: np.ndarray, primaries: list[list[float]], gamma: float | None) -> np.ndarray:
    """sRGB pixels as a file with these primaries and this gamma stores them, by the formulas of the standards."""
    srgb = pixels / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    other = np.clip(linear @ (np.linalg.inv(primaries) @ SRGB).T, 0, 1)
    if gamma:
        return np.rint(255 * other ** (1 / gamma)).astype(np.uint8)
    return np.rint(255 * np.where(other <= 0.0031308, 12.92 * other, 1.055 * other ** (1 / 2.4) - 0.055)).astype(
        np.uint8
    )


@pytest.mark.parametrize(("primaries", "gamma"), [(P3, None), (ADOBE, 2.19921875)], ids=["Display P3", "Adobe RGB"])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "AVIF", "TIFF"])
def test_wide_gamut_profiles_become_srgb(
    picture: Image.Image, primaries: list[list[float]], gamma: float | None, format: str
) -> None:
    wide = Image.fromarray(in_other_primaries(np.asarray(picture), primaries, gamma))
    options = {"JPEG": {"quality": 98, "subsampling": 0}, "AVIF": {"quality": 95, "subsampling": "4:4:4"}}
    data = encode(wide, format, icc_profile=icc(primaries, gamma), **options.get(format, {}))
    assert difference(load_photo(data), picture) < (0.7 if format in ("PNG", "TIFF") else 2.5)
    untold = load_photo(encode(wide, "PNG"))
    assert difference(untold, picture) > 2, "without the profile the colours are off"


def png_with(image: Image.Image, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with further chunks after its header."""
    data = encode(image, "PNG")
    extra = b"".join(
        struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return data[:33] + extra + data[33:]


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1"])
def test_png_gamma_is_undone(picture: Image.Image, mode: str) -> None:
    """A linear file (gamma 1) of a picture; sRGB's curve by the formula of the standard."""
    srgb = np.arange(256) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    small = picture.convert("L") if mode in ("L", "P", "1") else picture
    if mode == "1":
        small = small.point(lambda v: 255 * (v > 127))
    file = small.point((np.rint(linear * 255).astype(int).tolist()) * len(small.getbands())).convert(mode)
    photo = load_photo(png_with(file, (b"gAMA", struct.pack(">L", 100_000))))
    bright = np.asarray(small.convert("RGB")) > 60  # eight linear bits hold few shades of black
    assert np.abs(photo.pixels.astype(int) - np.asarray(small.convert("RGB")))[bright].mean() < 1.5
    assert difference(load_photo(encode(file, "PNG")), small) > 20 or mode == "1"


@pytest.mark.parametrize(
    "chunks",
    [
        [(b"gAMA", struct.pack(">L", 45_455))],
        [(b"gAMA", struct.pack(">L", 100_000)), (b"sRGB", b"\0")],
        [(b"gAMA", struct.pack(">L", 0))],
        [(b"gAMA", struct.pack(">L", 4_000_000_000))],
    ],
)
def test_a_gamma_that_is_srgbs_or_nonsense_changes_nothing(
    picture: Image.Image, chunks: list[tuple[bytes, bytes]]
) -> None:
    assert difference(load_photo(png_with(picture, *chunks)), picture) == 0


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_larger_photos_are_halved(picture: Image.Image, format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_KEPT", 15_000)
    monkeypatch.setattr(colour, "BAND_PIXELS", 1_000)  # several bands
    lying = Image.fromarray(np.ascontiguousarray(stored(np.asarray(picture), 6)))
    photo = load_photo(with_orientation(lying, 6, format, **({"quality": 95} if format == "JPEG" else {})))
    assert photo.pixels.shape == (80, 60, 3)
    assert difference(photo, picture.reduce(2)) < (3 if format == "JPEG" else 0.5)


@pytest.mark.slow
@given(height=st.integers(32, 60), width=st.integers(32, 60), most=st.integers(300, 4000), band=st.integers(1, 900))
def test_bands_give_what_the_whole_gives(height: int, width: int, most: int, band: int) -> None:
    pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(colour, "BAND_PIXELS", band)
        assert np.array_equal(load_photo(encode(Image.fromarray(pixels), "PNG")).pixels, pixels)
        patch.setattr(decoding, "MAX_KEPT", most)
        smaller = load_photo(encode(Image.fromarray(pixels), "PNG")).pixels
    step = math.ceil(math.sqrt(height * width / most))
    assert np.array_equal(smaller, np.asarray(Image.fromarray(pixels).reduce(step)))
