"""How far the scores of two photos of one person lie apart, measured where a person has several.

With s_ij the score of photo j of person i and V the pooled variance within persons, two photos' scores differ with a
standard deviation sqrt(2 V) (repeatability, Bland and Altman, BMJ 1996;313:744). Views of one photo stand in for photos
where persons have but one: they show at least what the camera does, and less than another light or pose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from survival.features.encoding import Encoding
from survival.uncertainty.refits import Refits

PHOTOS, VIEWS = "photos", "views"
KINDS = (PHOTOS, VIEWS)


@dataclass(frozen=True, eq=False)
class Repeats:
    """Rows that show the same person. kind: of KINDS. features: (r, ...) of a model's only block. person: (r,) whose
    photos, or of which photo views, they are."""

    kind: str
    features: np.ndarray
    person: np.ndarray


@dataclass(frozen=True, eq=False)
class PhotoSpread:
    """kind: of KINDS. persons: with several photos, or photos with several views, that it was measured on. sd: (B,)
    standard deviation of the difference between two of a person's scores under each refit."""

    kind: str
    persons: int
    sd: np.ndarray


def photo_spread(repeats: Repeats, encoding: Encoding, refits: Refits) -> PhotoSpread:
    """Of a model with one block. Raises ValueError where nobody has several rows."""
    (block,) = encoding.shapes
    scores = refits.predict(encoding.transform({block: repeats.features}))
    _, person, counts = np.unique(repeats.person, return_inverse=True, return_counts=True)
    free = len(person) - len(counts)
    if not free:
        raise ValueError("nobody has several rows")
    means = np.stack([np.bincount(person, each) for each in scores]) / counts
    variance = ((scores - means[:, person]) ** 2).sum(axis=1) / free
    return PhotoSpread(repeats.kind, int((counts > 1).sum()), np.sqrt(2 * variance))
