"""Photos that are copies of each other but for size, compression or brightness: difference hashes, compared in bulk.

A photo in 17 x 16 grey cells gives 256 bits: whether each cell is brighter than its right neighbour. Copies differ in a
few bits, other pictures in about half of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 16
BITS = SIDE * SIDE
NEAR = 18  # bits; 600 rendered portraits: 35 and more between people, at most 15 (95 %) to a copy of 60 % size
BLOCK = 512  # photos compared with all others at a time


def fingerprint(pixels: NDArray[np.uint8]) -> bytes:
    """32 bytes of a photo, uint8 (H, W, 3)."""
    grey = Image.fromarray(pixels).convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX)
    cells = np.asarray(grey, dtype=np.int16)
    return np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes()


def near_copies(prints: Sequence[bytes], near: int = NEAR) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of fingerprints that differ in at most `near` bits, each j once, with its nearest i.

    Distances are products of +1/-1 vectors. A flat picture has no edges to compare and is no copy of anything.
    """
    if len(prints) < 2:
        return []
    bits = np.unpackbits(np.frombuffer(b"".join(prints), np.uint8).reshape(len(prints), -1), axis=1)
    signs = 2 * bits.astype(np.float32) - 1
    told = bits.mean(axis=1) > 0.05
    found: dict[int, tuple[float, int]] = {}
    for start in range(0, len(prints), BLOCK):
        apart = (BITS - signs[start : start + BLOCK] @ signs.T) / 2
        for row, j in np.argwhere(apart <= near):
            i = start + int(row)
            if i < j and told[i] and told[j]:
                found[int(j)] = min(found.get(int(j), (BITS, 0)), (float(apart[row, j]), i))
    return sorted((i, j) for j, (_, i) in found.items())
