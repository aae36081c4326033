"""A model in use: fitted to all patients, with their out-of-fold scores, for faces that it has not seen.

Any model of the registry that can be saved as plain numbers. On disk JSON and npz, never pickle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from survival.cox_regression.baseline import Baseline
from survival.errors import SurvivalError
from survival.horizons import Horizons, carried_horizons
from survival.metrics.estimate import Estimate
from survival.models.hazard import Hazard, LinearHazard
from survival.models.penalty import PATH_COLUMNS, PenaltySearch
from survival.models.registry import model_class
from survival.storage import read_model, write_model
from survival.uncertainty.limits import Spread, spread_of
from survival.uncertainty.photo import KINDS, PhotoSpread
from survival.uncertainty.refits import Refits

KIND = "fitted-1"
COHORT = {"time": "<f8", "event": "|b1", "log_hr": "<f8", "fold": "<i8", "quartile": "<i8"}
ENTRY = {"entry": "<f8"}  # only with delayed entry
ESTIMATES = ("oof_c_", "oof_uno_", "calibration_slope_")
QUARTILES = (25, 50, 75)


class FittedModel:
    """A hazard function with the cohort that it was learned from. Made by `survival.comparison.fit`.

    Attributes
    ----------
    hazard : LinearHazard, or DeepSurv.
    label : for people.
    cohort_ : table, one row per patient: patient, time, event, log_hr (out of fold), fold, quartile (0 lowest risk to
        3; -1: none), and entry with delayed entry.
    oof_log_hr_ : (n,) its log_hr. cuts_ : (3,) their quartiles, for new faces.
    oof_c_, oof_uno_, calibration_slope_ : Estimate, out of fold. uno_tau_ : limit of Uno's C.
    fold_cosine_ : mean cosine between the folds' gradients; nan where there are none.
    path_ : PenaltySearch of a penalised Cox model, else None.
    refits_ : Refits to bootstrap samples of the patients; None for a model that is not linear, one with too few
        patients, and one that was saved before refits were kept.
    photo_ : PhotoSpread, how far two photos of a person lie apart under each refit; None where that is not known.
    notes_ : sentences for people.
    """

    def __init__(
        self,
        hazard: Hazard,
        label: str,
        cohort: pd.DataFrame,
        estimates: Mapping[str, Estimate],
        uno_tau: float,
        fold_cosine: float,
        path: PenaltySearch | None = None,
        notes: tuple[str, ...] = (),
        refits: Refits | None = None,
        photo: PhotoSpread | None = None,
    ) -> None:
        self.hazard, self.label, self.cohort_, self.path_, self.notes_ = hazard, label, cohort, path, notes
        self.refits_, self.photo_ = refits, photo
        self.oof_c_, self.oof_uno_, self.calibration_slope_ = (estimates[name] for name in ESTIMATES)
        self.uno_tau_, self.fold_cosine_ = uno_tau, fold_cosine
        self.oof_log_hr_ = cohort["log_hr"].to_numpy(np.float64)
        self.cuts_ = np.percentile(self.oof_log_hr_, QUARTILES)

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the blocks that a prediction needs."""
        return tuple(self.hazard.encoding.shapes)

    @property
    def linear(self) -> bool:
        """Whether a step along its gradient changes the log hazard by the same amount everywhere."""
        return isinstance(self.hazard, LinearHazard)

    @property
    def baseline(self) -> Baseline:
        return self.hazard.baseline

    @property
    def n_patients_(self) -> int:
        return len(self.cohort_)

    @property
    def n_events_(self) -> int:
        return int(self.cohort_["event"].sum())

    def predict(self, X: Any) -> np.ndarray:
        """(n,) log hazard ratio of each row relative to the cohort's median.

        X : named blocks; an array stands for the only one, and a single row may come without its first axis.
        For patients of the cohort this is in-sample; oof_log_hr_ is the honest score.
        """
        return self.hazard.predict(self._by_name(X))

    def _by_name(self, X: Any) -> Any:
        if isinstance(X, Mapping | pd.DataFrame):
            return X
        if len(self.blocks) > 1:
            raise SurvivalError(f"{self.label} needs {', '.join(self.blocks)}: give each by name.")
        array, shape = np.asarray(X), self.hazard.encoding.shapes[self.blocks[0]]
        return {self.blocks[0]: array[None] if shape is not None and array.shape == shape else array}

    def spread(self, X: Any) -> Spread | None:
        """By how much the score of one row, X as of predict, may lie beside its estimate: over refits, and over photos
        of the person where photo_ is known. None without refits."""
        if self.refits_ is None:
            return None
        flat = self.hazard.encoding.transform(self._by_name(X))
        return spread_of(self.refits_, flat, None if self.photo_ is None else self.photo_.sd)

    def predict_survival_function(self, X: Any, times: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """(times (T,), S (n, T)); times None: start, event times, end of follow-up. nan beyond it."""
        return self.survival(self.predict(X), times)

    def survival(self, log_hr: Any, times: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """(times (T,), S (n, T)) of people with these log hazard ratios."""
        return self.baseline.survival(log_hr, times)

    def log_hr_gradient(self, block: str | None = None) -> np.ndarray:
        """d log_hr / d x of one block (None: the first), in the shape of its row. Raises SurvivalError for a block that
        the model does not use."""
        gradient, name = self.hazard.log_hr_gradient(), self.blocks[0] if block is None else block
        if name not in gradient:
            raise SurvivalError(f"{self.label} does not use {name}, so there is no direction in it.")
        return gradient[name]

    def percentile(self, log_hr: Any) -> np.ndarray | float:
        """Share (0 to 100) of the cohort whose out-of-fold score lies below, ties counted half.

        Out-of-fold scores are the ones to compare with: a new face was not in the training set either, whereas the
        cohort's fitted scores are spread too widely.
        """
        scores = np.sort(self.oof_log_hr_)
        value = np.asarray(log_hr, dtype=np.float64)
        below, upto = np.searchsorted(scores, value, "left"), np.searchsorted(scores, value, "right")
        rank = 50.0 * (below + upto) / len(scores)
        return float(rank) if value.ndim == 0 else rank

    def quartile(self, log_hr: Any) -> np.ndarray:
        """Risk quartile, 0 (lowest) to 3, of new scores by the cohort's out-of-fold cut-points."""
        return np.searchsorted(self.cuts_, np.asarray(log_hr, dtype=np.float64), side="right")

    def extrapolated(self, log_hr: Any) -> np.ndarray:
        """(n,) -1 below every score of the cohort, 1 above every one, 0 among them. Hazard and survival of a score
        outside the cohort's are extrapolated: no patient had one like it."""
        value = np.atleast_1d(np.asarray(log_hr, dtype=np.float64))
        return (value > self.oof_log_hr_.max()).astype(int) - (value < self.oof_log_hr_.min()).astype(int)

    def horizons(self, times: Sequence[float]) -> Horizons:
        """At which of these times the cohort's follow-up supports a survival estimate."""
        return carried_horizons(times, self.cohort_["time"], self.cohort_["event"], self.cohort_.get("entry"))

    def save(self, folder: Path | str) -> None:
        """Write folder/model.json and folder/model.npz, each replaced at once or not at all."""
        values, arrays = self.hazard.to_parts()
        saved = {f"hazard.{name}": array for name, array in arrays.items()}
        columns = COHORT | (ENTRY if "entry" in self.cohort_ else {})
        saved |= {f"cohort.{name}": self.cohort_[name].to_numpy().astype(dtype) for name, dtype in columns.items()}
        path = self.path_
        if path is not None:
            saved |= {f"path.{name}": path.table[name].to_numpy(np.float64) for name in PATH_COLUMNS}
        if self.refits_ is not None:
            saved |= {f"refits.{name}": array for name, array in self.refits_.to_arrays().items()}
        photo = self.photo_
        if photo is not None:
            saved["photo.sd"] = photo.sd.astype("<f8")
        document = {
            "hazard": {"kind": type(self.hazard).__name__, **values},
            "label": self.label,
            "patients": self.cohort_["patient"].tolist(),
            "estimates": {name: _plain(asdict(getattr(self, name))) for name in ESTIMATES},
            "path": None if path is None else {"best": path.best, "components": path.components},
            **({} if photo is None else {"photo": {"kind": photo.kind, "persons": photo.persons}}),
            **_plain({"uno_tau": self.uno_tau_, "fold_cosine": self.fold_cosine_}),
            "notes": list(self.notes_),
        }
        write_model(Path(folder), KIND, document, saved)

    @classmethod
    def load(cls, folder: Path | str) -> FittedModel:
        """Read what save wrote; it predicts to the last bit what the saved model did. Raises SurvivalError."""
        values, arrays = read_model(Path(folder), KIND)
        try:
            return _from_parts(cls, values, arrays)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RuntimeError):
            raise SurvivalError("model.json does not describe a model that fits its arrays.") from None


def _from_parts(kind: type[FittedModel], values: dict[str, Any], arrays: dict[str, np.ndarray]) -> FittedModel:
    described = values["hazard"]
    classes = {"LinearHazard": lambda: LinearHazard, "DeepSurv": lambda: model_class("deepsurv")}
    hazard = classes[described["kind"]]().from_parts(described, _below("hazard.", arrays))
    kept, shape = _below("refits.", arrays), (len(hazard.encoding.names), len(hazard.baseline.times))
    refits = Refits.from_arrays(kept, *shape) if kept else None
    return kind(
        cast(Hazard, hazard),
        str(values["label"]),
        _cohort(values["patients"], _below("cohort.", arrays)),
        {name: _estimate(values["estimates"][name]) for name in ESTIMATES},
        _number(values["uno_tau"]),
        _number(values["fold_cosine"]),
        None if values["path"] is None else _path(values["path"], _below("path.", arrays)),
        tuple(str(note) for note in values["notes"]),
        refits,
        None if refits is None or "photo" not in values else _photo(values["photo"], arrays["photo.sd"], len(refits)),
    )


def _below(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _cohort(patients: list[Any], arrays: dict[str, np.ndarray]) -> pd.DataFrame:
    columns = COHORT | (ENTRY if "entry" in arrays else {})
    values = {name: arrays[name].astype(dtype, casting="no") for name, dtype in columns.items()}
    if any(column.shape != (len(patients),) for column in values.values()) or not patients:
        raise ValueError("cohort")
    return pd.DataFrame({"patient": [str(name) for name in patients], **values})


def _photo(values: Mapping[str, Any], sd: np.ndarray, refits: int) -> PhotoSpread:
    if values["kind"] not in KINDS or sd.shape != (refits,) or (sd < 0).any():
        raise ValueError("photo")
    return PhotoSpread(values["kind"], _count(values["persons"]), sd)


def _path(values: dict[str, Any], arrays: dict[str, np.ndarray]) -> PenaltySearch:
    table = pd.DataFrame({name: arrays[name] for name in PATH_COLUMNS})
    best, components = _count(values["best"]), _count(values["components"])
    if best >= len(table):
        raise ValueError("path")
    return PenaltySearch(table, best, components)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(v, float) and not np.isfinite(v) else v for name, v in values.items()}


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise TypeError(value)
    return float("nan") if value is None else float(value)


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(value)
    return value


def _estimate(entry: Mapping[str, Any]) -> Estimate:
    value, low, high = (_number(entry[name]) for name in ("value", "low", "high"))
    return Estimate(value, low, high, _count(entry["n"]))
