"""From a photo to the face that is inverted: the one way, for a cohort and for a new photo alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faces.align import AlignedFace, align, already_aligned, resize
from faces.errors import NoFaceError
from faces.landmarks import detect_faces
from faces.photo import Photo, load_photo
from latent.checkpoints import Checkpoint, load_checkpoint
from latent.errors import InversionError, LatentError
from latent.inversion import Inversion, InversionSettings, Progress, invert
from study.errors import StudyError
from study.store import Study

CHECKPOINTS = Path("checkpoints")
ALIGNED_SIZE = 256  # px; quality is judged at this size whatever the checkpoint's resolution


def prepare(photo: Photo | Path, aligned: bool = False) -> AlignedFace:
    """The largest face of a photo in the FFHQ square, or the photo itself where it is `aligned` already.

    Raises PhotoError for what is no photo, NoFaceError where no face is found.
    """
    if isinstance(photo, Path):
        photo = load_photo(photo)
    if aligned:
        return already_aligned(photo, ALIGNED_SIZE)
    faces = detect_faces(photo)
    if not faces:
        raise NoFaceError(f"{photo.source or 'The photo'}: no face was found; use a photo of a face looking this way.")
    return align(photo, faces[0], ALIGNED_SIZE)


def invert_faces(
    checkpoint: Checkpoint,
    faces: list[AlignedFace],
    settings: InversionSettings,
    on_step: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[Inversion | InversionError]:
    """Inverts faces together; where one spoils the batch they are tried one by one, and its error takes its place.

    Raises Cancelled when stopped.
    """
    try:
        return list(invert(checkpoint, np.stack([f.pixels for f in faces]), settings, on_step, cancelled))
    except InversionError as error:
        if len(faces) == 1:
            return [error]
    return [invert_faces(checkpoint, [face], settings, on_step, cancelled)[0] for face in faces]


def study_checkpoint(study: Study, name: str | None = None, device: str = "cpu") -> Checkpoint:
    """The checkpoint a study names in study.toml (or `name`), generator and encoder."""
    name = name or study.settings.checkpoint
    try:
        return load_checkpoint(CHECKPOINTS / name if not Path(name).is_dir() else Path(name), device=device)
    except LatentError as error:
        raise StudyError(f"Checkpoint {name!r}: {error}") from error


def pixels_for(checkpoint: Checkpoint, face: AlignedFace) -> NDArray[np.uint8]:
    """The face at the checkpoint's resolution, uint8 (R, R, 3): what its reconstruction is compared with."""
    return resize(face.pixels, checkpoint.resolution)
