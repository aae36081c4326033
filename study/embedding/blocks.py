"""What engines and workers speak of: a block of photos, and what became of it.

A worker reads the photos itself and returns one result: what became of each photo, and the codes as the bytes of a
part. It writes nothing but aligned photos, which are stored by content: the run that asked is the only writer of codes,
so that a block done twice is kept once.

Nothing heavy is imported here: a worker process that has just started should not wait for what it may not need.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from common.parsing import json_value
from common.part_store import encode, json_array
from latent.errors import LatentError
from study.disk.latents import STORED
from study.errors import StudyError

MAX_TRIES = 2  # for a single photo; a larger block is tried once more as it is, then halved
Cancel = Callable[[], bool] | None


@dataclass(frozen=True)
class Block:
    """Consecutive photos of a study. start: place of the first one; photos: (patient, path) each; tries: failed so
    far."""

    start: int
    photos: tuple[tuple[str, str], ...]
    tries: int = 0

    def again(self) -> list[Block]:
        """What to try after a failure: all once more, then both halves, so that a photo that ends its worker stands
        alone in the end. [] when there is nothing left to try."""
        if self.tries == 0:
            return [replace(self, tries=1)]
        if (n := len(self.photos)) > 1:
            parts = ((0, n // 2), (n // 2, n))
            return [Block(self.start + a, self.photos[a:b], tries=1) for a, b in parts]
        return [replace(self, tries=self.tries + 1)] if self.tries < MAX_TRIES else []


@dataclass(frozen=True)
class PhotoOutcome:
    """What became of a photo: `digest` of its bytes where it has a code, else the `reason` why not."""

    digest: str = ""
    reason: str = ""


@dataclass(frozen=True)
class BlockResult:
    """outcomes: one a photo; part: bytes of a part file with the new codes, b"" if there are none.

    error: the block failed as a whole and may be tried again. refused: no block can succeed (a sentence).
    """

    start: int
    outcomes: tuple[PhotoOutcome, ...] = ()
    part: bytes = b""
    error: str = ""
    refused: str = ""

    def header(self) -> str:
        """All but the part, as JSON."""
        rows = [[o.digest, o.reason] for o in self.outcomes]
        return json.dumps({"start": self.start, "outcomes": rows, "error": self.error, "refused": self.refused})

    @classmethod
    def parse(cls, header: str, part: bytes) -> BlockResult:
        """The result whose `header()` and part these are."""
        values = json_value(header)
        values["outcomes"] = tuple(PhotoOutcome(*pair) for pair in values["outcomes"])
        return cls(**values, part=part)


Results = Generator[tuple[Block, BlockResult], None, None]


Worker = Callable[[Block], BlockResult]
MakeWorker = Callable[[str], Worker]  # of a device


class Engine(Protocol):
    """Whatever lets workers do blocks: yields each block once, with its result, in any order."""

    workers: int

    def run(self, blocks: Iterator[Block], cancelled: Cancel) -> Results: ...

    def close(self) -> None:
        """After the last run; most engines hold nothing."""
        return


def blocks_of(photos: Sequence[tuple[str, str]], size: int) -> Iterator[Block]:
    """The photos in blocks of `size`, in order."""
    for start in range(0, len(photos), size):
        yield Block(start, tuple(photos[start : start + size]))


def digest_table(digests: Sequence[str]) -> NDArray[np.bytes_]:
    """Hex digests as 32 bytes each, sorted: 32 MB for a million, searched in place and shared between processes."""
    return np.sort(np.array([bytes.fromhex(d) for d in digests], dtype="S32"))


def is_in(table: NDArray[np.bytes_], digest: str) -> bool:
    """Whether a hex digest is in a `digest_table`."""
    value = np.array(bytes.fromhex(digest), dtype="S32")
    place = int(np.searchsorted(table, value))
    return place < len(table) and bool(table[place] == value)


def encode_part(mark: str, rows: list[dict[str, Any]], codes: list[NDArray[np.float32]]) -> bytes:
    """The bytes of a part: index rows and the codes (views, num_ws, w_dim) of each, with the fingerprint of the
    settings."""
    return encode({"ws": np.stack(codes).astype(STORED), "index": json_array({"fingerprint": mark, "rows": rows})})


def refusal(error: Exception) -> str:
    """The sentence for a worker that could not be set up, "" for an error that is none of ours."""
    return str(error) if isinstance(error, (StudyError, LatentError)) else ""
