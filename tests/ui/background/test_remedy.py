"""No page names a command that it can start itself; a checkpoint says whether it fits the study where it is chosen."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from study.errors import StudyError
from tests.ui import tiny
from tests.ui.conftest import Places
from tests.ui.test_pages import finish, words
from ui.background import remedy

Opener = Callable[..., AppTest]
PAGES = ("home", "portrait", "health_direction", "cohort", "survival_model")


def without_codes(study: Path) -> None:
    for name in ("latents.npy", "index.parquet"):
        (study / name).unlink()


def without_model(study: Path) -> None:
    shutil.rmtree(study / "models")


def damaged_codes(study: Path) -> None:
    (study / "latents.npy").write_bytes(b"nothing")


def changed_photo(study: Path) -> None:
    path = next((study / "photos").glob("*.jpg"))
    path.write_bytes(path.read_bytes() + b"\0")


def same(study: Path) -> None:
    """As it is; the checkpoint is another one."""


PROBLEMS = {
    "no codes": (without_codes, "Embed the photos again"),
    "no model": (without_model, "Fit the photo model"),
    "damaged codes": (damaged_codes, "Embed the photos again"),
    "changed photo": (changed_photo, "Embed the photos again"),
    "another checkpoint": (same, "Embed the photos again"),
}


def test_a_message_names_the_command_and_a_page_gets_it_apart() -> None:
    error = StudyError("demo has no model yet.", ("fit", "my study"))
    assert str(error) == "demo has no model yet. Run `python -m study fit 'my study'`."
    assert remedy.parts(error) == ("demo has no model yet.", "fit")
    assert remedy.parts(f"study embed: {error}") == ("study embed: demo has no model yet.", "fit")
    assert remedy.parts(StudyError("It is damaged.")) == ("It is damaged.", "")
    again = copy.copy(error)  # in parts, as from a worker of ours
    assert (str(again), again.sentence, again.run) == (str(error), error.sentence, error.run)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBLEMS)
def test_what_a_page_tells_to_run_is_a_button(open_app: Opener, places: Places, tmp_path: Path, name: str) -> None:
    spoil, label = PROBLEMS[name]
    shutil.copytree(places.studies / "demo", tmp_path / "studies" / "demo")
    spoil(tmp_path / "studies" / "demo")
    checkpoints = places.checkpoints
    if name == "another checkpoint":
        checkpoints = tmp_path / "checkpoints"
        tiny.write_checkpoint(checkpoints / "portraits", seed=5)
    app = open_app(studies=tmp_path / "studies", checkpoints=checkpoints)
    for page in PAGES:
        app.switch_page(f"pages/{page}.py").run()
        assert not app.exception, page
        said = words(app)
        assert "python -m study" not in said, page
        if page in ("portrait", "health_direction"):
            assert label in [button.label for button in app.button], page
    app.switch_page("pages/cohort.py").run()
    for view in ("Table check", "Photos", "Face codes and model", "Reconstructions"):
        app.segmented_control(key="cohort-view").set_value(view).run()
        assert not app.exception, view
        assert "python -m study" not in words(app), view


def test_a_link_opens_the_view_where_the_button_is(open_app: Opener, places: Places, tmp_path: Path) -> None:
    shutil.copytree(places.studies / "demo", tmp_path / "studies" / "demo")
    without_model(tmp_path / "studies" / "demo")
    app = open_app(studies=tmp_path / "studies").switch_page("pages/portrait.py").run()
    link = next(button for button in app.button if button.label == "Face codes and model on the Cohort page")
    link.click().run()
    app.switch_page("pages/cohort.py").run()
    assert app.segmented_control(key="cohort-view").value == "Face codes and model"
    assert "Fit the photo model" in [button.label for button in app.button]


@pytest.mark.slow
def test_a_checkpoint_that_does_not_fit_says_so_before_and_after_it_is_chosen(
    open_app: Opener, places: Places, tmp_path: Path
) -> None:
    shutil.copytree(places.checkpoints, tmp_path / "checkpoints")
    tiny.write_checkpoint(tmp_path / "checkpoints" / "other", seed=5)
    app = open_app(checkpoints=tmp_path / "checkpoints")
    picker = app.selectbox(key="checkpoint")
    assert picker.options == ["other (not for demo)", "portraits (fits demo)"]
    assert not app.sidebar.warning
    app.switch_page("pages/health_direction.py").run()
    app.selectbox(key="checkpoint").set_value("other").run()
    (told,) = app.sidebar.warning
    assert told.value.startswith("The photos of demo were embedded with another face model than other.")
    assert "another" in next(w.value for w in app.main if w.type == "warning")
    app.button(key="use-fitting-picker").click().run()
    assert app.session_state["checkpoint"] == "portraits"
    assert not app.sidebar.warning
    finish(app, "editing")
    assert not app.exception
