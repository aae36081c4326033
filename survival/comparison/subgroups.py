"""How every model of a comparison performs in every subgroup of its patients.

The models are those of the whole cohort: nothing is fitted within a subgroup. Its patients' out-of-fold scores are
evaluated among themselves: ranking by the concordances and AUC, spread by the calibration slope, level by observed over
expected events. A subgroup with few events has no estimates, which would be over-interpreted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from survival.comparison.crossval import CrossValidation, Scores
from survival.comparison.evaluate import Evaluation, evaluate
from survival.errors import SurvivalError, stop_if
from survival.horizons import carried_horizons
from survival.metrics.bootstrap import mean_of, resampled, sample_weights
from survival.metrics.calibration import COX_SLOPE
from survival.metrics.probability import survival_at

MIN_EVENTS = 10
SAMPLES = 300
DECADES = (50, 60, 70, 80)  # years at which bands of age begin
MOST_LEVELS = 8  # a number with more distinct values is cut into thirds
MOST_WORDS = 20  # rarer levels of a column of words are put together
MISSING, OTHER = "missing", "other"
ALL = "all patients"
COLUMNS = ["variable", "level", "n", "events", "model", "measure", "value", "low", "high"]


@dataclass(frozen=True, eq=False)
class Subgroup:
    """rows: (m,) bool."""

    variable: str
    level: str
    rows: np.ndarray


def subgroups_of(table: pd.DataFrame) -> list[Subgroup]:
    """Subgroups by every column of a table (m rows): age in decades, numbers of few values and words by level, other
    numbers in thirds. A column that is the same for all makes none; missing values are a level.
    """
    subgroups = []
    for column in table.columns:
        levels, names = _levels(str(column), table[column])
        groups = [Subgroup(str(column), name, levels == name) for name in names]
        subgroups += groups if len(groups) > 1 else []
    return subgroups


def _levels(name: str, values: pd.Series) -> tuple[np.ndarray, list[str]]:
    """(level of each row, levels in order)."""
    gone = (values.isna() | (values.astype(object) == "")).to_numpy(dtype=bool)
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(np.float64)
    out = np.full(len(values), MISSING, dtype=object)
    if np.isfinite(numbers[~gone]).all() and not gone.all() and values.dtype != bool:
        labels, names = _bands(numbers[~gone], years=name == "age")
    else:
        labels = values[~gone].astype(str).to_numpy(dtype=object)
        counts = pd.Series(labels).value_counts()
        rare = set(counts.index[MOST_WORDS - 1 :]) if len(counts) > MOST_WORDS else set()
        labels = np.array([OTHER if word in rare else word for word in labels], dtype=object)
        names = sorted({*labels} - {OTHER}) + ([OTHER] if rare else [])
    out[~gone] = labels
    return out, [*names, *([MISSING] if gone.any() else [])]


def _bands(values: np.ndarray, years: bool) -> tuple[np.ndarray, list[str]]:
    distinct = np.unique(values)
    if years:
        cuts = [c for c in DECADES if (values < c).any() and (values >= c).any()]
        names = [f"under {cuts[0]}"] if cuts else ["all"]
        names += [f"{low} to {high - 1}" for low, high in pairwise(cuts)]
        names += [f"{cuts[-1]} and over"] if cuts else []
        places = np.searchsorted(cuts, values, side="right")
    elif len(distinct) <= MOST_LEVELS:
        names, places = [f"{v:g}" for v in distinct], np.searchsorted(distinct, values)
    else:
        low, high = np.percentile(values, (100 / 3, 200 / 3))
        names = [f"up to {low:.4g}", f"{low:.4g} to {high:.4g}", f"above {high:.4g}"]
        places = np.searchsorted([low, high], values, side="left")
    levels = np.array(names, dtype=object)[places]
    return levels, [name for name in names if (levels == name).any()]


def restrict(comparison: CrossValidation, rows: np.ndarray) -> CrossValidation:
    """The same scores for some of the patients. rows: (m,) bool."""
    scores = {
        name: Scores(s.log_risk[:, rows], s.survival[:, rows], s.quartile[:, rows], s.notes, s.seconds)
        for name, s in comparison.scores.items()
    }
    return replace(
        comparison,
        time=comparison.time[rows],
        event=comparison.event[rows],
        fold=comparison.fold[:, rows],
        null=comparison.null[:, rows],
        scores=scores,
        entry=None if comparison.entry is None else comparison.entry[rows],
    )


def subgroup_table(
    comparison: CrossValidation,
    table: pd.DataFrame,
    horizons: Sequence[float],
    *,
    names: Sequence[str] | None = None,
    whole: Evaluation | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> pd.DataFrame:
    """Columns variable, level, n, events, model, measure, value, low, high: all patients first, then each subgroup.

    Parameters
    ----------
    table : (m,) rows of the columns to group by. horizons : times of the comparison. names : candidates; None: all.
    whole : the evaluation of all patients, where it exists, so that an estimate is bootstrapped only once.
    samples, seed : of the bootstrap over the subgroup's patients.

    Estimates at a time are given where the subgroup's follow-up supports them (survival.horizons).
    A subgroup under MIN_EVENTS events has one row, without model and estimates. Measures: those of `evaluate`, the Cox
    slope, and O/E(t), observed over expected events by each horizon (1: as predicted; above: risks too low).
    """
    if len(table) != len(comparison.time):
        raise SurvivalError(f"The table has {len(table)} rows for {len(comparison.time)} patients.")
    chosen = list(comparison.scores) if names is None else list(names)
    scores: Mapping[str, Scores] = {name: comparison.scores[name] for name in chosen if name in comparison.scores}
    chosen_only = replace(comparison, scores=dict(scores))
    everyone = Subgroup(ALL, "", np.ones(len(table), dtype=bool))
    groups, rows = [everyone, *subgroups_of(table)], list[tuple[Any, ...]]()
    for done, group in enumerate(groups):
        stop_if(cancelled, "The subgroups were stopped; nothing was changed.")
        part = restrict(chosen_only, group.rows)
        head = (group.variable, group.level, len(part.time), int(part.event.sum()))
        if part.event.sum() < MIN_EVENTS:
            rows.append((*head, "", "", np.nan, np.nan, np.nan))
        else:
            given = whole if group is everyone else None
            rows += [(*head, *estimate) for estimate in _estimates(part, horizons, samples, seed, given)]
        if on_progress is not None:
            on_progress(done + 1, len(groups))
    return pd.DataFrame(rows, columns=COLUMNS)


def _estimates(
    part: CrossValidation, horizons: Sequence[float], samples: int, seed: int, given: Evaluation | None
) -> list[tuple[str, str, float, float, float]]:
    """(model, measure, value, low, high)."""
    last = float(part.time.max())
    carried = carried_horizons(horizons, part.time, part.event).carried
    at = carried or (float(part.times[part.times < last][-1] if (part.times < last).any() else part.times[0]),)
    evaluation = given or evaluate(part, at, samples=samples, seed=seed, calibrate=False)
    rows = [
        (str(r["model"]), str(r["measure"]), float(r["value"]), float(r["low"]), float(r["high"]))
        for r in evaluation.table().to_dict("records")
        if r["model"] in part.scores
    ]
    weight = sample_weights(len(part.time), samples, seed)
    for name, scores in part.scores.items():
        slope = evaluation.slopes[name]  # of the first repeat; not a number where all scores are alike
        if np.isfinite(slope.value):
            rows.append((name, COX_SLOPE, slope.value, slope.low, slope.high))
        for horizon in carried if part.entry is None else ():
            # Kaplan-Meier risk by the horizon over the mean predicted one, mean over repeats
            place = int(np.argmin(np.abs(part.times - horizon)))
            observed = 1 - survival_at(part.time, part.event, weight, horizon)
            predicted = [(1 - s[:, place]) @ weight / weight.sum(axis=0) for s in scores.survival]
            ratio = mean_of([resampled(observed / mean, len(part.time)) for mean in predicted]).estimate()
            if ratio.known:
                rows.append((name, f"O/E({horizon:g})", ratio.value, ratio.low, ratio.high))
    return rows
