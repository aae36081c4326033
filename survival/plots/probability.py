"""Predicted probabilities against what happened: calibration, AUC(t), Brier(t), decision curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from common.text import interval, number, percent, sentence_case
from survival.comparison.over_time import NULL
from survival.metrics.calibration import slope_at_name
from survival.metrics.decision import TREAT_ALL, TREAT_NONE
from survival.metrics.estimate import Estimate
from survival.plots.style import (
    DASHES,
    GRID,
    Palette,
    add_band,
    add_words,
    cycle,
    error_bars,
    finish,
    plain,
    plain_axes,
    short,
)

CALIBRATION_PX, LINES_PX = 470, 400
BINS = 40
LEGEND_PX = 12
MOST_BANDS = 3


def calibration_frame(groups: pd.DataFrame, curve: pd.DataFrame | None, horizon: float) -> pd.DataFrame:
    """All of a calibration figure in one table: part ("curve" or "group"), horizon, predicted, observed, low, high, n,
    events (of groups)."""
    parts = [] if curve is None else [curve.assign(part="curve", n=np.nan, events=np.nan)]
    frame = pd.concat([*parts, groups.assign(part="group")], ignore_index=True).assign(horizon=horizon)
    return frame[["part", "horizon", "predicted", "observed", "low", "high", "n", "events"]]


def calibration_words(estimates: Mapping[str, Estimate], mean_predicted: float, horizon: float, unit: str) -> str:
    """A calibration in words, two to four sentences. estimates: of Calibration.estimates."""
    e = estimates.get("observed")
    observed = f", the observed one {percent(e.value, 1)} ({100 * e.low:.1f} to {100 * e.high:.1f})" if e else ""
    sentences = [f"By {horizon:g} {unit} the mean predicted risk is {percent(mean_predicted, 1)}{observed}."]
    if "slope" in estimates:
        e = estimates["slope"]
        words = ("are too extreme", "are too alike", "are not shown to be too extreme or too alike")
        verdict = f"predicted risks {_side(e, 1, *words)}"
        limits = f"{number(e.value, 2)} (95 % CI {number(e.low, 2)} to {number(e.high, 2)}"
        sentences.append(f"{sentence_case(slope_at_name(horizon, unit))} {limits}; 1 is perfect): {verdict}.")
    if "intercept" in estimates:
        e = estimates["intercept"]
        verdict = _side(e, 0, "are too high", "are too low", "are not shown to be too high or too low")
        limits = interval(e.value, e.low, e.high, 2)
        sentences.append(f"Intercept {limits.removesuffix(')')}; 0 is perfect): risks {verdict} on average.")
    if "ici" in estimates:
        e = estimates["ici"]
        sentences.append(
            f"On average a predicted risk lies {100 * e.value:.1f} percentage points ({100 * e.low:.1f} to "
            f"{100 * e.high:.1f}) from the observed one (ICI)."
        )
    return " ".join(sentences)


def _side(e: Estimate, perfect: float, below: str, above: str, neither: str) -> str:
    return below if e.high < perfect else above if e.low > perfect else neither


def calibration_figure(
    groups: pd.DataFrame,
    curve: pd.DataFrame | None,
    risk: np.ndarray,
    horizon: float,
    unit: str,
    palette: Palette | None = None,
) -> go.Figure:
    """Observed against predicted risk with the diagonal, groups with intervals, and the predicted risks' histogram.

    groups, curve: of Calibration; curve None: there is none. risk: (m,) predicted by the horizon.
    """
    palette = palette or Palette()
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.03, row_heights=[0.82, 0.18])
    ideal = {"width": 1.5, "dash": "dash", "color": palette.guide}
    diagonal = go.Scatter(x=[0, 100], y=[0, 100], mode="lines", line=ideal, name="Perfect", hoverinfo="skip")
    figure.add_trace(diagonal, row=1, col=1)
    if curve is not None:
        c, colour = 100 * curve[["predicted", "observed", "low", "high"]], palette.series[0]
        add_band(figure, c["predicted"], c["low"], c["high"], colour, row=1, col=1)
        line = {"width": 2.4, "color": colour}
        smooth = go.Scatter(x=c["predicted"], y=c["observed"], mode="lines", line=line, name="Smoothed (95 %)")
        figure.add_trace(smooth, row=1, col=1)
    figure.add_trace(_groups(groups, palette.series[1]), row=1, col=1)
    figure.add_trace(_histogram(risk, palette.bars), row=2, col=1)
    plain_axes(figure, None, None)
    scale = {"range": [-2, 102], "tickvals": [0, 20, 40, 60, 80, 100]}
    figure.update_xaxes(**scale)
    figure.update_xaxes(title=f"Predicted risk by {horizon:g} {unit} (%)", row=2, col=1)
    figure.update_yaxes(title="Observed risk (%)", **scale, row=1, col=1)
    figure.update_yaxes(title="Patients", nticks=3, showgrid=False, row=2, col=1)
    return finish(figure, CALIBRATION_PX)


def _groups(groups: pd.DataFrame, colour: str) -> go.Scatter:
    """Observed risk of patients grouped by predicted risk, with its interval."""
    g = 100 * groups[["predicted", "observed", "low", "high"]]
    return go.Scatter(
        x=g["predicted"],
        y=g["observed"],
        error_y=error_bars(g["observed"], g["low"], g["high"], thickness=1.4, width=3, color=colour),
        mode="markers",
        marker={"size": 8, "symbol": "diamond", "color": colour},
        name="Groups by risk",
        hovertemplate="predicted %{x:.0f} %, observed %{y:.0f} %<extra></extra>",
    )


def _histogram(risk: np.ndarray, colour: str) -> go.Bar:
    counts, edges = np.histogram(100 * risk, bins=BINS, range=(0, 100))
    return go.Bar(
        x=(edges[1:] + edges[:-1]) / 2,
        y=counts,
        width=0.9 * 100 / BINS,
        marker={"color": colour, "line": {"width": 0}},
        showlegend=False,
        hovertemplate="%{x:.0f} %: %{y} patients<extra></extra>",
    )


def auc_figure(
    frame: pd.DataFrame, unit: str, palette: Palette | None = None, order: Sequence[str] | None = None
) -> go.Figure:
    """AUC(t) of each model. frame: columns model, time, value, low, high (over_time.auc_over_time).

    order: models in the order of their colours, so that a model looks alike in several figures; None: the table's.
    """
    figure = _lines(frame, palette or Palette(), order=order)
    figure.add_hline(y=0.5, line={"width": 1.5, "dash": "dash", "color": (palette or Palette()).guide})
    plain_axes(figure, f"Time t ({unit})", "AUC(t)")
    return finish(figure, _height(figure))


def brier_figure(
    frame: pd.DataFrame, unit: str, palette: Palette | None = None, order: Sequence[str] | None = None
) -> go.Figure:
    """Brier score over time, lower is better, each model and the null. frame: as of over_time.brier_over_time."""
    figure = _lines(frame, palette or Palette(), guides=(NULL,), order=order)
    plain_axes(figure, f"Time t ({unit})", "Brier score, lower is better")
    figure.update_yaxes(rangemode="tozero")
    return finish(figure, _height(figure))


def decision_figure(
    frame: pd.DataFrame,
    horizon: float,
    unit: str,
    sensible: tuple[float, float] | None = None,
    palette: Palette | None = None,
    order: Sequence[str] | None = None,
) -> go.Figure:
    """Net benefit against the threshold. frame: of decision.decision_curve. sensible: thresholds that a person would
    choose in practice, shaded."""
    shown = frame.rename(columns={"threshold": "time", "net_benefit": "value"})
    shown = shown.assign(time=100 * shown["time"])
    shown.loc[shown["model"].isin((TREAT_ALL, TREAT_NONE)), ["low", "high"]] = np.nan
    figure = _lines(shown, palette or Palette(), guides=(TREAT_ALL, TREAT_NONE), at="%{x:.0f} %", order=order)
    if sensible is not None:
        figure.add_vrect(x0=100 * sensible[0], x1=100 * sensible[1], fillcolor=GRID, line_width=0, layer="below")
        add_words(figure, "sensible thresholds", 50 * sum(sensible), 1, yref="y domain", yanchor="top")
    plain_axes(figure, f"Threshold of the risk by {horizon:g} {unit} (%)", "Net benefit")
    top = float(np.nanmax(shown["value"].to_numpy(dtype=np.float64)))
    figure.update_yaxes(range=[-0.16 * max(top, 0.01), 1.12 * max(top, 0.01)])  # acting on all leaves the picture
    return finish(figure, _height(figure))


def _height(figure: go.Figure) -> int:
    """With room for the legend, which has a line a model where the page is narrow."""
    return LINES_PX + LEGEND_PX * sum(trace.name is not None for trace in figure.data)


def _lines(
    frame: pd.DataFrame,
    palette: Palette,
    guides: Sequence[str] = (),
    at: str = "%{x:.1f}",
    order: Sequence[str] | None = None,
) -> go.Figure:
    """One line per model; bands where they are few enough to be distinguished. Models named in guides are grey."""
    figure = go.Figure()
    names = list(dict.fromkeys(frame["model"]))
    models = [name for name in names if name not in guides]
    places = list(dict.fromkeys([*(order or ()), *models]))
    for name in names:
        rows = frame[frame["model"] == name]
        k = places.index(name) if name in models else list(guides).index(name)
        colour = cycle(palette.series, k) if name in models else palette.guide
        dash = cycle(DASHES, k) if name in models else ("dot", "longdash")[k % 2]
        if name in models and len(models) <= MOST_BANDS:
            add_band(figure, rows["time"], rows["low"], rows["high"], colour, name)
        figure.add_trace(
            go.Scatter(
                x=rows["time"],
                y=rows["value"],
                mode="lines",
                name=plain(short(name)),
                legendgroup=name,
                line={"width": 2.2 if name in models else 1.8, "color": colour, "dash": dash},
                hovertemplate=f"{at}: %{{y:.3f}}<extra>{plain(short(name))}</extra>",
            )
        )
    return figure
