"""The interval of one score: how far another photo of the person, and other patients for the model, might move it.

What it contains and what it does not is said here, for every page and file that shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from common.text import count
from survival.uncertainty.limits import LEVEL, Limits
from survival.uncertainty.photo import PHOTOS, VIEWS

if TYPE_CHECKING:
    from survival.models.fitted import FittedModel

NAME = f"{100 * LEVEL:.0f} % interval"
NOT_IN_IT = (
    "It does not contain how well the model ranks patients at all (its C says that), other cameras and hospitals, "
    "errors of the reconstruction, or what will happen to the person."
)
NONE = "There is no interval for this score: "
BEFORE_REFITS = f"{NONE}the model was fitted by an earlier version. Fit it again to get intervals."
NOT_LINEAR = f"{NONE}intervals are given for Cox models, and this model is a network."


@dataclass(frozen=True, eq=False)
class Interval:
    """Limits of a Risk's numbers at LEVEL. horizons: at the risk's horizons; survival: (T,) along its curve, nan where
    the curve is. words: what it contains and what it does not, sentences."""

    log_hr: Limits
    hr: Limits
    percentile: Limits
    horizons: dict[float, Limits]
    survival: Limits
    words: str

    def record(self) -> dict[str, Any]:
        """Plain values, None where there is no number."""
        numbers = {"log_hr": self.log_hr, "hr": self.hr, "percentile": self.percentile}
        return {
            "level": LEVEL,
            **{name: _plain(limits) for name, limits in numbers.items()},
            "survival_at": {f"{t:g}": _plain(limits) for t, limits in self.horizons.items()},
            "curve": _plain(self.survival),
            "contains": self.words,
        }


def why_no_interval(model: FittedModel) -> str:
    """Why a model's scores have no interval, a sentence; "" where they have."""
    if model.refits_ is not None:
        return ""
    return BEFORE_REFITS if model.linear else NOT_LINEAR


def interval_words(model: FittedModel) -> str:
    """What the intervals of a model's scores contain, and what they do not."""
    refits = 0 if model.refits_ is None else len(model.refits_)
    model_part = (
        f"the model (how far the score moves when the model is fitted to {refits} random draws of its "
        f"{count(model.n_patients_, 'patient')})"
    )
    if (photo := model.photo_) is None:
        return (
            f"The {NAME} contains {model_part}. How far another photo of the person would move the score is not known "
            f"here. {NOT_IN_IT}"
        )
    persons = count(photo.persons, "patient", "patients")
    photo_part = {
        PHOTOS: f"the photo (how far the score moves between photos of one person, in {persons} with several)",
        VIEWS: "the photo (how far the score moves between a photo, its mirror image and small changes of the camera; "
        "another light, pose or expression may move it further)",
    }[photo.kind]
    return f"The {NAME} contains {photo_part} and {model_part}. {NOT_IN_IT}"


def interval_of(
    model: FittedModel,
    features: NDArray[np.float32],
    log_hr: float,
    horizons: Sequence[float],
    times: NDArray[np.float64],
) -> Interval | None:
    """Of the score log_hr of features (num_ws, w_dim); None where the model keeps no refits. horizons, times: where
    survival is wanted."""
    spread = model.spread(features)
    if spread is None:
        return None
    limits = spread.log_hr(log_hr)
    survival = spread.survival(log_hr, model.baseline, np.concatenate([horizons, times]))
    h = len(horizons)
    return Interval(
        log_hr=limits,
        hr=_each(np.exp, limits),
        percentile=_each(model.percentile, limits),
        horizons={t: Limits(survival.low[i], survival.high[i]) for i, t in enumerate(horizons)},
        survival=Limits(survival.low[h:], survival.high[h:]),
        words=interval_words(model),
    )


def _each(transform: Any, limits: Limits) -> Limits:
    """Limits of something that rises with the log hazard ratio."""
    return Limits(transform(limits.low), transform(limits.high))


def _plain(limits: Limits) -> dict[str, Any]:
    """low and high as JSON has them: None for nan."""

    def plain(value: Any) -> Any:
        numbers = [None if np.isnan(v) else float(v) for v in np.atleast_1d(value)]
        return numbers if np.ndim(value) else numbers[0]

    return {"low": plain(limits.low), "high": plain(limits.high)}
