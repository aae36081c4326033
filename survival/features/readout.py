"""Linear readouts: what wide features (codes) say about a few measurements of the same rows.

Ridge regression of standardised measurements on the standardised features, in their principal components. No outcome
is looked at. A readout is a linear function of the features, so a model of readouts is linear in the features too; its
penalty spares those directions that change what was measured, and needs fewer events than one that treats all
directions alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from survival.errors import SurvivalError
from survival.features.reduction import fit_reduction

PENALTY = 0.3  # times the mean eigenvalue of the rows' Gram matrix; from 0.1 to 1 the readouts predict alike
MIN_ROWS = 20  # with measurements


@dataclass(frozen=True, eq=False)
class Readout:
    """to_readouts: (p, k), d readout / d raw feature. spread: (k,) standard deviation that each readout is to have in a
    penalised model, so that every block of measurements has a total variance of 1 and a measurement that the features
    do not hold counts little."""

    to_readouts: np.ndarray
    spread: np.ndarray

    def transform(self, flat: np.ndarray) -> np.ndarray:
        """Rows (n, p) -> readouts (n, k), without a constant."""
        return flat @ self.to_readouts


def fit_readout(flat: np.ndarray, measured: Sequence[np.ndarray], penalty: float = PENALTY) -> Readout:
    """Learn readouts of blocks of measurements, (n, k_i) each, from features (n, p) of the same rows.

    Rows with a measurement that is not finite are left out. Raises SurvivalError where fewer than MIN_ROWS are left, or
    a block is the same in all of them.
    """
    known = np.isfinite(np.concatenate(measured, axis=1)).all(axis=1)
    if known.sum() < MIN_ROWS:
        raise SurvivalError(
            f"Only {int(known.sum())} patients have measurements of the face: readouts need {MIN_ROWS}. Choose a model "
            "of the codes."
        )
    reduction = fit_reduction(flat[known])
    scores = reduction.scores
    values = np.square(scores).sum(axis=0)
    shrunk = scores.T / (values + penalty * values.sum() / len(scores))[:, None]
    maps, spreads = [], []
    for block in measured:
        rows = block[known].astype(np.float64)
        deviation = rows.std(axis=0)
        varies = deviation > 1e-9 * np.maximum(np.abs(rows).max(axis=0), 1e-9)
        if not varies.any():
            raise SurvivalError("A block of measurements is the same for all patients: leave it out.")
        coef = shrunk @ ((rows[:, varies] - rows[:, varies].mean(axis=0)) / deviation[varies])
        spread = (scores @ coef).std(axis=0)
        maps.append(reduction.to_features(coef))
        spreads.append(spread / max(float(np.sqrt(np.square(spread).sum())), 1e-12))
    return Readout(np.concatenate(maps, axis=1), np.concatenate(spreads))
