"""What `bench readout` reads: codes, aligned photos and factors of the same people, of a study or from three files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.console import ProgressLine
from faces.align import resize
from faces.errors import FaceError
from latent.datasets.factors import factor_columns, readout_names, readout_targets
from study.disk.store import Study
from study.errors import StudyError
from study.photos.aligned_store import AlignedStore
from study.photos.model_inputs import NO_FACE, SIZE, aligned_photos
from study.photos.prepare import prepare

NO_FACTORS = ("clinical_log_hazard", "log_hazard", "event_time_", "censoring_time_")  # a truth table's outcomes
PHOTO_COLUMNS, PATIENT_COLUMNS = ("photo", "image", "file"), ("patient_id", "patient")


@dataclass(frozen=True, eq=False)
class Readable:
    """ws float32 (n, num_ws, w_dim); photos uint8 (n, S, S, 3), aligned; groups (n,): whose. y (n, k): the numeric
    factors `names`, mean 0 and deviation 1, signs (k,) theirs in the mirror. left_out: factors that are not numeric."""

    source: str
    ws: NDArray[np.float32]
    photos: NDArray[np.uint8]
    groups: NDArray[np.str_]
    names: list[str]
    y: NDArray[np.float64]
    signs: NDArray[np.float64]
    left_out: list[str]


def resolution_of(ws: NDArray[np.float32]) -> int:
    """Of the generator whose codes these are: two layers a doubling."""
    return int(2 ** (ws.shape[1] // 2 + 1))


def from_study(name: str, size: int | None) -> Readable:
    """A simulated study's codes, photos and truth table; size: of the photos, None for the generator's resolution."""
    study = Study.open(name)
    ws, table = study.analysed()
    if study.truth is None:
        raise StudyError(f"{study.name} has no truth table, so the factors of its photos are unknown.")
    truth = study.truth.set_index("patient_id").loc[table["patient_id"]]
    files = [study.photo_path(patient) for patient in table["patient_id"]]
    size = size or resolution_of(ws)
    if size == SIZE:  # kept in the study's folder
        aligned = aligned_photos(AlignedStore.of(study), files, ProgressLine("photos aligned"))
        photos, has_face = aligned.pixels, aligned.state != NO_FACE
    else:
        photos, has_face = _aligned(files, study.settings.aligned, size)
    return _readable(study.name, ws, photos, has_face, table["patient_id"].to_numpy(str), truth)


def from_files(latents: Path, folder: Path, factors: Path, aligned: bool, size: int | None) -> Readable:
    """Codes (n, num_ws, w_dim), or (n, views, num_ws, w_dim), and a table of as many rows, in one order. The table
    names each photo, in the folder, in a column `photo`, `image` or `file`, and may name its patient in `patient_id` or
    `patient`; otherwise everyone has one photo. Raises StudyError where they do not fit."""
    try:
        ws = np.load(latents, allow_pickle=False)
        table = pd.read_csv(factors)
    except (OSError, ValueError, EOFError, pd.errors.ParserError) as error:
        raise StudyError(
            f"{latents.name} or {factors.name} cannot be read as codes (.npy) and a table: {error}"
        ) from error
    if ws.ndim == 4:  # views of each photo: the first is that of the photo itself
        ws = ws[:, 0]
    if ws.ndim != 3 or not np.issubdtype(ws.dtype, np.floating) or len(ws) != len(table):
        raise StudyError(f"{latents.name} must hold one code (num_ws, w_dim) for each of the {len(table)} rows.")
    column = next((name for name in PHOTO_COLUMNS if name in table), None)
    if column is None:
        raise StudyError(f"{factors.name} needs a column photo, image or file that names each row's photo.")
    files = [folder / str(name) for name in table[column]]
    whose = next((name for name in PATIENT_COLUMNS if name in table), column)
    groups = table[whose].astype(str).to_numpy(str)
    photos, has_face = _aligned(files, aligned, size or resolution_of(ws))
    return _readable(
        factors.stem,
        ws.astype(np.float32),
        photos,
        has_face,
        groups,
        table.drop(columns=[whose, column], errors="ignore"),
    )


def _aligned(files: Sequence[Path], aligned: bool, size: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Aligned photos (n, size, size, 3), and which of them show a face."""
    photos, has_face = np.zeros((len(files), size, size, 3), np.uint8), np.zeros(len(files), bool)
    progress = ProgressLine("photos aligned", len(files))
    for i, path in enumerate(files):
        try:
            photos[i], has_face[i] = resize(prepare(path, aligned).pixels, size), True
        except FaceError as error:
            print(f"left out: {path.name}: {error}", file=sys.stderr)
        progress(i + 1)
    return photos, has_face


def _readable(
    source: str,
    ws: NDArray[np.float32],
    photos: NDArray[np.uint8],
    has_face: NDArray[np.bool_],
    groups: NDArray[np.str_],
    table: pd.DataFrame,
) -> Readable:
    """Rows with a face; StudyError where no factor is left."""
    table = table.drop(columns=[name for name in table if str(name).startswith(NO_FACTORS)])[has_face]
    names = readout_names(table)
    if not names:
        raise StudyError(f"The table of {source} has no numeric factor that differs between its rows.")
    if table[names].isna().any(axis=None):
        raise StudyError(
            f"The table of {source} has empty cells in {table[names].isna().any().idxmax()}: fill them in."
        )
    y, signs = readout_targets(table)
    others = [name for name in factor_columns(table) if name not in names and not name.startswith("identity_")]
    others = [name for name in others if name not in (*PHOTO_COLUMNS, *PATIENT_COLUMNS)]
    return Readable(
        source, ws[has_face], photos[has_face], groups[has_face], names, y.astype(float), signs.astype(float), others
    )
