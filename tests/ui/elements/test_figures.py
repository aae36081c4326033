"""Figures are drawn once: again only where their numbers or the mode changed, and never kept longer than a photo."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

import study.scoring.scorer
from study.scoring.results import Score
from study.scoring.scorer import Scorer
from tests.ui.conftest import Places
from ui.elements import figures
from ui.elements.figures import drawn
from ui.shell import theme

DRAWN: list[Any] = []


def bars(table: pd.DataFrame, title: str = "", *, heights: np.ndarray | None = None) -> go.Figure:
    DRAWN.append(title)
    return go.Figure(go.Bar(x=table["x"], y=table["y"] if heights is None else heights), layout={"title_text": title})


@pytest.fixture(autouse=True)
def nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    DRAWN.clear()
    figures._drawn.clear()  # type: ignore[attr-defined]
    monkeypatch.setattr(theme, "is_dark", lambda: False)


def table(y: float = 1.0) -> pd.DataFrame:
    return pd.DataFrame({"x": ["a", "b"], "y": [y, 2.0]})


def test_the_same_numbers_are_drawn_once() -> None:
    first = drawn(bars, table(), heights=np.array([1.0, 2.0]))
    assert drawn(bars, table(), heights=np.array([1.0, 2.0])) is first
    assert len(DRAWN) == 1
    assert first.layout.font.color == theme.LIGHT.ink, "in the look of the page"


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((table(1.5),), {}),
        ((table(),), {"title": "Another"}),
        ((table(),), {"heights": np.array([1.0, 2.5])}),
        ((table().assign(y=[2.0, 1.0]),), {}),
        ((table().rename(columns={"x": "y", "y": "x"}),), {}),
    ],
)
def test_other_numbers_or_words_are_another_figure(args: tuple, kwargs: dict) -> None:
    first = drawn(bars, table())
    assert drawn(bars, *args, **kwargs) is not first
    assert len(DRAWN) == 2


def test_each_mode_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    light = drawn(bars, table())
    monkeypatch.setattr(theme, "is_dark", lambda: True)
    dark = drawn(bars, table())
    assert dark.layout.font.color == theme.DARK.ink
    assert light.layout.font.color == theme.LIGHT.ink


def test_figures_of_a_photo_go_with_its_score(places: Places) -> None:
    scorer = Scorer.open(places.study, places.checkpoint)
    code = np.asarray(scorer.codes[0])
    (risk,) = scorer.risks(code[None], intervals=True)
    score = Score(SimpleNamespace(ws=code), code[None], risk, (), scorer.stamp)  # type: ignore[arg-type]
    first = figures.face_over_quarters(score, scorer)
    assert figures.face_over_quarters(score, scorer) is first
    assert figures.place_in_cohort(score, scorer) is figures.place_in_cohort(score, scorer)
    assert sum(trace.legendgroup == "This face" for trace in first.data) == 3, "the curve and both edges of its band"
    assert len(figures.place_in_cohort(score, scorer).layout.shapes) == 2, "the score and its interval"
    kept = weakref.ref(first)
    del first, score
    gc.collect()
    assert kept() is None


def test_quarters_are_estimated_once(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    estimate = study.scoring.scorer.quartile_curves
    monkeypatch.setattr(study.scoring.scorer, "quartile_curves", lambda *a: calls.append(1) or estimate(*a))
    scorer = Scorer.open(places.study, places.checkpoint)
    for _ in range(3):
        assert [name for name, _ in figures.quarters_on(scorer, np.array([0.0, 6.0]))] == list(figures.QUARTER_NAMES)
    assert len(calls) == 1
