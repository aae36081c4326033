"""Predicted probabilities against what happened: calibration, AUC(t), Brier(t), decision curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from survival.calibration import Calibration
from survival.decision import TREAT_ALL, TREAT_NONE
from survival.over_time import NULL
from survival.plots.style import DASHES, GRID, TEXT_SIZE, Palette, add_band, cycle, finish, plain, plain_axes, short

CALIBRATION_PX, LINES_PX = 470, 400
BINS = 40
MOST_BANDS = 3


def calibration_frame(calibration: Calibration) -> pd.DataFrame:
    """All of a calibration figure in one table: part ("curve" or "group"), predicted, observed, low, high, n, events
    (of groups)."""
    groups = calibration.groups.assign(part="group")
    curve = calibration.curve
    parts = [groups] if curve is None else [curve.assign(part="curve", n=np.nan, events=np.nan), groups]
    frame = pd.concat(parts, ignore_index=True).assign(horizon=calibration.horizon)
    return frame[["part", "horizon", "predicted", "observed", "low", "high", "n", "events"]]


def calibration_words(calibration: Calibration, unit: str) -> str:
    """What the figures say, in two or three sentences."""
    found = calibration.figures()
    said = [
        f"By {calibration.horizon:g} {unit} the mean predicted risk is {100 * calibration.mean_predicted:.1f} %"
        + (f", the observed one {_percent(found['observed'])}" if "observed" in found else "")
        + "."
    ]
    if "slope" in found:
        slope = found["slope"]
        verdict = "risks are neither too extreme nor too alike as far as this can tell"
        if slope.high < 1:
            verdict = "predicted risks are too extreme"
        elif slope.low > 1:
            verdict = "predicted risks are too alike"
        said.append(f"Slope {slope.value:.2f} (95 % CI {slope.low:.2f} to {slope.high:.2f}; 1 is perfect): {verdict}.")
    if "intercept" in found:
        i = found["intercept"]
        verdict = "no bias of the mean risk is seen"
        if i.high < 0:
            verdict = "risks are too high on the whole"
        elif i.low > 0:
            verdict = "risks are too low on the whole"
        said.append(f"Intercept {i.value:.2f} ({i.low:.2f} to {i.high:.2f}; 0 is perfect): {verdict}.")
    if "ici" in found:
        ici = found["ici"]
        said.append(
            f"On average a predicted risk lies {100 * ici.value:.1f} percentage points ({100 * ici.low:.1f} to "
            f"{100 * ici.high:.1f}) from the observed one (ICI)."
        )
    return " ".join(said)


def _percent(e: Any) -> str:
    return f"{100 * e.value:.1f} % ({100 * e.low:.1f} to {100 * e.high:.1f})"


def calibration_figure(
    calibration: Calibration, risk: np.ndarray, unit: str, template: Any = None, palette: Palette | None = None
) -> go.Figure:
    """Observed against predicted risk with the diagonal, tenths with intervals, and the predicted risks' histogram.

    risk: (m,) predicted by the horizon, for the histogram.
    """
    palette = palette or Palette()
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.03, row_heights=[0.82, 0.18])
    ideal = {"width": 1.5, "dash": "dash", "color": palette.guide}
    diagonal = go.Scatter(x=[0, 100], y=[0, 100], mode="lines", line=ideal, name="Perfect", hoverinfo="skip")
    figure.add_trace(diagonal, row=1, col=1)
    if calibration.curve is not None:
        c, colour = 100 * calibration.curve, palette.series[0]
        add_band(figure, c["predicted"], c["low"], c["high"], colour, row=1, col=1)
        line = {"width": 2.4, "color": colour}
        smooth = go.Scatter(x=c["predicted"], y=c["observed"], mode="lines", line=line, name="Smooth (95 %)")
        figure.add_trace(smooth, row=1, col=1)
    figure.add_trace(_groups(calibration.groups, palette.series[1]), row=1, col=1)
    figure.add_trace(_histogram(risk, palette.bars), row=2, col=1)
    plain_axes(figure, None, None)
    scale = {"range": [-2, 102], "tickvals": [0, 20, 40, 60, 80, 100]}
    figure.update_xaxes(**scale)
    figure.update_xaxes(title=f"Predicted risk by {calibration.horizon:g} {unit} (%)", row=2, col=1)
    figure.update_yaxes(title="Observed risk (%)", **scale, row=1, col=1)
    figure.update_yaxes(title="Patients", nticks=3, showgrid=False, row=2, col=1)
    return finish(figure, template, CALIBRATION_PX)


def _groups(groups: pd.DataFrame, colour: str) -> go.Scatter:
    """Observed risk of patients grouped by predicted risk, with its interval."""
    g = 100 * groups[["predicted", "observed", "low", "high"]]
    return go.Scatter(
        x=g["predicted"],
        y=g["observed"],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": np.nan_to_num(g["high"] - g["observed"]),
            "arrayminus": np.nan_to_num(g["observed"] - g["low"]),
            "thickness": 1.4,
            "width": 3,
            "color": colour,
        },
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


def auc_figure(frame: pd.DataFrame, unit: str, template: Any = None, palette: Palette | None = None) -> go.Figure:
    """AUC(t) of each model. frame: columns model, time, value, low, high (over_time.auc_over_time)."""
    figure = _lines(frame, palette or Palette())
    figure.add_hline(y=0.5, line={"width": 1.5, "dash": "dash", "color": (palette or Palette()).guide})
    plain_axes(figure, f"Time t ({unit})", "AUC(t)")
    return finish(figure, template, LINES_PX)


def brier_figure(frame: pd.DataFrame, unit: str, template: Any = None, palette: Palette | None = None) -> go.Figure:
    """Brier score over time, lower is better, each model and the null. frame: as of over_time.brier_over_time."""
    figure = _lines(frame, palette or Palette(), guides=(NULL,))
    plain_axes(figure, f"Time t ({unit})", "Brier score, lower is better")
    figure.update_yaxes(rangemode="tozero")
    return finish(figure, template, LINES_PX)


def decision_figure(
    frame: pd.DataFrame,
    horizon: float,
    unit: str,
    sensible: tuple[float, float] | None = None,
    template: Any = None,
    palette: Palette | None = None,
) -> go.Figure:
    """Net benefit against the threshold. frame: of decision.decision_curve. sensible: thresholds that a person would
    choose in practice, shaded."""
    shown = frame.rename(columns={"threshold": "time", "net_benefit": "value"})
    shown = shown.assign(time=100 * shown["time"])
    shown.loc[shown["model"].isin((TREAT_ALL, TREAT_NONE)), ["low", "high"]] = np.nan
    figure = _lines(shown, palette or Palette(), guides=(TREAT_ALL, TREAT_NONE), at="%{x:.0f} %")
    if sensible is not None:
        figure.add_vrect(x0=100 * sensible[0], x1=100 * sensible[1], fillcolor=GRID, line_width=0, layer="below")
        figure.add_annotation(
            text="sensible thresholds",
            x=50 * (sensible[0] + sensible[1]),
            y=1,
            yref="y domain",
            yanchor="top",
            showarrow=False,
            font={"size": TEXT_SIZE},
        )
    plain_axes(figure, f"Threshold of the risk by {horizon:g} {unit} (%)", "Net benefit")
    top = float(np.nanmax(shown["value"].to_numpy(dtype=np.float64)))
    figure.update_yaxes(range=[-0.16 * max(top, 0.01), 1.12 * max(top, 0.01)])  # acting on all falls out of sight
    return finish(figure, template, LINES_PX)


def _lines(frame: pd.DataFrame, palette: Palette, guides: Sequence[str] = (), at: str = "%{x:.1f}") -> go.Figure:
    """One line a model; bands where they are few enough to be told apart. Models named in guides are grey."""
    figure = go.Figure()
    names = list(dict.fromkeys(frame["model"]))
    models = [name for name in names if name not in guides]
    for name in names:
        own = frame[frame["model"] == name]
        k = models.index(name) if name in models else list(guides).index(name)
        colour = cycle(palette.series, k) if name in models else palette.guide
        dash = cycle(DASHES, k) if name in models else ("dot", "longdash")[k % 2]
        if name in models and len(models) <= MOST_BANDS:
            add_band(figure, own["time"], own["low"], own["high"], colour, name)
        figure.add_trace(
            go.Scatter(
                x=own["time"],
                y=own["value"],
                mode="lines",
                name=plain(short(name)),
                legendgroup=name,
                line={"width": 2.2 if name in models else 1.8, "color": colour, "dash": dash},
                hovertemplate=f"{at}: %{{y:.3f}}<extra>{plain(short(name))}</extra>",
            )
        )
    return figure
