"""What both parts of `bench cox` share: the codes, and the two ways to choose a penalty by cross-validation."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.linear_model import CoxnetSurvivalAnalysis
from sksurv.util import Surv

from survival.cox_regression.path import QUICK, fit_path
from survival.features.reduction import fit_reduction
from survival.metrics.pairs import harrell_columns
from survival.simulate import simulate_cohort

DEMO = Path(__file__).resolve().parents[2] / "studies" / "demo"
FOLDS = 5
MIN_RATIO = 1e-3  # of the largest penalty; deeper, a single cold fit takes many seconds
L1_RATIO = 1e-3
SAME_C = 2e-3  # two penalties whose mean C differ by less are the same choice: the solvers' tolerance moves C as much


def load_codes() -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """(flat codes (n, p) float32, time, event, where they are from)."""
    if (DEMO / "latents.npy").exists():
        codes, index = np.load(DEMO / "latents.npy"), pd.read_parquet(DEMO / "index.parquet")
        rows = pd.read_csv(DEMO / "patients.csv").set_index("patient_id").loc[index["patient_id"]]
        flat = codes.reshape(len(codes), -1).astype(np.float32)
        return flat, rows["time_months"].to_numpy(float), rows["event"].to_numpy(bool), "demo study"
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(600, 60)) * np.linspace(3, 0.3, 60)
    flat = (factors @ rng.normal(size=(60, 5120)) + 4 * rng.normal(size=(600, 5120))).astype(np.float32)
    face = factors @ (rng.normal(size=60) / np.linspace(3, 0.3, 60))
    patients, _ = simulate_cohort(1.12 * face / face.std(), np.full(600, 60), np.full(600, "female"), seed=0)
    return flat, patients["time_months"].to_numpy(), patients["event"].to_numpy(bool), "made-up codes"


def one_at_a_time(
    flat: np.ndarray, time: np.ndarray, event: np.ndarray, fold: np.ndarray, alphas: np.ndarray
) -> np.ndarray:
    """Mean C of each penalty, the user guide's way. A fit that breaks down scores one half, as there."""
    search = GridSearchCV(
        make_pipeline(StandardScaler(), CoxnetSurvivalAnalysis(l1_ratio=L1_RATIO)),
        param_grid={"coxnetsurvivalanalysis__alphas": [[alpha] for alpha in alphas]},
        cv=[(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(FOLDS)],
        error_score=0.5,
        refit=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(flat, Surv.from_arrays(event, time))
    return search.cv_results_["mean_test_score"]


def path_a_fold(
    flat: np.ndarray, time: np.ndarray, event: np.ndarray, fold: np.ndarray, alphas: np.ndarray, reduce: bool
) -> np.ndarray:
    """Mean C of each penalty (nan where a fold's path ended before it), one path a fold."""
    scores = np.full((FOLDS, len(alphas)), np.nan)
    for k in range(FOLDS):
        train, test = fold != k, fold == k
        if reduce:
            reduction = fit_reduction(flat[train])
            inside, outside = reduction.scores, reduction.transform(flat[test])
            # columns are scaled by another common factor c there, and coefficients by 1/c: penalties go with c squared
            grid = alphas * float((inside**2).sum() / (train.sum() * flat.shape[1]))
        else:
            scaler = StandardScaler().fit(flat[train])
            inside, outside, grid = scaler.transform(flat[train]), scaler.transform(flat[test]), alphas
        path = fit_path(inside, time[train], event[train], grid, L1_RATIO, QUICK)
        scores[k, : len(path.alphas)] = harrell_columns(time[test], event[test], outside @ path.coef)
    return scores.mean(axis=0)
