"""How long a comparison will take: from what the fits of an earlier one took, else from speeds measured once."""

from __future__ import annotations

from study.comparison.candidates import PLAIN, RIDGE, SHUFFLED, takes
from study.comparison.features import OF_PHOTOS
from study.comparison.plan import FEATURE_SETS, NETWORK, USUAL, Plan
from study.comparison.record import CONTROL, Comparison

# Seconds of one fit with its scoring, one thread, 480 training patients with codes of 5,120 numbers (the demo study,
# 50 penalties): photo sets, and sets of few clinical columns.
WIDE = {
    "cox-ridge": 2.8,
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


def seconds_needed(
    plan: Plan, sets: tuple[str, ...], patients: int, workers: int = 1, earlier: Comparison | None = None
) -> float:
    """Seconds of a comparison of these feature sets; what is kept from an earlier run comes off as it goes."""
    known = _measured(earlier) if earlier is not None else {}
    fits = plan.folds * plan.repeats
    training = patients * (plan.folds - 1) / plan.folds
    total, candidates = 0.0, plan.shuffles + 2
    for name in sets:
        wide = bool(OF_PHOTOS & set(FEATURE_SETS[name].blocks))
        for asked in (m for m in plan.models if takes(name, m, plan)):
            model = (RIDGE if wide else PLAIN) if asked == USUAL else asked
            if model == PLAIN and wide:
                continue
            total += _one(known, f"{name} / {model}", model, wide, training)
            candidates += 1
    if plan.shortcuts:
        total += sum(_one(known, name, name, True, training) for name in SHORTCUTS)
        candidates += len(SHORTCUTS)
    photo = any("photo" in FEATURE_SETS[name].blocks for name in sets)
    usual = RIDGE if photo else PLAIN
    control = plan.folds * plan.shuffles * _one(known, "shuffled", usual, photo, training)  # no repeats
    total += _one(known, "random-direction", "random-direction", True, training) * (photo and plan.random_direction)
    return (fits * total + control) / max(1, workers) + MEASURING * candidates * plan.repeats * patients / 600


def _one(known: dict[str, tuple[float, float]], name: str, model: str, wide: bool, training: float) -> float:
    """Seconds of one fit. Work on codes grows with the square of the patients, on few columns and in the network with
    their number."""
    if name in known:
        seconds, measured = known[name]
    else:
        speeds = WIDE | SHORTCUTS if wide else NARROW
        seconds, measured = speeds.get(model, 3.1), float(MEASURED_PATIENTS)
    return seconds * (training / measured) ** (2 if wide and model != NETWORK else 1)


def _measured(earlier: Comparison) -> dict[str, tuple[float, float]]:
    """Candidate -> (seconds a fit, training patients)."""
    fits = earlier.plan.folds * earlier.plan.repeats
    training = len(earlier.patients) * (earlier.plan.folds - 1) / earlier.plan.folds
    shuffled = earlier.plan.folds * max(1, earlier.plan.shuffles)
    return {
        c.name: (c.seconds / (shuffled if c.name == SHUFFLED else fits), training)
        for c in earlier.candidates
        if c.seconds > 0 and not (c.role == CONTROL and c.name == "kaplan-meier")
    }
