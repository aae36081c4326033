"""What a file claims to be, read from its first bytes, and traps that must be seen before a decoder is let in.

Pillow checks pixel counts, text chunks and tag sizes by itself. Things it does not: progressive JPEGs with thousands of
scans over a large canvas (each scan costs a pass over all pixels) or whose coefficients, all held at once, take more
memory than their pixels; TIFFs with millions of strips or with a tile far larger than the picture. libheif and libavif
decode what the coded picture says, whatever size the container gives: sizes in HEIC and AVIF containers, and in HEVC's
own headers, are read here.
"""

import re
import struct
from collections.abc import Iterator

from faces.decoding import heic

MAX_SCANS = 32  # a progressive JPEG of a camera or a website has about ten
MAX_STRIPS = 50_000
MAX_TILE = 4096  # px a side
MAX_COEFFICIENTS = 200_000_000  # bytes that a progressive JPEG's coefficients take while it is decoded
MAX_CODED = 50_000_000  # pixels of a coded picture in a HEIC or AVIF file
MAX_CODED_PICTURES = 1024  # a 50-megapixel photo of a phone has 200 tiles, a thumbnail and a depth map

_TEXT = re.compile(rb"^(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|head|svg|\?xml|!--)", re.IGNORECASE)
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")  # a JPEG marker other than stuffing and restarts
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_RAW_PHOTO = "a camera raw file"
_STARTS = (
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a zip archive or office document"),
    (b"Rar!", "an archive"),
    (b"7z\xbc\xaf\x27\x1c", "an archive"),
    (b"\x1f\x8b", "an archive"),
    (b"GIF8", "a GIF"),
    (b"8BPS", "a Photoshop file"),
    (b"%!PS", "a PostScript file"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture"),
    (b"II+\x00", "a BigTIFF"),
    (b"MM\x00+", "a BigTIFF"),
    (b"FUJIFILM", _RAW_PHOTO),
    (b"\x1aE\xdf\xa3", "a video"),
)
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")
_AVIF = (b"avif", b"avis")
_EITHER = (b"mif1", b"msf1", b"heif")  # the container's own brands: which codec, the other brands say
PHOTO_STARTS = (b"\xff\xd8", b"\x89PNG", b"BM", b"II*\x00", b"MM\x00*", b"RIFF")


def _brands(data: bytes) -> tuple[bytes, list[bytes]]:
    """Main and other brands of a file that begins with a box ftyp; (b"", []) of any other."""
    if data[4:8] != b"ftyp":
        return b"", []
    end = min(int.from_bytes(data[:4], "big"), 256, len(data))
    return data[8:12], [data[i : i + 4] for i in range(16, end, 4)]


def is_heic(data: bytes) -> bool:
    """Whether the bytes claim to be a HEIC or HEIF photo."""
    main, others = _brands(data)
    return main in _HEIC or (main in _EITHER and not set(others) & set(_AVIF))


def foreign_kind(data: bytes) -> str | None:
    """What the bytes are, in words ("a PDF"), where they are a known kind of file that is not taken; else None."""
    if _TEXT.match(data[:1024]):
        return "an SVG drawing" if b"<svg" in data[:4096].lower() else "a web page or XML file"
    if main := _brands(data)[0]:
        if is_heic(data):
            return None if heic.readable() else "a HEIC photo (the package pi-heif, which reads them, is not installed)"
        return None if main in (*_AVIF, *_EITHER) else "a video"
    if data[128:132] == b"DICM":
        return "a DICOM file"
    if data[:4] == b"RIFF" and data[8:12] != b"WEBP":
        return "a sound or video file"
    return next((words for start, words in _STARTS if data.startswith(start)), None)


def trap(data: bytes) -> str | None:
    """Why a JPEG, TIFF, HEIC or AVIF must not be decoded, as the end of a sentence; None where nothing speaks against
    it."""
    if data.startswith(b"\xff\xd8"):
        return _jpeg_trap(data)
    if data[4:8] == b"ftyp":
        return _coded_trap(data)
    if data[:4] in (b"II*\x00", b"MM\x00*"):
        try:
            return _tiff_trap(data)
        except struct.error:
            return "is damaged"
    return None


def _jpeg_trap(data: bytes) -> str | None:
    """Objection to the first picture in a JPEG file; pictures and films appended to it are not read."""
    position, scans = 2, 0
    while scans <= MAX_SCANS and (marker := _MARKER.search(data, position)):
        code, position = marker[1][0], marker.end()
        if code == 0xD9:
            break
        if code in _PROGRESSIVE and _coefficients(data, position) > MAX_COEFFICIENTS:
            return "is a progressive JPEG of too many pixels"
        scans += code == 0xDA
        if code not in (0x01, 0xD8):
            position += int.from_bytes(data[position : position + 2], "big")
    return "has too many passes for a photo" if scans > MAX_SCANS else None


def _coefficients(data: bytes, position: int) -> int:
    """Bytes of all coefficients, two each, by a frame header that begins at position; 0 where it is cut off."""
    height, width = (int.from_bytes(data[position + i : position + i + 2], "big") for i in (3, 5))
    parts = data[position + 9 : position + 8 + 3 * data[position + 7] : 3] if len(data) > position + 8 else b""
    sampling = [(b >> 4, b & 15) for b in parts]
    largest = max((h for h, _ in sampling), default=1) * max((v for _, v in sampling), default=1)
    return 2 * height * width * sum(h * v for h, v in sampling) // max(largest, 1)


def _coded_trap(data: bytes) -> str | None:
    """Objection to the sizes that a HEIC or AVIF file gives, in its container and in HEVC's sequence headers."""
    meta = next((body for kind, body in _boxes(data) if kind == b"meta"), b"")
    places = [match.end() for match in re.finditer(rb"ispe\0\0\0\0", meta)]
    configurations = [match.end() for match in re.finditer(rb"hvcC\x01", meta)]
    if max(len(places), len(configurations)) > MAX_CODED_PICTURES:
        return "holds too many pictures for a photo"
    sizes = [struct.unpack(">LL", meta[p : p + 8]) for p in places if len(meta) >= p + 8]
    for start in configurations:
        sizes += _hevc_sizes(meta[start - 1 : start + 4096])
    too_large = any(width * height > MAX_CODED for width, height in sizes)
    return f"has more than {MAX_CODED // 1_000_000} million pixels" if too_large else None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(kind, contents) of the top boxes of an ISO base media file, at most a hundred."""
    position = 0
    for _ in range(100):
        if position + 8 > len(data):
            return
        size, kind, header = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8], 8
        if size == 1:
            size, header = int.from_bytes(data[position + 8 : position + 16], "big"), 16
        end = position + size if size else len(data)
        if end < position + header:
            return
        yield kind, data[position + header : end]
        position = end


def _hevc_sizes(configuration: bytes) -> list[tuple[int, int]]:
    """(width, height) of the sequence parameter sets in an hvcC record (ISO 14496-15, 8.3.3.1); what is cut off is left
    out."""
    sizes, position = [], 23
    try:
        for _ in range(min(configuration[22], 16)):
            kind = configuration[position] & 63
            count = int.from_bytes(configuration[position + 1 : position + 3], "big")
            position += 3
            for _ in range(min(count, 16)):
                length = int.from_bytes(configuration[position : position + 2], "big")
                unit = configuration[position + 2 : position + 2 + length]
                position += 2 + length
                if kind == 33:
                    sizes.append(_sps_size(unit))
    except IndexError:
        pass
    return sizes


def _sps_size(unit: bytes) -> tuple[int, int]:
    """(width, height) of a sequence parameter set (H.265, 7.3.2.2); IndexError where it is cut off."""
    payload = unit.replace(b"\0\0\x03", b"\0\0")[2:]  # without bytes that prevent start codes, and the unit's header
    bits = "".join(f"{byte:08b}" for byte in payload[:128])
    layers = int(bits[4:7], 2)
    position = 8 + 96
    if layers:
        flags = bits[position : position + 2 * layers]
        position += 16 + sum(88 * (flags[i] == "1") + 8 * (flags[i + 1] == "1") for i in range(0, 2 * layers, 2))

    def number() -> int:  # Exp-Golomb
        nonlocal position
        zeros = 0
        while bits[position + zeros] == "0":
            zeros += 1
        position += 2 * zeros + 1
        return int(bits[position - zeros - 1 : position], 2) - 1

    number()
    if number() == 3:
        position += 1
    return number(), number()


def _tiff_trap(data: bytes) -> str | None:
    """Objection to the first directory of a TIFF; struct.error where it is cut off."""
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "L", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, start)
    for index in range(entries):
        tag, kind, count = struct.unpack_from(order + "HHL", data, start + 2 + 12 * index)
        (value,) = struct.unpack_from(order + ("H" if kind == 3 else "L"), data, start + 10 + 12 * index)
        if tag in (273, 279, 324, 325) and count > MAX_STRIPS:
            return "is cut into too many strips for a photo"
        if tag in (322, 323) and value > MAX_TILE:
            return "is cut into tiles that are too large for a photo"
        if (tag == 254 and value & 1) or tag == 50706:
            return f"is {_RAW_PHOTO}"
    return None
