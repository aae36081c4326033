"""Choosing a Cox penalty: one descending path a fold against one penalty at a time.

The baseline is what scikit-survival's user guide shows: a pipeline of StandardScaler and CoxnetSurvivalAnalysis in a
grid search in which every penalty is its own candidate, so that each is fitted from nothing in each fold and scored by
Harrell's C. Against it, on the same folds, features, penalties and criterion:
  path        the same standardised features, one path a fold (survival.path)
  path + PCA  as PenalisedCox: the path on principal components, which hold the same information in fewer columns
Codes of the demo study where it is embedded, otherwise made-up codes of the same size.

    python -m bench cox                                  # one choice of a penalty
    python -m bench cox --nested 5                       # the whole nested cross-validation both ways; takes hours
    python -m bench cox --nested 1                       # the baseline on one outer fold of five
    python -m bench cox --large                          # 5,000 x 9,216: seconds and peak memory
"""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler

from bench.parts.common import interleaved_medians, print_table
from bench.parts.cox_nested import run_long
from bench.parts.cox_paths import FOLDS, L1_RATIO, MIN_RATIO, SAME_C, load_codes, one_at_a_time, path_a_fold
from common.command import Parser
from survival.comparison.fit import fit_model
from survival.cox_regression.path import penalty_grid
from survival.outcome import patient_folds

ALPHAS = 20


def run(arguments: Sequence[str] = ()) -> dict[str, Any]:
    parser = Parser(prog="python -m bench cox", description="Choosing a Cox penalty")
    parser.add_argument("--nested", type=int, default=0, metavar="K", help="nested, the baseline on K of 5 outer folds")
    parser.add_argument("--penalties", type=int, default=50, help="on a path, for --nested and --large (default 50)")
    parser.add_argument("--patients", type=int, help="only the first so many, for --nested")
    parser.add_argument("--large", action="store_true", help="5,000 patients x 9,216 numbers")
    options = parser.parse_args(list(arguments))
    if options.nested or options.large:
        return run_long(options.penalties, options.nested, options.patients, options.large)
    return run_once()


def run_once() -> dict[str, Any]:
    flat, time, event, source = load_codes()
    fold = patient_folds(event, FOLDS, np.random.default_rng(0))
    z = StandardScaler().fit_transform(flat)
    alphas = penalty_grid(z, time, event, L1_RATIO, ALPHAS, MIN_RATIO)
    ways: dict[str, Callable[..., np.ndarray]] = {
        "one at a time": one_at_a_time,
        "path": partial(path_a_fold, reduce=False),
        "path + PCA": partial(path_a_fold, reduce=True),
    }
    chosen: dict[str, np.ndarray] = {}

    def choose(name: str) -> None:
        chosen[name] = ways[name](flat, time, event, fold, alphas)

    seconds = interleaved_medians({name: partial(choose, name) for name in ways}, repeats=1, warmup=0)
    theirs = chosen["one at a time"]
    rows = [_row(name, alphas, chosen[name], theirs, seconds) for name in ways]
    settings = {"n_alphas": 2 * ALPHAS, "folds": FOLDS}
    start = clock.perf_counter()
    model = fit_model("cox-ridge", flat, time, event, settings=settings, folds=FOLDS, repeats=1, refits=0)
    nested = clock.perf_counter() - start
    title = f"{source}: {len(flat)} patients x {flat.shape[1]} features, {int(event.sum())} events"
    print_table(rows, f"{title}; {FOLDS} folds x {ALPHAS} penalties")
    print(f"\nRidge Cox, nested {FOLDS} x {FOLDS} folds, {2 * ALPHAS} penalties, refits, bootstrap: {nested:.1f} s.")
    whole = (FOLDS + 1) * seconds["one at a time"]
    print(f"One at a time that would be {FOLDS + 1} such searches: {whole:.0f} s (not run).")
    print(f"Out-of-fold C {model.oof_c_}, penalty {model.path_.alpha if model.path_ else float('nan'):.3g}")
    if not all(row["agrees"] for row in rows):
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
        "C off at the baseline's choice": float(abs(scores[reference] - theirs[reference])),
        "choice": "same" if choice == reference else f"C differs by {gap:.4f}",
        "agrees": choice == reference or gap < SAME_C,
    }
