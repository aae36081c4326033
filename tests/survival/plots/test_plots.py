import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from survival.comparison.over_time import NULL
from survival.cox_regression.regression import cox_regression
from survival.cox_regression.schoenfeld import scaled_residuals, smooth_residuals
from survival.curves import kaplan_meier, logrank, quartile_curves
from survival.metrics.bootstrap import sample_weights
from survival.metrics.calibration import calibration
from survival.metrics.decision import decision_curve
from survival.metrics.estimate import Estimate
from survival.plots.face import face_survival, risk_histogram
from survival.plots.flow import flow_figure
from survival.plots.intervals import concordance_dots, forest, paired_differences
from survival.plots.kaplan_meier import curves_frame, kaplan_meier_figure, median_words
from survival.plots.path import penalty_figure
from survival.plots.probability import (
    auc_figure,
    brier_figure,
    calibration_figure,
    calibration_frame,
    calibration_words,
    decision_figure,
)
from survival.plots.schoenfeld import drawn_every, schoenfeld_figure
from survival.plots.style import Palette


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
    figure = risk_histogram(risk, float(np.log(2.5)), "this face")
    check_theming(figure)
    assert "this face" in texts(figure)
    assert figure.layout.shapes[0].x0 == pytest.approx(np.log(2.5))
    assert len(figure.data[0].x) == 200


def test_kaplan_meier_with_its_table(cohort):
    time, event, _, quartile = cohort
    high = quartile > 1
    curves = {name: kaplan_meier(time[rows], event[rows]) for name, rows in (("Low", ~high), ("High", high))}
    ticks = [0, 12, 24, 60]
    test = logrank(time, event, high)
    figure = kaplan_meier_figure(curves, "months", ticks, test)
    check_theming(figure)
    table = [trace for trace in figure.data if trace.mode == "text"]
    assert len(table) == 6
    assert list(table[0].text) == [str(n) for n in curves["Low"].table(ticks)["at_risk"]]
    assert list(table[5].text) == [str(n) for n in curves["High"].table(ticks)["events"]]
    assert list(table[0].x) == ticks
    assert "p < 0.001" in texts(figure)
    censored = [trace for trace in figure.data if trace.mode == "markers"]
    assert len(censored[0].x) == np.unique(time[~high & ~event]).size
    assert f"<b>High</b>: median {median_words(curves['High'].median())}" in texts(figure)
    rows = [trace.y[0] for trace in table]
    assert len(set(rows)) == 6  # a line of its own for every row of numbers
    assert figure.layout.height < kaplan_meier_figure({**curves, "x": curves["Low"]}, "months", ticks).layout.height


def test_many_patients_are_drawn_to_the_pixel():
    rng = np.random.default_rng(3)
    time, event = rng.exponential(20, 30_000), rng.random(30_000) < 0.6
    curve = kaplan_meier(time, event)
    figure = kaplan_meier_figure({"All": curve}, "months", [0, 50, 100])
    assert max(len(t.x) for t in figure.data) <= 1201
    line = next(t for t in figure.data if t.name and t.name.startswith("All (n"))
    assert line.x[-1] == curve.times[-1]
    np.testing.assert_allclose(line.y, 100 * curve.at(line.x))
    wide = curve.times[-1] / 1200
    assert np.diff(line.x)[np.asarray(line.x[:-1]) < 40].max() < 2.1 * wide  # beyond it patients are few
    assert drawn_every(1999) == drawn_every(2000) == 1
    assert drawn_every(2001) == 2


def test_a_median_that_is_not_reached_is_said():
    assert median_words(Estimate(21.44, 18.0, np.nan, 9)) == "21.4 (18.0 to not reached)"
    assert median_words(Estimate(21.44, 18.0, 30.0, 9)) == "21.4 (18.0 to 30.0)"
    assert median_words(Estimate(np.nan, 36.2, np.nan, 9)) == "not reached (from 36.2)"
    assert median_words(Estimate(np.nan, np.nan, np.nan, 9)) == "not reached"


def test_curves_as_a_table(cohort):
    time, event, _, _ = cohort
    curve = kaplan_meier(time, event)
    frame = curves_frame({"All": curve})
    assert list(frame.columns[:3]) == ["group", "time", "survival"]
    np.testing.assert_array_equal(frame["survival"], curve.survival)


