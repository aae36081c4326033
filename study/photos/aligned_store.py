"""Aligned photos of a study at a small size, with the regions of the face: what models of pixels and controls look at.

`aligned/` in the study's folder: parts of up to 64 photos, each under a digest of the photos in it. A part is written
once and never changed, so that a stopped run goes on; a photo whose bytes are the same is never aligned twice.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.console import Pace
from faces.align import resize
from faces.errors import FaceError
from study.disk.face_choices import Choice, key_of, read_choices
from study.disk.places import ALIGNED_PARTS as FOLDER
from study.disk.store import Study
from study.errors import StudyError
from study.files import read_limited, sha256_of, write_bytes
from study.photos.prepare import ALIGNED_SIZE, prepare

SIZE = 64  # px
BLOCK = 64  # photos in a part
MAX_BYTES = 2**26
FINE, NO_REGIONS, NO_FACE = range(3)
Progress = Callable[[int, int, float | None], None]
Row = tuple[NDArray[np.uint8], NDArray[np.uint8], int]  # pixels, regions, state


@dataclass(frozen=True, eq=False)
class AlignedPhotos:
    """pixels uint8 (n, S, S, 3); regions uint8 (n, S, S), index into faces.regions.REGION_NAMES; state (n,): FINE,
    NO_REGIONS (a face, but no landmarks in it: regions are 0) or NO_FACE (pixels are 0 too)."""

    pixels: NDArray[np.uint8]
    regions: NDArray[np.uint8]
    state: NDArray[np.uint8]


def aligned_photos(
    study: Study,
    photos: Sequence[Path],
    on_progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> AlignedPhotos:
    """These photos of the study, in order.

    on_progress: called with photos done, photos in all, seconds left. cancelled: True stops with FitCancelled; what is
    aligned is kept. Raises StudyError where a part cannot be written.
    """
    from survival.errors import FitCancelled

    choices = read_choices(study.path)
    plain = [sha256_of(path) for path in photos]
    digests = [key_of(digest, choices) for digest in plain]
    known = dict(_read(study))
    new = list({digest: i for i, digest in reversed(list(enumerate(digests))) if digest not in known}.values())[::-1]
    pace = Pace()
    for start in range(0, len(new), BLOCK):
        if cancelled is not None and cancelled():
            raise FitCancelled("The alignment of the photos was stopped; finished photos are kept.")
        block = {
            digests[i]: _align(photos[i], study.settings.aligned, choices.get(plain[i]))
            for i in new[start : start + BLOCK]
        }
        _write(study, block)
        known |= block
        done = min(start + BLOCK, len(new))
        if on_progress is not None:
            on_progress(len(photos) - len(new) + done, len(photos), pace.seconds_left(done, len(new) - done))
    rows = [known[digest] for digest in digests]
    if not rows:
        none = np.zeros((0, SIZE, SIZE), np.uint8)
        return AlignedPhotos(np.zeros((0, SIZE, SIZE, 3), np.uint8), none, np.zeros(0, np.uint8))
    state = np.array([row[2] for row in rows], np.uint8)
    return AlignedPhotos(np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows]), state)


def _align(path: Path, aligned: bool, choice: Choice | None) -> Row:
    none = np.zeros((SIZE, SIZE), np.uint8)
    try:
        face = prepare(path, aligned, choice=choice)
    except FaceError:
        return np.zeros((SIZE, SIZE, 3), np.uint8), none, NO_FACE
    regions = face.regions
    step = ALIGNED_SIZE // SIZE
    small = none if regions is None else np.ascontiguousarray(regions[step // 2 :: step, step // 2 :: step])
    return resize(face.pixels, SIZE), small, NO_REGIONS if regions is None else FINE


def _mark(study: Study) -> str:
    return f"1 {SIZE} {'aligned' if study.settings.aligned else 'detected'}"


def _write(study: Study, block: dict[str, Row]) -> None:
    buffer = io.BytesIO()
    rows = list(block.values())
    np.savez_compressed(
        buffer,
        sha256=np.array(list(block), dtype="U64"),
        pixels=np.stack([row[0] for row in rows]),
        regions=np.stack([row[1] for row in rows]),
        state=np.array([row[2] for row in rows], np.uint8),
        mark=np.array(_mark(study)),
    )
    name = hashlib.sha256("".join([_mark(study), *block]).encode()).hexdigest()[:32]
    write_bytes(study.path / FOLDER / f"{name}.npz", buffer.getvalue())


def _read(study: Study) -> Iterator[tuple[str, Row]]:
    """What is there of this study's kind of alignment; a damaged part counts as none."""
    for path in sorted((study.path / FOLDER).glob("*.npz")):
        try:
            data = read_limited(path, MAX_BYTES, "A part of the aligned photos")
            with np.load(io.BytesIO(data), allow_pickle=False) as stored:
                if str(stored["mark"]) != _mark(study):
                    continue
                digests, pixels, regions, state = (stored[k] for k in ("sha256", "pixels", "regions", "state"))
        except (StudyError, OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError):
            continue
        n = len(digests)
        shapes = (pixels.shape, regions.shape, state.shape)
        kinds = {pixels.dtype, regions.dtype, state.dtype}
        if shapes == ((n, SIZE, SIZE, 3), (n, SIZE, SIZE), (n,)) and kinds == {np.dtype(np.uint8)}:
            yield from ((str(d), (pixels[i], regions[i], int(state[i]))) for i, d in enumerate(digests))
