"""Photos that are copies of each other but for size, compression or brightness: difference hashes, compared in bulk.

A photo in 17 x 16 grey cells gives 256 bits: whether each cell is brighter than its left neighbour. Two photos are as
far apart as the share of bits that only one of them has among those that either has: a plain background, where no cell
is brighter than the next, says nothing. Among 600 rendered portraits the nearest two people are 0.24 apart; of 100
portraits scaled to 60 % and compressed again, 95 are within 0.12 of the original.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 16
NEAR = 0.15
FEWEST = 60  # bits; pictures with fewer edges cannot be told apart
BLOCK = 512  # photos compared with all others at a time


def fingerprint(pixels: NDArray[np.uint8]) -> bytes:
    """32 bytes of a photo, uint8 (H, W, 3)."""
    grey = Image.fromarray(pixels).convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX)
    cells = np.asarray(grey, dtype=np.int16)
    return np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes()


def near_copies(prints: Sequence[bytes], near: float = NEAR) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of fingerprints at most `near` apart, each j once, with its nearest i."""
    if len(prints) < 2:
        return []
    bits = np.unpackbits(np.frombuffer(b"".join(prints), np.uint8).reshape(len(prints), -1), axis=1).astype(np.float32)
    ones = bits.sum(axis=1)
    distinct = ones >= FEWEST
    nearest: dict[int, tuple[float, int]] = {}
    for start in range(0, len(prints), BLOCK):
        shared = bits[start : start + BLOCK] @ bits.T
        either = np.maximum(ones[start : start + BLOCK, None] + ones[None, :] - shared, 1)
        apart = 1 - shared / either
        for row, j in np.argwhere(apart <= near):
            i = start + int(row)
            if i < j and distinct[i] and distinct[j]:
                nearest[int(j)] = min(nearest.get(int(j), (1.0, 0)), (float(apart[row, j]), i))
    return sorted((i, j) for j, (_, i) in nearest.items())
