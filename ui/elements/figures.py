"""Plotly figures of the survival room in the look of the page, and curves for the scrubber."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from numpy.typing import NDArray

from study.description.round_times import round_times
from study.scoring.results import Score
from study.scoring.scorer import Scorer
from survival.plots.face import face_survival, risk_histogram
from survival.plots.labels import plain_figure
from survival.plots.style import Palette
from ui.shell import theme

QUARTER_NAMES = ("lowest quarter", "second", "third", "highest quarter")


def drawn(draw: Callable[..., go.Figure], *args: Any, **kwargs: Any) -> go.Figure:
    """The figure that `draw` makes of these arguments, in the look of the page. Not to be changed.

    Remembered for all sessions by what the arguments hold, so that a figure is drawn again only where its numbers, or
    the mode, changed. Not for figures of an uploaded photo: those go with its score (`_of_score`).
    """
    return _drawn(f"{draw.__module__}.{draw.__qualname__}", theme.is_dark(), args, kwargs, draw)


@st.cache_resource(show_spinner=False, max_entries=128)
def _drawn(name: str, dark: bool, args: Any, kwargs: Any, _draw: Callable[..., go.Figure]) -> go.Figure:
    colours = theme.palette()
    figure = _draw(*args, **kwargs)
    figure.update_layout(
        font={"family": '"Source Sans", "Source Sans Pro", sans-serif', "size": 14, "color": colours.ink},
        hoverlabel={"bgcolor": colours.panel, "font": {"color": colours.ink, "size": 13}},
    )
    axis = {"gridcolor": colours.line, "tickcolor": colours.muted}
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return plain_figure(figure)


_figures: WeakKeyDictionary[Score, dict[tuple[str, bool], go.Figure]] = WeakKeyDictionary()


def _of_score(draw: Callable[[Score, Scorer], go.Figure]) -> Callable[[Score, Scorer], go.Figure]:
    """A figure of a photo's score: drawn once a mode, and forgotten with the score."""

    @wraps(draw)
    def once(score: Score, scorer: Scorer) -> go.Figure:
        figures, key = _figures.setdefault(score, {}), (draw.__name__, theme.is_dark())
        if key not in figures:
            figures[key] = draw(score, scorer)
        return figures[key]

    return once


def quarters_on(scorer: Scorer, grid: NDArray[np.float64]) -> list[tuple[str, NDArray[np.float64]]]:
    """Name and survival (T,) of each quarter at the times `grid`, nan after its last patient."""
    return [(QUARTER_NAMES[index], curve.at(grid)) for index, curve in scorer.quarters.items()]


def plot_palette() -> Palette:
    """The page's colours for the survival room's figures."""
    colours = theme.palette()
    return Palette(face=colours.ink, groups=colours.quarters, bars=colours.muted, guide=colours.muted)


@_of_score
def face_over_quarters(score: Score, scorer: Scorer) -> go.Figure:
    """Survival of people with this score, with its interval, over the patients' quarters by risk."""
    interval = score.risk.interval
    figure = face_survival(
        score.risk.times,
        score.risk.survival,
        scorer.quarters,
        scorer.study.time_unit,
        list(score.risk.horizons),
        list(score.risk.horizons.values()),
        outcome="Free of the event",
        extrapolated=bool(score.risk.extrapolated),
        palette=plot_palette(),
        dashes=theme.QUARTER_DASHES,
        band=None if interval is None else (interval.survival.low, interval.survival.high),
    )
    theme.style_figure(figure, height=400)
    end = float(scorer.model.baseline.last_time)
    figure.update_xaxes(tickvals=round_times(end), range=[0, 1.1 * end])
    return figure


@_of_score
def place_in_cohort(score: Score, scorer: Scorer) -> go.Figure:
    """The cohort's out-of-fold scores with this face's place among them."""
    interval = score.risk.interval
    limits = None if interval is None else (float(interval.log_hr.low), float(interval.log_hr.high))
    figure = risk_histogram(scorer.cohort_log_hr, score.risk.log_hr, "this face", plot_palette(), limits)
    theme.style_figure(figure, height=260)
    figure.update_xaxes(title_text="Log hazard ratio compared with the typical patient")
    return figure
