"""The control with permuted outcomes: whole outcomes go to other patients, then the same cross-validation.

Training and evaluation both see the permuted outcomes, so C must be one half but for chance, however well the
covariates predict the true ones, and an evaluation that leaks would show. (If only the training outcomes were permuted,
a strong covariate would carry the sign of a random coefficient into C: far from one half, either way.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from study.comparison.plan import Plan
from study.comparison.record import CandidateResult
from study.comparison.tables import table_of
from survival.comparison.crossval import Candidate, CrossValidation, cross_validate, draw_folds
from survival.comparison.evaluate import HARRELL, evaluate
from survival.features.encoding import Features
from survival.metrics.bootstrap import Resampled, mean_of
from survival.outcome import check_outcome

Progress = Callable[[int, int, float | None], None]


@dataclass(frozen=True, eq=False)
class Shuffled:
    """measures: measure -> mean over permutations, with its bootstrap. each: table `shuffles`. seconds: of work. error:
    why there is nothing, else ""."""

    measures: dict[str, Resampled]
    each: pd.DataFrame
    seconds: float
    error: str = ""


def shuffled_control(
    control: CandidateResult,
    blocks: Features,
    true: CrossValidation,
    horizons: tuple[float, ...],
    plan: Plan,
    *,
    cache: Path,
    workers: int,
    on_progress: Progress,
    cancelled: Callable[[], bool] | None,
) -> Shuffled:
    """plan.shuffles times: permute outcomes, draw folds, cross-validate once, measure; then the mean.

    control : the control; its settings name the model. true : the comparison with the outcomes as they are. Raises
    FitCancelled.
    """
    rows, parts, seconds = [], list[Mapping[str, Resampled]](), 0.0
    settings: dict[str, Any] = dict(control.settings)
    candidate = Candidate(control.name, settings["model"], control.blocks, settings["settings"])
    used = {name: blocks[name] for name in control.blocks}
    fits = plan.folds * plan.shuffles
    for s in range(plan.shuffles):
        order = np.random.default_rng([plan.seed, s, 1]).permutation(len(true.time))
        t, e = true.time[order], true.event[order]
        fold = draw_folds(check_outcome(t, e), plan.folds, 1, plan.seed + 1 + s)
        last = min(float(t[fold[0] != k].max()) for k in range(plan.folds))

        def progress(done: int, total: int, left: float | None, before: int = s * plan.folds) -> None:
            waiting = fits - before - total
            on_progress(before + done, fits, None if left is None else left * (1 + waiting / max(total, 1)))

        scored = cross_validate(
            [candidate],
            used,
            t,
            e,
            true.times[true.times < last],
            fold,
            entry=None if true.entry is None else true.entry[order],
            cache=cache,
            workers=workers,
            on_progress=progress,
            cancelled=cancelled,
        )
        if scored.failed:
            return Shuffled({}, table_of("shuffles"), seconds, scored.failed[control.name])
        seconds += scored.scores[control.name].seconds
        at = tuple(h for h in horizons if h < last) or (float(scored.times[-1]),)
        # another bootstrap each: the same draws for all would make patients' chance errors common to them
        evaluation = evaluate(scored, at, samples=plan.samples, seed=plan.seed + 1 + s, calibrate=False)
        parts.append(evaluation.measures[control.name])
        rows.append((s + 1, parts[-1][HARRELL].value))
    shared = [m for m in parts[0] if all(m in part for part in parts)]
    measures = {m: mean_of([part[m] for part in parts]) for m in shared}
    return Shuffled(measures, table_of("shuffles", rows), seconds)
