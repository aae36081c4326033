"""Choosing a Cox penalty: one descending path a fold against one penalty at a time.

The rival is what scikit-survival's user guide shows: a pipeline of StandardScaler and CoxnetSurvivalAnalysis in a grid
search in which every penalty is its own candidate, so that each is fitted from nothing in each fold and scored by
Harrell's C. Against it, on the same folds, features, penalties and criterion:
  path        the same standardised features, one path a fold (survival.path)
  path + PCA  what CoxModel does: the path on principal components, which hold the same information in fewer columns
Codes of the demo study where it is embedded, otherwise made-up codes of the same size.

    python -m bench cox                                  # one choice of a penalty
    python -m bench cox --nested 5                       # the whole nested cross-validation both ways; takes hours
    python -m bench cox --nested 1                       # the rival on one outer fold of five
    python -m bench cox --large                          # 5,000 x 9,216: seconds and peak memory
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.linear_model import CoxnetSurvivalAnalysis
from sksurv.util import Surv

from bench.parts.common import interleaved_medians, print_table
from common.command import Parser
from survival.cox_regression.path import QUICK, fit_path, penalty_grid
from survival.features.reduction import fit_reduction
from survival.metrics.pairs import harrell_columns
from survival.models.cox_model import CoxModel
from survival.outcome import patient_folds
from survival.simulate import simulate_cohort

DEMO = Path(__file__).resolve().parents[1] / "studies" / "demo"
FOLDS = 5
ALPHAS = 20
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


def run(arguments: Sequence[str] = ()) -> dict[str, Any]:
    parser = Parser(prog="python -m bench cox", description="Choosing a Cox penalty")
    parser.add_argument("--nested", type=int, default=0, metavar="K", help="nested, the rival on K of 5 outer folds")
    parser.add_argument("--penalties", type=int, default=50, help="on a path, for --nested and --large (default 50)")
    parser.add_argument("--patients", type=int, help="only the first so many, for --nested")
    parser.add_argument("--large", action="store_true", help="5,000 patients x 9,216 numbers")
    options = parser.parse_args(list(arguments))
    if options.nested or options.large:
        from bench.parts.cox_nested import LARGE, run_long

        return run_long(options.penalties, options.nested, options.patients, options.large, LARGE)
    return run_once()


def run_once() -> dict[str, Any]:
    flat, time, event, source = load_codes()
    fold = patient_folds(event, FOLDS, np.random.default_rng(0))
    z = StandardScaler().fit_transform(flat)
    alphas = penalty_grid(z, time, event, L1_RATIO, ALPHAS, MIN_RATIO)
    found: dict[str, np.ndarray] = {}

    def keep(name: str, scores: np.ndarray) -> None:
        found[name] = scores

    rivals = {
        "one at a time": lambda: keep("one at a time", one_at_a_time(flat, time, event, fold, alphas)),
        "path": lambda: keep("path", path_a_fold(flat, time, event, fold, alphas, reduce=False)),
        "path + PCA": lambda: keep("path + PCA", path_a_fold(flat, time, event, fold, alphas, reduce=True)),
    }
    seconds = interleaved_medians(rivals, repeats=1, warmup=0)
    theirs = found["one at a time"]
    rows = [_row(name, alphas, found[name], theirs, seconds) for name in rivals]
    model = CoxModel("ridge", n_alphas=2 * ALPHAS, folds=FOLDS)
    nested = interleaved_medians({"nested": lambda: model.fit(flat, time, event)}, repeats=1, warmup=0)["nested"]
    title = f"{source}: {len(flat)} patients x {flat.shape[1]} features, {int(event.sum())} events"
    print_table(rows, f"{title}; {FOLDS} folds x {ALPHAS} penalties")
    searches = FOLDS + 1
    print(f"\nCoxModel, nested {FOLDS} x {FOLDS} folds, {2 * ALPHAS} penalties, refits, bootstrap: {nested:.1f} s.")
    print(
        f"One at a time that would be {searches} such searches: {searches * seconds['one at a time']:.0f} s (not run)."
    )
    print(f"Out-of-fold C {model.oof_c_}, penalty {model.alpha_:.3g}")
    same = all(row["agrees"] for row in rows)
    if not same:
        raise RuntimeError("The ways chose penalties that do not predict alike: their times cannot be compared.")
    return {"data": title, "alphas": alphas.tolist(), "rows": rows, "nested_seconds": nested}


def _row(
    name: str, alphas: np.ndarray, scores: np.ndarray, theirs: np.ndarray, seconds: dict[str, float]
) -> dict[str, Any]:
    choice, reference = int(np.nanargmax(scores)), int(np.nanargmax(theirs))
    gap = float(abs(theirs[choice] - theirs[reference]))
    return {
        "way": name,
        "seconds": seconds[name],
        "times faster": seconds["one at a time"] / seconds[name],
        "penalty": float(alphas[choice]),
        "mean C there": float(scores[choice]),
        "C off at the rival's choice": float(abs(scores[reference] - theirs[reference])),
        "choice": "same" if choice == reference else f"C differs by {gap:.4f}",
        "agrees": choice == reference or gap < SAME_C,
    }
