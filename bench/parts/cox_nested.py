"""The whole nested cross-validation, both ways, and a large cohort: the parts of `bench cox` that take long.

nested: for each outer fold the penalty is chosen by mean C over inner folds of the other patients, the model is
refitted to them and scores the fold. Baseline: GridSearchCV over one-penalty pipelines. Ours: one path a fold on
components. Same folds, same penalties, same criterion. The baseline can be limited to the first outer folds; its
time is then scaled to all of them, which the output says.
large: made-up codes of 5,000 patients x 9,216 numbers; choice of the penalty by five folds and refit, in a process of
its own, so that its peak memory is its own.
"""

from __future__ import annotations

import multiprocessing
import resource
import time as clock
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.parts.common import print_table
from bench.parts.cox_paths import FOLDS, L1_RATIO, MIN_RATIO, SAME_C, load_codes, one_at_a_time, path_a_fold
from survival.cox_regression.path import QUICK, fit_path, penalty_grid
from survival.features.reduction import fit_reduction
from survival.metrics.concordance import harrell_c
from survival.outcome import patient_folds
from survival.simulate import censoring, observe, weibull_times

LARGE = (5000, 9216)


@dataclass(frozen=True, eq=False)
class OuterFold:
    """One outer fold's penalties, mean inner C of each, choice, and the scores of the fold's patients."""

    alphas: np.ndarray
    inner: np.ndarray
    choice: int
    risk: np.ndarray
    seconds: float


def outer_fold(
    flat: np.ndarray, time: np.ndarray, event: np.ndarray, train: np.ndarray, penalties: int, seed: int, ours: bool
) -> OuterFold:
    """Choose on the training patients, refit to them, score the others."""
    x, t, e = flat[train], time[train], event[train]
    scaled = (x - x.mean(axis=0)) / np.where(x.std(axis=0) > 0, x.std(axis=0), 1)
    alphas = penalty_grid(scaled, t, e, L1_RATIO, penalties, MIN_RATIO)
    inner_fold = patient_folds(e, FOLDS, np.random.default_rng(seed))
    start = clock.perf_counter()
    inner = path_a_fold(x, t, e, inner_fold, alphas, True) if ours else one_at_a_time(x, t, e, inner_fold, alphas)
    choice = int(np.nanargmax(inner))
    if ours:
        reduction = fit_reduction(x)
        grid = alphas * float((reduction.scores**2).sum() / (len(x) * flat.shape[1]))
        path = fit_path(reduction.scores, t, e, grid[: choice + 1], L1_RATIO, QUICK)
        risk = reduction.transform(flat[~train]) @ path.coef[:, -1]
    else:
        risk = _refit_alone(x, t, e, float(alphas[choice]), flat[~train])
    return OuterFold(alphas, inner, choice, risk, clock.perf_counter() - start)


