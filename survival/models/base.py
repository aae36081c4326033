"""The interface of every survival model: fit, predict, survival curves and, where it has one, a gradient.

A model learns everything (levels, scaling, components, penalties, stopping) from the rows that it is given, so rows
that are held out are held out of all of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from typing import Any, ClassVar, Self

import numpy as np

from survival.cox_regression.baseline import Baseline, fit_baseline
from survival.errors import Cancelled, SurvivalError
from survival.features.encoding import (
    Compression,
    Encoding,
    Features,
    as_features,
    fit_compression,
    fit_encoding,
    rows_of,
    take_rows,
)
from survival.models.hazard import Hazard, LinearHazard
from survival.models.penalty import PenaltySearch
from survival.outcome import check_entry, check_outcome, patient_folds


class SurvivalModel(ABC):
    """A model of time to an event. Rows are patients.

    Attributes after fit
    --------------------
    out_of_fold_ : (n,) the training patients' scores from inner folds without them, or None where the model has none.
    path_ : the penalties that were compared, or None.
    notes_ : sentences for people.
    """

    label: ClassVar[str] = ""
    out_of_fold_: np.ndarray | None = None
    path_: PenaltySearch | None = None
    notes_: tuple[str, ...] = ()

    @abstractmethod
    def fit(
        self, X: Any, time: Any, event: Any, copies: Any = None, cancelled: Cancelled = None, entry: Any = None
    ) -> Self:
        """Learn from n training patients.

        Parameters
        ----------
        X : an array (n, ...), a table, or named blocks of them. time, event : (n,).
        copies : (n,) ids where rows are drawn with repeats: copies of a patient stay in one inner fold.
        cancelled : asked now and then; True stops with FitCancelled.
        entry : (n,) when each came under observation (delayed entry, left truncation), None: all at 0. A model that
            cannot take entry times raises SurvivalError: fitted as if everyone had been followed from the start, it
            would be wrong without a sign.
        """

    @abstractmethod
    def predict(self, X: Any) -> np.ndarray:
        """Log risk of each row, (n,): higher dies earlier; about 0 at the training median."""

    @abstractmethod
    def predict_survival_function(self, X: Any, times: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """(times (T,), S (n, T)); nan beyond the last follow-up. times None: the model's event times."""

    def log_hr_gradient(self) -> dict[str, np.ndarray]:
        """d log_hr / d x by block, in the shape of one row. Raises SurvivalError where the model has none."""
        raise SurvivalError(f"{self.label} has no gradient: choose a Cox model or DeepSurv for a direction.")

    def hazard(self) -> Hazard:
        """The fitted model as plain numbers that can be saved. Raises SurvivalError where there is no such form."""
        raise SurvivalError(f"{self.label} cannot be saved as plain numbers.")

    def refitting(
        self, X: Any, time: np.ndarray, event: np.ndarray, cancelled: Cancelled = None, entry: np.ndarray | None = None
    ) -> Callable[[np.ndarray], Hazard]:
        """A function that fits the model again to rows (n,) of its training patients, drawn with repeats.

        X, time, event, entry: as given to fit. Columns are those of the fit to all patients; whatever else the model
        learns it learns again, copies of a patient in one inner fold. The function raises SurvivalError where a sample
        cannot be fitted.
        """
        encoding = self.hazard().encoding
        flat = encoding.transform(X)
        blocks: Features = {name: flat[:, part] for name, part in encoding.slices.items()}

        def again(rows: np.ndarray) -> Hazard:
            entered = None if entry is None else entry[rows]
            return copy(self).fit(take_rows(blocks, rows), time[rows], event[rows], rows, cancelled, entered).hazard()

        return again


def check_rows(X: Any, time: Any, event: Any) -> tuple[Features, np.ndarray, np.ndarray]:
    """(blocks, time, event), equally many rows."""
    features, outcome = as_features(X), check_outcome(time, event)
    if rows_of(features) != len(outcome):
        raise SurvivalError(f"There are {rows_of(features)} rows of features but {len(outcome)} outcomes.")
    if not outcome.event.any():
        raise SurvivalError("There is no event among the training patients: a model cannot be fitted.")
    return features, outcome.time, outcome.event


