"""A fitted CoxModel as plain numbers, words and arrays, and back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from survival.cox_regression.baseline import Baseline
from survival.errors import SurvivalError
from survival.metrics.concordance import Estimate

if TYPE_CHECKING:
    from survival.models.cox_model import CoxModel

SETTINGS = ("penalty", "l1_ratio", "n_components", "variance", "n_alphas", "folds", "choose_by", "rule", "seed")
ESTIMATES = ("oof_c_", "oof_uno_", "calibration_slope_")
FLOATS = ("alpha_", "fold_cosine_", "uno_tau_", "_offset")
COUNTS = ("n_patients_", "n_events_", "n_components_")
PATH = ("alpha", "score", "score_se", "concordance", "deviance_ratio")
COHORT = {"time": "<f8", "event": "|b1", "log_hr": "<f8", "fold": "<i8", "quartile": "<i8"}
LATE = {"entry": "<f8"}  # only where patients came under observation late
DAMAGED = "model.json does not describe a Cox model that fits its arrays; fit the model again."


def to_parts(model: CoxModel) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(meta for JSON, arrays for npz) of a fitted model."""
    arrays = {
        "gradient": model.log_hr_gradient().ravel(),
        "fold_alphas": model.fold_alphas_,
        "oof_log_hr": model.oof_log_hr_,
        "cuts": model.cuts_,
        "baseline_times": model.baseline.times,
        "baseline_hazard": model.baseline.cumulative_hazard,
        **{f"path_{name}": model.path_[name].to_numpy() for name in PATH},
        **{f"cohort_{name}": column for name, column in cohort_arrays(model.cohort_, COHORT).items()},
    }
    meta = {
        "settings": {name: getattr(model, name) for name in SETTINGS},
        "feature_shape": list(model.feature_shape_),
        "patients": model.cohort_["patient"].tolist(),
        "notes": list(model.notes_),
        "floats": {name: getattr(model, name) for name in FLOATS} | {"last_time": model.baseline.last_time},
        "counts": {name: getattr(model, name) for name in COUNTS},
        "estimates": {name: _to_json(getattr(model, name)) for name in ESTIMATES},
    }
    return meta, arrays


def from_parts(kind: type[CoxModel], meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> CoxModel:
    """The model that to_parts took apart, as a kind. Raises SurvivalError where the parts do not fit each other."""
    try:
        model = kind(**{name: meta["settings"][name] for name in SETTINGS})
        _fill(model, meta, arrays)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise SurvivalError(DAMAGED) from None
    return model


def _fill(model: CoxModel, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    model.feature_shape_ = tuple(_count(s) for s in meta["feature_shape"])
    patients = [str(name) for name in meta["patients"]]
    expected = {
        "gradient": math.prod(model.feature_shape_),
        "cuts": 3,
        "fold_alphas": model.folds,
        "baseline_hazard": arrays["baseline_times"].size,
        **{f"path_{name}": arrays["path_alpha"].size for name in PATH},
        **{f"cohort_{name}": len(patients) for name in (*COHORT, *LATE)},
    }
    for name, array in arrays.items():
        if array.ndim != 1 or array.size != expected.get(name, array.size) or array.size == 0:
            raise ValueError(name)
    for name in FLOATS:
        setattr(model, name, _float(meta["floats"][name]))
    for name in COUNTS:
        setattr(model, name, _count(meta["counts"][name]))
    for name in ESTIMATES:
        setattr(model, name, _from_json(meta["estimates"][name]))
    model._gradient, model.fold_alphas_ = arrays["gradient"], arrays["fold_alphas"]
    model.oof_log_hr_, model.cuts_ = arrays["oof_log_hr"], arrays["cuts"]
    model.path_ = pd.DataFrame({name: arrays[f"path_{name}"] for name in PATH})
    model.alphas_ = arrays["path_alpha"]
    model.cohort_ = cohort_of(patients, arrays, "cohort_", COHORT)
    times, hazard = arrays["baseline_times"], arrays["baseline_hazard"]
    if (np.diff(times) <= 0).any() or (np.diff(hazard) < 0).any() or times[0] <= 0 or hazard[0] < 0:
        raise ValueError("baseline")
    model.baseline = Baseline(times, hazard, _float(meta["floats"]["last_time"]))
    model.notes_ = tuple(str(note) for note in meta["notes"])


def cohort_arrays(cohort: pd.DataFrame, columns: dict[str, str]) -> dict[str, np.ndarray]:
    """The columns of a model's cohort_ as arrays of these types, entry times among them where there are some."""
    wanted = columns | (LATE if "entry" in cohort else {})
    return {name: cohort[name].to_numpy().astype(dtype) for name, dtype in wanted.items()}


def cohort_of(patients: list[str], arrays: dict[str, np.ndarray], before: str, columns: dict[str, str]) -> pd.DataFrame:
    """cohort_ from arrays whose names begin with `before`. Raises KeyError, TypeError or ValueError."""
    wanted = columns | (LATE if f"{before}entry" in arrays else {})
    found = {name: arrays[f"{before}{name}"].astype(dtype, casting="no") for name, dtype in wanted.items()}
    if any(column.shape != (len(patients),) for column in found.values()) or not patients:
        raise ValueError("cohort")
    return pd.DataFrame({"patient": patients, **found})


def _to_json(estimate: Estimate) -> dict[str, float | int | None]:
    values = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {name: None if math.isnan(value) else value for name, value in values.items()} | {"n": estimate.n}


def _from_json(entry: dict[str, Any]) -> Estimate:
    value, low, high = (
        float("nan") if entry[name] is None else _float(entry[name]) for name in ("value", "low", "high")
    )
    return Estimate(value, low, high, _count(entry["n"]))


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(value)
    return float(value)


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(value)
    return value
