"""Real cohorts as numbers, in the form that the values from R were computed on, and small made-up ones."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sksurv import datasets

from survival.metrics.concordance import uno_resampled

COHORTS = {
    "veteran": datasets.load_veterans_lung_cancer,
    "gbsg2": datasets.load_gbsg2,
    "whas500": datasets.load_whas500,
}
REFERENCE = Path(__file__).parents[1] / "data" / "r" / "reference.json"
COX_REFERENCE = Path(__file__).parents[1] / "data" / "r" / "cox.json"
# the cause of death is known of the dead alone, creatinine not of all; three people left on their first day
FLCHAIN_COLUMNS = ["age", "sex", "kappa", "lambda", "mgus"]


def load_flchain() -> tuple[pd.DataFrame, np.ndarray]:
    frame, outcome = datasets.load_flchain()
    later = outcome["futime"] > 0
    return frame.loc[later, FLCHAIN_COLUMNS], outcome[later]


def load_cohort(name: str) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """(features, 0/1 columns for each level but the first, time, event). Column names are lower case, without signs."""
    frame, outcome = load_flchain() if name == "flchain" else COHORTS[name]()
    event, time = (outcome[field] for field in outcome.dtype.names)
    frame = frame.apply(lambda c: c if c.dtype.kind == "f" else c.astype(str))
    features = pd.get_dummies(frame, drop_first=True, dtype=float)
    features.columns = [c.lower().replace("=", "_") for c in features.columns]
    return features, np.asarray(time, dtype=float), np.asarray(event, dtype=bool)


@cache
def reference() -> dict[str, Any]:
    """Values computed by tests/data/r/reference.R; null stands for R's NA."""
    return json.loads(REFERENCE.read_text())


@cache
def cox_reference() -> dict[str, Any]:
    """Values computed by tests/data/r/cox.R."""
    return json.loads(COX_REFERENCE.read_text())


def standardised(features: pd.DataFrame) -> np.ndarray:
    """Columns with mean 0 and population standard deviation 1, as glmnet scales them."""
    x = features.to_numpy()
    return (x - x.mean(axis=0)) / x.std(axis=0)


def uno_c(time: Any, event: Any, risk: Any, tau: float | None = None) -> float:
    """Uno's C of the patients as they are."""
    t, e, r = (np.asarray(values) for values in (time, event, risk))
    return uno_resampled(t, e.astype(bool), r, tau, np.ones((len(t), 1))).value


def made_up(n: int = 240, shape: tuple[int, ...] = (4, 40), seed: int = 0, strength: float = 1.2) -> dict[str, Any]:
    """A small study with a known linear hazard on wide features: X (n, *shape), time, event, truth (direction), lp."""
    rng = np.random.default_rng(seed)
    width = int(np.prod(shape))
    factors = rng.normal(size=(n, 12)) * np.linspace(2.0, 0.6, 12)
    loadings = rng.normal(size=(12, width))
    x = factors @ loadings / np.sqrt(12) + 0.3 * rng.normal(size=(n, width))
    direction = loadings.T @ rng.normal(size=12)  # inside the subspace in which the features vary
    lp = x @ direction
    direction *= strength / lp.std()
    lp = x @ direction
    lp -= lp.mean()
    event_time = 30 * (rng.exponential(size=n) / np.exp(lp)) ** (1 / 1.3)
    censoring = np.minimum(rng.exponential(90, size=n), 60)
    return {
        "X": x.reshape(n, *shape).astype(np.float32),
        "time": np.minimum(event_time, censoring),
        "event": event_time <= censoring,
        "truth": direction.reshape(shape),
        "lp": lp,
    }
