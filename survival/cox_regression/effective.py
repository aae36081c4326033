"""How many parameters a penalised Cox model really has.

With H = -d2 log L / db2 at the penalised b, restricted to the coefficients that are not 0, and the ridge part of the
penalty n alpha (1 - l1_ratio):  df = trace( H (H + n alpha (1 - l1_ratio) I)^-1 )  (Gray, JASA 1992;87:942; for a
lasso, without ridge part, the number of coefficients that are not 0, Zou, Hastie, Tibshirani, Ann Stat 2007;35:2173).
"""

from __future__ import annotations

import numpy as np

from survival.cox_regression.path import PenaltyPath
from survival.cox_regression.risk_sets import ALL_AT_RISK, AtRisk, event_weight, information_matrix, parts_of, risk_sums


def effective_parameters(
    scores: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    path: PenaltyPath,
    l1_ratio: float,
    at_risk: AtRisk = ALL_AT_RISK,
) -> np.ndarray:
    """(a,) of each penalty of a path that was fitted to these scores (n, k). Breslow ties, as the path has."""
    n = len(time)
    parts, weight = parts_of(time, event, "breslow", at_risk), np.ones(n)
    df = np.empty(len(path.alphas))
    for a, alpha in enumerate(path.alphas):
        nonzero = np.flatnonzero(path.coef[:, a])
        if len(nonzero) == 0:
            df[a] = 0.0
            continue
        x = scores[:, nonzero]
        lp = x @ path.coef[nonzero, a]
        information = np.zeros((len(nonzero), len(nonzero)))
        for part in parts:
            sums = risk_sums(part, x, weight, lp, float(lp.max()))
            information += information_matrix(part, sums, x, event_weight(part, weight))
        values = np.maximum(np.linalg.eigvalsh(information), 0.0)
        ridge = n * alpha * (1 - l1_ratio)
        df[a] = float((values / (values + ridge)).sum()) if ridge > 0 else float(len(nonzero))
    return df
