"""Plotly figures of survival and risk. Numbers come in finished; colours and template come from the caller.

Backgrounds are transparent and text takes the template's colour, so that one figure serves a light and a dark page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from survival.curves import QUARTILE_NAMES, Curve, LogRank

CLEAR = "rgba(0,0,0,0)"
GRID = "rgba(128,128,128,0.18)"
TABLE_LINES = ("at_risk", "censored", "events")


@dataclass(frozen=True)
class Palette:
    """Hex colours that read on light and dark. groups: lowest to highest risk; face: the person; guide: thin lines."""

    face: str = "#d9480f"
    groups: tuple[str, ...] = ("#2a9d8f", "#7fae4e", "#d9a441", "#b5485d")
    bars: str = "#8097b1"
    guide: str = "#8a8f98"


def face_survival(
    times: np.ndarray,
    survival: np.ndarray,
    quartiles: Mapping[int, Curve],
    unit: str,
    horizons: Sequence[float] = (),
    at_horizons: Sequence[float] = (),
    outcome: str = "Alive",
    palette: Palette | None = None,
    template: Any = None,
) -> go.Figure:
    """One face's survival curve over the cohort's quartile curves with their 95 % bands.

    times, survival: (T,) the face's steps, nan cut off. quartiles: index 0 (lowest risk) to 3 -> Kaplan-Meier curve.
    horizons, at_horizons: times to mark, and the face's survival there (nan: beyond follow-up, not marked).
    outcome: what those without an event are, for the axis.
    """
    palette = palette or Palette()
    figure = go.Figure()
    for index, curve in quartiles.items():
        _add_curve(figure, curve, QUARTILE_NAMES[index], palette.groups[index], width=1.6)
    known = np.isfinite(survival)
    figure.add_trace(
        go.Scatter(
            x=times[known],
            y=100 * survival[known],
            name="This face",
            mode="lines",
            line={"shape": "hv", "width": 4, "color": palette.face},
            hovertemplate=f"%{{x:.1f}} {unit}: %{{y:.0f}} %<extra>This face</extra>",
        )
    )
    for horizon, value in zip(horizons, at_horizons, strict=False):
        if np.isfinite(value):
            _mark_horizon(figure, horizon, value, palette)
    _survival_axes(figure, unit, outcome)
    return _finish(figure, template)


def _mark_horizon(figure: go.Figure, horizon: float, value: float, palette: Palette) -> None:
    figure.add_vline(x=horizon, line={"width": 1, "dash": "dot", "color": palette.guide})
    figure.add_trace(
        go.Scatter(
            x=[horizon],
            y=[100 * value],
            mode="markers+text",
            text=[f"{100 * value:.0f} %"],
            textposition="top right",
            textfont={"size": 14, "color": palette.face},
            marker={"size": 9, "color": palette.face},
            showlegend=False,
            hoverinfo="skip",
            cliponaxis=False,
        )
    )


def _add_curve(figure: go.Figure, curve: Curve, name: str, colour: str, width: float, **place: Any) -> None:
    """Band (two traces), step line; all three hide together when the legend entry is clicked."""
    limits = np.isfinite(curve.low) & np.isfinite(curve.high)
    band = {"mode": "lines", "legendgroup": name, "showlegend": False, "hoverinfo": "skip"}
    edge = {"shape": "hv", "width": 0, "color": colour}
    figure.add_trace(go.Scatter(x=curve.times[limits], y=100 * curve.high[limits], line=edge, **band), **place)
    figure.add_trace(
        go.Scatter(
            x=curve.times[limits], y=100 * curve.low[limits], line=edge, fill="tonexty", fillcolor=_pale(colour), **band
        ),
        **place,
    )
    figure.add_trace(
        go.Scatter(
            x=curve.times,
            y=100 * curve.survival,
            name=f"{name} (n = {curve.n})",
            legendgroup=name,
            mode="lines",
            line={"shape": "hv", "width": width, "color": colour},
            hovertemplate=f"%{{x:.1f}}: %{{y:.0f}} %<extra>{name}</extra>",
        ),
        **place,
    )


def risk_histogram(
    cohort_log_hr: np.ndarray,
    log_hr: float | None = None,
    percentile: float | None = None,
    palette: Palette | None = None,
    template: Any = None,
) -> go.Figure:
    """The cohort's out-of-fold log hazard ratios (n,) as a histogram, with this face's place in it."""
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
    if log_hr is not None:
        text = f"This face: HR {np.exp(log_hr):.2f}"
        if percentile is not None:
            text += f", higher than {percentile:.0f} % of patients"
        right = log_hr > float(np.median(cohort_log_hr))
        figure.add_vline(x=log_hr, line={"width": 3, "color": palette.face})
        figure.add_annotation(
            text=text,
            x=log_hr,
            y=1.01,
            yref="paper",
            xanchor="right" if right else "left",
            yanchor="bottom",
            font={"size": 14, "color": palette.face},
            showarrow=False,
        )
    figure.update_xaxes(title="Log hazard ratio against the cohort's median", zeroline=False, showgrid=False)
    figure.update_yaxes(title="Patients", gridcolor=GRID, zeroline=False)
    figure.update_layout(bargap=0.06, showlegend=False)
    return _finish(figure, template)


def kaplan_meier_figure(
    curves: Mapping[str, Curve],
    unit: str,
    ticks: Sequence[float],
    test: LogRank | None = None,
    outcome: str = "Alive",
    colours: Sequence[str] | None = None,
    template: Any = None,
) -> go.Figure:
    """Kaplan-Meier curves with bands and censor ticks over a table of at risk, censored, events (KMunicate layout).

    curves: name -> curve. ticks: times (study's unit) of the axis and of the table's columns. Morris et al., BMJ Open
    2019;9:e030215.
    """
    colours = colours or Palette().groups
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.11, row_heights=[0.62, 0.38])
    labels: list[str] = []
    for (name, curve), colour in zip(curves.items(), colours, strict=False):
        _add_curve(figure, curve, name, colour, width=2.4, row=1, col=1)
        _add_censor_ticks(figure, curve, name, colour)
        labels += _add_table(figure, curve, name, colour, ticks)
    _survival_axes(figure, unit, outcome, row=1, col=1)
    figure.update_xaxes(tickvals=list(ticks), range=[0, 1.04 * max(ticks)], showticklabels=True)
    figure.update_xaxes(showgrid=False, showticklabels=False, zeroline=False, title=None, row=2, col=1)
    figure.update_yaxes(
        categoryorder="array",
        categoryarray=labels[::-1],
        ticklabelstandoff=20,
        showgrid=False,
        zeroline=False,
        row=2,
        col=1,
    )
    if test is not None:
        p = "p < 0.001" if test.p < 0.001 else f"p = {test.p:.3f}"
        text = f"Log-rank {p} (χ² {test.statistic:.1f}, {test.df} df)"
        figure.add_annotation(text=text, x=0.99, y=0.99, xref="x domain", yref="y domain", showarrow=False)
    return _finish(figure, template)


def _add_censor_ticks(figure: go.Figure, curve: Curve, name: str, colour: str) -> None:
    left = curve.censored > 0
    figure.add_trace(
        go.Scatter(
            x=curve.times[left],
            y=100 * curve.survival[left],
            mode="markers",
            marker={"symbol": "line-ns-open", "size": 7, "color": colour},
            legendgroup=name,
            showlegend=False,
            hoverinfo="skip",
        ),
        row=1,
        col=1,
    )


def _add_table(figure: go.Figure, curve: Curve, name: str, colour: str, ticks: Sequence[float]) -> list[str]:
    """Three rows of numbers under the axis; returns their labels, top first."""
    table = curve.table(ticks)
    labels = [f"{name}: at risk", f"{name}: censored", f"{name}: events"]
    for label, line in zip(labels, TABLE_LINES, strict=True):
        figure.add_trace(
            go.Scatter(
                x=list(ticks),
                y=[label] * len(ticks),
                mode="text",
                text=table[line].astype(str),
                textfont={"color": colour},
                legendgroup=name,
                showlegend=False,
                hoverinfo="skip",
                cliponaxis=False,
            ),
            row=2,
            col=1,
        )
    return labels


def _survival_axes(figure: go.Figure, unit: str, outcome: str, **place: Any) -> None:
    figure.update_xaxes(title=f"Time since photo ({unit})", rangemode="tozero", gridcolor=GRID, zeroline=False, **place)
    figure.update_yaxes(title=f"{outcome} (%)", range=[0, 102], gridcolor=GRID, zeroline=False, **place)


def _finish(figure: go.Figure, template: Any) -> go.Figure:
    figure.update_layout(
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        margin={"l": 60, "r": 20, "t": 30, "b": 50},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hovermode="closest",
    )
    if template is not None:
        figure.update_layout(template=template)
    return figure


def _pale(colour: str, share: float = 0.16) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{share})"
