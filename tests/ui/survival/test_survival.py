"""The Survival model page, started from the entry: planning, the job, every view of a result, staleness."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from jobs.queue import Queue
from study.__main__ import main
from study.comparison.measuring.duration import measured_here
from study.comparison.plan import Plan
from study.comparison.record import read_comparison
from study.comparison.run import compare
from study.disk.exclusions import exclude
from study.disk.store import Study
from study.learning_curve.run import curve_plan, learn
from study.robustness.record import read_robustness
from tests.ui.conftest import Places
from tests.ui.test_pages import words

Opener = Callable[..., AppTest]
PAGE = "pages/survival_model.py"
PLAN = Plan(("age-sex", "clinical", "photo"), folds=3, repeats=1, samples=40, shuffles=1, penalties=8)
VIEWS = (
    ("Models", ("plot-dots", "plot-differences"), "Added value over"),
    ("Risk groups", ("plot-curves",), "quarter of the patients"),
    ("Hazard ratios", ("plot-forest", "plot-coefficients"), "Levels are compared with: "),
    ("Calibration", ("plot-calibration",), "mean predicted risk"),
    ("Over time", ("plot-auc", "plot-brier"), "0.5 is guessing"),
    ("Decision", ("plot-decision",), "Net benefit"),
    ("Penalty", ("plot-penalty",), "effective parameters"),
    ("Proportional hazards", ("plot-schoenfeld",), "the line is level"),
    ("Subgroups", (), "All patients"),
    ("Robustness", (), "Not measured yet"),
    ("Learning curve", (), "Not measured yet"),
    ("Details", (), "bootstrap samples"),
)


@pytest.fixture(scope="module")
def compared(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny study with a comparison."""
    folder = tmp_path_factory.mktemp("compared") / "demo"
    shutil.copytree(places.study.path, folder)
    compare(Study.open(folder), PLAN)
    return folder


