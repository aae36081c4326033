"""Cox regression on what codes say about measurements of the face, which needs fewer events than the codes do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np

from survival.errors import Cancelled, SurvivalError
from survival.features.encoding import as_features
from survival.features.readout import Readout, fit_readout
from survival.models.cox import PenalisedCox
from survival.models.penalty import PathSettings


class ReadoutCox(PenalisedCox):
    """Ridge Cox regression on readouts of the codes (survival.features.readout).

    `fit` takes the block of codes and one or more arrays of measurements of the same rows, a row of which may be
    missing (nan); predictions need the codes alone, and the gradient is by the codes.

    Parameters
    ----------
    codes : name of the block of codes. Others: as of PenalisedCox.
    """

    label = "Cox on readouts"
    _measured: tuple[np.ndarray, ...] = ()
    _readout: Readout

    def __init__(self, *, codes: str = "photo", variance: float | None = None, **penalised: Any) -> None:
        super().__init__(variance=variance, **penalised)
        self.codes = codes

    def fit(
        self, X: Any, time: Any, event: Any, copies: Any = None, cancelled: Cancelled = None, entry: Any = None
    ) -> Self:
        features = as_features(X)
        measured = {k: v for k, v in features.items() if k != self.codes and isinstance(v, np.ndarray)}
        if self.codes not in features or not measured:
            raise SurvivalError(f"{self.label} needs the block {self.codes} and measurements of the same photos.")
        self._measured = tuple(block.reshape(len(block), -1) for block in measured.values())
        try:
            rest = {k: v for k, v in features.items() if k not in measured}
            return super().fit(rest, time, event, copies, cancelled, entry)
        finally:
            self._measured = ()

    def _design(self, flat: np.ndarray) -> np.ndarray:
        if self._measured:
            self._readout = fit_readout(flat, self._measured)
        return self._readout.transform(flat)

    def _to_columns(self, gradient: np.ndarray) -> np.ndarray:
        return self._readout.to_readouts @ gradient

    def _path_settings(self, flat: np.ndarray) -> PathSettings:
        return replace(super()._path_settings(flat), weight=self._readout.spread)
