"""From an array a row (W+ codes, descriptors, covariates) to a few orthogonal scores, and back again.

Flatten, centre, scale each feature to standard deviation 1, then principal components: all of it learned from the
training rows alone. Nothing here is non-linear, so whatever a model says about the scores has an exact counterpart
on the raw features: lp = <coef, scores> + c = <gradient, x> + c', gradient = (basis @ coef) / scale.

With n rows and p >> n features the components come from the n x n Gram matrix Z Z' = U L U' in float64 (Z is
centred and scaled): scores = U sqrt(L), basis = Z' U / sqrt(L). Memory stays near that of the float32 input.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from survival.errors import SurvivalError

CHUNK = 1024  # columns brought to float64 at a time
RANK_TOLERANCE = 1e-10  # eigenvalues below this share of the largest are rounding noise of the Gram matrix
CONSTANT = 1e-6  # a standard deviation below this share of the feature's size is float32 noise, not signal


def flatten(X: Any) -> np.ndarray:
    """(n, ...) -> (n, p), float32 kept, anything else float64, every value finite.

    Raises SurvivalError naming the first row with a value that is missing or infinite.
    """
    array = np.asarray(X)
    if array.ndim < 2 or array.shape[0] == 0 or array[0].size == 0:
        raise SurvivalError(f"The features have shape {array.shape}: give one row per photo and at least one feature.")
    if array.dtype != np.float32:
        try:
            array = array.astype(np.float64, copy=False)
        except (TypeError, ValueError):
            raise SurvivalError("The features hold something that is not a number: give numbers only.") from None
    flat = array.reshape(len(array), -1)
    for start in range(0, len(flat), CHUNK):
        bad = ~np.isfinite(flat[start : start + CHUNK]).all(axis=1)
        if bad.any():
            row = start + int(np.flatnonzero(bad)[0]) + 1
            raise SurvivalError(f"Row {row}: a feature is missing or not finite; fill it in or leave the row out.")
    return flat


@dataclass(frozen=True, eq=False)
class Reduction:
    """A fitted scaling and PCA.

    mean, scale: (p,) float64; scale is inf where the feature was constant in training, so it plays no part.
    scores: (n, k) float64, the training rows, orthogonal columns of falling variance, mean variance 1.
    explained: (k,) share of the scaled features' variance that each component carries.
    """

    mean: np.ndarray
    scale: np.ndarray
    scores: np.ndarray
    explained: np.ndarray
    _rows: np.ndarray = field(repr=False)  # the training rows themselves where p > n, else an empty array
    _dual: np.ndarray = field(repr=False)  # (n, k) where p > n: basis = Z' dual; else (p, k): the basis itself

    def to_features(self, coef: np.ndarray) -> np.ndarray:
        """Coefficients on scores, (k,) or (k, a) -> d lp / d raw feature, (p,) or (p, a)."""
        inner = self._dual @ coef
        if self._rows.size == 0:
            basis = inner
        else:
            basis = np.empty((len(self.mean), *coef.shape[1:]))
            for start in range(0, len(basis), CHUNK):
                part = slice(start, start + CHUNK)
                basis[part] = _standardise(self._rows, self.mean, self.scale, part).T @ inner
        return basis / (self.scale if coef.ndim == 1 else self.scale[:, None])

    def transform(self, flat: np.ndarray) -> np.ndarray:
        """New rows (n', p) -> scores (n', k)."""
        out = np.zeros((len(flat), self.scores.shape[1]))
        for start in range(0, len(self.mean), CHUNK):
            part = slice(start, start + CHUNK)
            z = _standardise(flat, self.mean, self.scale, part)
            if self._rows.size == 0:
                out += z @ self._dual[part]
            else:
                out += (z @ _standardise(self._rows, self.mean, self.scale, part).T) @ self._dual
        return out


def _standardise(flat: np.ndarray, mean: np.ndarray, scale: np.ndarray, part: slice) -> np.ndarray:
    return (flat[:, part].astype(np.float64) - mean[part]) / scale[part]


def fit_reduction(
    flat: np.ndarray, n_components: int | None = None, variance: float | None = None, weight: np.ndarray | None = None
) -> Reduction:
    """Learn scaling and components from training rows (n, p).

    Parameters
    ----------
    n_components : keep at most this many components; None: as many as there are.
    variance : keep the leading components that carry this share (0, 1] of the scaled variance; None: all.
    weight : (p,) > 0, the standard deviation that each feature is scaled to; None: 1. A penalty on the components
        spares a feature of larger weight.
    """
    mean, scale = _mean_and_scale(flat)
    if weight is not None:
        scale = scale / weight
    if np.isinf(scale).all():
        raise SurvivalError("Every feature is the same for all patients: there is nothing to learn a risk from.")
    wide = flat.shape[1] >= len(flat)
    if wide:
        gram = np.zeros((len(flat), len(flat)))
        for start in range(0, flat.shape[1], CHUNK):
            z = _standardise(flat, mean, scale, slice(start, start + CHUNK))
            gram += z @ z.T
    else:
        z = _standardise(flat, mean, scale, slice(None))
        gram = z.T @ z
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1], vectors[:, ::-1]
    share = np.maximum(values, 0) / values[values > 0].sum()
    keep = int((values > RANK_TOLERANCE * values[0]).sum())
    if variance is not None:
        keep = min(keep, int(np.searchsorted(np.cumsum(share), variance - 1e-12)) + 1)
    if n_components is not None:
        keep = min(keep, n_components)
    values, vectors, share = values[:keep], vectors[:, :keep], share[:keep]
    # one common factor brings the mean variance of the scores to 1: penalties then mean the same at any p
    unit = np.sqrt(values.mean() / (len(flat) - 1))
    if wide:
        return Reduction(mean, scale, vectors * np.sqrt(values) / unit, share, flat, vectors / np.sqrt(values) / unit)
    basis = vectors / unit
    return Reduction(mean, scale, z @ basis, share, flat[:0], basis)


def fit_scaling(flat: np.ndarray) -> Reduction:
    """Centring and scaling alone, the features themselves as the scores. For few columns; constant ones become 0."""
    mean, scale = _mean_and_scale(flat)
    p = len(mean)
    scores = _standardise(flat, mean, scale, slice(None))
    return Reduction(mean, scale, scores, np.full(p, 1 / p), flat[:0], np.eye(p))


def _mean_and_scale(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = flat.mean(axis=0, dtype=np.float64)
    deviation = np.empty_like(mean)
    for start in range(0, len(mean), CHUNK):
        part = slice(start, start + CHUNK)
        deviation[part] = (flat[:, part].astype(np.float64) - mean[part]).std(axis=0, ddof=1 if len(flat) > 1 else 0)
    scale = np.where(deviation > CONSTANT * np.abs(mean), deviation, np.inf)
    scale[deviation == 0] = np.inf
    return mean, scale
