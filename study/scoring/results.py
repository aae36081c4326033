"""What a model says of a face: its risk, a photo's score with its search and flags, or why there is no score."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from faces.flags import Flag
from latent.inversion.invert import Inversion
from study.disk.latents import mean_over_views
from study.disk.store import Study
from study.scoring.interval import Interval, interval_of

if TYPE_CHECKING:
    from survival.models.fitted import FittedModel


@dataclass(frozen=True, eq=False)
class Risk:
    """What a model says of one face, of the mean over its views.

    log_hr: log hazard ratio relative to the cohort's median. hr: its exponential. percentile: 0-100, among the
    cohort's out-of-fold scores. horizons: survival probability at those of the study's horizons that the follow-up of
    the model's patients carries. times, survival: (T,) the curve. left_out: why there is no value at the other
    horizons, sentences. extrapolated: -1 or 1 where the score lies below or above every patient's, 0 among them.
    interval: None where it was not asked for or cannot be had.
    """

    log_hr: float
    hr: float
    percentile: float
    horizons: dict[float, float]
    times: NDArray[np.float64]
    survival: NDArray[np.float64]
    left_out: tuple[str, ...] = ()
    extrapolated: int = 0
    interval: Interval | None = None

    @property
    def extrapolation(self) -> str:
        """A sentence where the score lies outside the cohort's, else nothing."""
        if not self.extrapolated:
            return ""
        side = "lower" if self.extrapolated < 0 else "higher"
        return f"The score is {side} than that of every patient of the cohort: hazard and survival are extrapolated."


@dataclass(frozen=True, eq=False)
class Score:
    """A photo's inversion, risk and flags. inversion: of the photo itself; views: float32 (views, num_ws, w_dim), the
    codes whose mean has this risk, the photo's first; stamp: of the scorer that made it; ground: why it counts as a
    face."""

    inversion: Inversion
    views: NDArray[np.float32]
    risk: Risk
    flags: tuple[Flag, ...]
    stamp: str
    ground: str = ""

    @property
    def features(self) -> NDArray[np.float32]:
        """(num_ws, w_dim): what the model sees."""
        return mean_over_views(self.views).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Withheld:
    """A photo whose code is too far from any face to be scored: its inversion and flags, and the reason."""

    inversion: Inversion
    reason: str
    flags: tuple[Flag, ...]
    ground: str = ""


@dataclass(frozen=True)
class Refused:
    """Why a photo of a folder has no score."""

    reason: str


@dataclass(frozen=True, eq=False)
class LeftOut:
    """What a model says of one of its patients that was fitted without that patient: the one without fold (1 the first)
    of the folds of the cross-validation's first repeat."""

    risk: Risk
    fold: int
    folds: int


def left_out(study: Study, model: FittedModel, patient: str) -> LeftOut | None:
    """Of a patient of the model's cohort; None for anyone else."""
    rows = model.cohort_[model.cohort_["patient"] == patient]
    if rows.empty:
        return None
    (risk,) = risks_at(study, model, rows["log_hr"].to_numpy(float)[:1])
    return LeftOut(risk, int(rows["fold"].iloc[0]) + 1, int(model.cohort_["fold"].nunique()))


def risk_of(
    study: Study,
    model: FittedModel,
    ws: NDArray[np.float32],
    times: NDArray[np.float64] | None = None,
    intervals: bool = False,
) -> list[Risk]:
    """Risks of features (n, num_ws, w_dim). times: (T,) of their survival curves; None: those of the model. intervals:
    whether each gets its interval."""
    risks = risks_at(study, model, np.asarray(model.predict(ws), float), times)
    if not intervals:
        return risks
    return [
        replace(risk, interval=interval_of(model, code, risk.log_hr, tuple(risk.horizons), risk.times))
        for code, risk in zip(ws, risks, strict=True)
    ]


def risks_at(
    study: Study, model: FittedModel, log_hr: NDArray[np.float64], times: NDArray[np.float64] | None = None
) -> list[Risk]:
    """Risks of log hazard ratios (n,). times: as of risk_of."""
    percentile = np.asarray(model.percentile(log_hr), float)
    times, curves = model.survival(log_hr, times)
    horizons = model.horizons(study.horizons)
    left_out = horizons.sentences(study.time_unit)
    at = model.survival(log_hr, np.asarray(horizons.carried))[1]
    return [
        Risk(
            log_hr=float(lp),
            hr=float(np.exp(lp)),
            percentile=float(p),
            horizons=dict(zip(horizons.carried, map(float, h), strict=True)),
            times=times,
            survival=s,
            left_out=left_out,
            extrapolated=int(outside),
        )
        for lp, p, h, s, outside in zip(log_hr, percentile, at, curves, model.extrapolated(log_hr), strict=True)
    ]
