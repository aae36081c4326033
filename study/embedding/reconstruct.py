"""Photo against what its code draws: a few patients at a time, for a gallery. Numbers come from the index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from faces.errors import FaceError
from latent.checkpoints import Checkpoint
from latent.editing.render import synthesize
from latent.errors import LatentError
from study.disk.latents import INDEX, LATENTS, open_views, other_checkpoint, read_index, read_latents, to_embed
from study.disk.store import Study
from study.embedding.record import inversion_settings
from study.errors import StudyError
from study.files import sha256_of
from study.photos.aligned_store import AlignedStore
from study.photos.prepare import pixels_for, target_size

# whether more is a larger error
MEASURES = {"st_lpips": True, "perceptual": True, "identity": True, "psnr": False, "ssim": False}
NUMBERS = (*MEASURES, "seconds")


@dataclass(frozen=True, eq=False)
class Pair:
    """original, reconstruction: uint8 (R, R, 3); original is None where `problem` says why."""

    patient: str
    reconstruction: NDArray[np.uint8]
    original: NDArray[np.uint8] | None = None
    problem: str = ""


def error_table(study: Study) -> pd.DataFrame:
    """patient_id, MEASURES, seconds, perceptual_name and flags of every code of a patient who is not excluded.

    Raises StudyError where nothing is embedded.
    """
    index, _ = read_index(study.path)
    shown = index["patient_id"].isin(study.included_photos.keys()) & _main(study, index)
    return index.loc[shown, ["patient_id", *NUMBERS, "perceptual_name", "flags"]].reset_index(drop=True)


def reconstruction_words(study: Study) -> str:
    """How close the reconstructions come, medians, and which of the measures the search minimised: a sentence or two.

    Raises StudyError where nothing is embedded.
    """
    table = error_table(study)
    _, record = read_index(study.path)
    distance = str(record.settings.get("perceptual_name", "")) or "Perceptual distance"
    called = {"st_lpips": "ST-LPIPS", "perceptual": distance, "identity": "identity distance"}
    values = [f"{called[m]} {table[m].median():.3f}" for m in called if table[m].notna().any()]
    words = f"Medians of the reconstructions (0 is identical): {', '.join(values)}." if values else ""
    try:
        return f"{words} {inversion_settings(record).minimised(distance)}".strip()
    except (KeyError, TypeError, LatentError):  # a record made by hand, without the search's settings
        return words


def _main(study: Study, index: pd.DataFrame) -> pd.Series:
    """(n,) bool: whether a code is that of its patient's main photo; of a patient with one code, that one is."""
    several = index["patient_id"].duplicated(keep=False)
    stems = {patient: path.stem for patient, path in study.photos.items()}
    return ~several | (index["photo_id"] == index["patient_id"].map(stems))


def worst_first(table: pd.DataFrame, measure: str, descending: bool = True) -> pd.DataFrame:
    """Rows by one of MEASURES, the largest error first (or last); equal ones by patient, missing ones at the end."""
    larger_is_worse = MEASURES[measure]
    return table.sort_values(
        [measure, "patient_id"], ascending=[larger_is_worse != descending, True], na_position="last"
    ).reset_index(drop=True)


def reconstructions(study: Study, checkpoint: Checkpoint, patients: Sequence[str]) -> list[Pair]:
    """Original and reconstruction of these patients, in this order.

    Raises StudyError for a patient without a code, or codes of another checkpoint.
    """
    index, record = read_index(study.path)
    if record.checkpoint_sha256 != checkpoint.sha256:
        raise other_checkpoint(study.name, record.checkpoint)
    main = _main(study, index).to_numpy()
    rows = {str(patient): row for row, patient in enumerate(index["patient_id"]) if main[row]}
    missing = [patient for patient in patients if patient not in rows]
    if missing:
        raise to_embed(study.name, f"Patient {missing[0][:64]} has no code.")
    if not patients:
        return []
    places = [rows[patient] for patient in patients]
    drawn = synthesize(checkpoint, np.asarray(_codes(study)[places], np.float32))
    store, pairs = AlignedStore.of(study), []
    for patient, picture, digest in zip(patients, drawn, index["photo_sha256"].iloc[places], strict=True):
        try:
            path = study.photo_path(patient)
            if sha256_of(path) != digest:
                raise StudyError("The photo changed after it was embedded.")
            original = pixels_for(checkpoint, store.face(path, target_size(checkpoint), digest))
            pairs.append(Pair(patient, picture, original))
        except (FaceError, StudyError) as error:
            pairs.append(Pair(patient, picture, problem=str(error)))
    return pairs


def _codes(study: Study) -> NDArray[np.floating[Any]]:
    """The codes of the photos themselves, memory-mapped. They are hashed only where a stop may have left files of two
    runs: of hundreds of megabytes a gallery needs kilobytes."""
    codes, index = study.path / LATENTS, study.path / INDEX
    if codes.stat().st_mtime > index.stat().st_mtime:
        return read_latents(study.path)[0].ws
    rows, record = read_index(study.path)
    return open_views(study.path, len(rows), record)[:, 0]