def test_intervals_say_their_numbers():
    frame = pd.DataFrame({"model": ["photo", "<i>x</i>"], "value": [0.7, 0.61], "low": [0.65, np.nan], "high": 0.75})
    figure = concordance_dots(frame)
    check_theming(figure)
    assert "0.700 (0.650 to 0.750)" in texts(figure)
    assert "0.610" in texts(figure)
    assert "&lt;i&gt;x" in texts(figure)
    marks = figure.data[-1]
    assert list(marks.x) == [0.7, 0.61]
    np.testing.assert_allclose(marks.error_x.arrayminus, [0.05, 0])
    assert marks.y[0] < marks.y[1]
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # first row on top
    low, high = figure.layout.xaxis.range
    assert low < 0.5 < 0.75 < high
    difference = paired_differences(frame.assign(value=[0.04, -0.03], low=-0.06, high=0.08), "clinical")
    assert "+0.040 (−0.060 to 0.080)" in texts(difference)
    assert difference.layout.xaxis.title.text == "Harrell C minus that of clinical (95 % CI)"


def test_forest_is_logarithmic_with_headings():
    frame = pd.DataFrame(
        {
            "group": ["Alone", "Alone", "Adjusted"],
            "label": ["Lowest risk", "Highest risk", "Highest risk"],
            "hr": [1.0, 4.0, 3.0],
            "low": [np.nan, 2.0, 1.5],
            "high": [np.nan, 8.0, 6.0],
        }
    )
    figure = forest(frame)
    check_theming(figure)
    assert figure.layout.xaxis.type == "log"
    assert 10 ** figure.layout.xaxis.range[0] < 1 < 8 < 10 ** figure.layout.xaxis.range[1]
    assert "1 (reference)" in texts(figure)
    assert texts(figure).count("<b>A") == 2
    ticks = np.diff(np.log10(figure.layout.xaxis.tickvals))
    assert (ticks > 0).all()


@pytest.mark.parametrize("spread", [1.001, 1.05, 1.5, 30.0, 1e4])
def test_a_hazard_axis_has_ticks_to_read(spread):
    frame = pd.DataFrame({"group": "", "label": ["a"], "hr": [1.0], "low": [1 / spread], "high": [spread]})
    ticks = forest(frame).layout.xaxis.tickvals
    assert 2 <= len(ticks) <= 12
    assert 1 in ticks


def test_penalty_path_marks_the_choice():
    alpha = np.geomspace(10, 0.01, 20)
    frame = pd.DataFrame({"alpha": alpha, "concordance": np.linspace(0.5, 0.66, 20), "effective": np.arange(20.0)})
    figure = penalty_figure(frame, alpha[12])
    check_theming(figure)
    assert len(figure.data) == 2
    assert figure.layout.xaxis.type == "log"
    assert f"chosen: {alpha[12]:.3g}" in texts(figure)
    assert figure.layout.shapes[0].x0 == pytest.approx(alpha[12])
    assert len(penalty_figure(frame.drop(columns="effective"), 1.0).data) == 1


@pytest.fixture(scope="module")
def judged(cohort):
    time, event, risk, _ = cohort
    survival = np.exp(-np.exp(0.8 * risk) * 12 / 30)
    return survival, calibration(time, event, survival, 12.0, samples=30)


def words_of(found):
    return calibration_words(found.estimates(), found.mean_predicted, found.horizon, "months")


def test_calibration_in_picture_and_words(judged):
    survival, found = judged
    figure = calibration_figure(found.groups, found.curve, 1 - survival, 12.0, "months")
    check_theming(figure)
    bars = next(trace for trace in figure.data if trace.type == "bar")
    assert sum(bars.y) == 200
    groups = next(trace for trace in figure.data if trace.name == "Groups by risk")
    np.testing.assert_allclose(groups.x, 100 * found.groups["predicted"])
    words = words_of(found)
    slope = found.slope.estimate()
    assert f"Calibration slope at 12 months {slope.value:.2f} (95 % CI {slope.low:.2f} to {slope.high:.2f}" in words
    assert "By 12 months" in words
    frame = calibration_frame(found.groups, found.curve, 12.0)
    assert set(frame["part"]) == {"curve", "group"}
    assert frame["n"].sum() == 200


