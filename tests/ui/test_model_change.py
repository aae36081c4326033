"""The study's model changes while pages are open: no page shows figures of two models, and every page says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from study.comparison.fit import fit, fit_plan
from study.disk.exclusions import exclude
from study.disk.store import Study
from study.files import write_json
from tests.ui import tiny
from tests.ui.conftest import Places
from tests.ui.test_pages import finish, scrubbers, words

Opener = Callable[..., AppTest]
OUT_OF_DATE = "Out of date: scored by an earlier model"
BEFORE = "The model was fitted before the study changed"


@pytest.fixture
def studies(places: Places, tmp_path: Path) -> Path:
    """A copy of the studies that a test may change, with a second model that nobody has chosen yet."""
    shutil.copytree(places.studies, tmp_path / "studies")
    study = Study.open(tmp_path / "studies" / "demo")
    fit(study, name="second", plan=fit_plan(folds=4, repeats=1, penalties=5, samples=200))
    return tmp_path / "studies"


def choose_second(studies: Path) -> None:
    write_json(studies / "demo" / "models" / "chosen.json", {"model": "second"})


def titles(app: AppTest) -> list[str]:
    """Titles of the warnings on a page, also of those that a button opens."""
    return [*(warning.proto.title for warning in app.warning), *(box.proto.popover.label for box in app.get("popover"))]


@pytest.fixture
def scored(open_app: Opener, studies: Path) -> AppTest:
    """The Portrait page with a scored face."""
    app = open_app(studies=studies).switch_page("pages/portrait.py").run()
    app.segmented_control(key="photo_source").set_value("Example").run()
    app.button(key="example-P0002").click().run()
    tag = app.session_state["portrait"].photo.sha256[:12]
    app.segmented_control(key=f"crop-{tag}").set_value("Already aligned").run()
    app.button(key="score").click().run()
    return finish(app, "portrait")


def test_portrait_says_that_a_score_is_of_an_earlier_model(scored: AppTest, studies: Path) -> None:
    app, portrait = scored, scored.session_state["portrait"]
    assert app.metric
    first = portrait.score
    choose_second(studies)
    app.run()
    assert not app.exception
    assert OUT_OF_DATE in titles(app)
    assert not app.metric, "no figure of the earlier model beside the new one"
    assert not app.get("plotly_chart")
    app.button(key="score-again").click().run()
    assert not app.exception
    assert OUT_OF_DATE not in titles(app)
    assert portrait.score.inversion is first.inversion, "the code was not searched again"
    model = Study.open(studies / "demo").model("second")
    assert portrait.score.risk.log_hr == pytest.approx(float(model.predict(first.inversion.ws)[0]))
    assert portrait.score.risk.log_hr != first.risk.log_hr
    assert app.metric
    (studies / "demo" / "models" / "chosen.json").unlink()
    app.run()
    assert OUT_OF_DATE in titles(app), "also when the first model is chosen again"


def test_health_direction_draws_the_frames_again_for_another_model(
    open_app: Opener, places: Places, studies: Path
) -> None:
    app = open_app(studies=studies).switch_page("pages/health_direction.py").run()
    finish(app, "editing")
    editing = app.session_state["editing"]
    first = editing.drawn
    assert scrubbers(app) == 1
    choose_second(studies)
    app.run()
    assert editing.drawing is not None, "the frames of the earlier model are not shown any more"
    assert scrubbers(app) == 0
    finish(app, "editing")
    assert not app.exception
    model = Study.open(studies / "demo").model("second")
    assert editing.drawn.request.stamp != first.request.stamp
    np.testing.assert_allclose(editing.drawn.strip.log_hr, model.predict(editing.drawn.strip.ws))
    assert all(entry[0].stamp == first.request.stamp for entry in editing.undo[:-1])
    app.button(key="undo").click().run()
    assert editing.drawn.request.stamp != first.request.stamp, "there is no way back to frames of another model"


def test_health_direction_does_not_move_a_photo_by_a_model_that_has_not_scored_it(
    scored: AppTest, studies: Path
) -> None:
    app = scored
    app.switch_page("pages/health_direction.py").run()
    assert app.segmented_control(key="face_source").value == "My photo"
    finish(app, "editing")
    assert scrubbers(app) == 1
    choose_second(studies)
    app.run()
    assert OUT_OF_DATE in titles(app)
    assert scrubbers(app) == 0
    app.button(key="score-again").click().run()
    finish(app, "editing")
    assert not app.exception
    assert scrubbers(app) == 1
    assert app.session_state["editing"].drawn.request.stamp == app.session_state["portrait"].score.stamp


def test_a_face_is_named_by_its_code(scored: AppTest) -> None:
    """Not by where Python keeps it: an address may be used again by another photo's score."""
    app, portrait = scored, scored.session_state["portrait"]
    app.switch_page("pages/health_direction.py").run()
    finish(app, "editing")
    first = app.session_state["editing"].drawn
    portrait.score = type(portrait.score)(**vars(portrait.score))
    app.run()
    assert app.session_state["editing"].drawing is None, "the same code in another object: nothing is drawn again"
    assert app.session_state["editing"].drawn is first


def test_home_shows_the_model_that_is_chosen(open_app: Opener, studies: Path) -> None:
    app = open_app(studies=studies)
    pictures = [part.value for part in app.html if 'class="lh-strip"' in str(part.value)]
    choose_second(studies)
    app.run()
    assert not app.exception
    figures = {metric.label: metric.value for metric in app.metric}
    assert figures["Harrell's C"] == f"{Study.open(studies / 'demo').report('second')['harrell']['value']:.3f}"
    assert [part.value for part in app.html if 'class="lh-strip"' in str(part.value)] != pictures


@pytest.mark.parametrize("page", ["pages/home.py", "pages/portrait.py", "pages/health_direction.py"])
def test_an_exclusion_since_the_fit_is_said_on_every_page_of_the_model(
    open_app: Opener, studies: Path, page: str
) -> None:
    app = open_app(studies=studies).switch_page(page).run()
    assert BEFORE not in titles(app)
    exclude(studies / "demo", ["P0004", "P0005"], "face covered")
    app.run()
    assert not app.exception
    assert BEFORE in titles(app)
    assert "2 patients were excluded since" in words(app)
    finish(app, "editing") if page.endswith("direction.py") else None


def test_an_exclusion_leaves_a_score_of_the_same_model_standing(scored: AppTest, studies: Path) -> None:
    exclude(studies / "demo", ["P0009"], "face covered")
    scored.run()
    assert not scored.exception
    assert BEFORE in titles(scored)
    assert OUT_OF_DATE not in titles(scored)
    assert scored.metric


def test_another_checkpoint_under_the_same_name_hides_the_score(
    scored: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.write_checkpoint(tmp_path / "checkpoints" / "portraits", seed=5)
    monkeypatch.setenv("LATENT_HEALTH_CHECKPOINTS", str(tmp_path / "checkpoints"))
    scored.run()
    assert not scored.exception
    assert not scored.metric
    assert "another checkpoint" in words(scored)
