"""The health direction of a study, and what a face and its risk become along it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latent.checkpoints import Checkpoint
from latent.editing.directions import Direction, direction_from_gradient, pattern_direction
from latent.editing.render import synthesize
from latent.errors import LatentError
from study.errors import StudyError
from study.scoring.score import Risk, Scorer

BATCH = 7  # frames drawn together, and between two reports of progress
Kind = Literal["coefficients", "pattern"]
OnFrames = Callable[[int, int, NDArray[np.uint8]], None]  # frames drawn, frames in all, the newest (R, R, 3)
Draw = Callable[[Checkpoint, NDArray[np.float32]], NDArray[np.uint8]]  # codes (K, num_ws, w_dim) -> frames
KINDS: tuple[Kind, ...] = ("coefficients", "pattern")


@dataclass(frozen=True, eq=False)
class Strip:
    """A face at K steps along a direction.

    steps (K,) in log-HR against the unedited face; frames uint8 (K, R, R, 3); ws float32 (K, num_ws, w_dim);
    log_hr, hr, percentile (K,) of each frame against the cohort; times (T,), survival (K, T);
    horizons (K, H), survival at those of the study's horizons that the follow-up carries: horizon_times.
    left_out: why there is no figure at the others, sentences. extrapolated (K,): -1 or 1 where the score lies below or
    above every patient's, 0 among them.
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

    @property
    def hr_step(self) -> NDArray[np.float64]:
        """(K,) hazard ratio of each frame against the unedited face."""
        return np.exp(self.steps)


def health_direction(scorer: Scorer, kind: Kind = "coefficients", band: tuple[int, int] | None = None) -> Direction:
    """The direction of a model in W+, one unit of log-HR a step.

    kind: "coefficients" (the model's gradient), "pattern" (covariance of the codes that the model was fitted on, times
    the gradient). band: move only the layers low..high-1; the step stays exact. Raises StudyError when the model's
    hazard is not linear in the code.
    """
    name = scorer.study.name
    if not scorer.model.linear:
        raise StudyError(
            f"The model of {name} is not linear in the code: no single direction changes its hazard by the same "
            "factor everywhere. Choose a Cox model on the Survival model page."
        )
    gradient = np.asarray(scorer.model.log_hr_gradient())
    try:
        if kind == "coefficients":
            direction = direction_from_gradient(gradient)
        elif kind == "pattern":
            direction = pattern_direction(gradient, scorer.cohort[0])
        else:
            raise StudyError(f"{kind!r} is not a kind of direction; use {' or '.join(KINDS)}.")
        return direction.restricted(band)
    except LatentError as error:
        raise StudyError(f"The model of {name}: {error}") from error


def log_hr_steps(largest: float = np.log(4.0), count: int = 33) -> NDArray[np.float64]:
    """(count,) even steps from -largest to +largest; an odd count has the unedited face (exactly 0) in the middle."""
    if count < 3 or count % 2 == 0 or not largest > 0:
        raise StudyError("The number of frames must be odd and at least 3, and the largest step above 0.")
    half = np.linspace(0.0, largest, count // 2 + 1)
    return np.concatenate([-half[:0:-1], half])


def edit_strip(
    scorer: Scorer,
    ws: NDArray[np.float32],
    direction: Direction,
    steps: NDArray[np.float64],
    draw: Draw | None = None,
    on_frames: OnFrames | None = None,
) -> Strip:
    """The face of code `ws` (num_ws, w_dim) moved by each of `steps` (K,) log-HR, with its risk at each.

    The risks are those the model gives to the codes that are shown, not step arithmetic. draw: makes the frames in
    place of the checkpoint's generator, for display; nothing else is asked of it, so no number can depend on it.
    on_frames: told after every few frames; what it raises ends the work.
    """
    steps = np.asarray(steps, float)
    codes = direction.apply(ws, steps)
    risks = scorer.risks(codes)
    parts: list[NDArray[np.uint8]] = []
    for start in range(0, len(codes), BATCH):
        some = codes[start : start + BATCH]
        parts.append(synthesize(scorer.checkpoint, some) if draw is None else draw(scorer.checkpoint, some))
        if on_frames is not None:
            on_frames(start + len(some), len(codes), parts[-1][-1])
    return Strip(steps, np.concatenate(parts), codes, **_stack(risks))


def _stack(risks: list[Risk]) -> dict[str, Any]:
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
