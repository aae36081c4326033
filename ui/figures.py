"""Plotly figures of the survival room in the look of the page, and curves made ready for the scrubber."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from survival.curves import Curve, quartile_curves
from survival.plots import Palette, face_survival, risk_histogram
from ui import theme

if TYPE_CHECKING:
    from study.score import Score
    from ui.resources import Cohort

QUARTER_NAMES = ("lowest quarter", "second", "third", "highest quarter")


def quarters(cohort: Cohort) -> dict[int, Curve]:
    """Kaplan-Meier curves of the cohort's quarters by out-of-fold risk, 0 (lowest) to 3."""
    rows = cohort.model.cohort_
    entry = rows["entry"].to_numpy() if "entry" in rows else None
    return quartile_curves(rows["time"].to_numpy(), rows["event"].to_numpy(), rows["quartile"].to_numpy(), entry)


def quarters_on(cohort: Cohort, grid: NDArray[np.float64]) -> list[tuple[str, NDArray[np.float64]]]:
    """Name and survival (T,) of each quarter at the times `grid`, nan after its last patient."""
    return [(QUARTER_NAMES[index], curve.at(grid)) for index, curve in quarters(cohort).items()]


def plot_palette() -> Palette:
    """The page's colours for the survival room's figures."""
    colours = theme.palette()
    return Palette(face=colours.ink, groups=colours.quarters, bars=colours.muted, guide=colours.muted)


def face_over_quarters(score: Score, cohort: Cohort) -> go.Figure:
    """Survival of people with this score over the cohort's quarters."""
    times, survival = score.curve
    study = cohort.study
    figure = face_survival(
        np.asarray(times),
        np.asarray(survival),
        quarters(cohort),
        study.time_unit,
        list(score.survival_at),
        list(score.survival_at.values()),
        outcome="Free of the event",
        palette=plot_palette(),
    )
    for trace in figure.data:
        for index, dash in enumerate(theme.QUARTER_DASHES):
            if trace.line.color == theme.palette().quarters[index] and trace.line.width:
                trace.line.dash = dash
    theme.style_figure(figure, height=430)
    end = float(cohort.model.baseline.last_time)
    figure.update_xaxes(tickvals=round_times(end), range=[0, 1.1 * end])
    return figure


def place_in_cohort(score: Score, cohort: Cohort) -> go.Figure:
    """The cohort's out-of-fold scores with this face's place among them."""
    scores = cohort.model.cohort_["log_hr"].to_numpy()
    figure = risk_histogram(scores, score.log_hr, score.percentile, palette=plot_palette())
    for mark in figure.layout.annotations:
        mark.text, mark.y = "this face", 1.0
    theme.style_figure(figure, height=430)
    figure.update_xaxes(title_text="Log-HR to the cohort's median")
    return figure


def round_times(end: float) -> list[float]:
    """Four to eight round times from 0 to `end`, in steps people count in (months: 6, 12, 24)."""
    steps = (0.1, 0.25, 0.5, 1, 2, 3, 6, 12, 24, 60, 120, 365, 730, 1825, 3650)
    step = next((s for s in steps if end / s <= 7.5), end / 5)
    return [float(t) for t in np.arange(0.0, end + 1e-9, step)]
