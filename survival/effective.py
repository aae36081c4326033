"""How many parameters a penalised Cox model really has.

With H = -d2 log L / db2 at the penalised b, restricted to the coefficients that are not 0, and the ridge part of the
penalty n alpha (1 - l1_ratio):  df = trace( H (H + n alpha (1 - l1_ratio) I)^-1 )  (Gray, JASA 1992;87:942; for a
lasso, without ridge part, the number of coefficients that are not 0, Zou, Hastie, Tibshirani, Ann Stat 2007;35:2173).
"""

from __future__ import annotations

import numpy as np

from survival.path import PenaltyPath
from survival.risk_sets import event_weight, information_matrix, risk_sums, stratum_of


def effective_parameters(
    scores: np.ndarray, time: np.ndarray, event: np.ndarray, path: PenaltyPath, l1_ratio: float
) -> np.ndarray:
    """(a,) of each penalty of a path that was fitted to these scores (n, k). Breslow ties, as the path has."""
    n = len(time)
    part, weight = stratum_of(np.arange(n), time, event, "breslow"), np.ones(n)
    factor = event_weight(part, weight)
    found = np.empty(len(path.alphas))
    for a, alpha in enumerate(path.alphas):
        kept = np.flatnonzero(path.coef[:, a])
        if len(kept) == 0:
            found[a] = 0.0
            continue
        x = scores[:, kept]
        lp = x @ path.coef[kept, a]
        information = information_matrix(part, risk_sums(part, x, weight, lp, float(lp.max())), x, factor)
        values = np.maximum(np.linalg.eigvalsh(information), 0.0)
        ridge = n * alpha * (1 - l1_ratio)
        found[a] = float((values / (values + ridge)).sum()) if ridge > 0 else float(len(kept))
    return found
