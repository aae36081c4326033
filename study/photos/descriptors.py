"""Face descriptors of a study's photos: dlib's 128 numbers of every aligned face, kept by the photo's sha256.

`descriptors.npz` in the study's folder: sha256 of each photo, its descriptor (nan where no face was found), and how the
photos were aligned. Written every block, so that a stopped run goes on; a photo whose bytes are the same is never
described twice.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.console import Pace
from faces.errors import FaceError
from study.disk.face_choices import Choice, key_of, read_choices
from study.disk.places import DESCRIPTORS as FILE_NAME
from study.disk.store import Study
from study.errors import StudyError
from study.files import read_limited, sha256_of, write_bytes
from study.photos.prepare import prepare

SIZE = 128
BLOCK = 64  # photos between two writes
MAX_BYTES = 2**31
Progress = Callable[[int, int, float | None], None]


def descriptors(
    study: Study,
    photos: Sequence[Path],
    on_progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    device: str = "cpu",
) -> NDArray[np.float32]:
    """(n, 128) descriptors of these photos of the study, in order; nan where a photo shows no face.

    on_progress: called with photos done, photos in all, seconds left. cancelled: True stops with FitCancelled; what is
    described is kept. Raises StudyError where the file cannot be written.
    """
    from survival.errors import FitCancelled

    choices = read_choices(study.path)
    plain = [sha256_of(path) for path in photos]
    chosen = [choices.get(digest) for digest in plain]
    digests = [key_of(digest, choices) for digest in plain]
    known = _read(study)
    new = [i for i, digest in enumerate(digests) if digest not in known]
    pace = Pace()
    for start in range(0, len(new), BLOCK):
        if cancelled is not None and cancelled():
            raise FitCancelled("The description of the photos was stopped; finished photos are kept.")
        block = new[start : start + BLOCK]
        for i, found in zip(
            block, _describe([(photos[i], chosen[i]) for i in block], study.settings.aligned, device), strict=True
        ):
            known[digests[i]] = found
        _write(study, known)
        done = start + len(block)
        if on_progress is not None:
            on_progress(len(photos) - len(new) + done, len(photos), pace.seconds_left(done, len(new) - done))
    return np.stack([known[digest] for digest in digests]) if digests else np.zeros((0, SIZE), np.float32)


def _describe(photos: list[tuple[Path, Choice | None]], aligned: bool, device: str) -> list[NDArray[np.float32]]:
    import torch

    from faces.encoder import chips_from_aligned, load_face_encoder

    out = [np.full(SIZE, np.nan, np.float32) for _ in photos]
    faces, places = [], []
    for i, (path, choice) in enumerate(photos):
        try:
            faces.append(prepare(path, aligned, choice=choice).pixels)
            places.append(i)
        except FaceError:
            continue  # nan says so; the caller knows whose photo it is
    if not faces:
        return out
    with torch.inference_mode():
        images = torch.as_tensor(np.stack(faces), device=device).permute(0, 3, 1, 2).float() / 127.5 - 1
        found = load_face_encoder(device)(chips_from_aligned(images)).cpu().numpy()
    for i, row in zip(places, found, strict=True):
        out[i] = row
    return out


def _mark(study: Study) -> str:
    return f"1 {'aligned' if study.settings.aligned else 'detected'}"


def _write(study: Study, known: dict[str, NDArray[np.float32]]) -> None:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        sha256=np.array(list(known), dtype="U64"),
        descriptor=np.stack(list(known.values())),
        mark=np.array(_mark(study)),
    )
    write_bytes(study.path / FILE_NAME, buffer.getvalue())


def _read(study: Study) -> dict[str, NDArray[np.float32]]:
    """What is there of this study's kind of alignment; a damaged file counts as none and is written anew."""
    if not (study.path / FILE_NAME).is_file():
        return {}
    try:
        data = read_limited(study.path / FILE_NAME, MAX_BYTES, "The file of descriptors")
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            digests, found, mark = stored["sha256"], stored["descriptor"], str(stored["mark"])
    except (StudyError, OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError):
        return {}
    if mark != _mark(study) or found.dtype != np.float32 or found.shape != (len(digests), SIZE):
        return {}
    return {str(digest): row for digest, row in zip(digests, found, strict=True)}
