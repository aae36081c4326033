"""Whether a hazard ratio stays the same: scaled Schoenfeld residuals with a smooth, and the test in words."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from common.text import p_value
from survival.plots.style import Palette, add_band, add_words, finish, plain, plain_axes, short

HEIGHT_PX = 340
MOST_DOTS = 2000  # more would be a blot, and slow to draw


def drawn_every(events: int) -> int:
    """1: a dot an event; k: of many events every k-th is drawn. The smooth is always of all."""
    return -(-events // MOST_DOTS)


def schoenfeld_figure(
    residuals: pd.DataFrame,
    smooth: pd.DataFrame,
    name: str,
    unit: str,
    p: float | None = None,
    palette: Palette | None = None,
) -> go.Figure:
    """One covariate's coefficient over time. residuals: name, time, residual; smooth: name, time, value, low, high,
    coef (schoenfeld.scaled_residuals, smooth_residuals). p: of the test of proportional hazards.

    A level smooth near the dashed line, the coefficient of the fit, speaks for proportional hazards.
    """
    palette = palette or Palette()
    points, line = residuals[residuals["name"] == name], smooth[smooth["name"] == name]
    points = points.iloc[:: drawn_every(len(points))]
    figure = go.Figure(
        go.Scatter(
            x=points["time"],
            y=points["residual"],
            mode="markers",
            marker={"size": 4, "color": palette.bars, "opacity": 0.55},
            showlegend=False,
            hoverinfo="skip",
        )
    )
    add_band(figure, line["time"], line["low"], line["high"], palette.series[1])
    figure.add_trace(
        go.Scatter(
            x=line["time"],
            y=line["value"],
            mode="lines",
            line={"width": 2.4, "color": palette.series[1]},
            showlegend=False,
            hovertemplate="%{x:.1f}: %{y:.2f}<extra></extra>",
        )
    )
    figure.add_hline(y=float(line["coef"].iloc[0]), line={"width": 1.5, "dash": "dash", "color": palette.guide})
    figure.add_hline(y=0, line={"width": 1, "color": palette.guide})
    text = f"<b>{plain(short(name))}</b>" + ("" if p is None else f", proportional hazards: {p_value(p, named=True)}")
    add_words(figure, text, 0, 1, xref="x domain", yref="y domain", xanchor="left", yanchor="bottom")
    plain_axes(figure, f"Time ({unit})", "Log hazard ratio β(t)")
    # a few events when hardly anyone is at risk have residuals that would press the smooth flat
    low, high = points["residual"].quantile([0.02, 0.98])
    low, high = min(low, line["low"].min(), 0), max(high, line["high"].max(), 0)
    figure.update_yaxes(range=[low - 0.05 * (high - low), high + 0.05 * (high - low)])
    return finish(figure, HEIGHT_PX)
