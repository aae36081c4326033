"""Outcomes with a known hazard: Weibull times, censoring, and clinical facts that a face does not show.

T = scale (-log U / exp(log_hazard))^(1/shape), U ~ U(0, 1): a Weibull proportional-hazards model with cumulative
hazard (t / scale)^shape exp(log_hazard) (Bender, Augustin, Blettner, Stat Med 2005;24:1713).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from survival.errors import SurvivalError

SHAPE = 1.3
SCALE = 31.0  # months
MEAN_CENSORING = 70.0  # months, exponential
LAST_FOLLOW_UP = 60.0  # months, administrative
CLINICAL_SD = 0.9
DECIMALS = 2  # months are kept to about seven hours, so that ties are rare and the file short

SITES = ("colorectal", "head and neck", "lung", "lymphoma", "pancreas")
STAGES = ("I", "II", "III", "IV")
ECOG = (0, 1, 2, 3, 4)
SITE_SHARE = np.array([0.26, 0.16, 0.28, 0.18, 0.12])
STAGE_SHARE = np.array(  # one row a site
    [
        [0.24, 0.28, 0.28, 0.20],
        [0.18, 0.20, 0.30, 0.32],
        [0.20, 0.10, 0.28, 0.42],
        [0.22, 0.26, 0.26, 0.26],
        [0.08, 0.22, 0.25, 0.45],
    ]
)
ECOG_SHARE = np.array(  # one row a stage
    [
        [0.55, 0.33, 0.09, 0.02, 0.01],
        [0.46, 0.37, 0.12, 0.04, 0.01],
        [0.36, 0.40, 0.16, 0.06, 0.02],
        [0.24, 0.39, 0.23, 0.11, 0.03],
    ]
)
# before the common factor that brings the whole to CLINICAL_SD
SITE_EFFECT = np.array([0.0, 0.1, 0.25, -0.35, 0.7])
STAGE_EFFECT = np.array([0.0, 0.35, 0.8, 1.5])
ECOG_EFFECT = np.array([0.0, 0.35, 0.8, 1.35, 1.9])


def weibull_times(log_hazard: Any, shape: float, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Event times (n,) in the unit of scale, one for each log hazard (n,)."""
    lh = np.asarray(log_hazard, dtype=np.float64)
    if lh.ndim != 1 or not np.isfinite(lh).all() or shape <= 0 or scale <= 0:
        raise SurvivalError("Weibull times need one finite log hazard per patient and a shape and scale above 0.")
    return scale * (rng.exponential(size=len(lh)) / np.exp(lh)) ** (1 / shape)


def censoring(n: int, mean: float, last: float, rng: np.random.Generator) -> np.ndarray:
    """Censoring times (n,): exponential with this mean, cut at the last day of follow-up."""
    if mean <= 0 or last <= 0:
        raise SurvivalError("Censoring needs a mean and a last follow-up above 0.")
    return np.minimum(rng.exponential(mean, size=n), last)


def observe(event_time: np.ndarray, censoring_time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the study sees: (time, event), times rounded, none of them down to 0."""
    time = np.maximum(np.round(np.minimum(event_time, censoring_time), DECIMALS), 10.0**-DECIMALS)
    return time, event_time <= censoring_time


def clinical_effects() -> tuple[dict[str, dict[Any, float]], float]:
    """Log hazard of each site, stage and ECOG grade against the first of its kind, and the constant to take off.

    The sum of a patient's three effects less the constant has mean 0 and standard deviation CLINICAL_SD, exactly: the
    moments are sums over all 100 combinations with their probabilities, not estimates.
    """
    joint = SITE_SHARE[:, None, None] * STAGE_SHARE[:, :, None] * ECOG_SHARE[None, :, :]
    raw = SITE_EFFECT[:, None, None] + STAGE_EFFECT[None, :, None] + ECOG_EFFECT[None, None, :]
    mean = float((joint * raw).sum())
    factor = CLINICAL_SD / float(np.sqrt((joint * (raw - mean) ** 2).sum()))
    effects: dict[str, dict[Any, float]] = {
        "site": dict(zip(SITES, (factor * SITE_EFFECT).tolist(), strict=True)),
        "stage": dict(zip(STAGES, (factor * STAGE_EFFECT).tolist(), strict=True)),
        "ecog": dict(zip(ECOG, (factor * ECOG_EFFECT).tolist(), strict=True)),
    }
    return effects, factor * mean


def clinical_log_hazard(site: Any, stage: Any, ecog: Any) -> np.ndarray:
    """The clinical part of the true log hazard, (n,), from three columns of n values."""
    effects, constant = clinical_effects()
    rows = zip(site, stage, ecog, strict=True)
    try:
        return np.array([effects["site"][s] + effects["stage"][t] + effects["ecog"][g] for s, t, g in rows]) - constant
    except KeyError as unknown:
        raise SurvivalError(f"{unknown.args[0]!r} is not a site, stage or ECOG grade of the simulation.") from None


def draw_clinical(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """site, stage, ecog of n patients; stage depends on the site, ECOG on the stage, none of them on the face."""
    site = rng.choice(len(SITES), size=n, p=SITE_SHARE)
    stage = _draw_rows(STAGE_SHARE[site], rng)
    ecog = _draw_rows(ECOG_SHARE[stage], rng)
    return pd.DataFrame({"site": np.array(SITES)[site], "stage": np.array(STAGES)[stage], "ecog": np.array(ECOG)[ecog]})


def _draw_rows(share: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (rng.uniform(size=(len(share), 1)) > np.cumsum(share, axis=1)[:, :-1]).sum(axis=1)


def simulate_cohort(face_log_hazard: Any, age: Any, sex: Any, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clinical rows and the truth behind them for n patients whose faces are given.

    Parameters
    ----------
    face_log_hazard : (n,) the part of the log hazard that the face shows, age and sex in it.
    age : (n,) years. sex : (n,) words; both are passed on and enter the hazard through the face alone.

    Returns
    -------
    patients : age, sex, site, stage, ecog, time_months, event (0 or 1).
    truth : face_log_hazard, clinical_log_hazard, log_hazard, event_time_months, censoring_time_months.
    """
    face = np.asarray(face_log_hazard, dtype=np.float64)
    if not (len(face) == len(age) == len(sex)):
        raise SurvivalError("Give one face log hazard, one age and one sex per patient.")
    rng = np.random.default_rng(seed)
    clinical = draw_clinical(len(face), rng)
    hidden = clinical_log_hazard(clinical["site"], clinical["stage"], clinical["ecog"])
    event_time = weibull_times(face + hidden, SHAPE, SCALE, rng)
    censoring_time = censoring(len(face), MEAN_CENSORING, LAST_FOLLOW_UP, rng)
    time, event = observe(event_time, censoring_time)
    patients = pd.DataFrame({"age": np.asarray(age), "sex": np.asarray(sex)}).join(clinical)
    patients = patients.assign(time_months=time, event=event.astype(np.int64))
    truth = pd.DataFrame(
        {
            "face_log_hazard": face,
            "clinical_log_hazard": hidden,
            "log_hazard": face + hidden,
            "event_time_months": event_time,
            "censoring_time_months": censoring_time,
        }
    )
    return patients, truth
