"""Finished parts of long work on disk: a folder of npz files, each under a key, so that a stopped run resumes.

A part is written whole or not at all. Reading believes nothing: a part that is damaged, of another shape or type than
expected, not finite, or stored under another key counts as absent, and the work is done again.
"""

from __future__ import annotations

import io
import json
import math
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from common.files import PLAIN
from common.parsing import json_value

KEY = "key"  # the member that holds the part's own key
SAFE_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
MAX_BYTES = 2**28  # of the arrays of one part, unpacked
Arrays = dict[str, NDArray[Any]]
# Name of an array -> its dtype and shape, None for a side of any length.
Layout = Mapping[str, tuple[str, tuple[int | None, ...]]]
JSON: tuple[str, tuple[int | None, ...]] = ("|u1", (None,))
_DAMAGE = (
    *(OSError, ValueError, KeyError, EOFError, TypeError, NotImplementedError, RecursionError, SyntaxError),
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError),
)


class PartStore:
    """A folder of parts, spread over subfolders by the first two characters of the key; processes may share it.

    max_bytes: of the arrays of a part together; a larger one counts as absent.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self.folder, self.max_bytes = folder, max_bytes

    def path(self, key: str) -> Path:
        """The file of a part. Raises ValueError for a key that is not a plain name."""
        if not SAFE_KEY.fullmatch(key):
            raise ValueError(f"{key[:40]!r} cannot be the key of a part")
        return self.folder / key[:2] / f"{key}.npz"

    def put(self, key: str, arrays: Mapping[str, NDArray[Any]], level: int = 0) -> None:
        """Writes a part, in place of one with the same key. level: of the compression, 0 (none) to 9. Raises OSError
        where the disk refuses."""
        PLAIN.write_bytes(self.path(key), encode({**arrays, KEY: np.frombuffer(key.encode(), np.uint8)}, level))

    def get(self, key: str, layout: Layout) -> Arrays | None:
        """The arrays that `layout` names, and no others are read; None where there is no such part."""
        try:
            with self.path(key).open("rb") as file:
                found = decode(file, {**layout, KEY: JSON}, self.max_bytes)
        except OSError:
            return None
        return found if found is not None and found.pop(KEY).tobytes() == key.encode() else None

    def __iter__(self) -> Iterator[str]:
        """Keys of all parts, sorted; whether a part can be used is known when it is read."""
        yield from filter(SAFE_KEY.fullmatch, sorted(path.stem for path in self.folder.glob("*/*.npz")))


def encode(arrays: Mapping[str, NDArray[Any]], level: int = 0) -> bytes:
    """An npz file of these arrays; level: of the compression, 0 (none) to 9. Raises ValueError for Python objects."""
    buffer = io.BytesIO()
    how = zipfile.ZIP_DEFLATED if level else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            # a ZipInfo of a bare name has no time, so that equal arrays are equal bytes
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue(), how, level or None)
    return buffer.getvalue()


def decode(source: BinaryIO | bytes, layout: Layout, max_bytes: int = MAX_BYTES) -> Arrays | None:
    """The arrays that `layout` names; None where one of them is absent, damaged, not finite or of another kind."""
    try:
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            members = {name: archive.getinfo(f"{name}.npy") for name in layout}
            if sum(member.file_size for member in members.values()) > max_bytes:
                return None
            return {name: _array(archive.read(members[name]), *layout[name]) for name in layout}
    except _DAMAGE:
        return None


def _array(data: bytes, dtype: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """An array from the bytes of an npy file, whose header must agree with the number of bytes. Raises ValueError."""
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("another version of npy")
    sides, fortran, kind = np.lib.format.read_array_header_1_0(file)
    body = data[file.tell() :]
    if fortran or kind != np.dtype(dtype) or len(sides) != len(shape):
        raise ValueError("another kind of array")
    if any(expected not in (None, side) for side, expected in zip(sides, shape, strict=True)):
        raise ValueError("another shape")
    if math.prod(sides) * kind.itemsize != len(body):
        raise ValueError("another number of bytes")
    array = np.frombuffer(body, kind).reshape(sides)
    if kind.kind == "f" and not np.isfinite(array).all():
        raise ValueError("not finite")
    return array


def json_array(value: Any) -> NDArray[np.uint8]:
    """A JSON value, in which numbers may be nan, as the array that stands for it in a part."""
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


def array_json(array: NDArray[np.uint8]) -> Any:
    """The JSON value of `json_array`. Raises ValueError where it is none."""
    return json_value(array.tobytes())
