"""How close a generator's samples are to a set of portraits, from features alone: numpy in, numbers out.

Features are rows (n, d), one per image, of any network (`sample_features`). Distances of different networks, and
Fréchet distances of different n, cannot be compared.

References
----------
Heusel et al. 2017, arXiv:1706.08500 (Fréchet distance of two normal distributions, "FID"); Binkowski et al. 2018,
arXiv:1801.01401 (unbiased kernel distance, "KID"); Kynkäänniemi et al. 2019, arXiv:1904.06991 (precision and recall).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, svdvals
from scipy.spatial.distance import cdist, pdist

from latent.errors import LatentError

KID_SUBSETS = 100
KID_SUBSET_SIZE = 1000  # as published; at most half of the rows, or all subsets would be nearly the same one
NEIGHBOURS = 3
BLOCK = 1024  # rows of a distance matrix at a time
Array = NDArray[np.floating]


def _rows(features: Array, least: int = 2) -> NDArray[np.float64]:
    """float64 (n, d) of finite numbers with at least `least` rows; LatentError for anything else."""
    rows = np.asarray(features, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < least:
        raise LatentError(f"This measure needs at least {least} images, not {len(rows) if rows.ndim else 0}.")
    if not np.isfinite(rows).all():
        raise LatentError("Some features are not finite numbers: the generator's pictures are broken.")
    return rows


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean (d,) and a root (r, d) of the covariance: covariance = root' root, r = min(n, d). `n` rows were seen."""

    mean: NDArray[np.float64]
    root: NDArray[np.float64]
    n: int

    @classmethod
    def of(cls, features: Array) -> Moments:
        """Of features (n, d), n >= 2, with the n - 1 of an unbiased covariance."""
        rows = _rows(features)
        mean = rows.mean(axis=0)
        root = (rows - mean) / np.sqrt(len(rows) - 1)
        if len(rows) > rows.shape[1]:  # the triangle of a QR decomposition has the same root' root and fewer rows
            root = qr(root, mode="r", check_finite=False)[0][: rows.shape[1]]
        return cls(mean, root, len(rows))


def frechet(a: Moments | Array, b: Moments | Array) -> float:
    """Squared Fréchet distance of the normal distributions with the moments of a and b, features (n, d) or Moments.

    |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)). With C = R' R the trace of the last root is the sum of the
    singular values of R_a R_b', which needs no matrix root and cannot become complex. Biased upwards, by less for
    larger n: compare only at equal n. Keep the `Moments` of a reference that is asked for again.
    """
    first, second = (part if isinstance(part, Moments) else Moments.of(part) for part in (a, b))
    if first.mean.shape != second.mean.shape:
        raise LatentError("The two sets of features come from different networks.")
    spread = float((first.root**2).sum() + (second.root**2).sum())
    shared = float(svdvals(first.root @ second.root.T, check_finite=False).sum())
    return max(0.0, float(((first.mean - second.mean) ** 2).sum()) + spread - 2 * shared)


def kernel_distance(
    a: Array, b: Array, subsets: int = KID_SUBSETS, size: int = KID_SUBSET_SIZE, seed: int = 0
) -> tuple[float, float]:
    """Squared maximum mean discrepancy with the kernel (x.y / d + 1)^3, unbiased: its mean and sd over random subsets.

    Around 0, below it as often as above, for two samples of one distribution, whatever their size. A subset has
    `size` rows of each set, at most half of the smaller set.
    """
    first, second = _rows(a, 4), _rows(b, 4)
    size = min(size, len(first) // 2, len(second) // 2)
    rng = np.random.default_rng(seed)
    values = [
        _mmd2(first[rng.choice(len(first), size, False)], second[rng.choice(len(second), size, False)])
        for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values))


def _mmd2(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Unbiased estimate from n rows each: pairs of a row with itself are left out within a set."""
    n, d = x.shape
    within = 0.0
    for rows in (x, y):
        kernel = (rows @ rows.T / d + 1) ** 3
        within += (kernel.sum() - np.trace(kernel)) / (n * (n - 1))
    return float(within - 2 * ((x @ y.T / d + 1) ** 3).mean())


def precision_recall(real: Array, fake: Array, k: int = NEIGHBOURS) -> tuple[float, float]:
    """Share of fakes inside the reals' manifold (precision), of reals inside the fakes' (recall).

    The manifold of a set is the union of balls around its points, each reaching to the k-th nearest other point of the
    set (Kynkäänniemi et al. 2019, equations 1 and 2). Larger sets have smaller balls: compare at equal n.
    """
    reals, fakes = _rows(real, k + 1), _rows(fake, k + 1)
    return _share_inside(fakes, reals, k), _share_inside(reals, fakes, k)


def _share_inside(points: NDArray[np.float64], centres: NDArray[np.float64], k: int) -> float:
    radii = np.concatenate(
        [np.partition(cdist(centres[i : i + BLOCK], centres), k, axis=1)[:, k] for i in range(0, len(centres), BLOCK)]
    )  # entry k, because the nearest point of all is the centre itself
    inside = [(cdist(points[i : i + BLOCK], centres) <= radii).any(axis=1) for i in range(0, len(points), BLOCK)]
    return float(np.concatenate(inside).mean())


def mean_pairwise_distance(features: Array) -> float:
    """Mean Euclidean distance of all pairs of rows: how different the faces of a set are from each other."""
    return float(pdist(_rows(features)).mean())


def bootstrap_sd(
    measure: Callable[[NDArray[np.float64], NDArray[np.float64]], float],
    a: Array,
    b: Array,
    samples: int = 50,
    seed: int = 0,
) -> float:
    """Standard deviation of measure(a, b) over sets redrawn with replacement, rows of a and b independently."""
    first, second = _rows(a), _rows(b)
    rng = np.random.default_rng(seed)
    values = [
        measure(first[rng.integers(len(first), size=len(first))], second[rng.integers(len(second), size=len(second))])
        for _ in range(samples)
    ]
    return float(np.std(values, ddof=1))
