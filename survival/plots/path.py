"""The penalty path: what each penalty predicts out of fold, and how many parameters it leaves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from survival.plots.style import Palette, add_band, add_words, finish, plain_axes

HEIGHT_PX = 470


def penalty_figure(frame: pd.DataFrame, chosen: float, palette: Palette | None = None) -> go.Figure:
    """Mean C over folds above, effective parameters below, against the penalty on a logarithmic axis.

    frame: columns alpha, concordance, and where known low, high (limits of C) and effective. chosen: the penalty that
    was taken. The C of the chosen penalty is not a result: the same folds chose it.
    """
    palette = palette or Palette()
    both = "effective" in frame
    figure = make_subplots(
        rows=2 if both else 1, cols=1, shared_xaxes=True, vertical_spacing=0.06, row_heights=[0.6, 0.4] if both else [1]
    )
    if {"low", "high"} <= set(frame):
        add_band(figure, frame["alpha"], frame["low"], frame["high"], palette.series[0], row=1, col=1)
    parts = [("concordance", "C out of fold", palette.series[0])]
    parts += [("effective", "Effective parameters", palette.series[2])] if both else []
    plain_axes(figure, None, None)
    for row, (name, title, colour) in enumerate(parts, start=1):
        figure.add_trace(
            go.Scatter(
                x=frame["alpha"],
                y=frame[name],
                mode="lines+markers",
                line={"width": 2.2, "color": colour},
                marker={"size": 4},
                showlegend=False,
                hovertemplate="penalty %{x:.3g}: %{y:.4g}<extra></extra>",
            ),
            row=row,
            col=1,
        )
        figure.update_yaxes(title=title, row=row, col=1)
    figure.update_xaxes(type="log", exponentformat="power", dtick=1)
    figure.update_xaxes(title="Penalty α, logarithmic (strong to the right)", row=len(parts), col=1)
    figure.add_vline(x=chosen, line={"width": 1.5, "dash": "dash", "color": palette.guide})
    right = np.log10(chosen) > np.log10(frame["alpha"]).mean()
    place = {"yref": "y domain", "xanchor": "right" if right else "left", "yanchor": "bottom"}
    add_words(figure, f"chosen: {chosen:.3g}", np.log10(chosen), 1, **place)
    return finish(figure, HEIGHT_PX if both else 330)
