"""What all figures share: colours, clear backgrounds, axes, words for numbers.

Backgrounds are transparent and text takes the template's colour, so that one figure serves a light and a dark page.
Every colour has a contrast of 3 and more to both, blue and orange carry the order, and dashes and symbols tell groups
and models apart without colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

CLEAR = "rgba(0,0,0,0)"
GRID = "rgba(128,128,128,0.18)"
TEXT_SIZE = 12
MAX_LABEL = 34  # characters of a label that still leave room for its numbers at 350 px
DASHES = ("solid", "dash", "dashdot", "dot", "longdash", "longdashdot")


@dataclass(frozen=True)
class Palette:
    """Hex colours that read on light and dark. groups: lowest to highest risk; face: the person; series: models;
    guide: thin lines."""

    face: str = "#b0568f"
    groups: tuple[str, ...] = ("#2f7fc1", "#6a8aa5", "#a5793f", "#cf5f2a")
    series: tuple[str, ...] = ("#2f7fc1", "#cf5f2a", "#1f8f7a", "#a8639f", "#8f7a1f", "#7f7f7f")
    bars: str = "#7c8fa8"
    guide: str = "#8a8f98"


def finish(figure: go.Figure, height: int | None = None) -> go.Figure:
    """Clear backgrounds, margins, a legend above the plot."""
    figure.update_layout(
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        margin={"l": 60, "r": 20, "t": 30, "b": 50},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "itemwidth": 40},
        hovermode="closest",
        height=height,
    )
    return figure


def add_words(figure: go.Figure, text: str, x: Any, y: Any, **place: Any) -> None:
    """A text without an arrow."""
    figure.add_annotation(text=text, x=x, y=y, showarrow=False, **{"font": {"size": TEXT_SIZE}, **place})


def error_bars(value: Any, low: Any, high: Any, **look: Any) -> dict[str, Any]:
    """From low to high around value; none where a limit is nan."""
    lengths = {"array": np.nan_to_num(high - value), "arrayminus": np.nan_to_num(value - low)}
    return {"type": "data", "symmetric": False, **lengths, **look}


def plain_axes(figure: go.Figure, x: str | None, y: str | None, **place: Any) -> None:
    """Titles, faint grid, no zero line, room for the labels."""
    shared = {"gridcolor": GRID, "zeroline": False, "automargin": True, "title_standoff": 8, "ticklabelstandoff": 4}
    figure.update_xaxes(title=x, **shared, **place)
    figure.update_yaxes(title=y, **shared, **place)


def add_band(
    figure: go.Figure,
    x: Any,
    low: Any,
    high: Any,
    colour: str,
    group: str | None = None,
    step: bool = False,
    edge_width: float = 0,
    **at: Any,
) -> None:
    """An interval along a curve: two traces, the space between them filled, without a line where edge_width is 0. nan
    are left out."""
    x, low, high = (np.asarray(v, dtype=np.float64) for v in (x, low, high))
    known = np.isfinite(low) & np.isfinite(high)
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    pale = f"rgba({red},{green},{blue},0.16)"
    edge = {"width": edge_width, "dash": "dot", "color": colour, "shape": "hv" if step else "linear"}
    shared = {"mode": "lines", "legendgroup": group, "showlegend": False, "hoverinfo": "skip", "line": edge}
    figure.add_trace(go.Scatter(x=x[known], y=high[known], **shared), **at)
    figure.add_trace(go.Scatter(x=x[known], y=low[known], fill="tonexty", fillcolor=pale, **shared), **at)


def short(text: str, length: int = MAX_LABEL) -> str:
    """Cut to what fits next to its numbers."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def plain(text: Any) -> str:
    """A text from a study as Plotly shows it: no tag in it is obeyed."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cycle(values: Sequence[str], index: int) -> str:
    return values[index % len(values)]
