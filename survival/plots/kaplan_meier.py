"""Kaplan-Meier curves with bands and censor ticks over a table of at risk, censored, events.

KMunicate layout: Morris et al., BMJ Open 2019;9:e030215.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from common.text import p_value
from survival.curves import Curve
from survival.metrics.estimate import Estimate
from survival.plots.style import DASHES, GRID, TEXT_SIZE, Palette, add_band, add_words, cycle, finish, plain
from survival.tails import ChiSquare

TABLE_LINES = (("at_risk", "At risk"), ("censored", "Censored"), ("events", "Events"))
DASH_MARKS = ("━━━", "━ ━ ━", "━ ▪ ━", "▪ ▪ ▪")  # what the lines of DASHES look like in a line of text
PLOT_PX, GAP_PX, ROW_PX, MARGINS_PX = 300, 62, 17, 64
STRIPES = 1200  # more points than pixels
SINCE = "Time since photo"


def curves_frame(curves: Mapping[str, Curve]) -> pd.DataFrame:
    """Every number of all curves, for download: group, time, survival, low, high, at_risk, events, censored."""
    parts = [curve.to_frame().assign(group=name) for name, curve in curves.items()]
    frame = pd.concat(parts, ignore_index=True)
    return frame[["group", *(c for c in frame if c != "group")]]


def median_words(median: Estimate) -> str:
    """'21.4 (18.0 to 27.3)', '21.4 (18.0 to not reached)', 'not reached (from 36.2)', 'not reached'."""
    value, low, high = (f"{v:.1f}" if np.isfinite(v) else "" for v in (median.value, median.low, median.high))
    if value:
        return f"{value} ({low} to {high or 'not reached'})"
    return f"not reached (from {low})" if low else "not reached"


def kaplan_meier_figure(
    curves: Mapping[str, Curve],
    unit: str,
    ticks: Sequence[float],
    test: ChiSquare | None = None,
    outcome: str = "Alive",
    colours: Sequence[str] | None = None,
    since: str = SINCE,
) -> go.Figure:
    """Curves over their table; each group's heading there is its legend and says its median with 95 % limits.

    curves: name -> curve. ticks: times (study's unit) of the axis and of the table's columns, from 0. outcome: what
    those without an event are. layout.height fits the number of groups.
    """
    colours = colours or Palette().groups
    table_px = ROW_PX * (1 + len(TABLE_LINES)) * len(curves)
    inner = PLOT_PX + GAP_PX + table_px
    figure = make_subplots(
        rows=2,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=GAP_PX / inner,
        row_heights=[PLOT_PX / (PLOT_PX + table_px), table_px / (PLOT_PX + table_px)],
    )
    rows: list[str] = []
    for k, (name, curve) in enumerate(curves.items()):
        colour = cycle(colours, k)
        add_curve(figure, curve, name, colour, width=2.2, dash=cycle(DASHES, k), row=1, col=1)
        _add_censor_ticks(figure, curve, name, colour)
        heading = f"{cycle(DASH_MARKS, k)}  <b>{plain(name)}</b>: median {median_words(curve.median())}"
        place = {"xref": "x2 domain", "yref": "y2", "xanchor": "left", "font": {"size": TEXT_SIZE, "color": colour}}
        # moved over the labels of the rows, which are at least as wide
        add_words(figure, heading, 0, len(rows), xshift=-56, **place)
        rows.append("")
        rows += _add_table(figure, curve, name, colour, ticks, len(rows))
    survival_axes(figure, unit, outcome, since, row=1, col=1)
    figure.update_xaxes(tickvals=list(ticks), range=[-0.02 * max(ticks), 1.05 * max(ticks)], showticklabels=True)
    figure.update_xaxes(showgrid=False, showticklabels=False, ticks="", zeroline=False, title=None, row=2, col=1)
    labelled = [i for i, label in enumerate(rows) if label]  # the headings' rows are left free
    figure.update_yaxes(
        tickvals=labelled,
        ticktext=[rows[i] for i in labelled],
        range=[len(rows) - 0.5, -0.5],
        tickfont={"size": TEXT_SIZE},
        ticks="",
        ticklabelstandoff=16,
        showgrid=False,
        zeroline=False,
        automargin=True,
        row=2,
        col=1,
    )
    if test is not None:
        text = f"Log-rank {p_value(test.p, named=True)} (χ² {test.statistic:.1f}, {test.df} df)"
        add_words(figure, text, 1, 1, xref="x domain", yref="y domain", xanchor="right", yanchor="bottom")
    finish(figure, height=inner + MARGINS_PX)
    return figure.update_layout(showlegend=False, margin={"b": 12})


def add_curve(
    figure: go.Figure, curve: Curve, name: str, colour: str, width: float, dash: str = "solid", **place: Any
) -> None:
    """Band (two traces), step line; all three hide together when the legend entry is clicked."""
    drawn = _drawn(curve)
    times, survival, low, high = (v[drawn] for v in (curve.times, curve.survival, curve.low, curve.high))
    add_band(figure, times, 100 * low, 100 * high, colour, name, step=True, **place)
    figure.add_trace(
        go.Scatter(
            x=times,
            y=100 * survival,
            name=f"{plain(name)} (n = {curve.n})",
            legendgroup=name,
            mode="lines",
            line={"shape": "hv", "width": width, "color": colour, "dash": dash},
            hovertemplate=f"%{{x:.1f}}: %{{y:.0f}} %<extra>{plain(name)}</extra>",
        ),
        **place,
    )


def _drawn(curve: Curve, rows: np.ndarray | None = None) -> np.ndarray:
    """Rows of the curve to draw, of `rows` or of all: where there are more than the eye can see, the last of each
    STRIPES-th of the time, so that a step is off by less than a pixel."""
    rows = np.arange(len(curve.times)) if rows is None else rows
    rows = rows[curve.times[rows] >= curve.start]
    if len(rows) <= STRIPES:
        return rows
    stripe = np.floor(curve.times[rows] / curve.times[-1] * STRIPES)
    return rows[np.r_[np.diff(stripe) > 0, True]]


def _add_censor_ticks(figure: go.Figure, curve: Curve, name: str, colour: str) -> None:
    left = _drawn(curve, np.flatnonzero(curve.censored > 0))
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


def _add_table(
    figure: go.Figure, curve: Curve, name: str, colour: str, ticks: Sequence[float], first: int
) -> list[str]:
    """Rows of numbers under the axis from row `first` down; returns their labels, top first."""
    table = curve.table(ticks)
    for row, (line, label) in enumerate(TABLE_LINES, start=first):
        figure.add_trace(
            go.Scatter(
                x=list(ticks),
                y=[row] * len(ticks),
                name=f"{plain(name)}: {label}",
                mode="text",
                text=table[line].astype(str),
                textfont={"color": colour, "size": TEXT_SIZE},
                legendgroup=name,
                showlegend=False,
                hoverinfo="skip",
                cliponaxis=False,
            ),
            row=2,
            col=1,
        )
    return [label for _, label in TABLE_LINES]


def survival_axes(figure: go.Figure, unit: str, outcome: str, since: str = SINCE, **place: Any) -> None:
    figure.update_xaxes(title=f"{since} ({unit})", rangemode="tozero", gridcolor=GRID, zeroline=False, **place)
    figure.update_yaxes(title=f"{outcome} (%)", range=[0, 102], gridcolor=GRID, zeroline=False, **place)
