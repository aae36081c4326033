"""Reader of dlib's own serialization, as far as its face encoder requires.

Integers: one byte (low nibble: number of bytes that follow, bit 7: sign), then that many bytes, little endian.
A tensor: integer version 2, integers num_samples, k, nr, nc, then that many little-endian float32. Between tensors
stand short records of layer settings. Nothing in the file is executed.
"""

from collections.abc import Iterable
from math import prod

import numpy as np
from numpy.typing import NDArray

from faces.errors import FaceError

MAX_GAP = 512  # bytes of settings between two tensors; at most 341 in the file that is distributed


def read_tensors(data: bytes, shapes: Iterable[tuple[int, int, int, int]]) -> list[NDArray[np.float32]]:
    """Tensors of exactly these shapes, in file order; FaceError where one is missing, differs, or more follows."""
    tensors, position = [], 0
    for number, shape in enumerate(shapes, start=1):
        header = b"".join(_integer(value) for value in (2, *shape))
        start = data.find(header, position, position + MAX_GAP + len(header))
        begin, count = start + len(header), prod(shape)
        if start < 0 or begin + 4 * count > len(data):
            raise FaceError(f"The face encoder's file is not the expected one (tensor {number}): install it again.")
        values = np.frombuffer(data, dtype="<f4", count=count, offset=begin).reshape(shape)
        if not np.isfinite(values).all():
            raise FaceError(f"The face encoder's file is damaged (tensor {number}): install it again.")
        tensors.append(values)
        position = begin + 4 * count
    if len(data) - position > MAX_GAP:
        raise FaceError("The face encoder's file holds more than the expected network: install it again.")
    return tensors


def _integer(value: int) -> bytes:
    """A positive integer as dlib writes it."""
    size = (value.bit_length() + 7) // 8
    return bytes([size]) + value.to_bytes(size, "little")
