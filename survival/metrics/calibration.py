"""Whether predicted probabilities agree with what is observed: calibration at a time t.

p is the predicted risk 1 - S(t | x), x* = log(-log(1 - p)) its complementary log-log.
Curve: a Cox regression of the outcome on a restricted cubic spline of x*, read at t (Austin, Harrell, van Klaveren,
Stat Med 2020;39:2714). ICI, E50, E90: mean, median and 90th percentile of |curve - p| over the patients.
Intercept and slope: log(-log(1 - P(T <= t))) = a + b x* among patients whose status at t is known, weighted by the
inverse of the chance to be (IPCW); the intercept has b = 1. 0 and 1 are perfect; a slope below 1 says that risks are
too extreme.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from survival.cox_regression.regression import cox_regression
from survival.curves import kaplan_meier
from survival.errors import SurvivalError
from survival.metrics.bootstrap import Resampled, resampled, sample_weights
from survival.metrics.estimate import Estimate, unknown
from survival.metrics.probability import known_status, survival_at
from survival.tails import Z95

COX_SLOPE = "Cox slope"  # measure of `calibration_slope` in tables
SLOPE_NAME = "calibration slope (Cox, log hazard)"  # what people read; that of risks at a time is slope_at_name
KNOTS = (5, 35, 65, 95)  # percentiles (Harrell, Regression Modeling Strategies, table 2.3)
EDGE = 1e-6  # probabilities are kept this far from 0 and 1
STEPS = 40
CONVERGED = 1e-9
SMOOTH_SAMPLES = 200  # refits of the curve; its bootstrap costs a Cox regression each


def measure_name(measure: str) -> str:
    """A measure of a comparison's tables as people read it, in the middle of a sentence."""
    return SLOPE_NAME if measure == COX_SLOPE else measure


def slope_at_name(horizon: float, unit: str) -> str:
    """What the slope of weak_calibration is called: that of predicted risks by one time."""
    return f"calibration slope at {horizon:g} {unit}"


def calibration_slope(time: np.ndarray, event: np.ndarray, lp: np.ndarray, entry: np.ndarray | None = None) -> Estimate:
    """Slope of a Cox regression (Breslow ties) on out-of-fold log hazards lp (n,), with its Wald 95 % interval.

    1: the differences in lp are as large as they should be. Below 1: too large (overfitting). nan where there is none:
    lp does not vary, nobody has the event, or lp separates early from late events perfectly.
    """
    try:
        fit = cox_regression(lp - lp.mean(), time, event, ties="breslow", entry=entry)
    except SurvivalError:
        return unknown(len(lp))
    slope, half = float(fit.coef[0]), Z95 * float(fit.se[0])
    return Estimate(slope, slope - half, slope + half, len(lp))


def complementary_log_log(risk: np.ndarray) -> np.ndarray:
    return np.log(-np.log1p(-np.clip(risk, EDGE, 1 - EDGE)))


