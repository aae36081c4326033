"""Files that are no photos, or photos made to hurt: one clear sentence each, quickly and in little memory."""

import io
import struct
import subprocess
import sys
import zipfile
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from faces import photo
from faces.decoding import containers, decode, heic
from faces.decoding.decode import MAX_PIXELS
from faces.errors import PhotoError
from faces.photo import MAX_BYTES, load_photo
from tests.work import calls, peak_bytes

ROOT = Path(__file__).parents[2]
HEIC = Path(__file__).parents[1] / "data" / "photos" / "astronaut.heic"


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
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "damaged"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "damaged"),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", "damaged"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "damaged"),
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


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.97])
def test_truncated(format: str, share: float) -> None:
    data = encode(noise(), format)
    refused(data[: int(len(data) * share)])


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "AVIF"])
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
    refused(encode(Image.new("L", (decode.MAX_SIDE + 1, 40)), "PNG"), "million pixels")
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


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.97])
def test_a_truncated_heic(share: float) -> None:
    data = HEIC.read_bytes()
    refused(data[: int(len(data) * share)])


def test_sizes_in_a_heic_container_and_in_its_codec_are_read_before_it_is_decoded() -> None:
    data = HEIC.read_bytes()
    place = data.index(b"ispe") + 8
    assert struct.unpack(">LL", data[place : place + 8]) == (200, 240)
    refused(data[:place] + struct.pack(">LL", 16_000, 16_000) + data[place + 8 :], "million pixels")
    refused(data[:place] + struct.pack(">LL", 200, 120) + data[place + 8 :])  # the coded picture is another
    start = data.index(b"hvcC") + 4
    assert containers._hevc_sizes(data[start:]) == [(200, 240)]
    bits = "".join(f"{byte:08b}" for byte in data)
    golomb = [f"{value + 1:b}" for value in (200, 240)]  # Exp-Golomb of the coded sides
    coded = "".join("0" * (len(code) - 1) + code for code in golomb)
    assert coded in bits, "sides as they stand in the sequence parameter set"
    crowd = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + box(b"meta", box(b"ispe", bytes(12)) * 1100)
    refused(crowd, "too many pictures")


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">L", 8 + len(body)) + kind + body


def test_heic_without_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heic, "readable", lambda: False)
    refused(HEIC.read_bytes(), "HEIC", "pi-heif", "save the photo as JPEG")


def test_a_progressive_jpeg_whose_coefficients_take_too_much_memory_is_refused() -> None:
    """libjpeg holds all of them at once: 300 MB at 50 megapixels without subsampling."""
    data = encode(noise(), "JPEG", progressive=True, subsampling=0)
    place = data.index(b"\xff\xc2") + 5
    assert struct.unpack(">HH", data[place : place + 4]) == (64, 64)
    refused(data[:place] + struct.pack(">HH", 7000, 7000) + data[place + 4 :], "progressive JPEG")
    assert containers.trap(data[:place] + struct.pack(">HH", 5000, 5000) + data[place + 4 :]) is None
    assert containers.trap(data) is None


MEASURE = """
import sys
from pathlib import Path
from faces.photo import load_photo
with open(sys.argv[1], "rb") as file:
    photo = load_photo(file.read(), "big")
# ru_maxrss of a child counts the memory of the process that started it
peak = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(peak, *photo.pixels.shape)
"""


def large(kind: str) -> bytes:
    """As many pixels as the format may have, in modes that need the most memory."""
    side = 7_070 if kind not in ("WEBP", "AVIF") else 4_200
    image = Image.fromarray(np.kron(np.asarray(noise(35)), np.ones((side // 35, side // 35, 1), np.uint8)))
    if kind == "PNG gradient":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    if kind.startswith("PNG "):
        mode = kind.removeprefix("PNG ")
        image = image.quantize(64) if mode == "P" else image.convert(mode) if mode != "gradient" else image
        return encode(image, "PNG", compress_level=1)
    if kind == "progressive":
        return encode(image, "JPEG", progressive=True, quality=50)
    options = {"JPEG": {"quality": 60}, "TIFF": {"compression": "tiff_lzw"}, "AVIF": {"speed": 10, "quality": 20}}
    return encode(image, kind, **options.get(kind, {}))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
@pytest.mark.parametrize(
    "kind", ["JPEG", "progressive", "PNG 1", "PNG P", "PNG RGB", "PNG gradient", "PNG I;16", "TIFF", "WEBP", "AVIF"]
)
def test_the_largest_photos_take_less_than_400_mb(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(large(kind))
    run = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    peak, height, width, _ = (int(value) for value in run.stdout.split())
    print(f"{kind}: {peak / 1000:.0f} MB")
    assert peak < 400_000  # kB, the interpreter and its libraries included
    assert height * width <= decode.MAX_KEPT


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


@pytest.mark.slow
@pytest.mark.filterwarnings("default::UserWarning")
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    format=st.sampled_from(["JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF", "HEIC"]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
    head=st.booleans(),
)
def test_a_damaged_file_is_read_or_refused_with_a_sentence(
    format: str, changes: list[tuple[float, int]], head: bool
) -> None:
    """Bytes overwritten anywhere: never another exception, never a wrong kind of picture."""
    data = bytearray(HEIC.read_bytes() if format == "HEIC" else encode(noise(40), format))
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
    containers.trap(b"\xff\xd8\xff\xc2" + data)
    containers.trap(b"\0\0\0\x18ftypheic" + data)
    containers.trap(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + box(b"meta", b"hvcC\x01" + data))
