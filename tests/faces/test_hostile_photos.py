"""Files that are no photos, or photos made to hurt: one clear sentence each, quickly and in little memory."""

import io
import struct
import zipfile
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from faces import containers, photo
from faces.errors import PhotoError
from faces.photo import MAX_BYTES, MAX_PIXELS, load_photo
from tests.work import calls, peak_bytes


def encode(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def noise(side: int = 64) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))


def refused(data: bytes | Path, *words: str) -> str:
    """The sentence with which a file is refused; it names the file, says what is wrong and what to do."""
    with pytest.raises(PhotoError) as caught:
        load_photo(data, "scan 12")
    sentence = str(caught.value)
    assert sentence.startswith("scan 12")
    assert sentence.endswith(".")
    assert any(verb in sentence for verb in ("save", "choose", "use"))
    for word in words:
        assert word in sentence
    return sentence


def zip_archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("photo.jpg", b"x")
    return buffer.getvalue()


def png(width: int, height: int, body: bytes) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def tiff(tags: list[tuple[int, int, int, int]], extra: bytes = b"") -> bytes:
    """A little-endian TIFF: (tag, type, count, value) each, then any bytes."""
    out = b"II*\0" + struct.pack("<LH", 8, len(tags))
    for tag, kind, count, value in tags:
        out += struct.pack("<HHL", tag, kind, count) + struct.pack("<L", value)
    return out + struct.pack("<L", 0) + extra


GREY = [(256, 3, 1, 64), (257, 3, 1, 64), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b"%PDF-1.7\n...", "PDF"),
        (zip_archive(), "zip"),
        (encode(noise(), "GIF"), "GIF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x18ftypqt  \0\0\0\0", "video"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b'<?xml version="1.0"?>\n<!DOCTYPE svg><svg/>', "SVG"),
        (b"\xef\xbb\xbf <!DOCTYPE html><html></html>", "web page"),
        (b"\0" * 128 + b"DICM" + b"\0" * 64, "DICOM"),
        (b"8BPS\0\x01", "Photoshop"),
        (b"RIFF\0\0\0\0WAVEfmt ", "sound"),
        (encode(noise(), "JPEG2000"), "JPEG 2000"),
        (b"II+\0\x08\0\0\0", "BigTIFF"),
        (b"hello, I am a photo", "not a JPEG"),
        (b"\xff\xd8", "damaged"),
        (bytes(5000), "not a JPEG"),
        (encode(noise(), "PPM"), "not a JPEG"),
        (encode(noise(), "ICO"), "not a JPEG"),
        (encode(noise(), "TGA"), "not a JPEG"),
        (encode(noise(), "EPS"), "PostScript"),
    ],
)
def test_other_files_are_named_for_what_they_are(data: bytes, word: str) -> None:
    refused(data, word)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.97])
def test_truncated(format: str, share: float) -> None:
    data = encode(noise(), format)
    refused(data[: int(len(data) * share)])


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_several_pictures_are_refused(format: str) -> None:
    refused(encode(noise(), format, save_all=True, append_images=[noise().rotate(90)]), "several pictures")


@pytest.mark.parametrize("mode", ["I", "F"])
def test_odd_pixels_are_refused(mode: str) -> None:
    refused(encode(noise().convert(mode), "TIFF"), "kind of pixel")


def test_a_tiff_with_a_rare_compression_is_refused() -> None:
    refused(encode(noise(), "TIFF", compression="jpeg"), "compression")


def test_a_camera_raw_file_is_not_taken_for_its_thumbnail() -> None:
    refused(tiff([(254, 4, 1, 1), *GREY, (273, 4, 1, 200), (279, 4, 1, 4096)], bytes(5000)), "raw")
    refused(tiff([*GREY, (273, 4, 1, 200), (279, 4, 1, 4096), (50706, 1, 4, 1)], bytes(5000)), "raw")


