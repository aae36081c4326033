"""How long a comparison takes on this machine.

The size of the work comes from speeds measured once, on another machine; how much longer or shorter it takes here from
comparisons that were made here. Before the first of these there is no estimate.
"""

from __future__ import annotations

from common import speeds
from study.comparison.candidates import PLAIN, RIDGE, models_for
from study.comparison.features import OF_PHOTOS
from study.comparison.plan import DEFAULT, FEATURE_SETS, NETWORK, Plan

KIND = "comparison"
# Seconds of one fit with its scoring, one thread, 480 training patients with codes of 5,120 numbers (the demo study,
# 50 penalties): photo sets, and sets of few clinical columns.
WIDE = {
    "cox-ridge": 2.8,
    "cox-readouts": 1.5,
    "cox-elastic-net": 1.0,
    "cox-lasso": 1.4,
    "deepsurv": 1.7,
    "forest": 3.1,
    "boosting": 1.1,
    "svm": 1.0,
    "random-direction": 0.1,
    "cnn": 36.0,
}
NARROW = {
    "cox": 0.01,
    "cox-ridge": 0.04,
    "cox-elastic-net": 0.04,
    "cox-lasso": 0.04,
    "deepsurv": 0.5,
    "forest": 0.5,
    "boosting": 0.8,
    "svm": 0.4,
}
MEASURED_PATIENTS = 480
MEASURING = 3.0  # seconds of figures, curves and final fits a candidate and repeat, 600 patients, one process
# Likewise of one fit to parts of the photo at 32 px.
SHORTCUTS = {"backdrop-only": 0.5, "face-only": 0.4, "blurred": 0.1, "whole-pixels": 0.8}


def seconds_here(plan: Plan, sets: tuple[str, ...], patients: int, workers: int = 1) -> tuple[float, float] | None:
    """From and to how many seconds a comparison of these feature sets takes on this machine; None where no comparison
    has been made on it. Cached folds are skipped as they come."""
    return speeds.seconds(KIND, expected_seconds(plan, sets, patients, workers))


def measured_here(plan: Plan, sets: tuple[str, ...], patients: int, workers: int, seconds: float) -> None:
    """Remember how long a whole comparison, of which nothing was cached, took on this machine."""
    speeds.record(KIND, seconds / expected_seconds(plan, sets, patients, workers))


def expected_seconds(plan: Plan, sets: tuple[str, ...], patients: int, workers: int = 1) -> float:
    """Seconds of a comparison on the machine of the speeds below."""
    fits = plan.folds * plan.repeats
    training = patients * (plan.folds - 1) / plan.folds
    total, candidates = 0.0, plan.shuffles + 2
    for name in sets:
        wide = bool(OF_PHOTOS & set(FEATURE_SETS[name].blocks))
        for requested in models_for(name, plan, sets):
            model = (RIDGE if wide else PLAIN) if requested == DEFAULT else requested
            if model == PLAIN and wide:
                continue
            total += _one(model, wide, training)
            candidates += 1
    if plan.shortcuts:
        total += sum(_one(name, True, training) for name in SHORTCUTS)
        candidates += len(SHORTCUTS)
    photo = any("photo" in FEATURE_SETS[name].blocks for name in sets)
    default = RIDGE if photo else PLAIN
    control = plan.folds * plan.shuffles * _one(default, photo, training)  # no repeats
    total += _one("random-direction", True, training) * (photo and plan.random_direction)
    return (fits * total + control) / max(1, workers) + MEASURING * candidates * plan.repeats * patients / 600


def _one(model: str, wide: bool, training: float) -> float:
    """Seconds of one fit. Work on codes grows with the square of the patients, on few columns and in the network with
    their number."""
    seconds = (WIDE | SHORTCUTS if wide else NARROW).get(model, 3.1)
    return seconds * (training / MEASURED_PATIENTS) ** (2 if wide and model != NETWORK else 1)
