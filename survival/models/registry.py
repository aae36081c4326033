"""Models by name. A name stands for "module:class" and settings, so that nothing heavy is imported before it is asked
for, and a worker process finds the model again."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from survival.errors import SurvivalError
from survival.models.base import SurvivalModel


@dataclass(frozen=True)
class ModelEntry:
    """place: "module:class". settings: what the name fixes; the caller's take precedence. saved: whether a fitted model
    can be saved as plain numbers."""

    place: str
    label: str
    settings: dict[str, Any] = field(default_factory=dict)
    saved: bool = True


COX = "survival.models.cox:PenalisedCox"
MODELS: dict[str, ModelEntry] = {
    "cox-ridge": ModelEntry(COX, "Cox, ridge", {"penalty": "ridge"}),
    "cox-elastic-net": ModelEntry(COX, "Cox, elastic net", {"penalty": "elastic-net"}),
    "cox-lasso": ModelEntry(COX, "Cox, lasso", {"penalty": "lasso"}),
    "cox-readouts": ModelEntry("survival.models.cox:ReadoutCox", "Cox on readouts", {"penalty": "ridge"}),
    "cox": ModelEntry("survival.models.cox:PlainCox", "Cox, unpenalised"),
    "deepsurv": ModelEntry("survival.models.deep:DeepSurv", "DeepSurv"),
    "cnn": ModelEntry("survival.models.deep:ImageCox", "Image network", saved=False),
    "forest": ModelEntry("survival.models.forest:SurvivalForest", "Random survival forest", saved=False),
    "boosting": ModelEntry("survival.models.boosting:GradientBoosting", "Gradient boosting", saved=False),
    "svm": ModelEntry("survival.models.svm:SurvivalSVM", "Survival SVM"),
    "late-fusion": ModelEntry("survival.models.fusion:LateFusion", "Late fusion"),
    "kaplan-meier": ModelEntry("survival.models.controls:KaplanMeierNull", "Kaplan-Meier (no covariates)", saved=False),
    "random-direction": ModelEntry("survival.models.controls:RandomDirection", "Random direction"),
}


def model_entry(name: str) -> ModelEntry:
    if name not in MODELS:
        raise SurvivalError(f"There is no model called {name!r}: choose one of {', '.join(MODELS)}.")
    return MODELS[name]


def model_class(name: str) -> Any:
    """The class behind a name, imported now. Raises SurvivalError."""
    place = model_entry(name).place
    module, _, attribute = place.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError):
        raise SurvivalError(f"Model {name} cannot be loaded from {place}: install what it needs.") from None


def make_model(name: str, **settings: Any) -> SurvivalModel:
    """An unfitted model. Raises SurvivalError on an unknown name or setting."""
    kind = model_class(name)
    try:
        return kind(**{**model_entry(name).settings, **settings})
    except TypeError as error:
        raise SurvivalError(f"Model {name} does not take these settings ({error}).") from None


def why_not_saved(model: str, settings: Mapping[str, Any] | None = None) -> str:
    """Why a model of the registry cannot be saved as plain numbers, in one sentence; "" where it can."""
    settings, entry = settings or {}, model_entry(model)
    if not entry.saved:
        return f"{entry.label} cannot be saved as plain numbers, so it cannot be used on a new face."
    if settings.get("strata"):
        return "A stratified Cox model has a baseline hazard for each site and cannot be saved: compare sites pooled."
    for member in (settings.get("members") or {}).values():
        name = str(member.get("model", "cox-ridge"))
        if why := why_not_saved(name, member.get("settings")):
            return why
        if name == "deepsurv":
            return "A late fusion with a network in it cannot be saved: choose a Cox model for its members."
    return ""
