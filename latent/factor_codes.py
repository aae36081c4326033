"""Known factors of a rendered portrait -> a standard normal latent code z, and nothing else.

A renderer's factor table tells everything about a picture. Carried to N(0, I) it pairs every training image with the z
that has to produce it, so that a generator can be trained by regression before any adversary sees it (`warmstart`).

Each numeric column is replaced by the normal score of its rank *within* groups (by default sex and ancestry, on which
most other priors depend); a name with K legal values by K normal scores of which the largest is the value's; a name
with two values by one score, cut at the quantile that gives the right share. What correlation is left between scores is
removed by the inverse Cholesky factor of their correlation matrix: z = L^-1 g, g = scores, corr(g) = L L^T.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import ndtri

from latent.errors import LatentError

DERIVED = ("index", "image", "age_years", "severity", "face_log_hazard", "truth")
OF_THE_SET = ("folder", "file", "sha256", "patient", "split", "faces_found")  # what `dataset` writes beside the factors
GROUPS = ("sex", "ancestry")


def _rank_scores(values: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Normal scores (N,) of ranks within groups; ties are broken at random."""
    scores = np.empty(len(values))
    for group in np.unique(groups):
        rows = np.nonzero(groups == group)[0]
        order = np.lexsort((rng.random(len(rows)), values[rows]))
        ranks = np.empty(len(rows))
        ranks[order] = np.arange(len(rows))
        scores[rows] = ndtri((ranks + 0.5) / len(rows))
    return scores


def _name_scores(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Normal scores (N, 1) of a two-valued column, (N, K) of a K-valued one with its value at the largest score."""
    names, codes = np.unique(values, return_inverse=True)
    n, k = len(values), len(names)
    if k == 2:
        share = np.mean(codes == 0)
        uniform = np.where(codes == 0, rng.uniform(0, share, n), rng.uniform(share, 1, n))
        return ndtri(np.clip(uniform, 1e-6, 1 - 1e-6))[:, None]
    scores = rng.normal(size=(n, k))
    top = scores.argmax(1)
    rows = np.arange(n)
    scores[rows, top], scores[rows, codes] = scores[rows, codes], scores[rows, top].copy()
    return scores


def factor_columns(table: pd.DataFrame) -> list[str]:
    """Names of the columns that are factors: no facts of the training set, seeds of streams, constants or columns
    derived from others."""
    return [
        name
        for name in table.columns
        if name not in DERIVED
        and name not in OF_THE_SET
        and not name.startswith("quality_")
        and name != "seed"
        and not name.endswith("_seed")
        and table[name].nunique() > 1
    ]


def gaussian_codes(table: pd.DataFrame, seed: int = 0) -> np.ndarray:
    """Codes (N, k) float32, jointly close to N(0, I), one row per row of `table`.

    Only `factor_columns` count. Raises LatentError if there is none.
    """
    rng = np.random.default_rng(seed)
    present = [name for name in GROUPS if name in table]
    groups = table[present].astype(str).agg("|".join, axis=1).to_numpy() if present else np.zeros(len(table), dtype=str)
    scores = []
    for name in factor_columns(table):
        column = table[name]
        if pd.api.types.is_numeric_dtype(column) and column.nunique() > 2:
            scores.append(_rank_scores(column.to_numpy(float), groups, rng)[:, None])
        else:
            scores.append(_name_scores(column.astype(str).to_numpy(), rng))
    if not scores:
        raise LatentError("The table holds no factor that varies: nothing can be paired with the images.")
    g = np.concatenate(scores, axis=1)
    g = (g - g.mean(0)) / g.std(0)
    correlation = np.corrcoef(g, rowvar=False) * 0.99 + 0.01 * np.eye(g.shape[1])
    return np.linalg.solve(np.linalg.cholesky(correlation), g.T).T.astype(np.float32)
