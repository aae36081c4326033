"""How well a model predicts by the number of patients: what was measured, the curve through it, and where it leads."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from survival.plots.style import Palette, add_band, add_words, error_bars, finish, plain_axes

HEIGHT_PX = 420
TICKS = tuple(m * 10**d for d in range(1, 6) for m in (1, 2, 5))


def learning_figure(
    points: pd.DataFrame,
    curve: pd.DataFrame,
    measure: str,
    reference: pd.DataFrame | None = None,
    target: float | None = None,
    palette: Palette | None = None,
) -> go.Figure:
    """A measure against the number of patients, on a logarithmic axis.

    points: patients, events, value, low, high, as measured. curve: patients, value, low, high of the fitted law; dashed
    beyond the largest number measured. reference: patients, value, low, high of a curve shown behind, in grey. target:
    a value that a line is drawn at.
    """
    palette = palette or Palette()
    figure, colour = go.Figure(), palette.series[0]
    if reference is not None:
        grey = {"color": palette.guide, "width": 2}
        add_band(figure, reference["patients"], reference["low"], reference["high"], "#8a8f98")
        figure.add_trace(
            go.Scatter(
                x=reference["patients"],
                y=reference["value"],
                mode="lines+markers",
                line=grey,
                marker={"size": 5, "color": palette.guide},
                name="simulated reference",
                hovertemplate="reference, %{x:,} patients: %{y:.3f}<extra></extra>",
            )
        )
    add_band(figure, curve["patients"], curve["low"], curve["high"], colour)
    last = float(points["patients"].max())
    for part, dash, name in (
        (curve[curve["patients"] <= last], "solid", "fitted"),
        (curve[curve["patients"] >= last], "dash", "extrapolated"),
    ):
        line = {"color": colour, "width": 2, "dash": dash}
        figure.add_trace(
            go.Scatter(x=part["patients"], y=part["value"], mode="lines", line=line, name=name, hoverinfo="skip")
        )
    value, low, high = (points[name].to_numpy(float) for name in ("value", "low", "high"))
    figure.add_trace(
        go.Scatter(
            x=points["patients"],
            y=value,
            mode="markers",
            marker={"size": 9, "symbol": "square", "color": colour},
            error_y=error_bars(value, low, high, thickness=2, width=5, color=colour),
            customdata=points["events"],
            name="measured (95 % CI)",
            hovertemplate="%{x:,} patients, %{customdata:,} events: %{y:.3f}<extra></extra>",
        )
    )
    plain_axes(figure, "Patients (logarithmic)", measure)
    ends = float(curve["patients"].min()), float(curve["patients"].max())
    figure.update_xaxes(type="log", tickvals=[t for t in TICKS if ends[0] * 0.9 <= t <= ends[1] * 1.1], tickformat=",")
    if target is not None:
        figure.add_hline(y=target, line={"color": palette.guide, "width": 1.5, "dash": "dot"})
        add_words(figure, f"{target:g}", 1, target, xref="x domain", xanchor="right", yanchor="bottom")
    return finish(figure, height=HEIGHT_PX)
