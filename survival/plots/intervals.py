"""Numbers with intervals, one under the other: concordances, paired differences, hazard ratios.

Each row has its label and its numbers in words on a line above the mark, so that long labels need no margin and the
plot keeps its width on a telephone.
"""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from common.text import interval
from survival.plots.style import Palette, add_words, error_bars, finish, plain, plain_axes, short

ROW_PX, HEADING_PX, MARGINS_PX = 42, 26, 70
WRAP = 27  # characters of a label that leave room for its numbers at 350 px
MAX_HEADING = 48
LINE_PX = 15  # the label's height above its mark


def concordance_dots(frame: pd.DataFrame, measure: str = "Harrell C", reference: float = 0.5) -> go.Figure:
    """A measure of each model with its 95 % interval. frame: columns model, value, low, high, best on top as given.

    reference: where a dashed line is drawn (0.5: guessing).
    """
    rows = frame.rename(columns={"model": "label"})
    return interval_figure(rows, f"{measure} out of fold (95 % CI)", reference)


def paired_differences(frame: pd.DataFrame, other: str, measure: str = "Harrell C") -> go.Figure:
    """Differences to one model on the same bootstrap samples. frame: model, value, low, high (Evaluation.differences).

    Right of the line: better than `other` where a high measure is good.
    """
    rows = frame.rename(columns={"model": "label"})
    title = f"{measure} minus that of {plain(short(other))} (95 % CI)"
    return interval_figure(rows, title, 0.0, signed=True)


def forest(frame: pd.DataFrame) -> go.Figure:
    """Hazard ratios on a logarithmic axis. frame: columns group (heading), label, hr, low, high; nan limits: the
    reference, hr 1."""
    rows = frame.rename(columns={"hr": "value"})
    return interval_figure(rows, "Hazard ratio (95 % CI), logarithmic", 1.0, log=True, digits=2)


def interval_figure(
    rows: pd.DataFrame,
    title: str,
    reference: float | None = None,
    *,
    log: bool = False,
    signed: bool = False,
    digits: int = 3,
) -> go.Figure:
    """rows: label, value, low, high, and optionally group: a heading wherever it changes. Rows without a finite value
    keep their line and say "not known"."""
    palette, figure = Palette(), go.Figure()
    place, y, heading = list[float](), 0.0, None
    for row in rows.to_dict("records"):
        if row.get("group") and row["group"] != heading:
            heading = row["group"]
            y += HEADING_PX
            _words(figure, f"<b>{plain(short(heading, MAX_HEADING))}</b>", y - 6, "left")
        lines = textwrap.wrap(str(row["label"]), WRAP) or [""]
        lines = lines if len(lines) <= 2 else [lines[0], short(" ".join(lines[1:]), WRAP)]
        y += ROW_PX + LINE_PX * (len(lines) - 1)
        place.append(y - 10)
        words = interval(row["value"], row["low"], row["high"], digits)
        words = "1 (reference)" if log and row["value"] == 1 and not np.isfinite(row["low"]) else words
        if signed and np.isfinite(row["value"]) and row["value"] > 0:
            words = f"+{words}"
        for k, line in enumerate(reversed(lines)):
            _words(figure, plain(line), place[-1] - LINE_PX * (k + 1), "left")
        _words(figure, words, place[-1] - LINE_PX, "right")
    value, low, high = (rows[name].to_numpy(dtype=np.float64) for name in ("value", "low", "high"))
    if reference is not None:  # a stroke next to each mark, so that no line runs through the words
        stroke = {"width": 1.5, "color": palette.guide}
        x, ends = [reference, reference, None] * len(place), [v for at in place for v in (at - 8, at + 10, None)]
        figure.add_trace(go.Scatter(x=x, y=ends, mode="lines", line=stroke, showlegend=False, hoverinfo="skip"))
    colour = palette.series[0]
    figure.add_trace(
        go.Scatter(
            x=value,
            y=place,
            mode="markers",
            marker={"size": 9, "symbol": "square", "color": colour},
            error_x=error_bars(value, low, high, thickness=2, width=5, color=colour),
            customdata=[plain(label) for label in rows["label"]],
            hovertemplate=f"%{{customdata}}: %{{x:.{digits}f}}<extra></extra>",
            showlegend=False,
        )
    )
    plain_axes(figure, title, None)
    figure.update_yaxes(range=[y + 8, 0], showticklabels=False, ticks="", showgrid=False)
    seen = np.concatenate([v[np.isfinite(v)] for v in (value, low, high)] + [[] if reference is None else [reference]])
    room = 0.06 * max(float(np.ptp(seen)), 1e-3)
    linear = {"range": [float(seen.min()) - room, float(seen.max()) + room], "nticks": 7}
    figure.update_xaxes(**_log_axis(seen) if log else linear)
    finish(figure, height=int(y + MARGINS_PX))
    return figure.update_layout(margin={"l": 12, "r": 12, "t": 12})


def _words(figure: go.Figure, text: str, y: float, side: str) -> None:
    place = {"xref": "x domain", "yref": "y", "xanchor": side, "yanchor": "middle"}
    add_words(figure, text, 0 if side == "left" else 1, y, **place)


def _log_axis(seen: np.ndarray) -> dict[str, Any]:
    """Ticks in steps of 1, 2, 5 that people read, few enough to fit side by side."""
    seen = seen[seen > 0]
    low, high = np.log10(min(seen.min(), 0.9)), np.log10(max(seen.max(), 1.12))
    room = 0.05 * (high - low)
    steps = (1, 1.5, 2, 3, 5, 7) if high - low < 1 else (1, 2, 5) if high - low < 2 else (1,)
    ticks = [m * 10.0**d for d in range(int(np.floor(low)) - 1, int(np.ceil(high)) + 1) for m in steps]
    ticks = [t for t in ticks if low - room <= np.log10(t) <= high + room]
    if len(ticks) < 3:
        ticks = [t for t in (0.8, 0.9, 1, 1.1, 1.2, 1.3) if low - room <= np.log10(t) <= high + room]
    text = [f"{t:g}" for t in ticks]
    return {"type": "log", "range": [low - room, high + room], "tickvals": ticks, "ticktext": text}
