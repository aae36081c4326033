"""Frames along the health direction, and all that the scrubber draws beside them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ui.elements import figures, pictures
from ui.elements.text import THIN, plain_time, ratio, signed
from ui.health_direction.reach import end_of, marks, steps_to
from ui.health_direction.scrubber import pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from latent.editing.directions import Direction
    from study.scoring.direction import Draw, Strip
    from ui.background.task import Reporter
    from ui.health_direction.controls import Wish
    from ui.shell.resources import Cohort

FRAMES_A_SIDE = 24  # of the unedited face
POINTS = 121  # of each curve sent to the browser
BINS = 32
BANDS = {"All": None, "Coarse": (0.0, 0.35), "Middle": (0.35, 0.65), "Fine": (0.65, 1.0)}
BAND_HELP = (
    "Which layers of the code move. Coarse: shape of head and face. Middle: features, hair. Fine: colour, skin. "
    "Whatever moves is scaled so that the step still changes the modelled hazard by exactly what its label says."
)


def band_layers(name: str, num_ws: int) -> tuple[int, int] | None:
    """Layers [low, high) of a named band in a code of `num_ws` layers; None for all."""
    share = BANDS[name]
    if share is None:
        return None
    low, high = (round(part * num_ws) for part in share)
    return low, max(high, low + 1)


def render(
    report: Reporter, cohort: Cohort, ws: NDArray[np.float32], direction: Direction, draw: Draw | None = None
) -> Strip:
    """The whole strip, a few frames at a time, with progress and a preview of the newest frame.

    draw: makes the frames where it is not the checkpoint's own generator.
    """
    from study.scoring.direction import edit_strip

    def on_frames(done: int, count: int, newest: NDArray[np.uint8]) -> None:
        report(done / count, f"{done} of {count} frames", report.seconds() * (count - done) / done, newest)
        report.check()

    steps = steps_to(end_of(cohort.model.oof_log_hr_), FRAMES_A_SIDE)
    return edit_strip(cohort.scorer, ws, direction, steps, draw, on_frames)


@dataclass(frozen=True, eq=False)
class Shown:
    """A strip on screen: whose face, along what, and the wish it fulfils."""

    strip: Strip
    caption: str
    direction: Direction
    ws: NDArray[np.float32]
    wish: Wish

    @cached_property
    def files(self) -> tuple[list[bytes], str]:
        """The frames as files for the browser, and their MIME type."""
        return pictures.encode_frames(self.strip.frames)


def payload(shown: Shown, cohort: Cohort, seek: tuple[int, int]) -> bytes:
    """Everything for the scrubber in one block of bytes."""
    return pack(*shown.files, header(shown, cohort), seek)


def header(shown: Shown, cohort: Cohort) -> dict[str, Any]:
    """What the scrubber draws beside the frames, as plain values."""
    strip, study = shown.strip, cohort.study
    unit = study.time_unit
    end = float(cohort.model.baseline.last_time)
    grid = np.linspace(0.0, end, POINTS)
    _, curves = cohort.model.survival(strip.log_hr, grid)
    scores = cohort.model.cohort_["log_hr"].to_numpy()
    counts, edges = np.histogram(scores, BINS)
    return {
        "log_hr": rounded(strip.steps, 6),
        "score": rounded(strip.log_hr, 4),
        "percentile": rounded(strip.percentile, 1),
        "times": rounded(grid, 3),
        "curves": [rounded(row, 4) for row in curves],
        "survival": [rounded(row, 4) for row in strip.horizons],
        "horizons": [plain_time(t) for t in strip.horizon_times],
        "extrapolated": [int(side) for side in strip.extrapolated],
        "extrapolated_words": "extrapolated: beyond every patient",
        "left_out": " ".join(strip.left_out),
        "cohort": [{"label": name, "values": rounded(values, 4)} for name, values in figures.quarters_on(cohort, grid)],
        "histogram": {"edges": rounded(edges, 3), "counts": [int(count) for count in counts]},
        "origin": len(strip.steps) // 2,
        "ticks": marks(strip.steps),
        "time_ticks": [plain_time(t) for t in figures.round_times(end)],
        "time_unit": unit,
        "time_title": f"{unit} since the photo",
        "track": {
            "low_end": "lower hazard",
            "middle": "hatched: extrapolated" if strip.extrapolated.any() else "hazard ratio to the start",
            "high_end": "higher hazard",
        },
        "caption": shown.caption,
        "alt": shown.caption,
        "curve_title": "Modelled survival: this face (thick), its start (dotted), and the cohort's quarters of risk "
        "(Kaplan-Meier, out-of-fold)",
        "curve_alt": "Survival over time of this face, of its start, and of the four quarters of the cohort",
        "place_title": f"Out-of-fold log-HR of the cohort's {len(scores)} patients, and this face",
        "place_alt": "Histogram of the cohort's out-of-fold log hazard ratios with this face marked",
    }


def rounded(values: NDArray[np.float64] | Sequence[float], digits: int) -> list[float | None]:
    """Plain numbers; None where there is no value (beyond the follow-up)."""
    return [None if np.isnan(v) else round(float(v), digits) for v in values]


def sheet(strip: Strip) -> bytes:
    """One frame a label of the slider, side by side, as a PNG."""
    shown = marks(strip.steps)
    labels = [str(mark["label"]).replace(THIN, " ").replace("\u00d7", "x") for mark in shown]  # Pillow's font has no ×
    return pictures.encode(pictures.strip(strip.frames[[mark["index"] for mark in shown]], labels))


def beyond(strip: Strip, cohort: Cohort, index: int) -> str:
    """A sentence where no patient of the cohort has a score like that of a frame, else nothing."""
    if not cohort.model.extrapolated(strip.log_hr[index])[0]:
        return ""
    return "No patient of the cohort has such a score: hazard and survival are extrapolated here. "


def hr_text(strip: Strip, index: int) -> str:
    """The step of a frame in words: x 2.00 (log-HR +0.69)."""
    return f"{ratio(float(strip.hr_step[index]))} (log-HR {signed(float(strip.steps[index]))})"


def table(strip: Strip, cohort: Cohort) -> str:
    """One row a frame, as CSV."""
    from study.files import csv_text

    columns: dict[str, Any] = {
        "step_log_hr": strip.steps,
        "step_hr": np.exp(strip.steps),
        "log_hr_to_median": strip.log_hr,
        "percentile": strip.percentile,
    }
    for i, time in enumerate(strip.horizon_times):
        columns[f"survival_{plain_time(time)}_{cohort.study.time_unit}"] = strip.horizons[:, i]
    return csv_text(pd.DataFrame(columns).round(5))
