"""One person's curve over the cohort's, and the place of a score among the cohort's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from common.text import probability
from survival.curves import QUARTILE_NAMES, Curve
from survival.plots.kaplan_meier import add_curve, survival_axes
from survival.plots.style import GRID, Palette, add_band, add_words, finish


def face_survival(
    times: np.ndarray,
    survival: np.ndarray,
    quartiles: Mapping[int, Curve],
    unit: str,
    horizons: Sequence[float] = (),
    at_horizons: Sequence[float] = (),
    outcome: str = "Alive",
    extrapolated: bool = False,
    palette: Palette | None = None,
    dashes: Sequence[str] = (),
    band: tuple[np.ndarray, np.ndarray] | None = None,
) -> go.Figure:
    """One face's survival curve over the cohort's quartile curves with their 95 % bands.

    times, survival: (T,) the face's steps, nan cut off. quartiles: index 0 (lowest risk) to 3 -> Kaplan-Meier curve.
    horizons, at_horizons: times to mark, and the face's survival there (nan: beyond follow-up, not marked).
    outcome: what those without an event are, for the axis. extrapolated: the face's score lies outside the cohort's,
    so its curve is dashed and named so. dashes: of the quartile curves, the lowest first; (): all solid.
    band: (T,) lower and upper limits of the face's curve; None: none.
    """
    palette = palette or Palette()
    figure = go.Figure()
    for index, curve in quartiles.items():
        dash = dashes[index] if dashes else "solid"
        add_curve(figure, curve, QUARTILE_NAMES[index], palette.groups[index], width=1.6, dash=dash)
    known = np.isfinite(survival)
    name = "This face, extrapolated" if extrapolated else "This face"
    if band is not None:
        add_band(figure, times, 100 * band[0], 100 * band[1], palette.face, name, step=True, edge_width=1.2)
    figure.add_trace(
        go.Scatter(
            x=times[known],
            y=100 * survival[known],
            name=name,
            legendgroup=name,
            mode="lines",
            line={"shape": "hv", "width": 4, "color": palette.face, "dash": "dash" if extrapolated else "solid"},
            hovertemplate=f"%{{x:.1f}} {unit}: %{{y:.0f}} %<extra>{name}</extra>",
        )
    )
    for horizon, value in zip(horizons, at_horizons, strict=False):
        if np.isfinite(value):
            _mark_horizon(figure, horizon, value, palette)
    survival_axes(figure, unit, outcome)
    return finish(figure)


def _mark_horizon(figure: go.Figure, horizon: float, value: float, palette: Palette) -> None:
    figure.add_vline(x=horizon, line={"width": 1, "dash": "dot", "color": palette.guide})
    figure.add_trace(
        go.Scatter(
            x=[horizon],
            y=[100 * value],
            mode="markers+text",
            text=[probability(value)],
            textposition="top right",
            textfont={"size": 14, "color": palette.face},
            marker={"size": 9, "color": palette.face},
            showlegend=False,
            hoverinfo="skip",
            cliponaxis=False,
        )
    )


def risk_histogram(
    cohort_log_hr: np.ndarray,
    log_hr: float,
    mark: str,
    palette: Palette | None = None,
    limits: tuple[float, float] | None = None,
) -> go.Figure:
    """The cohort's out-of-fold log hazard ratios (n,) as a histogram, with this face's place in it, labelled `mark`,
    and the limits of its score."""
    palette = palette or Palette()
    figure = go.Figure(
        go.Histogram(
            x=cohort_log_hr,
            nbinsx=36,
            marker={"color": palette.bars, "line": {"width": 0}},
            name="Cohort",
            hovertemplate="%{x}: %{y} patients<extra></extra>",
        )
    )
    side = "right" if log_hr > float(np.median(cohort_log_hr)) else "left"
    if limits is not None:
        figure.add_vrect(*limits, fillcolor=palette.face, opacity=0.14, line_width=0)
    figure.add_vline(x=log_hr, line={"width": 3, "color": palette.face})
    place = {"yref": "paper", "xanchor": side, "yanchor": "bottom"}
    add_words(figure, mark, log_hr, 1.01, font={"size": 14, "color": palette.face}, **place)
    figure.update_xaxes(title="Log hazard ratio against the cohort's median", zeroline=False, showgrid=False)
    figure.update_yaxes(title="Patients", gridcolor=GRID, zeroline=False)
    figure.update_layout(bargap=0.06, showlegend=False)
    return finish(figure)