def _refit_alone(x: np.ndarray, time: np.ndarray, event: np.ndarray, alpha: float, new: np.ndarray) -> np.ndarray:
    """The baseline's refit: GridSearchCV fits the best pipeline once more."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sksurv.linear_model import CoxnetSurvivalAnalysis
    from sksurv.util import Surv

    model = make_pipeline(StandardScaler(), CoxnetSurvivalAnalysis(alphas=[alpha], l1_ratio=L1_RATIO))
    return model.fit(x, Surv.from_arrays(event, time)).predict(new)


def nested(
    flat: np.ndarray, time: np.ndarray, event: np.ndarray, penalties: int, baseline_folds: int
) -> dict[str, Any]:
    """Both ways, outer fold by outer fold in turns; the baseline on the first baseline_folds of them."""
    fold = patient_folds(event, FOLDS, np.random.default_rng(0))
    ours, theirs = [], []
    for k in range(FOLDS):
        ours.append(outer_fold(flat, time, event, fold != k, penalties, k, ours=True))
        if k < baseline_folds:
            theirs.append(outer_fold(flat, time, event, fold != k, penalties, k, ours=False))
    rows = [
        _fold_row(k, a, b, time[fold == k], event[fold == k])
        for k, (a, b) in enumerate(zip(ours, theirs, strict=False))
    ]
    our_seconds = sum(part.seconds for part in ours)
    measured = sum(part.seconds for part in theirs)
    scaled = measured * FOLDS / max(1, len(theirs))
    title = f"{len(flat)} patients x {flat.shape[1]} features, {int(event.sum())} events"
    print_table(rows, f"Nested {FOLDS} x {FOLDS} folds, {penalties} penalties; {title}")
    how = "measured" if len(theirs) == FOLDS else f"{measured:.1f} s for {len(theirs)} of {FOLDS} outer folds, scaled"
    print(f"\npath + PCA: {our_seconds:.1f} s. One at a time: {scaled:.1f} s ({how}). {scaled / our_seconds:.1f} x.")
    if not all(row["agrees"] for row in rows):
        raise RuntimeError("The ways chose penalties that do not predict alike: their times cannot be compared.")
    return {
        "data": title,
        "penalties": penalties,
        "rows": rows,
        "path_seconds": our_seconds,
        "baseline_seconds_measured": measured,
        "baseline_folds": len(theirs),
        "times_faster": scaled / our_seconds,
    }


def _fold_row(k: int, ours: OuterFold, theirs: OuterFold, time: np.ndarray, event: np.ndarray) -> dict[str, Any]:
    gap = float(abs(theirs.inner[ours.choice] - theirs.inner[theirs.choice]))
    return {
        "outer fold": k + 1,
        "path + PCA s": ours.seconds,
        "one at a time s": theirs.seconds,
        "times faster": theirs.seconds / ours.seconds,
        "choice": "same" if ours.choice == theirs.choice else f"inner C differs by {gap:.4f}",
        "C ours": harrell_c(time, event, ours.risk),
        "C theirs": harrell_c(time, event, theirs.risk),
        "agrees": ours.choice == theirs.choice or gap < SAME_C,
    }


def made_up_codes(n: int, p: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(codes (n, p) float32, time, event): 60 factors, some of them with a hazard, and noise of full rank."""
    rng = np.random.default_rng(seed)
    factors = (rng.normal(size=(n, 60)) * np.linspace(3, 0.3, 60)).astype(np.float32)
    codes = factors @ rng.normal(size=(60, p)).astype(np.float32)
    for start in range(0, n, 500):
        codes[start : start + 500] += 4 * rng.normal(size=codes[start : start + 500].shape).astype(np.float32)
    lp = factors @ (rng.normal(size=60) / np.linspace(3, 0.3, 60))
    times = weibull_times(0.9 * (lp - lp.mean()) / lp.std(), 1.3, 31, rng)
    return codes, *observe(times, censoring(n, 70, 60, rng))


def _large_fit(connection: Any, n: int, p: int, penalties: int) -> None:
    from survival.models import make_model

    codes, time, event = made_up_codes(n, p)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, clock.perf_counter()
    model = make_model("cox-ridge", n_alphas=penalties).fit(codes, time, event)
    seconds, peak = clock.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    c = harrell_c(time, event, model.out_of_fold_)
    connection.send({"seconds": seconds, "peak_gb": peak / 2**20, "before_gb": before / 2**20, "c": c})


def large(n: int, p: int, penalties: int) -> dict[str, Any]:
    """Choice of the penalty by five folds and refit at n x p: seconds, and the process's peak memory."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_large_fit, args=(sender, n, p, penalties))
    process.start()
    sender.close()
    try:
        measured = receiver.recv()
    except EOFError:
        raise RuntimeError("The large fit ended without a result (most likely for lack of memory).") from None
    finally:
        process.join()
    print(f"\n{n} x {p}, {penalties} penalties, {FOLDS} folds and refit: {measured['seconds']:.0f} s, ")
    print(f"peak memory {measured['peak_gb']:.2f} GB ({measured['before_gb']:.2f} GB with the codes alone); ")
    print(f"C over the folds that chose the penalty {measured['c']:.3f}")
    return {"patients": n, "features": p, "penalties": penalties, **measured}


def run_long(penalties: int, baseline_folds: int, patients: int | None, big: bool) -> dict[str, Any]:
    """The parts that were asked for."""
    result: dict[str, Any] = {}
    if baseline_folds:
        flat, time, event, source = load_codes()
        keep = slice(0, patients)
        result["nested"] = {"source": source, **nested(flat[keep], time[keep], event[keep], penalties, baseline_folds)}
    if big:
        result["large"] = large(*LARGE, penalties)
    return result
