"""A model chosen for use: fitted to all patients, with their out-of-fold scores, for faces it has not seen.

It answers what a CoxModel answers (log hazard ratio, percentile among the cohort's out-of-fold scores, survival), from
any model of the registry that can be saved as plain numbers. Saved as JSON and npz, never pickle.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from survival.cohort_scores import CohortScores
from survival.cox_regression.baseline import Baseline
from survival.errors import SurvivalError
from survival.metrics.concordance import Estimate
from survival.models.base import SurvivalModel
from survival.models.cox_file import cohort_arrays, cohort_of
from survival.models.linear import LinearHazard, linear_of
from survival.models.registry import model_entry
from survival.storage import read_model, write_model

KIND = "applied-1"
NO_FILE = {
    "forest": "A random survival forest",
    "boosting": "Gradient boosting",
    "cnn": "An image network",
    "kaplan-meier": "The Kaplan-Meier control",
    "shuffled": "The shuffled control",
}
COHORT = {"time": "<f8", "event": "|b1", "log_hr": "<f8", "fold": "<i8", "quartile": "<i8"}
ESTIMATES = ("oof_c_", "oof_uno_", "calibration_slope_")
BASE, OWN = "model.", "cohort."  # in front of the arrays' names


def why_not_saved(model: str, settings: Mapping[str, Any] | None = None) -> str:
    """Why a model of the registry cannot be kept as a file of plain numbers, in one sentence; '' where it can."""
    settings = settings or {}
    if model in NO_FILE:
        return f"{NO_FILE[model]} cannot be saved as plain numbers, so it cannot be used on a new face."
    if settings.get("strata"):
        return "A stratified Cox model has a baseline hazard for each site and cannot be saved: compare sites pooled."
    for member in (settings.get("members") or {}).values():
        own = str(member.get("model", "cox-ridge"))
        if why := why_not_saved(own, member.get("settings")):
            return why
        if model_entry(own).place.startswith("survival.models.deep"):
            return "A late fusion with a network in it cannot be saved: choose a Cox model for its members."
    return ""


class AppliedModel(CohortScores):
    """A model in use.

    base : the fitted model (LinearHazard, or DeepSurv). label : for people.
    cohort_ : DataFrame, one row a patient: patient, time, event, log_hr (out of fold), fold, quartile (-1: none).
    oof_c_, oof_uno_, calibration_slope_ : Estimate, out of fold. uno_tau_. fold_cosine_ : mean cosine between the
    folds' gradients, nan where it was not measured. notes_ : sentences. cuts_ : (3,) quartiles of cohort_.log_hr.
    """

    def __init__(
        self,
        base: SurvivalModel,
        label: str,
        cohort: pd.DataFrame,
        estimates: Mapping[str, Estimate],
        uno_tau: float,
        fold_cosine: float,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.base, self.label, self.cohort_, self.notes_ = base, label, cohort, notes
        self.oof_c_, self.oof_uno_, self.calibration_slope_ = (estimates[name] for name in ESTIMATES)
        self.uno_tau_, self.fold_cosine_ = uno_tau, fold_cosine
        self.oof_log_hr_ = cohort["log_hr"].to_numpy(np.float64)
        self.cuts_ = np.percentile(self.oof_log_hr_, (25, 50, 75))

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the blocks that a prediction needs."""
        return tuple(self.base.blocks)  # type: ignore[attr-defined]

    @property
    def linear(self) -> bool:
        """Whether a step along its gradient changes the log hazard by the same amount everywhere."""
        return isinstance(self.base, LinearHazard)

    @property
    def baseline(self) -> Baseline:
        return self.base.baseline  # type: ignore[attr-defined]

    @property
    def n_patients_(self) -> int:
        return len(self.cohort_)

    @property
    def n_events_(self) -> int:
        return int(self.cohort_["event"].sum())

    def _features(self, X: Any) -> Any:
        """Named blocks; an array stands for the only one, and one row may come without its first axis."""
        if isinstance(X, Mapping | pd.DataFrame):
            return X
        if len(self.blocks) > 1:
            raise SurvivalError(f"{self.label} needs {', '.join(self.blocks)}: give each by name.")
        array = np.asarray(X)
        shape = self.base._fitted().shapes[self.blocks[0]]  # type: ignore[attr-defined]
        return {self.blocks[0]: array[None] if shape is not None and array.shape == shape else array}

    def predict(self, X: Any) -> np.ndarray:
        """Log hazard ratio of each row relative to the cohort's median, (n,)."""
        return self.base.predict(self._features(X))

    def predict_survival_function(self, X: Any, times: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """(times (T,), S (n, T)); nan beyond the last follow-up."""
        return self.survival(self.predict(X), times)

    def survival(self, log_hr: Any, times: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """(times (T,), S (n, T)) of people with these log hazard ratios."""
        return self.baseline.survival(log_hr, times)

    def log_hr_gradient(self, block: str = "photo") -> np.ndarray:
        """d log_hr / d x of one block, in the shape of its row. Raises SurvivalError where it does not look at it."""
        gradient = self.base.log_hr_gradient()
        if block not in gradient:
            raise SurvivalError(f"{self.label} does not look at {block}, so there is no direction in it.")
        return gradient[block]

    def save(self, folder: Path | str) -> None:
        """Write folder/model.json and folder/model.npz, each replaced at once or not at all. Raises SurvivalError."""
        meta, arrays = self.base.to_parts()  # type: ignore[attr-defined]
        kept = {f"{BASE}{name}": array for name, array in arrays.items()}
        kept |= {f"{OWN}{name}": column for name, column in cohort_arrays(self.cohort_, COHORT).items()}
        document = {
            "base": type(self.base).__name__,
            "model": meta,
            "label": self.label,
            "patients": self.cohort_["patient"].tolist(),
            "estimates": {name: _plain(asdict(getattr(self, name))) for name in ESTIMATES},
            **_plain({"uno_tau": self.uno_tau_, "fold_cosine": self.fold_cosine_}),
            "notes": list(self.notes_),
        }
        write_model(Path(folder), KIND, document, kept)

    @classmethod
    def load(cls, folder: Path | str) -> AppliedModel:
        """Read what save wrote. Raises SurvivalError, one sentence, on anything else."""
        meta, arrays = read_model(Path(folder), KIND)
        try:
            return _from_parts(cls, meta, arrays)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RuntimeError):
            raise SurvivalError("model.json does not describe a model that fits its arrays; choose it again.") from None


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(v, float) and not np.isfinite(v) else v for name, v in values.items()}


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _estimate(entry: Mapping[str, Any]) -> Estimate:
    return Estimate(_number(entry["value"]), _number(entry["low"]), _number(entry["high"]), int(entry["n"]))


def _from_parts(kind: type[AppliedModel], meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> AppliedModel:
    own = {name.removeprefix(BASE): array for name, array in arrays.items() if name.startswith(BASE)}
    base: Any
    if meta["base"] == "LinearHazard":
        base = LinearHazard.from_parts(meta["model"], own)
    elif meta["base"] == "DeepSurv":
        module, _, name = model_entry("deepsurv").place.partition(":")
        base = getattr(importlib.import_module(module), name).from_parts(meta["model"], own)
    else:
        raise ValueError("base")
    cohort = cohort_of([str(name) for name in meta["patients"]], arrays, OWN, COHORT)
    estimates = {name: _estimate(meta["estimates"][name]) for name in ESTIMATES}
    return kind(
        base,
        str(meta["label"]),
        cohort,
        estimates,
        _number(meta["uno_tau"]),
        _number(meta["fold_cosine"]),
        tuple(str(note) for note in meta["notes"]),
    )


def applicable(model: SurvivalModel) -> SurvivalModel:
    """A fitted model in the form that can be saved: linear where it is linear, else itself where it can be saved.

    Raises SurvivalError, one sentence, where it cannot.
    """
    if hasattr(model, "to_parts"):
        return model
    return linear_of(model)
