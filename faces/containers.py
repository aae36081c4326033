"""What a file claims to be, read from its first bytes, and traps that must be seen before a decoder is let in.

Pillow checks pixel counts, text chunks and tag sizes by itself. Three things it does not: progressive JPEGs with
thousands of scans over a large canvas (each scan costs a pass over all pixels), TIFFs with millions of strips or
with a tile far larger than the picture.
"""

import re
import struct

MAX_SCANS = 32  # a progressive JPEG of a camera or a website has about ten
MAX_STRIPS = 50_000
MAX_TILE = 4096  # px a side

_TEXT = re.compile(rb"^(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|head|svg|\?xml|!--)", re.IGNORECASE)
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")  # a JPEG marker other than stuffing and restarts
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
_HEIF = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"heif")


PHOTO_STARTS = (b"\xff\xd8", b"\x89PNG", b"BM", b"II*\x00", b"MM\x00*", b"RIFF")


def foreign_kind(data: bytes) -> str | None:
    """What the bytes are, in words ("a PDF"), where they are a known kind of file that is not taken; else None."""
    if _TEXT.match(data[:1024]):
        return "an SVG drawing" if b"<svg" in data[:4096].lower() else "a web page or XML file"
    if data[4:8] == b"ftyp":
        if data[8:12] in _HEIF:
            return "a HEIC photo"
        return "an AVIF picture" if data[8:12] in (b"avif", b"avis") else "a video"
    if data[128:132] == b"DICM":
        return "a DICOM file"
    if data[:4] == b"RIFF" and data[8:12] != b"WEBP":
        return "a sound or video file"
    return next((words for start, words in _STARTS if data.startswith(start)), None)


def trap(data: bytes) -> str | None:
    """Why a JPEG or TIFF must not be decoded, as the end of a sentence; None where there is no objection."""
    if data.startswith(b"\xff\xd8"):
        return "has too many passes for a photo" if _jpeg_scans(data) > MAX_SCANS else None
    if data[:4] in (b"II*\x00", b"MM\x00*"):
        try:
            return _tiff_trap(data)
        except struct.error:
            return "is damaged"
    return None


def _jpeg_scans(data: bytes) -> int:
    """Scans of the first picture in a JPEG file; pictures and films appended to it are not read."""
    position, scans = 2, 0
    while scans <= MAX_SCANS and (marker := _MARKER.search(data, position)):
        code, position = marker[1][0], marker.end()
        if code == 0xD9:
            break
        scans += code == 0xDA
        if code not in (0x01, 0xD8):
            position += int.from_bytes(data[position : position + 2], "big")
    return scans


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
