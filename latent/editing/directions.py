"""Directions in W+ along which a linear risk changes by a known amount.

A model with lp(ws) = lp0 + <g, ws> (g = its gradient, in W+) is changed by exactly s along s * v whenever <g, v> = 1.
Many v do that; two are meaningful:

- *coefficients*: v = g / |g|^2, the shortest step that produces the change. For a penalised model on PCA scores it lies
  in the span of the cohort's codes, but it also includes whatever cancels noise in them.
- *pattern*: v = C g / <g, C g>, C the covariance of the cohort's codes: what differs, on average, between faces whose
  risk differs by one (Haufe et al. 2014, doi 10.1016/j.neuroimage.2013.10.067, theorem 1: the forward pattern of a
  linear readout, and the regression of codes on lp). C is never formed: with rows x_i of centred codes
  C g = sum_i x_i <x_i, g> / (n - 1).

Steps are in units of log-hazard-ratio, so a step of log 2 doubles the hazard the model gives.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from common.files import Files
from latent.errors import LatentError

FILES = Files(LatentError)
KINDS = ("coefficients", "pattern")
MIN_BAND_SHARE = 1e-3  # of the whole direction's effect; below it a step would have to be a thousand times as long


@dataclass(frozen=True, eq=False)
class Direction:
    """A step in W+ with its effect on the risk.

    vector: float32 (num_ws, w_dim), change of the code for a step of 1.
    gradient: float32 (num_ws, w_dim), d lp / d ws of the model that it belongs to.
    band: layers [low, high) that move, or None for all.

    Equal and equally hashed when kind, vector and gradient are equal: usable as a part of a cache key.
    """

    vector: np.ndarray
    gradient: np.ndarray
    kind: str
    name: str
    band: tuple[int, int] | None = None

    @functools.cached_property
    def key(self) -> str:
        digest = hashlib.sha256(self.kind.encode())
        for array in (self.vector, self.gradient):
            digest.update(np.ascontiguousarray(array, dtype=np.float32).tobytes())
        return digest.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Direction) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def num_ws(self) -> int:
        return self.vector.shape[0]

    def effect(self, change: np.ndarray) -> np.ndarray:
        """Change of lp for changes of the code (..., num_ws, w_dim): (...), in log-HR."""
        return np.tensordot(np.asarray(change, dtype=np.float64), self.gradient.astype(np.float64), axes=2)

    def apply(self, ws: np.ndarray, steps: np.ndarray | float) -> np.ndarray:
        """Codes (K, num_ws, w_dim) float32 for K steps from one code (num_ws, w_dim)."""
        steps = np.atleast_1d(np.asarray(steps, dtype=np.float64))
        if ws.shape != self.vector.shape:
            raise LatentError(f"This direction is for codes of shape {self.vector.shape}, the code has {ws.shape}.")
        return (ws + steps[:, None, None] * self.vector).astype(np.float32)

    def restricted(self, band: tuple[int, int] | None) -> Direction:
        """The same direction moving only layers [low, high), rescaled so that a step keeps its effect.

        Raises LatentError for a band outside the layers or one that carries (almost) none of the effect.
        """
        if band is None or band == self.band:
            return self
        if self.band is not None:
            raise LatentError("This direction is already restricted to a band; restrict the whole direction instead.")
        low, high = band
        if not 0 <= low < high <= self.num_ws:
            raise LatentError(f"Layers {low} to {high - 1} are not a band of the {self.num_ws} layers of this model.")
        vector = np.zeros_like(self.vector)
        vector[low:high] = self.vector[low:high]
        share = float(self.effect(vector))
        if not share >= MIN_BAND_SHARE:
            raise LatentError(
                f"Layers {low} to {high - 1} carry {100 * share:.2g} % of this direction's effect on the risk: "
                "too little to reach a hazard with them alone; choose a wider band."
            )
        return replace(self, vector=_exact(vector / share, self.gradient), band=(low, high))


def _exact(vector: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """`vector` as float32, scaled once more after rounding so that <gradient, vector> is 1."""
    rounded = vector.astype(np.float32).astype(np.float64)
    return (rounded / np.tensordot(gradient.astype(np.float64), rounded, axes=2)).astype(np.float32)


def _checked_gradient(gradient: np.ndarray) -> np.ndarray:
    gradient = np.asarray(gradient, dtype=np.float64)
    if gradient.ndim != 2 or not np.isfinite(gradient).all():
        raise LatentError("A direction needs a finite gradient with one row per layer of the code.")
    if not np.linalg.norm(gradient) > 1e-12:
        raise LatentError("The model's gradient is zero: no photo feature changes its risk, so there is no direction.")
    return gradient


def direction_from_gradient(gradient: np.ndarray, name: str = "Model coefficients") -> Direction:
    """g / |g|^2 for a gradient g = d lp / d ws (num_ws, w_dim). Raises LatentError if it is zero or not finite."""
    g = _checked_gradient(gradient)
    vector = _exact(g / np.sum(g**2), g.astype(np.float32))
    return Direction(vector, g.astype(np.float32), "coefficients", name)


def pattern_direction(gradient: np.ndarray, ws_cohort: np.ndarray, name: str = "Cohort pattern") -> Direction:
    """C g / <g, C g> with C the covariance of a cohort's codes (n, num_ws, w_dim), at least two.

    Raises LatentError if shapes differ or the cohort's risk does not vary.
    """
    g = _checked_gradient(gradient)
    if ws_cohort.ndim != 3 or ws_cohort.shape[1:] != g.shape or len(ws_cohort) < 2:
        raise LatentError(f"A pattern needs at least two codes of shape {g.shape}, not {ws_cohort.shape}.")
    centred = np.asarray(ws_cohort, dtype=np.float64).reshape(len(ws_cohort), -1)
    centred = centred - centred.mean(0)
    risk = centred @ g.reshape(-1)
    variance = float(risk @ risk)
    if not variance > 1e-20 * np.sum(g**2) * np.sum(centred**2):
        raise LatentError("The model gives the whole cohort the same risk, so there is no pattern.")
    vector = (centred.T @ risk).reshape(g.shape) / variance
    return Direction(_exact(vector, g.astype(np.float32)), g.astype(np.float32), "pattern", name)


def save_direction(path: Path, direction: Direction) -> None:
    """Write an .npz without pickled objects, whole or not at all. Raises LatentError where the disk refuses."""
    band = np.array(direction.band if direction.band is not None else (), dtype=np.int64)
    kind, name = np.array(direction.kind), np.array(direction.name)
    with FILES.replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, vector=direction.vector, gradient=direction.gradient, band=band, kind=kind, name=name)


def load_direction(path: Path) -> Direction:
    """Read what `save_direction` wrote. Raises LatentError if the file is missing, damaged or something else."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            band = tuple(int(layer) for layer in file["band"])
            direction = Direction(
                vector=file["vector"].astype(np.float32),
                gradient=file["gradient"].astype(np.float32),
                kind=str(file["kind"]),
                name=str(file["name"]),
                band=(band[0], band[1]) if band else None,
            )
    except Exception as error:
        raise LatentError(f"{path.name} is not a direction saved by this program; fit the model again.") from error
    if direction.kind not in KINDS or direction.vector.ndim != 2 or direction.gradient.shape != direction.vector.shape:
        raise LatentError(f"{path.name} does not hold a direction in W+; fit the model again.")
    return direction
