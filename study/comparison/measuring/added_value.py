"""Whether the photo adds to the clinical columns: one verdict for page, command line and report.

A model that overfits its clinical columns is easy to beat. So the photo must gain on every clinical model that was
compared, a penalised one among them, or an unpenalised one with ten events for each of its parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from study.comparison.plan import PENALISED
from study.comparison.record import CandidateResult, Comparison
from survival.events_per_parameter import enough_events, too_few_words
from survival.metrics.estimate import Estimate

ADDS = "the photo adds to the clinical columns"
TAKES_AWAY = "with the photo the prediction is worse"
OPEN = "it is unclear whether the photo adds anything"


@dataclass(frozen=True)
class AddedValue:
    """both: the best model of photo and clinical columns. base: the clinical model with the highest C. difference: in
    Harrell's C, paired. verdict: end of a sentence. why_open: why a gain proves nothing here, a sentence, or ""."""

    both: CandidateResult
    base: CandidateResult
    difference: Estimate
    verdict: str
    why_open: str = ""


def clinical_models(comparison: Comparison) -> list[CandidateResult]:
    """Models of the clinical columns alone that were fitted, best first by Harrell's C."""
    models = [candidate for candidate in comparison.models if candidate.features == "clinical"]
    return sorted(models, key=lambda candidate: -comparison.estimate(candidate.name).value)


def photo_added(comparison: Comparison) -> AddedValue | None:
    """None without a model of photo and clinical columns, or without one of clinical columns alone."""
    bases = clinical_models(comparison)
    joint = [j for j in comparison.models if "photo" in j.features and "clinical" in j.features]
    if not bases or not joint:
        return None
    both = max(joint, key=lambda candidate: comparison.estimate(candidate.name).value)
    gains = [comparison.difference(both.name, base.name) for base in bases]
    weak = weak_comparator(comparison)
    if all(gain.low > 0 for gain in gains):
        verdict = OPEN if weak else ADDS
    else:
        verdict, weak = TAKES_AWAY if any(gain.high < 0 for gain in gains) else OPEN, ""
    return AddedValue(both, bases[0], gains[0], verdict, weak)


def weak_comparator(comparison: Comparison) -> str:
    """Why the clinical models are too weak to be compared with, one sentence; "" where they are not."""
    bases = clinical_models(comparison)
    if not bases or any(base.model in PENALISED for base in bases):
        return ""
    parameters = max(len(comparison.rows("coefficients", candidate=base.name)) for base in bases)
    if parameters == 0:
        return "The clinical model could not be fitted to all patients: compare with a penalised one."
    if enough_events(comparison.events, parameters):
        return ""
    return (
        f"The clinical model is unpenalised and has {too_few_words(comparison.events, parameters)}: it overfits, so "
        "others improve on it easily. Compare with a penalised one."
    )


def wrong_way(comparison: Comparison, names: Sequence[str]) -> str:
    """On candidates that rank worse than guessing, "" where there are none: the likelihood-ratio test of added value
    has no direction, so their p may be small too."""
    worse = [comparison.candidate(name).label for name in names if comparison.estimate(name).value < 0.5]
    if not worse:
        return ""
    return f"For {' and '.join(worse)}, with a C below 0.5, the test only shows that the score points the wrong way."