def test_calibration_words_take_sides(cohort):
    time, event, risk, _ = cohort
    extreme = np.exp(-np.exp(3 * risk - 1) * 12 / 30)
    assert "are too extreme" in words_of(calibration(time, event, extreme, 12.0, samples=60))
    flat = np.exp(-np.exp(0.25 * risk + 1.5) * 12 / 30)
    words = words_of(calibration(time, event, flat, 12.0, samples=60))
    assert "are too alike" in words
    assert "are too high on average" in words


def lines(models, low=0.6, high=0.7):
    rows = [(m, t, (low + high) / 2, low, high) for m in models for t in (6.0, 12.0, 18.0)]
    return pd.DataFrame(rows, columns=["model", "time", "value", "low", "high"])


def test_measures_along_time():
    figure = auc_figure(lines(["a", "b"]), "months")
    check_theming(figure)
    assert visible(figure) == ["a", "b"]
    assert len([t for t in figure.data if t.fill == "tonexty"]) == 2
    own = [t for t in figure.data if t.name]
    assert own[0].line.color != own[1].line.color
    assert own[0].line.dash != own[1].line.dash  # told apart without colour
    assert not [t for t in auc_figure(lines("abcd"), "months").data if t.fill == "tonexty"]
    later = [t for t in auc_figure(lines(["b"]), "months", order=["a", "b"]).data if t.name]
    assert later[0].line.color == own[1].line.color  # a model looks alike in all figures
    null = brier_figure(lines(["a", NULL]), "months")
    assert next(t for t in null.data if t.name == NULL).line.color == Palette().guide
    assert len([t for t in null.data if t.fill == "tonexty"]) == 1


def test_decision_curve_with_its_range(cohort):
    time, event, risk, _ = cohort
    predicted = 1 - np.exp(-np.exp(risk) * 12 / 30)
    frame = decision_curve(time, event, {"photo": predicted}, 12.0, np.array([0.1, 0.3, 0.5]), sample_weights(200, 20))
    figure = decision_figure(frame, 12.0, "months", (0.1, 0.4))
    check_theming(figure)
    assert visible(figure) == ["photo", "act on all", "act on nobody"]
    assert "12 months" in figure.layout.xaxis.title.text
    assert (figure.layout.shapes[0].x0, figure.layout.shapes[0].x1) == (10, 40)
    low, high = figure.layout.yaxis.range
    assert low < 0 < frame["net_benefit"].max() < high


def test_schoenfeld_residuals_with_smooth(cohort):
    time, event, risk, _ = cohort
    fit = cox_regression(risk, time, event, names=["score"])
    residuals = scaled_residuals(fit)
    figure = schoenfeld_figure(residuals, smooth_residuals(residuals), "score", "months", 0.04)
    check_theming(figure)
    assert "p = 0.040" in texts(figure)
    assert sorted(shape.y0 for shape in figure.layout.shapes) == pytest.approx([0, fit.coef[0]])
    assert len(figure.data[0].x) == event.sum()


def test_flow_says_who_left():
    steps = [
        ("In the table", 20, ()),
        ("With a photo", 11, (("No photo <b>named</b>", 8), ("Photo cell does not name a file", 1))),
        ("Analysed", 11, ()),
    ]
    figure = flow_figure(steps)
    check_theming(figure)
    assert "9 left out" in texts(figure)
    assert "8: No photo &lt;b&gt;named" in texts(figure)
    assert "<b>Analysed</b>: 11 patients" in texts(figure)
    boxes = [note for note in figure.layout.annotations if note.text]
    assert len(boxes) == 4
    assert [note.y for note in boxes] == sorted(note.y for note in boxes)
    many = [("A", 30, ()), ("B", 20, tuple((f"Reason {i}", 1) for i in range(10)))]
    assert "4: other reasons" in texts(flow_figure(many))


def contrast(a: str, b: str) -> float:
    """WCAG 2.1 contrast ratio of two #RRGGBB colours."""
    light = []
    for colour in (a, b):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        light.append(0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2])
    return (max(light) + 0.05) / (min(light) + 0.05)


@pytest.mark.parametrize("paper", ["#ffffff", "#fcfbf8", "#12171c", "#0e1117"])
def test_colours_read_on_light_and_dark(paper):
    palette = Palette()
    for colour in (*palette.groups, *palette.series, palette.face, palette.guide, palette.bars):
        assert contrast(colour, paper) > 3
