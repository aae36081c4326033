"""A Plotly figure on a page with its downloads: PNG and SVG as drawn, and its numbers as CSV."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from common.files import safe_cell
from study.files import csv_text
from survival.plots.labels import plain_figure
from ui.elements import blocks
from ui.shell import theme

_HERE = Path(__file__).parent
CONFIG = {"displayModeBar": False, "responsive": True}


def figure_block(figure: go.Figure, data: pd.DataFrame, key: str, name: str, alt: str, reading: str) -> None:
    """The figure, a sentence on how to read it, and its downloads.

    figure: from `ui.elements.figures.drawn`. key: of this block on the page. name: of the files. alt: what the figure
    shows, for a reader who cannot see it.
    """
    with st.container(key=f"kept-{key}", gap="small"):
        st.plotly_chart(plain_figure(figure), theme=None, key=f"plot-{key}", config=CONFIG, alt=alt)
        blocks.note(f"How to read it: {reading}")
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            _pictures(f"kept-{key}", key, name)
            csv_button(data, f"csv-{key}", name)


def _pictures(place: str, key: str, name: str) -> None:
    # Registered on every run: the registry belongs to the running server, and the same content is left as it is.
    component = st.components.v2.component(
        "latent_health_keep_figure",
        html=(_HERE / "keep.html").read_text(encoding="utf-8"),
        css=(_HERE / "keep.css").read_text(encoding="utf-8"),
        js=(_HERE / "keep.js").read_text(encoding="utf-8"),
    )
    swaps: list[tuple[str, str]] = []  # colours of the dark mode and what they become on paper
    if theme.is_dark():
        dark, light = theme.DARK, theme.LIGHT
        swaps = [(dark.ink, light.ink), (dark.line, light.line), (dark.muted, light.muted)]
        swaps += zip(dark.quarters, light.quarters, strict=True)
    data = {"place": place, "name": name, "paper": "#FFFFFF", "swaps": swaps}
    component(data=data, key=f"keep-{key}", width="content")


def csv_button(data: pd.DataFrame, key: str, name: str, label: str = "CSV") -> None:
    """A button for the numbers of a figure or table, texts made safe for spreadsheets."""

    def text() -> str:
        safe = data.copy()
        for column in safe.columns:
            if safe[column].dtype == object:
                safe[column] = [safe_cell(v) if isinstance(v, str) else v for v in safe[column]]
        return csv_text(safe)

    blocks.download(label, text, f"{name}.csv", "text/csv", key, "table", "The numbers")
