"""The recipe of a simulated study: clinical covariates, hazard and times, as a function of the face's factors and a seed.

The face's part of the log-hazard comes with the factor table (`face_log_hazard`). A clinical part that the face does
not show is added: site, stage and ECOG are drawn independently of every factor of the face, stage and ECOG linked to
each other, and their weights are scaled so that the part has mean 0 and standard deviation CLINICAL_SD over the prior
(not over the sample, so a patient's hazard does not depend on who else was drawn). Times are Weibull, censoring is
administrative and random.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from study.photos import FOLDER
from study.settings import Columns, Scalar, Settings

SITES = ("lung", "colorectal", "head_and_neck", "lymphoma", "pancreas")
SITE_SHARES = (0.28, 0.24, 0.18, 0.16, 0.14)
SITE_WEIGHTS = (0.2, -0.2, 0.0, -0.5, 0.8)
STAGES = ("I", "II", "III", "IV")
STAGE_SHARES = (0.20, 0.25, 0.27, 0.28)
STAGE_WEIGHTS = (0.0, 0.4, 0.9, 1.7)
ECOGS = (0, 1, 2, 3, 4)
ECOG_SHARES = (  # one row a stage: the later the stage, the worse the performance status
    (0.50, 0.33, 0.12, 0.040, 0.010),
    (0.42, 0.36, 0.15, 0.055, 0.015),
    (0.34, 0.38, 0.18, 0.075, 0.025),
    (0.24, 0.37, 0.23, 0.120, 0.040),
)
ECOG_WEIGHTS = (0.0, 0.3, 0.7, 1.2, 1.7)
CLINICAL_SD = 0.9
WEIBULL_SHAPE, WEIBULL_SCALE = 1.3, 36.0  # months
CENSORING_MEAN, FOLLOW_UP = 90.0, 60.0  # months: random (exponential) and administrative


def clinical_moments() -> tuple[float, float]:
    """Mean and standard deviation over the prior of the unscaled clinical part, by enumeration."""
    site, stage = np.array(SITE_WEIGHTS), np.array(STAGE_WEIGHTS)
    joint = np.array(STAGE_SHARES)[:, None] * np.array(ECOG_SHARES)  # [stage, ecog]
    shares = np.array(SITE_SHARES)[:, None, None] * joint
    values = site[:, None, None] + stage[:, None] + np.array(ECOG_WEIGHTS)
    mean = float((shares * values).sum())
    return mean, float(np.sqrt((shares * (values - mean) ** 2).sum()))


def draw_clinical(n: int, seed: int) -> pd.DataFrame:
    """site, stage, ecog and clinical_log_hazard of n patients; patient i depends on seed and i alone."""
    u = np.random.default_rng([seed, 1]).random((n, 3))
    site = np.searchsorted(np.cumsum(SITE_SHARES)[:-1], u[:, 0], side="right")
    stage = np.searchsorted(np.cumsum(STAGE_SHARES)[:-1], u[:, 1], side="right")
    ecog = (np.cumsum(ECOG_SHARES, axis=1)[stage, :-1] <= u[:, 2:]).sum(axis=1)
    mean, sd = clinical_moments()
    raw = np.array(SITE_WEIGHTS)[site] + np.array(STAGE_WEIGHTS)[stage] + np.array(ECOG_WEIGHTS)[ecog]
    return pd.DataFrame(
        {
            "site": np.array(SITES)[site],
            "stage": np.array(STAGES)[stage],
            "ecog": np.array(ECOGS)[ecog],
            "clinical_log_hazard": np.round(CLINICAL_SD * (raw - mean) / sd, 5),
        }
    )


def simulate_tables(factors: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """patients.csv and truth.csv of a cohort, both with patient_id, in the order of the factor table."""
    from survival.simulate import simulate_cohort

    n = len(factors)
    ids = [f"P{i + 1:0{max(4, len(str(n)))}d}" for i in range(n)]
    clinical = draw_clinical(n, seed)
    face = factors["face_log_hazard"].to_numpy(float)
    total = np.round(face + clinical["clinical_log_hazard"].to_numpy(float), 5)
    time, event = simulate_cohort(
        total,
        shape=WEIBULL_SHAPE,
        scale=WEIBULL_SCALE,
        censoring_mean=CENSORING_MEAN,
        follow_up=FOLLOW_UP,
        rng=np.random.default_rng([seed, 2]),
    )
    patients = pd.DataFrame(
        {
            "patient_id": ids,
            "age": np.rint(factors["age_years"].to_numpy(float)).astype(int),
            "sex": factors["sex"].to_numpy(),
            "site": clinical["site"],
            "stage": clinical["stage"],
            "ecog": clinical["ecog"],
            "time_months": np.maximum(np.round(time, 2), 0.01),
            "event": np.asarray(event).astype(int),
            "photo": [f"{FOLDER}/{i}.jpg" for i in ids],
        }
    )
    known = factors.drop(columns=["index", "image", "face_log_hazard"], errors="ignore")
    truth = pd.concat([pd.Series(ids, name="patient_id"), known.reset_index(drop=True)], axis=1)
    truth["face_log_hazard"] = face
    truth["clinical_log_hazard"] = clinical["clinical_log_hazard"]
    truth["log_hazard"] = total
    return patients, truth


COMMENTS = (
    "Simulated patients: rendered portraits, outcomes drawn from a known hazard. Nobody here exists.",
    "",
    "log-hazard = face part + clinical part",
    "  face part: column face_log_hazard of truth.csv, from the renderer's factors (age, cachexia, jaundice, pallor,",
    "    under-eye shadow, hair loss, adiposity, sex). The signs share one latent severity.",
    f"  clinical part: site + stage + ECOG, independent of the face, mean 0 and sd {CLINICAL_SD} over the prior.",
    "time T = scale * (-log U / exp(log-hazard)) ** (1 / shape), U uniform (Weibull); seen if T <= C,",
    "  C = min(exponential with the censoring mean, follow-up). All in months.",
)


def study_settings(name: str, seed: int, source: dict[str, Scalar]) -> Settings:
    """study.toml of a simulated study."""
    recipe: dict[str, Scalar] = {
        "seed": seed,
        "baseline": "Weibull",
        "shape": WEIBULL_SHAPE,
        "scale": WEIBULL_SCALE,
        "censoring_mean": CENSORING_MEAN,
        "follow_up": FOLLOW_UP,
        "clinical_sd": CLINICAL_SD,
    }
    title = "Simulated patients with rendered portraits"
    return Settings(name=name, title=title, simulated=True, columns=Columns(), simulation={**recipe, **source})