def checked_entry(entry: Any, time: np.ndarray, label: str, accepted: bool) -> np.ndarray | None:
    """Entry times (n,) for a model that accepts them. Raises SurvivalError for one that does not."""
    if entry is None:
        return None
    if not accepted:
        raise SurvivalError(f"{label} cannot handle delayed entry (after time 0): choose Cox models.")
    return check_entry(entry, time)


def inner_folds(event: np.ndarray, copies: Any, folds: int, seed: int) -> np.ndarray:
    """(n,) folds, stratified on the event, all copies of a patient in one."""
    rng = np.random.default_rng(seed)
    if copies is None:
        return patient_folds(event, folds, rng)
    _, first, code = np.unique(np.asarray(copies), return_index=True, return_inverse=True)
    return patient_folds(event[first], folds, rng)[code]


class EncodedModel(SurvivalModel):
    """A model on one matrix: blocks are encoded, then _fit sees (n, p) numbers.

    Parameters common to all: missing ("refuse" or "indicator"), seed. accepts_entry: whether `fit` accepts entry times.
    """

    accepts_entry: ClassVar[bool] = False
    _entry: np.ndarray | None = None
    _encoding: Encoding | None = None

    def __init__(self, *, missing: str = "refuse", seed: int = 0) -> None:
        self.missing, self.seed = missing, seed

    def fit(
        self, X: Any, time: Any, event: Any, copies: Any = None, cancelled: Cancelled = None, entry: Any = None
    ) -> Self:
        features, t, e = check_rows(X, time, event)
        self._entry = checked_entry(entry, t, self.label, self.accepts_entry)
        encoding = fit_encoding(features, self.missing)
        self._encoding = encoding
        self.notes_ = encoding.notes
        self._fit(encoding.transform(features), t, e, copies, cancelled)
        return self

    @abstractmethod
    def _fit(self, flat: np.ndarray, time: np.ndarray, event: np.ndarray, copies: Any, cancelled: Cancelled) -> None:
        """Learn from encoded rows (n, p)."""

    @abstractmethod
    def _risk(self, flat: np.ndarray) -> np.ndarray:
        """Log risk of encoded rows, (n,)."""

    def predict(self, X: Any) -> np.ndarray:
        return self._risk(self.encoding.transform(X))

    @property
    def encoding(self) -> Encoding:
        """From blocks to columns, as learned. Raises SurvivalError before the fit."""
        if self._encoding is None:
            raise SurvivalError(f"{self.label} has not been fitted yet: fit it first.")
        return self._encoding


class HazardModel(EncodedModel):
    """A model whose survival curve is S(t | x) = exp(-H0(t) exp(log_hr(x)))."""

    _baseline: Baseline

    def predict_survival_function(self, X: Any, times: Any = None) -> tuple[np.ndarray, np.ndarray]:
        return self.baseline.survival(self.predict(X), times)

    @property
    def baseline(self) -> Baseline:
        return self._baseline

    def _set_baseline(self, time: np.ndarray, event: np.ndarray, log_hr: np.ndarray) -> None:
        """On out-of-fold scores where there are some: fitted scores are spread too widely."""
        self._baseline = fit_baseline(time, event, log_hr, self._entry)


class CompressedModel(EncodedModel):
    """A model on few columns: arrays come in as their leading principal components.

    n_components : components of an array block that are kept; None: all.
    """

    _compression: Compression

    def __init__(self, *, n_components: int | None = 50, **common: Any) -> None:
        super().__init__(**common)
        if n_components is not None and n_components < 1:
            raise SurvivalError("Give at least 1 component.")
        self.n_components = n_components

    def _compress(self, flat: np.ndarray) -> Compression:
        return fit_compression(flat, self.encoding, self.n_components)


class LinearModel(HazardModel):
    """log_hr(x) = <gradient, encoded x> - offset. `_fit` sets _gradient (p,), _offset and _baseline."""

    _gradient: np.ndarray
    _offset: float

    def _risk(self, flat: np.ndarray) -> np.ndarray:
        return flat @ self._gradient - self._offset

    def log_hr_gradient(self) -> dict[str, np.ndarray]:
        return self.encoding.by_block(self._gradient)

    def hazard(self) -> Hazard:
        return LinearHazard(self.encoding, self._gradient, self._offset, self.baseline)
