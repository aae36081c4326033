"""Models by name. A name stands for "module:class" and settings, so that nothing heavy is imported before it is asked
for, and a worker process finds the model again."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

from survival.errors import SurvivalError
from survival.models.base import SurvivalModel


@dataclass(frozen=True)
class ModelEntry:
    """place: "module:class". settings: what the name fixes; the caller's go over them."""

    place: str
    label: str
    settings: dict[str, Any] = field(default_factory=dict)


MODELS: dict[str, ModelEntry] = {
    "cox-ridge": ModelEntry("survival.models.cox:PenalisedCox", "Cox, ridge", {"penalty": "ridge"}),
    "cox-elastic-net": ModelEntry("survival.models.cox:PenalisedCox", "Cox, elastic net", {"penalty": "elastic-net"}),
    "cox-lasso": ModelEntry("survival.models.cox:PenalisedCox", "Cox, lasso", {"penalty": "lasso"}),
    "cox": ModelEntry("survival.models.cox:PlainCox", "Cox, unpenalised"),
    "deepsurv": ModelEntry("survival.models.deep:DeepSurv", "DeepSurv"),
    "cnn": ModelEntry("survival.models.deep:ImageCox", "Image network"),
    "forest": ModelEntry("survival.models.ranked:SurvivalForest", "Random survival forest"),
    "boosting": ModelEntry("survival.models.ranked:GradientBoosting", "Gradient boosting"),
    "svm": ModelEntry("survival.models.ranked:SurvivalSVM", "Survival SVM"),
    "late-fusion": ModelEntry("survival.models.fusion:LateFusion", "Late fusion"),
    "kaplan-meier": ModelEntry("survival.models.controls:KaplanMeierNull", "Kaplan-Meier (no covariates)"),
    "random-direction": ModelEntry("survival.models.controls:RandomDirection", "Random direction"),
    "shuffled": ModelEntry("survival.models.controls:ShuffledOutcome", "Shuffled outcome"),
}


def register_model(name: str, place: str, label: str, settings: dict[str, Any] | None = None) -> None:
    """Add a model from another room (an end-to-end network, say): place is "module:class" of a SurvivalModel."""
    if ":" not in place:
        raise SurvivalError(f"The place of model {name} is {place!r}: give module:class.")
    MODELS[name] = ModelEntry(place, label, dict(settings or {}))


def model_entry(name: str) -> ModelEntry:
    if name not in MODELS:
        raise SurvivalError(f"There is no model called {name!r}: choose one of {', '.join(MODELS)}.")
    return MODELS[name]


def make_model(name: str, **settings: Any) -> SurvivalModel:
    """An unfitted model. Raises SurvivalError on an unknown name or setting."""
    return build(model_entry(name), name, settings)


def build(entry: ModelEntry, name: str, settings: dict[str, Any]) -> SurvivalModel:
    module, _, attribute = entry.place.partition(":")
    try:
        kind = getattr(importlib.import_module(module), attribute)
        return kind(**{**entry.settings, **settings})
    except (ImportError, AttributeError):
        raise SurvivalError(f"Model {name} cannot be loaded from {entry.place}: install what it needs.") from None
    except TypeError as error:
        raise SurvivalError(f"Model {name} does not take these settings ({error}).") from None
