"""The flow of patients into the analysis: boxes from top to bottom, and who left at each step."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import plotly.graph_objects as go

from survival.plots.style import GRID, Palette, add_words, finish, plain

Step = tuple[str, int, Sequence[tuple[str, int]]]
WRAP = 40  # characters a line, which fit next to the arrow at 350 px
LINE_PX, PAD_PX, GAP_PX, INDENT_PX = 16, 14, 20, 34
MOST_REASONS = 6


def flow_figure(steps: Sequence[Step]) -> go.Figure:
    """steps: (name, patients left after it, [(reason, how many left)]), first to last. layout.height fits."""
    palette, figure, y = Palette(), go.Figure(), 0.0
    for k, (name, patients, lost) in enumerate(steps):
        if k:
            top = y
            y += GAP_PX
            if lost:
                lines = _reasons(lost)
                _box(figure, lines, y, palette.guide, INDENT_PX, "dot")
                middle = y + (PAD_PX + LINE_PX * len(lines)) / 2
                _line(figure, middle, palette.guide)
                y += PAD_PX + LINE_PX * len(lines) + GAP_PX
            _arrow(figure, top, y, palette.guide)
        _box(figure, [f"<b>{plain(name)}</b>: {patients} patients"], y, palette.series[0], 0, "solid")
        y += PAD_PX + LINE_PX
    hidden = {"visible": False, "fixedrange": True}
    figure.update_xaxes(range=[0, 1], **hidden)
    figure.update_yaxes(range=[y + 4, -4], **hidden)
    finish(figure, height=int(y + 8 + 16))
    return figure.update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 8})


def _reasons(lost: Sequence[tuple[str, int]]) -> list[str]:
    shown = [f"{count}: {reason}" for reason, count in lost[:MOST_REASONS]]
    rest = sum(count for _, count in lost[MOST_REASONS:])
    shown += [f"{rest}: other reasons"] if rest else []
    total = sum(count for _, count in lost)
    return [f"{total} left out", *(plain(line) for text in shown for line in textwrap.wrap(text, WRAP))]


def _box(figure: go.Figure, lines: list[str], y: float, colour: str, indent: int, kind: str) -> None:
    place = {"xref": "x domain", "yref": "y", "xanchor": "left", "yanchor": "top", "xshift": indent, "align": "left"}
    fill = {"borderwidth": 1.5, "bgcolor": GRID} if kind == "solid" else {"borderwidth": 1}
    add_words(figure, "<br>".join(lines), 0, y, bordercolor=colour, borderpad=6, **fill, **place)


def _arrow(figure: go.Figure, start: float, end: float, colour: str) -> None:
    figure.add_annotation(
        x=0,
        y=end,
        xref="x domain",
        yref="y",
        ax=0,
        ay=start - end,
        axref="pixel",
        ayref="pixel",
        xshift=14,
        text="",
        showarrow=True,
        arrowhead=2,
        arrowwidth=1.5,
        arrowcolor=colour,
    )


def _line(figure: go.Figure, y: float, colour: str) -> None:
    """From the arrow to the box of those who left."""
    figure.add_shape(
        type="line",
        xref="x domain",
        yref="y",
        xsizemode="pixel",
        xanchor=0,
        x0=14,
        x1=INDENT_PX - 6,
        y0=y,
        y1=y,
        line={"width": 1, "color": colour},
    )
