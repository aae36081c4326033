"""The known factors of rendered portraits, as columns of a training set's table."""

import numpy as np
import pandas as pd

DERIVED = ("index", "image", "age_years", "severity", "face_log_hazard", "truth")
OF_THE_SET = ("folder", "file", "sha256", "patient", "split", "faces_found")  # columns that `dataset` adds
MIRRORED = ("yaw", "roll", "torso_yaw", "gaze_x")  # factors that change sign in a mirror


def factor_columns(table: pd.DataFrame) -> list[str]:
    """Names of the columns that are factors: no facts of the training set, seeds of streams, constants or columns
    derived from others."""
    return [
        name
        for name in table.columns
        if name not in (*DERIVED, *OF_THE_SET, "seed")
        and not name.startswith("quality_")
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
    names = readout_names(table)
    columns = [(values - values.mean()) / values.std() for values in (table[name].to_numpy(float) for name in names)]
    stacked = np.stack(columns, axis=1) if columns else np.empty((len(table), 0))
    signs = np.array([-1.0 if name in MIRRORED else 1.0 for name in names], dtype=np.float32)
    return stacked.astype(np.float32), signs
