"""From a photo to the aligned face that is inverted, the same for a cohort and for a new photo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faces.align import MAX_SIZE, AlignedFace, align, already_aligned, resize
from faces.changes.mirror import mirror
from faces.errors import NoFaceError
from faces.flags import CHOSEN, SEVERAL, SIDEWAYS, UNCERTAIN, Flag
from faces.landmarks import Face, find_upright
from faces.photo import Photo, load_photo
from faces.views import search_order, views_of
from latent.checkpoints import Checkpoint, load_checkpoint
from latent.errors import InversionError, LatentError
from latent.inversion.invert import Inversion, Progress, invert
from latent.inversion.settings import InversionSettings
from study.disk.face_choices import PERSON, Choice
from study.disk.store import Study
from study.errors import StudyError

CHECKPOINTS = Path("checkpoints")
ALIGNED_SIZE = 256  # px; for smaller generators the square is reduced from this size


def target_size(checkpoint: Checkpoint) -> int:
    """px: the side at which faces are aligned for a generator: its own, so that no detail is invented by enlarging."""
    return min(max(ALIGNED_SIZE, checkpoint.resolution), MAX_SIZE)


def prepare(
    photo: Photo | Path, aligned: bool = False, size: int = ALIGNED_SIZE, choice: Choice | None = None
) -> AlignedFace:
    """The largest face of a photo, or the chosen one, in the FFHQ square, or the photo itself where it is `aligned`
    already. size: px. Flags name several faces, an uncertain detection, and a photo that had to be turned.

    Raises PhotoError where the file is not a photo, NoFaceError where no face is found.
    """
    if isinstance(photo, Path):
        photo = load_photo(photo)
    if aligned:
        return with_choice(already_aligned(photo, size), 1, 0, choice)
    upright = find_upright(photo)
    face = align(upright.photo, pick(upright.faces, choice.face if choice else 1, photo.source), size)
    return with_choice(face, len(upright.faces), upright.quarters, choice)


def pick(faces: Sequence[Face], number: int, source: str) -> Face:
    """Face `number` (1 the largest), or the largest where there are fewer. Raises NoFaceError where there is none."""
    if not faces:
        name = source or "The photo"
        raise NoFaceError(f"{name}: no face was found; use a photo of a face that looks at the camera.")
    return faces[number - 1 if number <= len(faces) else 0]


def with_choice(face: AlignedFace, faces: int, quarters: int, choice: Choice | None) -> AlignedFace:
    """The aligned face with flags about how it was chosen from the `faces` in its photo, which was turned by
    `quarters`."""
    flags = []
    if quarters:
        flags.append(Flag(SIDEWAYS, 90.0 * quarters, sideways(quarters)))
    if choice is not None:
        which, person = f"Face {choice.face} of {faces} in the photo", choice.how == PERSON
        how = "was confirmed by a person." if person else "is the most like the patient's other photos: check it."
        flags.append(Flag(CHOSEN, float(choice.face), f"{which} {how}"))
        face = face.without_flags(UNCERTAIN) if person else face
    elif faces > 1:
        words = f"{faces} faces were found in the photo and the largest was taken: check that it is the patient's."
        flags.append(Flag(SEVERAL, float(faces), words))
    return face.with_flags(*flags)


def sideways(quarters: int) -> str:
    """The sentence about a photo that had to be turned."""
    return f"The photo lay on its side or head and was turned by {90 * quarters}° clockwise: check that it is upright."


def needs_confirmation(face: AlignedFace) -> str:
    """Why a photo is not embedded until a person has confirmed it, a sentence; "" where it is."""
    if any(flag.kind == UNCERTAIN for flag in face.quality.flags):
        return (
            f"it is uncertain whether a face was found (detector's score {face.score:.2f}). Look at it on the Cohort "
            "page and confirm it there or with `python -m study confirm`, or use another photo."
        )
    return ""


@dataclass(frozen=True, eq=False)
class PhotoCode:
    """What the search found for a photo.

    inversion: of the photo itself, which is view 0; its seconds are those of all views. views: float32 (views, num_ws,
    w_dim), the code of each view.
    """

    inversion: Inversion
    views: NDArray[np.float32]


def invert_faces(
    checkpoint: Checkpoint,
    faces: list[AlignedFace],
    settings: InversionSettings,
    views: int = 1,
    on_step: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[PhotoCode | InversionError]:
    """Inverts faces together, all their views in one batch; where one spoils the batch they are tried one by one, and
    its error takes its place. on_step: pictures of mirrored views are turned back.

    Raises Cancelled when stopped.
    """
    # The search amplifies rounding, and on a GPU rows of a batch round differently: a photo and its mirror image are
    # the same rows of the same batch.
    orders = [search_order(face.pixels, views) for face in faces]
    batch = [views_of(face.pixels, views)[order] for face, order in zip(faces, orders, strict=True)]
    mirrored = np.concatenate(orders) % 2 == 1

    def report(step: Progress) -> None:
        assert on_step is not None
        on_step(replace(step, image=mirror(step.image)) if mirrored[step.row] else step)

    try:
        shown = None if on_step is None else report
        found = invert(checkpoint, np.concatenate(batch), settings, shown, cancelled)
    except InversionError as error:
        if len(faces) == 1:
            return [error]
        return [invert_faces(checkpoint, [face], settings, views, on_step, cancelled)[0] for face in faces]
    return [
        _photo_code([found[start + place] for place in order])
        for start, order in zip(range(0, len(found), views), orders, strict=True)
    ]


def _photo_code(views: list[Inversion]) -> PhotoCode:
    whole = replace(views[0], seconds=sum(view.seconds for view in views))
    return PhotoCode(whole, np.stack([np.asarray(view.ws, np.float32) for view in views]))


def study_checkpoint(study: Study, name: str | None = None, device: str = "cpu") -> Checkpoint:
    """The checkpoint a study names in study.toml (or `name`), generator and encoder."""
    name = name or study.settings.checkpoint
    try:
        return load_checkpoint(CHECKPOINTS / name if not Path(name).is_dir() else Path(name), device=device)
    except LatentError as error:
        raise StudyError(f"Checkpoint {str(name)!r}: {error}") from error


def pixels_for(checkpoint: Checkpoint, face: AlignedFace) -> NDArray[np.uint8]:
    """The face at the checkpoint's resolution, uint8 (R, R, 3): what its reconstruction is compared with."""
    return resize(face.pixels, checkpoint.resolution)
