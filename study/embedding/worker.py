"""The worker: a block of photos to codes with one loaded checkpoint, set up here or on another machine."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faces.align import AlignedFace
from faces.errors import FaceError
from latent.checkpoints import Checkpoint, load_checkpoint
from latent.errors import Cancelled, InversionError
from study.disk.face_choices import read_choices
from study.disk.latents import Embedding
from study.disk.store import Study
from study.embedding.blocks import Block, BlockResult, Cancel, PhotoOutcome, digest_table, encode_part, is_in
from study.embedding.parts import PARTS, FinishedCodes
from study.embedding.record import fingerprint, index_row, inversion_settings, record_of
from study.errors import StudyError
from study.files import replacing, sha256_of
from study.photos.aligned_store import AlignedStore
from study.photos.prepare import invert_faces, needs_confirmation, target_size

SHARED_DISK_SECONDS = 15.0  # a network disk shows a new file late


class BlockWorker:
    """Embeds blocks with one loaded checkpoint.

    store: of the study's aligned photos. known: digests of photos that have their code already.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        record: Embedding,
        store: AlignedStore,
        known: NDArray[np.bytes_],
        cancelled: Cancel = None,
    ) -> None:
        self.checkpoint, self.store, self.known, self.cancelled = checkpoint, store, known, cancelled
        self.settings, self.mark, self.views = inversion_settings(record), fingerprint(record), record.views

    def __call__(self, block: Block) -> BlockResult:
        """Never raises for what is wrong with photos, memory or disk; Cancelled when stopped."""
        try:
            return self._embed(block)
        except Cancelled:
            raise
        except Exception as error:  # out of memory on a GPU, a network disk that stutters: tried again, then reported
            return BlockResult(block.start, error=f"{type(error).__name__}: {str(error).strip()[:300]}")

    def _embed(self, block: Block) -> BlockResult:
        outcomes: list[PhotoOutcome] = [PhotoOutcome()] * len(block.photos)
        faces: list[AlignedFace] = []
        places: list[int] = []
        for i, (_, path) in enumerate(block.photos):
            if self.cancelled is not None and self.cancelled():
                raise Cancelled("The embedding was stopped.")
            digest = sha256_of(Path(path))
            outcomes[i] = PhotoOutcome(digest)
            if is_in(self.known, digest):
                continue
            try:
                face = self.store.face(Path(path), target_size(self.checkpoint), digest)
                if why := needs_confirmation(face):
                    outcomes[i] = PhotoOutcome(reason=f"{Path(path).name}: {why}")
                    continue
                faces.append(face)
                places.append(i)
            except FaceError as error:
                outcomes[i] = PhotoOutcome(reason=str(error))
        rows, codes = [], []
        made = invert_faces(self.checkpoint, faces, self.settings, self.views, None, self.cancelled) if faces else []
        for i, face, code in zip(places, faces, made, strict=True):
            if isinstance(code, InversionError):
                outcomes[i] = PhotoOutcome(reason=str(code))
                continue
            patient, path = block.photos[i]
            rows.append(index_row(patient, Path(path), outcomes[i].digest, code.inversion, face.quality.flags))
            codes.append(code.views)
        part = encode_part(self.mark, rows, codes) if rows else b""
        return BlockResult(block.start, tuple(outcomes), part)


@dataclass(frozen=True)
class WorkerSpec:
    """All that a worker needs to know, in plain values. study, checkpoint: absolute paths; known: name of the file
    with the digests of finished photos, under the study's parts."""

    study: str
    checkpoint: str
    record: Embedding
    known: str

    def __call__(self, device: str) -> BlockWorker:
        """The worker, its checkpoint loaded. StudyError or LatentError when it would give other codes, or none."""
        known = self._known()
        checkpoint = load_checkpoint(Path(self.checkpoint), device=device)
        preset, aligned = self.record.preset, bool(self.record.settings["aligned"])
        current = record_of(checkpoint, inversion_settings(self.record), preset, aligned, self.record.views)
        if fingerprint(current) != fingerprint(self.record):
            raise StudyError(
                f"{socket.gethostname()} has another checkpoint or other perceptual weights under the same name and "
                "would make codes that do not fit the others: give every machine the same files."
            )
        folder = Path(self.study)
        return BlockWorker(checkpoint, self.record, AlignedStore(folder, aligned, read_choices(folder)), known)

    def _known(self) -> Any:
        path = Path(self.study) / PARTS / self.known
        until = time.monotonic() + SHARED_DISK_SECONDS
        while not path.is_file() and time.monotonic() < until:
            time.sleep(0.2)
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False) if path.stat().st_size > 128 else digest_table([])
        except (OSError, ValueError) as error:
            raise StudyError(
                f"{socket.gethostname()} does not see the study's folder {self.study}: put study and checkpoint on a "
                "disk that every machine mounts at the same path, or use --engine local."
            ) from error


@contextmanager
def worker_spec(study: Study, checkpoint: Path, record: Embedding, finished: FinishedCodes) -> Iterator[WorkerSpec]:
    """The specification for workers of one run; its file of finished photos is removed at the end."""
    name = f"known-{uuid.uuid4().hex[:8]}.npy"
    path = study.path.resolve() / PARTS / name
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, digest_table(finished.digests()), allow_pickle=False)
    try:
        yield WorkerSpec(str(study.path.resolve()), str(checkpoint.resolve()), record, name)
    finally:
        with suppress(OSError):
            path.unlink()
