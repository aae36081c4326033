"""Frames along the health direction, and all that the scrubber draws next to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.text import number
from study.description.round_times import round_times
from study.files import csv_text
from study.scoring.interval import NAME
from study.scoring.scorer import Scorer
from study.scoring.strip import RANGES, Draw, Strip, band_layers
from ui.background.task import Reporter
from ui.elements import figures, pictures
from ui.elements.text import THIN, plain_time, ratio
from ui.health_direction.state import DrawnStrip, EditRequest

FRAMES_A_SIDE = 24  # of the unedited face
BINS = 32


def render(
    report: Reporter,
    scorer: Scorer,
    request: EditRequest,
    ws: NDArray[np.float32],
    features: NDArray[np.float32],
    caption: str,
    draw: Draw | None = None,
) -> DrawnStrip:
    """The strip that is asked for, of the face with code `ws` (num_ws, w_dim) and these features, with progress and a
    preview.

    draw: makes the frames where it is not the checkpoint's own generator.
    """

    def on_frames(done: int, count: int, newest: NDArray[np.uint8]) -> None:
        report(done / count, f"{done} of {count} frames", report.seconds() * (count - done) / done, newest)
        report.check()

    report(0.0, "Preparing the direction")
    direction = scorer.direction(request.kind, band_layers(request.band, scorer.checkpoint.num_ws))
    strip = scorer.strip(ws, direction, scorer.steps(FRAMES_A_SIDE), draw, on_frames, features=features)
    return DrawnStrip(strip, caption, direction, ws, request, header(strip, caption, scorer))


def header(strip: Strip, caption: str, scorer: Scorer) -> dict[str, Any]:
    """What the scrubber draws next to the frames, as plain values."""
    unit = scorer.study.time_unit
    scores = scorer.cohort_log_hr
    counts, edges = np.histogram(scores, BINS)
    band = "" if strip.interval is None else f", {NAME} shaded"
    return {
        "log_hr": rounded(strip.steps, 6),
        "score": rounded(strip.log_hr, 4),
        "percentile": rounded(strip.percentile, 1),
        "times": rounded(strip.times, 3),
        "curves": [rounded(row, 4) for row in strip.survival],
        "survival": [rounded(row, 4) for row in strip.horizons],
        "horizons": [plain_time(t) for t in strip.horizon_times],
        "limits": limits(strip),
        "extrapolated": [int(side) for side in strip.extrapolated],
        "extrapolated_words": "beyond all patients' scores",
        "left_out": " ".join(strip.left_out),
        "cohort": [
            {"label": name, "values": rounded(values, 4)} for name, values in figures.quarters_on(scorer, strip.times)
        ],
        "histogram": {"edges": rounded(edges, 3), "counts": [int(count) for count in counts]},
        "origin": len(strip.steps) // 2,
        "ticks": marks(strip.steps),
        "time_ticks": [plain_time(t) for t in round_times(float(strip.times[-1]))],
        "time_unit": unit,
        "time_title": f"{unit} since the photo",
        "track": {
            "low_end": "lower risk",
            "middle": "hatched: beyond all patients' scores"
            if strip.extrapolated.any()
            else "risk compared with the start",
            "high_end": "higher risk",
        },
        "caption": caption,
        "alt": caption,
        "curve_title": f"Modelled survival of this face (thick) and its start (dotted{band}); observed survival of "
        "four groups by risk",
        "curve_alt": f"Survival over time of this face, of its start{band}, and of four groups of patients by risk",
        "place_title": f"Scores of the {len(scores)} patients (log hazard ratio), and this face",
        "place_alt": "Histogram of the patients' scores with this face marked",
    }


def limits(strip: Strip) -> dict[str, Any] | None:
    """Limits of the start's numbers and of its curve, as plain values; None where it has no interval."""
    interval = strip.interval
    if interval is None:
        return None
    return {
        "percentile": rounded([float(interval.percentile.low), float(interval.percentile.high)], 1),
        "survival": [rounded([float(at.low), float(at.high)], 4) for at in interval.horizons.values()],
        "low": rounded(interval.survival.low, 4),
        "high": rounded(interval.survival.high, 4),
    }


def rounded(values: NDArray[np.float64] | Sequence[float], digits: int) -> list[float | None]:
    """Plain numbers; None where there is no value (beyond the follow-up)."""
    return [None if np.isnan(v) else round(float(v), digits) for v in values]


def marks(steps: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Labels under a slider of such steps: index of the step, hazard ratio in words."""
    middle = len(steps) // 2
    end = min(RANGES, key=lambda largest: abs(largest - float(np.exp(steps[-1]))))
    parts = RANGES[end]
    each = middle // parts
    return [
        {"index": middle + k * each, "label": label(float(np.exp(steps[middle + k * each]))), "major": True}
        for k in range(-parts, parts + 1)
    ]


def label(hazard_ratio: float) -> str:
    """'start', '× 1/4', '× 2', '× 1.22'."""
    if hazard_ratio == 1.0:
        return "start"
    for whole in (2, 4, 8):
        if abs(hazard_ratio - whole) < 1e-6:
            return f"\u00d7{THIN}{whole}"
        if abs(hazard_ratio * whole - 1) < 1e-6:
            return f"\u00d7{THIN}1/{whole}"
    return f"\u00d7{THIN}{hazard_ratio:.2f}"


def sheet(strip: Strip) -> bytes:
    """One frame a label of the slider, side by side, as a PNG."""
    shown = marks(strip.steps)
    labels = [str(mark["label"]).replace(THIN, " ").replace("\u00d7", "x") for mark in shown]  # Pillow's font has no ×
    return pictures.encode(pictures.strip(strip.frames[[mark["index"] for mark in shown]], labels))


def beyond(strip: Strip, index: int) -> str:
    """A sentence where no patient of the cohort has a score like that of a frame, else nothing."""
    words = "No patient has a score like this one, so risk and survival are extrapolated. "
    return words if strip.extrapolated[index] else ""


def hr_text(strip: Strip, index: int) -> str:
    """The step of a frame in words: x 2.00 (log hazard ratio +0.69)."""
    return f"{ratio(float(strip.hr_step[index]))} (log hazard ratio {number(float(strip.steps[index]), 2, sign=True)})"


def table(strip: Strip, unit: str) -> str:
    """One row a frame, as CSV. unit: of time."""
    columns: dict[str, Any] = {
        "step_log_hr": strip.steps,
        "step_hr": np.exp(strip.steps),
        "log_hr_to_median": strip.log_hr,
        "percentile": strip.percentile,
    }
    for i, time in enumerate(strip.horizon_times):
        columns[f"survival_{plain_time(time)}_{unit}"] = strip.horizons[:, i]
    return csv_text(pd.DataFrame(columns).round(5))
