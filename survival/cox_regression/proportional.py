"""Whether hazard ratios stay the same over time: the score test of Grambsch and Therneau.

For each covariate x_j the model gets a companion x_j g(t); the test is the score test of its coefficient at 0, with all
other coefficients at their estimates (Grambsch, Therneau, Biometrika 1994;81:515; computed exactly, as R's survival
does since 3.0, not from scaled residuals). Over the events e with covariate means m_e and covariances V_e at risk:
    u = (0, sum g_e (x_e - m_e)),  I = sum of ((V_e, g_e V_e), (g_e V_e, g_e^2 V_e)),  chi-square = u' I^-1 u.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from survival.cox_regression.regression import CoxFit
from survival.cox_regression.risk_sets import event_weight, information_matrix, risk_sums
from survival.curves import kaplan_meier
from survival.errors import SurvivalError

SINGULAR = 1e-12
GLOBAL = "GLOBAL"  # row of the test of all covariates together
TRANSFORMS = ("km", "rank", "identity", "log")


def time_transform(time: np.ndarray, event: np.ndarray, transform: str, entry: np.ndarray | None = None) -> np.ndarray:
    """g at each patient's time, less its mean over the events. (n,).

    km: 1 - S(t-), the Kaplan-Meier curve of all patients just before t, 0 before its start. rank: place among all
    times, ties at their mean. identity, log: the time itself and its logarithm.
    """
    if transform not in TRANSFORMS:
        raise SurvivalError(f"There is no transform called {transform!r}: choose one of {', '.join(TRANSFORMS)}.")
    if transform == "identity":
        g = time.astype(np.float64)
    elif transform == "log":
        g = np.log(time)
    elif transform == "rank":
        g = stats.rankdata(time)
    else:
        curve = kaplan_meier(time, event, entry)
        g = 1 - np.nan_to_num(curve.survival, nan=1.0)[np.searchsorted(curve.times, time, side="left") - 1]
    return g - g[event].mean()


def proportional_hazards_test(fit: CoxFit, transform: str = "km") -> pd.DataFrame:
    """Columns name, chisq, df, p: one row per covariate that can be tested, and GLOBAL for all together.

    A small p says that the hazard ratio changes with time; look at the smoothed Schoenfeld residuals for how. Raises
    SurvivalError, one sentence, where nothing can be tested, as with all events at one time.
    """
    g_all = time_transform(fit._time, fit._event, transform, fit._entry)
    x = fit._x - np.average(fit._x, axis=0, weights=fit._weight)
    lp = x @ fit.coef
    p = len(fit.coef)
    u, blocks = np.zeros(p), np.zeros((3, p, p))
    for part in fit._parts:
        sums = risk_sums(part, x, fit._weight, lp, float(lp.max()))
        factor, dying = event_weight(part, fit._weight), part.rows[part.dies]
        g = g_all[dying]  # one time, one g: equal within ties
        u += (g * fit._weight[dying]) @ x[dying] - (g * factor) @ sums.mean
        for power in range(3):
            blocks[power] += information_matrix(part, sums, x, factor * g**power)
    information = np.block([[blocks[0], blocks[1]], [blocks[1], blocks[2]]])
    if np.ptp(g_all[fit._event]) == 0:
        raise SurvivalError(
            "Whether hazards are proportional cannot be tested: all events happen at one time, so no hazard ratio can "
            "change with time."
        )
    rows = []
    for name, added in [*((n, [j]) for j, n in enumerate(fit.names)), (GLOBAL, list(range(p)))]:
        keep = np.r_[np.arange(p), p + np.array(added)]
        score = np.concatenate([np.zeros(p), u[added]])
        chisq = _score_statistic(information[np.ix_(keep, keep)], score)
        if chisq is not None:
            rows.append((name, chisq, len(added), float(stats.chi2.sf(chisq, len(added)))))
    if not rows:
        raise SurvivalError(
            "Whether hazards are proportional cannot be tested: too few events at different times for these covariates."
        )
    return pd.DataFrame(rows, columns=["name", "chisq", "df", "p"])


def _score_statistic(information: np.ndarray, score: np.ndarray) -> float | None:
    """score' information^-1 score; None where the information does not separate the covariates from their change."""
    scale = np.sqrt(np.clip(np.diag(information), 0, None))
    if not (scale > 0).all():
        return None
    correlation = information / np.outer(scale, scale)
    values = np.linalg.eigvalsh(correlation)
    if not values[0] > SINGULAR * values[-1]:
        return None
    scaled = score / scale
    return float(scaled @ np.linalg.solve(correlation, scaled))
