"""The look, for what is drawn on the server: two palettes, one Plotly layout, one small style sheet.

Colours of Streamlit's own parts stand in `.streamlit/config.toml`; the ones needed here are repeated and a test keeps
them equal. Low risk is blue and high risk is orange everywhere: the pair stays apart for every common kind of colour
blindness, and each is also told apart by its label or its dash.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import plotly.graph_objects as go
import streamlit as st

CONTENT_WIDTH = 1280  # CSS pixels; wider screens get margins, so lines of text stay readable
ICON = Path(__file__).with_name("icon.svg")
MODE_KEY, SEEN_MODE = "mode-watch", "seen-mode"  # in the session's state
STYLE_SHEET = Path(__file__).with_name("style.css")


@dataclass(frozen=True)
class Colours:
    """Colours of one mode, as #RRGGBB."""

    paper: str
    panel: str
    ink: str
    line: str
    accent: str
    low: str
    high: str
    muted: str
    quarters: tuple[str, str, str, str]  # lowest to highest risk


LIGHT = Colours(
    paper="#FCFBF8",
    panel="#F3F0E9",
    ink="#1B2530",
    line="#D9D4C7",
    accent="#14586A",
    low="#2B6CA3",
    high="#B8501A",
    muted="#6B6F73",
    quarters=("#2B6CA3", "#5E8099", "#A57645", "#B8501A"),
)
DARK = Colours(
    paper="#12171C",
    panel="#1B2229",
    ink="#E9E6DF",
    line="#343D46",
    accent="#7FC4D1",
    low="#6FAEDF",
    high="#E58A4E",
    muted="#9AA1A8",
    quarters=("#6FAEDF", "#7E97A9", "#B79473", "#E58A4E"),
)
QUARTER_DASHES = ("solid", "dash", "dashdot", "dot")  # the quarters are told apart without colour too


MODE_WATCH = """\
export default function ({ data, parentElement, setStateValue }) {
  const host = parentElement.host ?? parentElement
  const paper = getComputedStyle(host).getPropertyValue("--st-background-color").trim().toUpperCase()
  const mode = paper === data.dark ? "dark" : "light"
  if (mode !== data.drawn) setStateValue("mode", mode)
}
"""


def watch_mode() -> None:
    """Draw again when the reader changes the mode, or when the server guessed wrong on a session's first run.

    An invisible component, because only the browser knows: Streamlit tells the server of a change with the next run.
    """
    component = st.components.v2.component("latent_health_mode", html="<span hidden></span>", js=MODE_WATCH)
    component(
        data={"dark": DARK.paper.upper(), "drawn": "dark" if is_dark() else "light"},
        key=MODE_KEY,
        on_mode_change=_take_mode,
    )


def _take_mode() -> None:
    seen = st.session_state.get(MODE_KEY) or {}
    if seen.get("mode") in ("light", "dark"):
        st.session_state[SEEN_MODE] = seen["mode"]


def is_dark() -> bool:
    """Whether the reader's browser shows the dark mode (light where it does not say)."""
    return (st.session_state.get(SEEN_MODE) or st.context.theme.type) == "dark"


def palette() -> Colours:
    """The palette of the mode the reader sees."""
    return DARK if is_dark() else LIGHT


def apply_style() -> None:
    """Put the style sheet of our own blocks (masthead, fact lists, badges) on the page."""
    colours = palette()
    sheet = STYLE_SHEET.read_text(encoding="utf-8")
    st.html(f"<style>:root {{ --lh-accent: {colours.accent}; }}\n{sheet}</style>")


def style_figure(figure: go.Figure, height: int = 380) -> go.Figure:
    """Give a Plotly figure the look of the page. Changes and returns `figure`."""
    colours = palette()
    axis = {
        "gridcolor": colours.line,
        "linecolor": colours.muted,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": colours.muted,
        "title_standoff": 12,
        "automargin": True,
        "title_font": {"size": 14},
    }
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 28, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": '"Source Sans", "Source Sans Pro", sans-serif', "size": 14, "color": colours.ink},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "left", "x": 0, "font": {"size": 13}},
        hoverlabel={"bgcolor": colours.panel, "font": {"color": colours.ink, "size": 13}},
        colorway=[colours.accent, colours.high, colours.low, colours.muted],
    )
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return figure
