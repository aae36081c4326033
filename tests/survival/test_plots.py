import numpy as np
import plotly.graph_objects as go
import pytest

from survival.curves import kaplan_meier, logrank, quartile_curves
from survival.plots import Palette, face_survival, kaplan_meier_figure, risk_histogram


@pytest.fixture(scope="module")
def cohort():
    rng = np.random.default_rng(0)
    risk = rng.normal(size=200)
    time = rng.exponential(30, size=200) * np.exp(-risk)
    quartile = np.searchsorted(np.percentile(risk, [25, 50, 75]), risk)
    return np.minimum(time, 60), time < 60, risk, quartile


def visible(figure: go.Figure) -> list[str]:
    return [trace.name for trace in figure.data if trace.showlegend is not False and trace.name]


def texts(figure: go.Figure) -> str:
    marks = [t for trace in figure.data if trace.type == "scatter" and trace.text is not None for t in trace.text]
    return " ".join(map(str, [*marks, *(note.text for note in figure.layout.annotations)]))


def check_theming(figure: go.Figure) -> None:
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert figure.layout.font.color is None  # the template's, so that it reads on light and dark
    figure.to_json()


def test_face_over_quartiles(cohort):
    time, event, _, quartile = cohort
    curves = quartile_curves(time, event, quartile)
    times = np.linspace(0, 70, 71)
    survival = np.where(times <= 60, np.exp(-times / 30), np.nan)
    palette = Palette(face="#123456")
    figure = face_survival(times, survival, curves, "months", [12, 24, 65], [0.67, 0.45, np.nan], palette=palette)
    check_theming(figure)
    assert visible(figure)[-1] == "This face"
    assert len(visible(figure)) == 5
    assert figure.layout.xaxis.title.text == "Time since photo (months)"
    face = next(trace for trace in figure.data if trace.name == "This face")
    assert face.line.color == "#123456"
    assert face.line.shape == "hv"
    assert max(face.x) == 60
    np.testing.assert_allclose(face.y[12], 100 * np.exp(-12 / 30))
    assert "67 %" in texts(figure)
    assert "45 %" in texts(figure)
    assert len(figure.layout.shapes) == 2  # a horizon beyond the follow-up is not marked
    bands = [trace for trace in figure.data if trace.fill == "tonexty"]
    assert len(bands) == 4
    assert np.nanmax(bands[0].y) <= 100


def test_histogram_names_the_place(cohort):
    risk = cohort[2]
    figure = risk_histogram(risk, float(np.log(2.5)), 83.4)
    check_theming(figure)
    assert "HR 2.50" in texts(figure)
    assert "83 % of patients" in texts(figure)
    assert figure.layout.shapes[0].x0 == pytest.approx(np.log(2.5))
    assert len(figure.data[0].x) == 200
    assert not risk_histogram(risk).layout.annotations


def test_kaplan_meier_with_its_table(cohort):
    time, event, _, quartile = cohort
    high = quartile > 1
    curves = {name: kaplan_meier(time[rows], event[rows]) for name, rows in (("Low", ~high), ("High", high))}
    ticks = [0, 12, 24, 60]
    test = logrank(time, event, high)
    figure = kaplan_meier_figure(curves, "months", ticks, test, template="plotly_dark")
    check_theming(figure)
    table = [trace for trace in figure.data if trace.mode == "text"]
    assert len(table) == 6
    assert list(table[0].text) == [str(n) for n in curves["Low"].table(ticks)["at_risk"]]
    assert list(table[5].text) == [str(n) for n in curves["High"].table(ticks)["events"]]
    assert list(table[0].x) == ticks
    assert "p < 0.001" in texts(figure)
    censored = [trace for trace in figure.data if trace.mode == "markers"]
    assert len(censored[0].x) == np.unique(time[~high & ~event]).size
