"""Survival models in one interface, by name: make_model("cox-ridge").fit(X, time, event).predict(X)."""

from survival.models.base import SurvivalModel
from survival.models.registry import MODELS, make_model

__all__ = ["MODELS", "SurvivalModel", "make_model"]
