"""Times and events, checked once; and the patients' folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from survival.errors import SurvivalError

MIN_EVENTS_PER_FOLD = 4  # fewer, and an inner test fold may hold no event at all


@dataclass(frozen=True, eq=False)
class Outcome:
    """Right-censored outcomes, one row per patient.

    time: (n,) float64, the study's unit, > 0. event: (n,) bool, True where the event was observed.
    """

    time: np.ndarray
    event: np.ndarray

    def __len__(self) -> int:
        return len(self.time)


def check_outcome(time: Any, event: Any) -> Outcome:
    """The outcomes of n patients.

    Parameters
    ----------
    time : (n,) numbers > 0, one unit for all.
    event : (n,) bool, or 0/1.

    Raises
    ------
    SurvivalError
        names the first offending row (counted from 1) and what to do.
    """
    t, e = _numbers(time, "time"), _numbers(event, "event")
    if len(t) == 0:
        raise SurvivalError("There are no patients: give at least a few dozen rows with a time and an event.")
    if len(t) != len(e):
        raise SurvivalError(f"There are {len(t)} times but {len(e)} events: give one of each per row.")
    _refuse(~np.isfinite(t), t, "the time is missing or not finite", "fill it in or leave the patient out")
    _refuse(t <= 0, t, "the time is not above 0", "times count from the photo; correct the row or leave it out")
    _refuse(~np.isfinite(e), e, "the event is missing", "write 1 for an event, 0 for censored")
    _refuse(~np.isin(e, (0.0, 1.0)), e, "the event is neither 0 nor 1", "write 1 for an event, 0 for censored")
    return Outcome(t, e == 1.0)


def check_entry(entry: Any, time: np.ndarray) -> np.ndarray:
    """(n,) float64 of the times at which patients came under observation, each at least 0 and before `time` (n,).

    Raises SurvivalError, which names the first row that cannot be.
    """
    start = _numbers(entry, "entry time")
    if start.shape != time.shape:
        raise SurvivalError(f"There are {len(start)} entry times but {len(time)} times: give one of each per row.")
    _refuse(
        ~np.isfinite(start), start, "the entry time is missing or not finite", "fill it in (0 for entry at the start)"
    )
    _refuse(start < 0, start, "the entry time is negative", "times count from the same moment; correct the row")
    _refuse(
        start >= time,
        start,
        "the entry time is not before the end",
        "a patient who enters at the end was never observed",
    )
    return start


def _numbers(values: Any, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1:
        raise SurvivalError(f"The {name} has shape {array.shape}: give one number per row.")
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError):
        raise SurvivalError(f"The {name} holds something that is not a number: give numbers only.") from None


def _refuse(bad: np.ndarray, values: np.ndarray, what: str, cure: str) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        more = f" (and {int(bad.sum()) - 1} more rows)" if bad.sum() > 1 else ""
        raise SurvivalError(f"Row {row + 1}{more}: {what} ({values[row]:g}); {cure}.")


def require_events(outcome: Outcome, folds: int) -> None:
    """Refuse a cohort that is too small for nested cross-validation with this number of folds."""
    if folds < 2:
        raise SurvivalError(f"Cross-validation needs at least 2 folds, not {folds}.")
    events = int(outcome.event.sum())
    if events < MIN_EVENTS_PER_FOLD * folds:
        raise SurvivalError(
            f"There are only {events} events among {len(outcome)} patients; {folds}-fold cross-validation needs at "
            f"least {MIN_EVENTS_PER_FOLD * folds}: add patients, wait for events, or use fewer folds."
        )


def patient_folds(event: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Draw folds of m patients, events and censored apart, so that every fold has its share of both. (m,) int."""
    fold = np.empty(len(event), dtype=np.int64)
    start = 0
    for stratum in (np.flatnonzero(event), np.flatnonzero(~event)):
        # numbering resumes where the last stratum stopped, which keeps fold sizes within one of each other
        fold[rng.permutation(stratum)] = (np.arange(len(stratum)) + start) % folds
        start += len(stratum)
    return fold