def test_size_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refused(encode(noise(31), "PNG"), "31 x 31")
    assert load_photo(encode(noise(32), "PNG")).pixels.shape == (32, 32, 3)
    refused(encode(Image.new("L", (photo.MAX_SIDE + 1, 40)), "PNG"), "million pixels")
    refused(bytes(MAX_BYTES + 1), "25 MB")
    monkeypatch.setattr(photo, "MAX_BYTES", 1000)
    path = tmp_path / "big.png"
    path.write_bytes(encode(noise(), "PNG"))
    refused(path, "larger than")


@pytest.mark.parametrize(
    "data",
    [
        png(50_000, 50_000, zlib.compress(bytes(1_000_000))),
        png(7_100, 7_100, b""),
        png(2**31 - 1, 2**31 - 1, b""),
        b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<II", 10, 0) + (16382).to_bytes(3, "little") * 2,
        b"BM" + struct.pack("<LLL", 10_000, 0, 54) + struct.pack("<LllHHLLLLLL", 40, 60_000, 60_000, 1, 24, *[0] * 6),
        tiff([(256, 4, 1, 60_000), (257, 4, 1, 60_000), *GREY[2:], (273, 4, 1, 200), (279, 4, 1, 100)], bytes(400)),
    ],
)
def test_decompression_bombs_are_refused_before_they_are_decoded(data: bytes) -> None:
    before = Image.core.get_stats()["new_count"]
    refused(data, "million pixels")
    assert Image.core.get_stats()["new_count"] == before, "pixels were decoded"
    assert peak_bytes(partial(refused, data, "million pixels")) < 1_000_000
    assert MAX_PIXELS == 50_000_000
    load_photo(encode(noise(), "PNG"))
    assert Image.core.get_stats()["new_count"] > before, "pictures that Pillow makes room for are counted"


def test_a_jpeg_of_endless_passes_is_refused() -> None:
    data = encode(Image.new("L", (64, 64)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    assert load_photo(data).pixels.shape == (64, 64, 3)
    refused(data[:-2] + data[last:-2] * 3000 + data[-2:], "passes")


def test_a_tiff_of_a_million_strips_is_refused_before_they_are_read() -> None:
    data = tiff([*GREY, (273, 4, 2_000_000, 200), (278, 3, 1, 1)], bytes(8_000_000))
    refused(data, "strips")
    assert calls(partial(refused, data)) < 10_000
    assert peak_bytes(partial(refused, data)) < 1_000_000


def test_a_tiff_with_a_giant_tile_is_refused() -> None:
    tile = [(322, 4, 1, 60_000), (323, 4, 1, 60_000), (324, 4, 1, 200), (325, 4, 1, 100)]
    refused(tiff([*GREY, *tile], bytes(400)), "tiles")


@pytest.mark.parametrize("data", [b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff" + bytes(40)])
def test_a_tiff_without_a_directory_is_refused(data: bytes) -> None:
    refused(data)


def test_missing_files(tmp_path: Path) -> None:
    refused(tmp_path / "nothing.jpg", "no such file")
    refused(tmp_path, "no such file")
    refused(Path("bad\0name"), "choose")


@pytest.mark.filterwarnings("default::UserWarning")
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    format=st.sampled_from(["JPEG", "PNG", "WEBP", "BMP", "TIFF"]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
    head=st.booleans(),
)
def test_a_damaged_file_is_read_or_refused_with_a_sentence(
    format: str, changes: list[tuple[float, int]], head: bool
) -> None:
    """Bytes overwritten anywhere: never another exception, never a wrong kind of picture."""
    data = bytearray(encode(noise(40), format))
    reach = min(len(data), 200) if head else len(data)
    for place, value in changes:
        data[min(int(place * reach), reach - 1)] = value
    try:
        loaded = load_photo(bytes(data), "x")
    except PhotoError:
        return
    assert loaded.pixels.dtype == np.uint8
    assert loaded.pixels.shape[2] == 3


@given(data=st.binary(max_size=200))
def test_sniffing_never_fails(data: bytes) -> None:
    containers.foreign_kind(data)
    containers.trap(data)
    containers.trap(b"II*\0" + data)
    containers.trap(b"\xff\xd8" + data)