@pytest.fixture
def studies(compared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that a test may change; nothing is begun that is queued."""
    monkeypatch.setenv("LATENT_HEALTH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(Queue, "start_runner", lambda self: None)
    shutil.copytree(compared, tmp_path / "studies" / "demo")
    return tmp_path / "studies"


@pytest.mark.slow
@pytest.mark.parametrize(("view", "plots", "told"), VIEWS)
def test_every_view_says_what_it_shows(
    open_app: Opener, studies: Path, view: str, plots: tuple[str, ...], told: str
) -> None:
    app = open_app(studies=studies).switch_page(PAGE).run()
    app.segmented_control(key="survival-view").set_value(view).run()
    assert not app.exception
    said = words(app)
    assert told in said
    assert "Simulated study" in said
    assert "what a perfect photo model could reach" not in said, "this study has no truth table"
    assert len(app.get("plotly_chart")) == len(plots)
    assert len(app.get("download_button")) >= len(plots)
    pictures = [p for p in app.get("bidi_component") if p.proto.component_name == "latent_health_keep_figure"]
    assert len(pictures) == len(plots)
    assert said.count("How to read it") == max(len(plots), view == "Subgroups")


def test_figures_on_the_page_are_those_on_disk(open_app: Opener, studies: Path) -> None:
    result = read_comparison(studies / "demo")
    app = open_app(studies=studies).switch_page(PAGE).run()
    best, said = result.best(), words(app)
    assert f"{result.estimate(best.name).value:.3f}" in [m.value for m in app.metric]
    e = result.estimate("photo / cox-ridge")
    assert f"{e.value:.3f} <small>{e.low:.3f} to {e.high:.3f}</small>" in said
    assert said.index("Photo (W+), ridge Cox") < said.index("Kaplan-Meier, no covariates"), "controls come last"
    app.selectbox(key="survival-base-demo-main").set_value("age-sex / cox").run()
    assert not app.exception
    assert "Differences from Age and sex, Cox" in words(app)


def test_a_study_that_changed_since_says_so(open_app: Opener, studies: Path) -> None:
    exclude(studies / "demo", ["P0001"], "covered")
    said = words(open_app(studies=studies).switch_page(PAGE).run())
    assert "1 patient was excluded since." in said


def test_a_plan_becomes_a_job_of_the_queue(
    open_app: Opener, studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LATENT_HEALTH_CACHE", str(tmp_path / "nothing-measured"))
    shutil.rmtree(studies / "demo" / "comparisons")
    app = open_app(studies=studies).switch_page(PAGE).run()
    assert not app.exception
    assert "No models of this study have been compared yet" in words(app)
    assert "is not known yet" in words(app), "the time it will take"
    measured_here(Plan(), ("clinical",), 60, 1, 100.0)
    assert "from earlier comparisons on this machine" in words(app.run())
    sets = app.pills(key="survival-sets-demo")
    sets.set_value([]).run()
    assert "Choose at least one feature set" in words(app)
    assert app.button(key="survival-start").disabled
    sets = app.pills(key="survival-sets-demo")
    sets.set_value(["photo", "age-sex"]).run()
    app.pills(key="survival-models-demo").set_value(["default", "forest"]).run()
    app.number_input(key="survival-repeats").set_value(2).run()
    app.text_input(key="survival-name").set_value("../x").run()
    assert "cannot be a comparison" in words(app)
    app.text_input(key="survival-name").set_value("more").run()
    app.button(key="survival-start").click().run()
    assert not app.exception
    [job] = Queue(tmp_path / "runs" / "queue").jobs()[0]
    assert job.command == (
        *("study", "compare", str(studies / "demo"), "--name", "more"),
        *("--features", "age-sex,photo", "--models", "default,forest", "--repeats", "2"),
    )
    assert app.button(key="survival-start").disabled, "one at a time"
    next(b for b in app.button if b.label == "Stop").click().run()
    assert not app.exception
    assert Queue(tmp_path / "runs" / "queue").jobs()[0][0].state == "stopped"


def test_a_damaged_result_gets_a_sentence(open_app: Opener, studies: Path) -> None:
    (studies / "demo" / "comparisons" / "main" / "comparison.npz").write_bytes(b"no")
    app = open_app(studies=studies).switch_page(PAGE).run()
    assert not app.exception
    assert "is damaged" in words(app)


@pytest.mark.slow
def test_a_model_is_chosen_by_a_job_and_used_on_the_other_pages(
    open_app: Opener, studies: Path, tmp_path: Path
) -> None:
    app = open_app(studies=studies).switch_page(PAGE).run()
    said = words(app)
    assert "Cox: It needs more than a photo" in said
    assert app.selectbox(key="survival-choice-demo-main").options == ["Photo (W+), ridge Cox"]
    app.button(key="survival-choose").click().run()
    [job] = Queue(tmp_path / "runs" / "queue").jobs()[0]
    assert job.command == ("study", "choose", str(studies / "demo"), "photo / cox-ridge")
    assert main(list(job.command[1:])) == 0
    Queue(tmp_path / "runs" / "queue").stop(job.id)
    app = open_app(studies=studies)
    assert not app.exception
    assert "Photo (W+), ridge Cox" in words(app), "Home tells its figures"
    app.switch_page(PAGE).run()
    assert "scores faces on the Portrait page" in words(app)
    app.button(key="survival-usual").click().run()
    assert not app.exception
    assert Study.open(studies / "demo").chosen_model == "photo"


@pytest.mark.slow
def test_a_learning_curve_is_planned_as_a_job_and_shown(open_app: Opener, studies: Path, tmp_path: Path) -> None:
    app = open_app(studies=studies).switch_page(PAGE).run()
    app.segmented_control(key="survival-view").set_value("Learning curve").run()
    app.number_input(key="survival-learning-repeats").set_value(1).run()
    app.button(key="survival-learning-start").click().run()
    [job] = Queue(tmp_path / "runs" / "queue").jobs()[0]
    assert job.command == ("study", "learning-curve", str(studies / "demo"), "--repeats", "1")
    Queue(tmp_path / "runs" / "queue").stop(job.id)
    study = Study.open(studies / "demo")
    events = study.patients["event"].mean()
    sizes = [round(20 / events), round(25 / events), len(study.patients)]
    found = learn(study, curve_plan(study, "clinical", "cox-ridge", folds=3, repeats=1, samples=40), sizes)
    app = open_app(studies=studies).switch_page(PAGE).run()
    app.segmented_control(key="survival-view").set_value("Learning curve").run()
    assert not app.exception
    said = words(app)
    for sentence in found.sentences():
        assert sentence in said
    assert f"{sizes[0]}" in said
    assert "Out of date" not in said
    assert len(app.get("plotly_chart")) == 1
    (studies / "demo" / "learning-curve.json").write_text("{}")
    app.run()
    assert not app.exception
    assert "learning-curve.json is damaged" in words(app)


@pytest.mark.slow
def test_robustness_is_planned_as_a_job_and_shown(
    open_app: Opener, studies: Path, places: Places, tmp_path: Path
) -> None:
    app = open_app(studies=studies).switch_page(PAGE).run()
    app.segmented_control(key="survival-view").set_value("Robustness").run()
    assert "has no shortcut controls" in words(app)
    app.number_input(key="survival-robust-patients").set_value(2).run()
    assert "24 photos, about" in words(app)
    app.button(key="survival-robust-start").click().run()
    [job] = Queue(tmp_path / "runs" / "queue").jobs()[0]
    assert job.command == ("study", "robustness", str(studies / "demo"), "--patients", "2")
    Queue(tmp_path / "runs" / "queue").stop(job.id)
    asked = [*job.command[1:], "--changes", "grainy,mirrored", "--checkpoint", str(places.checkpoint.path)]
    assert main(asked) == 0
    app = open_app(studies=studies).switch_page(PAGE).run()
    app.segmented_control(key="survival-view").set_value("Robustness").run()
    assert not app.exception
    said = words(app)
    found = read_robustness(Study.open(studies / "demo"))
    assert f"{found.icc.value:.2f} (" in said.replace("\u2212", "-")
    assert "Out of date" not in said
    assert len(app.get("plotly_chart")) == 1
    (studies / "demo" / "robustness.json").write_text("{}")
    app.run()
    assert not app.exception
    assert "robustness.json is damaged" in words(app)
