"""What it would be worth to act on a predicted risk: decision curves for survival.

Act on everyone whose predicted risk of an event by t exceeds a threshold q; q also says how many needless actions one
helped patient is worth, q / (1 - q) each. With m patients, m_q of them above q, and their Kaplan-Meier risk R_q by t:
    net benefit = (m_q / m) [R_q - (1 - R_q) q / (1 - q)]
(Vickers, Elkin 2006; Vickers, Cronin, Elkin, Gonen, BMC Med Inform Decis Mak 2008;8:53, section on censoring). It is
compared with acting on all and on nobody (0).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from survival.errors import SurvivalError
from survival.metrics.probability import survival_at

TREAT_ALL = "act on all"
TREAT_NONE = "act on nobody"


def net_benefit(
    time: np.ndarray, event: np.ndarray, risk: np.ndarray, horizon: float, threshold: float, weight: np.ndarray
) -> np.ndarray:
    """Under each column of weights, (b,). risk: (m,) predicted by the horizon. Nobody above the threshold: 0.

    Where those above the threshold are not followed up to the horizon, their risk at their last time is taken.
    """
    if not 0 <= threshold < 1:
        raise SurvivalError(f"The threshold is {threshold:g}: give a risk of at least 0 and below 1.")
    above = risk > threshold
    if not above.any():
        return np.zeros(weight.shape[1])
    t, drawn_weight = time[above], weight[above]
    survival = survival_at(t, event[above], drawn_weight, min(horizon, float(t.max())))
    for b in np.flatnonzero(np.isnan(survival)):  # a bootstrap sample without the last of them
        drawn = drawn_weight[:, b] > 0
        last = min(horizon, float(t[drawn].max())) if drawn.any() else 0.0
        survival[b] = survival_at(t, event[above], drawn_weight[:, b : b + 1], last)[0] if drawn.any() else 1.0
    died = 1 - survival
    return drawn_weight.sum(axis=0) / weight.sum(axis=0) * (died - (1 - died) * threshold / (1 - threshold))


def decision_curve(
    time: np.ndarray,
    event: np.ndarray,
    risks: Mapping[str, np.ndarray],
    horizon: float,
    thresholds: np.ndarray,
    weight: np.ndarray,
) -> pd.DataFrame:
    """Columns model, threshold, net_benefit, low, high: each model, acting on all, and on nobody.

    risks: model -> (m,) predicted risks by the horizon. weight: of sample_weights, so that all curves are paired.
    """
    acts = {**risks, TREAT_ALL: np.full(len(time), 2.0)}
    rows = []
    for name, risk in acts.items():
        for q in thresholds:
            value = net_benefit(time, event, risk, horizon, float(q), weight)
            low, high = np.nanpercentile(value[1:], (2.5, 97.5)) if len(value) > 1 else (np.nan, np.nan)
            rows.append((name, float(q), float(value[0]), float(low), float(high)))
    rows += [(TREAT_NONE, float(q), 0.0, 0.0, 0.0) for q in thresholds]
    return pd.DataFrame(rows, columns=["model", "threshold", "net_benefit", "low", "high"])
