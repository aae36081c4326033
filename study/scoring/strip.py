"""A face at steps along the health direction: how far it is moved, by which layers, and what becomes of its risk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latent.checkpoints import Checkpoint
from study.errors import StudyError
from study.scoring.interval import Interval
from study.scoring.results import Risk

BATCH = 7  # frames drawn together, and between two reports of progress
CURVE_POINTS = 121  # of each frame's survival curve
DEVIATIONS = 4.0  # standard deviations of the cohort's out-of-fold log-HR that a face is moved by, at most
RANGES = {8.0: 3, 4.0: 2, 2.0: 2, 1.5: 2, 1.2: 2, 1.1: 2, 1.05: 1, 1.02: 1}  # largest HR: parts on either side of 1
BANDS = {"All": None, "Coarse": (0.0, 0.35), "Middle": (0.35, 0.65), "Fine": (0.65, 1.0)}  # shares of the layers
Kind = Literal["coefficients", "pattern"]
KINDS: tuple[Kind, ...] = ("coefficients", "pattern")
OnFrames = Callable[[int, int, NDArray[np.uint8]], None]  # frames drawn, frames in all, the newest (R, R, 3)
Draw = Callable[[Checkpoint, NDArray[np.float32]], NDArray[np.uint8]]  # codes (K, num_ws, w_dim) -> frames


@dataclass(frozen=True, eq=False)
class Strip:
    """A face at K steps along a direction.

    steps (K,) in log-HR against the unedited face; frames uint8 (K, R, R, 3); ws float32 (K, num_ws, w_dim);
    log_hr, hr, percentile (K,) of each frame against the cohort; times (T,), survival (K, T);
    horizons (K, H), survival at those of the study's horizons that the follow-up carries: horizon_times.
    left_out: why there is no value at the others, sentences. extrapolated (K,): -1 or 1 where the score lies below or
    above every patient's, 0 among them. interval: of the unedited face, at horizon_times and times; None
    where it cannot be had.
    """

    steps: NDArray[np.float64]
    frames: NDArray[np.uint8]
    ws: NDArray[np.float32]
    log_hr: NDArray[np.float64]
    hr: NDArray[np.float64]
    percentile: NDArray[np.float64]
    times: NDArray[np.float64]
    survival: NDArray[np.float64]
    horizons: NDArray[np.float64]
    horizon_times: tuple[float, ...] = ()
    left_out: tuple[str, ...] = ()
    extrapolated: NDArray[np.int_] = field(default_factory=lambda: np.zeros(0, dtype=int))
    interval: Interval | None = None

    @property
    def hr_step(self) -> NDArray[np.float64]:
        """(K,) hazard ratio of each frame against the unedited face."""
        return np.exp(self.steps)


def stack(risks: list[Risk]) -> dict[str, Any]:
    """The risks of K frames as the fields of a Strip."""
    return {
        "log_hr": np.array([r.log_hr for r in risks]),
        "hr": np.array([r.hr for r in risks]),
        "percentile": np.array([r.percentile for r in risks]),
        "times": risks[0].times,
        "survival": np.stack([r.survival for r in risks]),
        "horizons": np.array([list(r.horizons.values()) for r in risks]).reshape(len(risks), -1),
        "horizon_times": tuple(risks[0].horizons),
        "left_out": risks[0].left_out,
        "extrapolated": np.array([r.extrapolated for r in risks]),
    }


def log_hr_steps(largest: float = np.log(4.0), count: int = 33) -> NDArray[np.float64]:
    """(count,) even steps from -largest to +largest; an odd count has the unedited face (exactly 0) in the middle."""
    if count < 3 or count % 2 == 0 or not largest > 0:
        raise StudyError("The number of frames must be odd and at least 3, and the largest step above 0.")
    half = np.linspace(0.0, largest, count // 2 + 1)
    return np.concatenate([-half[:0:-1], half])


def largest_ratio(scores: NDArray[np.float64]) -> float:
    """The hazard ratio up to which a face is moved, for a cohort with these log-HRs (n,): 8 where they spread enough.

    A model that discriminates little spreads its scores little: a doubling of its hazard would take a face to where no
    code of a person lies.
    """
    widest = DEVIATIONS * float(np.std(scores))
    return next((end for end in RANGES if np.log(end) <= widest), min(RANGES))


def range_note(scores: NDArray[np.float64]) -> str:
    """A sentence where the range is narrower than the default, else nothing."""
    end = largest_ratio(scores)
    if end == max(RANGES):
        return ""
    return (
        f"The range ends at \u00d7 {end:g}: the log hazard ratios of this cohort have a standard deviation of "
        f"{np.std(scores):.2g}, and a face is moved by at most {DEVIATIONS:g} standard deviations. "
    )


def band_layers(name: str, num_ws: int) -> tuple[int, int] | None:
    """Layers [low, high) of a band of BANDS in a code of `num_ws` layers; None for all."""
    share = BANDS[name]
    if share is None:
        return None
    low, high = (round(part * num_ws) for part in share)
    return low, max(high, low + 1)
