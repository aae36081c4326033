"""The recipe of a simulated study: from the renderer's factor table to patients.csv, truth.csv and study.toml.

The face's part of the log-hazard comes with the factor table (`face_log_hazard`); the clinical part that the face does
not show, the times and the censoring come from `survival.simulate`, whose constants are recorded in study.toml.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from study.disk.photos import FOLDER
from study.settings import Scalar, Settings
from survival import simulate as outcomes

COMMENTS = (
    "Simulated patients: rendered portraits, outcomes drawn from a known hazard. Nobody here exists.",
    "",
    "log-hazard = face part + clinical part",
    "  face part: column face_log_hazard of truth.csv, from the renderer's factors (age, cachexia, jaundice, pallor,",
    "    under-eye shadow, hair loss, adiposity, sex). The signs share one latent severity.",
    "  clinical part: site + stage + ECOG, independent of the face; mean 0 and the standard deviation clinical_sd.",
    "event time = scale * (-log U / exp(log-hazard)) ** (1 / shape), U uniform (Weibull);",
    "  seen if not after min(exponential with mean censoring_mean, follow_up). All in months.",
)
TRUTH_DECIMALS = 5


def patient_ids(n: int) -> list[str]:
    """P0001, P0002, ... as wide as n needs."""
    return [f"P{i + 1:0{max(4, len(str(n)))}d}" for i in range(n)]


def simulate_tables(factors: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """patients.csv and truth.csv of a cohort, both with patient_id, in the order of the factor table."""
    ids = patient_ids(len(factors))
    age = np.rint(factors["age_years"].to_numpy(float)).astype(int)
    face = factors["face_log_hazard"].to_numpy(float)
    patients, truth = outcomes.simulate_cohort(face, age, factors["sex"].to_numpy(), seed=seed)
    patients.insert(0, "patient_id", ids)
    patients["photo"] = [f"{FOLDER}/{i}.jpg" for i in ids]
    columns = factors.drop(columns=["index", "image", *truth.columns], errors="ignore").reset_index(drop=True)
    truth = pd.concat([pd.Series(ids, name="patient_id"), columns, truth.round(TRUTH_DECIMALS)], axis=1)
    return patients, truth


def study_settings(name: str, seed: int, source: dict[str, Scalar]) -> Settings:
    """study.toml of a simulated study."""
    recipe: dict[str, Scalar] = {
        "seed": seed,
        "baseline": "Weibull",
        "shape": outcomes.SHAPE,
        "scale": outcomes.SCALE,
        "censoring_mean": outcomes.MEAN_CENSORING,
        "follow_up": outcomes.LAST_FOLLOW_UP,
        "clinical_sd": outcomes.CLINICAL_SD,
    }
    title = "Simulated patients with rendered portraits"
    return Settings(name=name, title=title, simulated=True, simulation={**recipe, **source})
