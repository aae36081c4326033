"""A block of photos, and the worker that turns it into codes: the same for every engine.

A worker reads the photos itself and gives back one result: what became of each photo, and the codes as the bytes of a
part file. It writes nothing: the run that asked is the only writer, so that a block done twice is kept once.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from faces.align import AlignedFace
from faces.errors import FaceError
from latent.checkpoints import Checkpoint
from latent.errors import Cancelled, InversionError
from latent.inversion import Progress
from study.embedding.record import fingerprint, index_row, inversion_settings
from study.files import sha256_of
from study.latents import Embedding
from study.prepare import invert_faces, prepare

MAX_TRIES = 2  # for a single photo; a larger block is tried once more as it is, then halved
OnStep = Callable[[int, Progress], None]
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
class Outcome:
    """What became of a photo: `digest` of its bytes where it has a code, else the `reason` why not."""

    digest: str = ""
    reason: str = ""


@dataclass(frozen=True)
class BlockResult:
    """outcomes: one a photo; part: bytes of a part file with the new codes, b"" if there are none.

    error: the block failed as a whole and may be tried again. refused: no block can succeed (a sentence).
    """

    start: int
    outcomes: tuple[Outcome, ...] = ()
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
        values = json.loads(header)
        values["outcomes"] = tuple(Outcome(*pair) for pair in values["outcomes"])
        return cls(**values, part=part)


Results = Generator[tuple[Block, BlockResult], None, None]


class Worker(Protocol):
    """Whatever turns a block into its result."""

    def __call__(self, block: Block) -> BlockResult: ...


class Engine(Protocol):
    """Whatever lets workers do blocks: yields each block once, with its result, in any order."""

    workers: int

    def run(self, blocks: Iterator[Block], cancelled: Cancel) -> Results: ...

    def close(self) -> None: ...


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
    """A part file: index rows and codes (n, num_ws, w_dim), with the fingerprint of the settings."""
    file = io.BytesIO()
    data = np.frombuffer(json.dumps(rows).encode(), np.uint8)
    np.savez(file, ws=np.stack(codes), rows=data, fingerprint=np.array(mark))
    return file.getvalue()


class BlockWorker:
    """Embeds blocks with one loaded checkpoint.

    known: digests of photos that have their code already. on_step: told the number of photos of the running batch,
    and its progress.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        record: Embedding,
        known: NDArray[np.bytes_],
        on_step: OnStep | None = None,
        cancelled: Cancel = None,
    ) -> None:
        self.checkpoint, self.known, self.on_step, self.cancelled = checkpoint, known, on_step, cancelled
        self.settings, self.mark = inversion_settings(record), fingerprint(record)
        self.aligned = bool(record.settings["aligned"])

    def __call__(self, block: Block) -> BlockResult:
        """Never raises for what is wrong with photos, memory or disk; Cancelled when stopped."""
        try:
            return self._embed(block)
        except Cancelled:
            raise
        except Exception as error:  # out of memory on a GPU, a network disk that stutters: tried again, then reported
            return BlockResult(block.start, error=f"{type(error).__name__}: {str(error).strip()[:300]}")

    def _embed(self, block: Block) -> BlockResult:
        outcomes: list[Outcome] = [Outcome()] * len(block.photos)
        faces: list[AlignedFace] = []
        places: list[int] = []
        for i, (_, path) in enumerate(block.photos):
            if self.cancelled is not None and self.cancelled():
                raise Cancelled("The embedding was stopped.")
            digest = sha256_of(Path(path))
            outcomes[i] = Outcome(digest)
            if is_in(self.known, digest):
                continue
            try:
                faces.append(prepare(Path(path), self.aligned))
                places.append(i)
            except FaceError as error:
                outcomes[i] = Outcome(reason=str(error))
        rows, codes = [], []
        for i, face, inversion in zip(places, faces, self._invert(faces), strict=True):
            if isinstance(inversion, InversionError):
                outcomes[i] = Outcome(reason=str(inversion))
                continue
            patient, path = block.photos[i]
            rows.append(index_row(patient, Path(path), outcomes[i].digest, inversion, face.quality.flags))
            codes.append(np.asarray(inversion.ws, np.float32))
        part = encode_part(self.mark, rows, codes) if rows else b""
        return BlockResult(block.start, tuple(outcomes), part)

    def _invert(self, faces: list[AlignedFace]) -> list[Any]:
        if not faces:
            return []

        def on_step(progress: Progress) -> None:
            if self.on_step is not None:
                self.on_step(len(faces), progress)

        return invert_faces(self.checkpoint, faces, self.settings, on_step, self.cancelled)
