"""Labels of figures that hold text of unknown origin: Plotly renders a few HTML tags in them, links among these."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

_TAG = re.compile(r"<(?!/?(?:b|i|em|br|sub|sup|s|u|extra)/?>)", re.I)
_FIELDS = ("name", "text", "hovertext", "hovertemplate", "texttemplate", "x", "y", "labels", "customdata")


def plain_label(text: object) -> str:
    """A label of a figure: Plotly shows the text as it is but for bold, italics, line breaks and raised or lowered
    letters, which our own labels use; links and everything else lose their meaning."""
    return _TAG.sub("&lt;", str(text))


def plain_figure(figure: go.Figure) -> go.Figure:
    """Every label of a figure as `plain_label` gives it. Changes and returns `figure`."""
    for trace in figure.data:
        for name in _FIELDS:
            value = getattr(trace, name, None)
            if (clean := _labels(value)) is not value:
                trace[name] = clean
    layout = figure.layout
    for annotation in layout.annotations:
        if (clean := _labels(annotation.text)) is not annotation.text:
            annotation.text = clean
    for part in (layout, *figure.select_xaxes(), *figure.select_yaxes(), layout.legend):
        if (clean := _labels(part.title.text)) is not part.title.text:
            part.title.text = clean
    for axis in (*figure.select_xaxes(), *figure.select_yaxes()):
        for name in ("ticktext", "categoryarray"):
            if (clean := _labels(axis[name])) is not axis[name]:
                axis[name] = clean
    return figure


def _labels(value: Any) -> Any:
    """The value with its texts cleaned; the same object where nothing was to be done."""
    if isinstance(value, str):
        return plain_label(value) if _TAG.search(value) else value
    if isinstance(value, Sequence) or (hasattr(value, "dtype") and value.dtype.kind in "OU"):
        items = list(value)
        if any(isinstance(item, str) and _TAG.search(item) for item in items):
            return [_labels(item) for item in items]
    return value
