"""The known factors of rendered portraits, as columns of a training set's table."""

from __future__ import annotations

import numpy as np
import pandas as pd

DERIVED = ("index", "image", "age_years", "severity", "face_log_hazard", "truth")
OF_THE_SET = (
    "folder",
    "file",
    "sha256",
    "patient",
    "split",
    "faces_found",
)  # columns that `dataset` adds to the factors
MIRRORED = ("yaw", "roll", "torso_yaw", "gaze_x")  # factors that change sign in a mirror


def factor_columns(table: pd.DataFrame) -> list[str]:
    """Names of the columns that are factors: no facts of the training set, seeds of streams, constants or columns
    derived from others."""
    return [
        name
        for name in table.columns
        if name not in DERIVED
        and name not in OF_THE_SET
        and not name.startswith("quality_")
        and name != "seed"
        and not name.endswith("_seed")
        and table[name].nunique() > 1
    ]


def readout_names(table: pd.DataFrame) -> list[str]:
    """Names of the numeric factors, in the order of `readout_targets`.

    Coefficients of identity are left out: a hundred of them, each nearly invisible.
    """
    return [
        name
        for name in factor_columns(table)
        if pd.api.types.is_numeric_dtype(table[name]) and not name.startswith("identity_")
    ]


def readout_targets(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The factors of `readout_names` (N, k) float32, mean 0 and deviation 1, and each one's sign in the mirror (k,)."""
    columns, signs = [], []
    for name in readout_names(table):
        values = table[name].to_numpy(float)
        columns.append((values - values.mean()) / values.std())
        signs.append(-1.0 if name in MIRRORED else 1.0)
    stacked = np.stack(columns, axis=1) if columns else np.empty((len(table), 0))
    return stacked.astype(np.float32), np.array(signs, dtype=np.float32)