def spline_basis(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Restricted cubic spline, linear beyond the outer knots: x (n,), knots (k,) rising -> (n, k - 1)."""
    first, before, last = knots[0], knots[-2], knots[-1]

    def cube(knot: float) -> np.ndarray:
        return np.maximum(x - knot, 0) ** 3

    columns, between = [x], last - before
    for knot in knots[:-2]:
        column = cube(knot) - cube(before) * (last - knot) / between + cube(last) * (before - knot) / between
        columns.append(column / (last - first) ** 2)
    return np.column_stack(columns)


def smooth_observed(
    time: np.ndarray, event: np.ndarray, risk: np.ndarray, horizon: float, at: np.ndarray | None = None
) -> np.ndarray:
    """Observed risk at the horizon of people with these predicted risks, by the smooth curve.

    risk: (m,) predicted. at: (k,) predicted risks to read the curve at, None: the patients'.
    Raises SurvivalError where the predictions do not vary.
    """
    x = complementary_log_log(risk)
    knots = np.unique(np.percentile(x, KNOTS))
    if len(knots) < 2:
        raise SurvivalError("The predicted risks do not vary: there is no calibration curve.")
    wanted = x if at is None else complementary_log_log(at)
    basis = (lambda v: spline_basis(v, knots)) if len(knots) == len(KNOTS) else (lambda v: v[:, None])
    fit = cox_regression(basis(x), time, event, ties="breslow")
    times, hazard = fit.baselines()[None]
    reached = int(np.searchsorted(times, horizon, side="right"))
    base = hazard[reached - 1] if reached else 0.0
    return -np.expm1(-base * np.exp(basis(wanted) @ fit.coef))


def weak_calibration(
    time: np.ndarray, event: np.ndarray, risk: np.ndarray, horizon: float, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(intercept with slope 1, slope) under each column of weights, (b,) each; a slope is nan where p is constant."""
    cases, controls = known_status(time, event, weight, horizon)
    x = complementary_log_log(risk)
    intercept = _fit(cases, controls, np.ones((len(x), 1)), x)[0]
    if np.ptp(x) < 1e-9:
        return intercept, np.full(weight.shape[1], np.nan)
    centre = x.mean()
    slope = _fit(cases, controls, np.column_stack([np.ones(len(x)), x - centre]), np.full(len(x), centre))[1]
    return intercept, slope


def _fit(cases: np.ndarray, controls: np.ndarray, design: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Fisher scoring of weighted binomial regressions with complementary log-log link, all columns at once: (k, b)."""
    k, b = design.shape[1], cases.shape[1]
    beta, total = np.zeros((k, b)), cases + controls
    for _ in range(STEPS):
        eta = np.clip(offset[:, None] + design @ beta, -15, 3)
        rate = np.exp(eta)
        mu = np.clip(-np.expm1(-rate), 1e-12, 1 - 1e-12)
        slope = rate * np.exp(-rate)
        score = design.T @ ((cases / mu - controls / (1 - mu)) * slope)
        each = total * slope**2 / (mu * (1 - mu))
        information = ((design[:, :, None] * design[:, None, :]).reshape(len(design), -1).T @ each).T.reshape(b, k, k)
        sound = np.isfinite(information).all(axis=(1, 2))  # a column without a fit is nan from then on
        sound[sound] = np.linalg.cond(information[sound]) < 1e12
        step = np.zeros((k, b))
        step[:, sound] = np.linalg.solve(information[sound], score.T[sound][..., None])[..., 0].T
        step[:, ~sound] = np.nan
        beta = beta + np.clip(step, -2, 2)
        if not np.abs(step[:, sound]).max(initial=0.0) > CONVERGED:
            break
    return beta


def quantile_groups(
    time: np.ndarray, event: np.ndarray, risk: np.ndarray, horizon: float, groups: int = 10
) -> pd.DataFrame:
    """Equally large groups by predicted risk: n, events (by the horizon), predicted (mean), observed (Kaplan-Meier),
    low, high (95 % limits); nan where nobody of a group was followed so far. Fewer where predictions are tied."""
    cuts = np.unique(np.percentile(risk, np.linspace(0, 100, groups + 1)[1:-1]))
    code = np.searchsorted(cuts, risk, side="right")
    rows = []
    for k in np.unique(code):
        group = code == k
        curve = kaplan_meier(time[group], event[group])
        place = int(np.searchsorted(curve.times, horizon, side="right")) - 1
        followed = horizon <= curve.times[-1]
        observed, low, high = (
            (float(1 - values[place]) if followed else float("nan"))
            for values in (curve.survival, curve.high, curve.low)
        )
        died = int((event[group] & (time[group] <= horizon)).sum())
        rows.append((int(group.sum()), died, float(risk[group].mean()), observed, low, high))
    return pd.DataFrame(rows, columns=["n", "events", "predicted", "observed", "low", "high"])


@dataclass(frozen=True, eq=False)
class Calibration:
    """At one horizon. curve: DataFrame predicted, observed, low, high over the range of predictions, or None where they
    do not vary. groups: of quantile_groups. mean_predicted: mean risk. observed: Kaplan-Meier risk of all. ratio:
    observed / mean predicted. intercept, slope, ici, e50, e90: Resampled, nan values where they cannot be had.
    """

    horizon: float
    curve: pd.DataFrame | None
    groups: pd.DataFrame
    mean_predicted: float
    observed: Resampled
    ratio: Resampled
    intercept: Resampled
    slope: Resampled
    ici: Resampled
    e50: Resampled
    e90: Resampled

    def estimates(self) -> dict[str, Estimate]:
        """Every measure with its interval; those that cannot be estimated are left out."""
        names = ("observed", "ratio", "intercept", "slope", "ici", "e50", "e90")
        estimates = {name: getattr(self, name).estimate() for name in names}
        return {name: estimate for name, estimate in estimates.items() if estimate.known}


def calibration(
    time: np.ndarray,
    event: np.ndarray,
    survival: np.ndarray,
    horizon: float,
    *,
    groups: int = 10,
    samples: int = 1000,
    seed: int = 0,
) -> Calibration:
    """Calibration of predicted survival at the horizon. time, event, survival = S(horizon | x): (m,), by patient.

    The curve and ICI, E50, E90 have SMOOTH_SAMPLES bootstrap samples at most, the rest `samples`.
    """
    if survival.shape != time.shape or not np.isfinite(survival).all() or (survival < 0).any() or (survival > 1).any():
        raise SurvivalError("Calibration needs a predicted survival between 0 and 1 for every patient.")
    risk, n = 1 - survival, len(time)
    weight = sample_weights(n, samples, seed)
    observed = 1 - survival_at(time, event, weight, horizon)
    intercept, slope = weak_calibration(time, event, risk, horizon, weight)
    least, most = np.percentile(risk, (1, 99))
    grid = np.linspace(float(least), float(most), 60)
    curves, gaps = _smooth_samples(time, event, risk, horizon, grid, weight[:, : 1 + SMOOTH_SAMPLES])
    curve = None
    if np.isfinite(curves[0]).all():
        low, high = np.nanpercentile(curves[1:], (2.5, 97.5), axis=0) if len(curves) > 1 else (curves[0], curves[0])
        curve = pd.DataFrame({"predicted": grid, "observed": curves[0], "low": low, "high": high})
    return Calibration(
        horizon=float(horizon),
        curve=curve,
        groups=quantile_groups(time, event, risk, horizon, groups),
        mean_predicted=float(risk.mean()),
        observed=resampled(observed, n),
        ratio=resampled(observed / ((risk @ weight) / weight.sum(axis=0)), n),
        intercept=resampled(intercept, n),
        slope=resampled(slope, n),
        ici=resampled(gaps[0], n),
        e50=resampled(gaps[1], n),
        e90=resampled(gaps[2], n),
    )


def _smooth_samples(
    time: np.ndarray, event: np.ndarray, risk: np.ndarray, horizon: float, grid: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Curves (b, grid) and ICI, E50, E90 (3, b); nan where a sample has no curve."""
    curves, gaps = np.full((weight.shape[1], len(grid)), np.nan), np.full((3, weight.shape[1]), np.nan)
    for b in range(weight.shape[1]):
        rows = np.repeat(np.arange(len(time)), weight[:, b].astype(np.int64))
        at = np.concatenate([grid, risk[rows]])
        try:
            seen = smooth_observed(time[rows], event[rows], risk[rows], horizon, at)
        except SurvivalError:
            continue
        curves[b] = seen[: len(grid)]
        gap = np.abs(seen[len(grid) :] - risk[rows])
        gaps[:, b] = gap.mean(), np.median(gap), np.percentile(gap, 90)
    return curves, gaps
