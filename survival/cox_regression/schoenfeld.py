"""Scaled Schoenfeld residuals and their smooth: how a log hazard ratio changes with time.

Scaled: r*_e = b + d V r_e at each of d events, V the covariance of the coefficients b; E[r*] is about b(t) (Grambsch,
Therneau, Biometrika 1994;81:515). Their mean is b exactly. Smooth: least squares on a restricted cubic spline of time.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from survival.cox_regression.regression import CoxFit
from survival.errors import SurvivalError
from survival.metrics.calibration import KNOTS, spline_basis

GRID = 60
MIN_EVENTS = 10


def scaled_residuals(fit: CoxFit) -> pd.DataFrame:
    """Columns name, time, residual: one row an event and covariate of an unweighted fit."""
    times, residuals = fit.schoenfeld()
    scaled = fit.coef + len(times) * residuals @ fit.covariance
    return pd.concat(
        [pd.DataFrame({"name": name, "time": times, "residual": scaled[:, j]}) for j, name in enumerate(fit.names)],
        ignore_index=True,
    )


def smooth_residuals(residuals: pd.DataFrame) -> pd.DataFrame:
    """Columns name, time, value, low, high (95 % of the smooth), coef (mean of the residuals), along event times.

    Raises SurvivalError with too few events for a smooth.
    """
    parts = []
    for name, rows in residuals.groupby("name", sort=False):
        time, y = rows["time"].to_numpy(np.float64), rows["residual"].to_numpy(np.float64)
        if len(y) < MIN_EVENTS:
            raise SurvivalError(f"{len(y)} events are too few for a smooth of the residuals: at least {MIN_EVENTS}.")
        knots = np.unique(np.percentile(time, KNOTS))
        whole = len(knots) == len(KNOTS)
        at = np.linspace(time.min(), time.max(), GRID)
        basis, wanted = ((spline_basis(v, knots) if whole else v[:, None]) for v in (time, at))
        design, read = (np.column_stack([np.ones(len(b)), b]) for b in (basis, wanted))
        beta, *_ = np.linalg.lstsq(design, y, rcond=None)
        freedom = len(y) - design.shape[1]
        variance = float(((y - design @ beta) ** 2).sum() / freedom)
        spread = np.sqrt(variance * np.einsum("ij,jk,ik->i", read, np.linalg.pinv(design.T @ design), read))
        value, reach = read @ beta, float(stats.t.ppf(0.975, freedom))
        limits = {"low": value - reach * spread, "high": value + reach * spread, "coef": float(y.mean())}
        parts.append(pd.DataFrame({"name": name, "time": at, "value": value, **limits}))
    return pd.concat(parts, ignore_index=True)
