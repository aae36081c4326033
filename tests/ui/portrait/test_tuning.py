"""Tuning on the pages: which picture is which, the figures stay the code's, and it goes with the photo."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import latent.inversion.pivotal_tuning
from latent.inversion.pivotal_tuning import Pivotal
from study.scoring.interval import Interval
from tests.ui.test_pages import finish, scrubbers, words
from ui.health_direction.state import EditingState
from ui.portrait import tuning
from ui.portrait.state import PortraitState

Opener = Callable[..., AppTest]
LONG = latent.inversion.pivotal_tuning.PivotalSettings(steps=100_000, close=0.0, tolerance=0.0, locality=0.0)


@pytest.fixture
def scored(open_app: Opener, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The Portrait page with a scored face; a tuning makes two steps."""
    short = latent.inversion.pivotal_tuning.PivotalSettings(steps=2, learning_rate=0.01, close=0.0)
    monkeypatch.setattr(latent.inversion.pivotal_tuning, "PivotalSettings", lambda: short)
    app = open_app().switch_page("pages/portrait.py").run()
    app.segmented_control(key="photo_source").set_value("Example").run()
    app.button(key="example-P0002").click().run()
    tag = app.session_state["portrait"].photo.sha256[:12]
    app.segmented_control(key=f"crop-{tag}").set_value("Already aligned").run()
    app.button(key="score").click().run()
    return finish(app, "portrait")


def tune(app: AppTest) -> PortraitState:
    """Press the button, wait, run the page again."""
    app.button(key="tune").click().run()
    portrait: PortraitState = app.session_state["portrait"]
    if portrait.tuning_task is not None:
        assert portrait.tuning_task.wait(120).state == "done"
        app.run()
    assert not app.exception
    return portrait


def alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal up to the rounding that differs between a batch and a single picture."""
    return bool(np.abs(a.astype(int) - b).max() <= 1)


def to_direction(app: AppTest) -> EditingState:
    app.switch_page("pages/health_direction.py").run()
    app.segmented_control(key="face_source").set_value("My photo").run()
    finish(app, "editing")
    assert not app.exception
    editing: EditingState = app.session_state["editing"]
    return editing


@pytest.mark.slow
def test_photo_code_and_tuned_picture_stand_side_by_side(scored: AppTest) -> None:
    app = scored
    assert app.button(key="tune").label == "Adapt the face model to this photo (display only)"
    before = [(metric.label, metric.value) for metric in app.metric]
    score = app.session_state["portrait"].score
    portrait = tune(app)
    assert [(metric.label, metric.value) for metric in app.metric] == before, "no figure of the page moved"
    assert portrait.score is score
    said = words(app)
    for title, small in (tuning.PHOTO, tuning.BY_CODE, tuning.BY_TUNED):
        assert title in said
        assert small in said
    assert "never scored" in said
    made = portrait.tuning
    assert made is not None
    assert f"<td>{made.before['psnr']:.1f} dB</td><td>{made.after['psnr']:.1f} dB</td>" in said
    assert made.after["perceptual_name"] in said
    assert "MB of this session" in said
    app.button(key="untune").click().run()
    assert portrait.tuning is None
    assert app.button(key="tune")


@pytest.mark.slow
def test_the_direction_page_says_which_generator_drew_the_frames(scored: AppTest) -> None:
    app = scored
    portrait = tune(app)
    made = portrait.tuning
    assert made is not None
    editing = to_direction(app)
    tuned = editing.drawn
    assert tuned is not None
    middle = len(tuned.strip.steps) // 2
    assert app.toggle(key="tuned").value is True
    assert "adapted to your photo (display only)" in tuned.caption
    assert "copy of the face model adapted to this photo" in words(app)
    assert alike(tuned.strip.frames[middle], made.picture)
    app.toggle(key="tuned").set_value(False).run()
    finish(app, "editing")
    plain = editing.drawn
    assert plain is not None
    assert plain.caption == "Your photo as drawn by the face model"
    assert "copy of the face model adapted" not in words(app)
    assert alike(plain.strip.frames[middle], made.code_picture)
    for name in (field.name for field in fields(plain.strip)):
        if name != "frames":
            one, two = getattr(plain.strip, name), getattr(tuned.strip, name)
            one, two = (part.record() if isinstance(part, Interval) else part for part in (one, two))
            assert one == two if isinstance(one, tuple | dict) else np.array_equal(one, two, equal_nan=True), (
                f"{name} must not depend on who draws"
            )
    app.button(key="undo").click().run()
    finish(app, "editing")
    assert app.toggle(key="tuned").value is True
    assert editing.drawn.request == tuned.request
    app.segmented_control(key="face_source").set_value("Patient").run()
    finish(app, "editing")
    assert not [t for t in app.toggle if t.key == "tuned"], "other faces have no tuned generator"
    assert editing.drawn.request.tuned == ""
    assert not app.exception


@pytest.mark.slow
def test_the_slider_stays_where_it_is_when_the_generator_changes(scored: AppTest) -> None:
    app = scored
    tune(app)
    editing = to_direction(app)
    editing.index = 5
    app.toggle(key="tuned").set_value(False).run()
    finish(app, "editing")
    assert editing.placed[0] == 5
    assert scrubbers(app) == 1


@pytest.mark.slow
def test_without_a_tuned_generator_there_is_nothing_to_choose(scored: AppTest) -> None:
    app = scored
    editing = to_direction(app)
    assert editing.drawn is not None
    assert editing.drawn.request.tuned == ""
    assert not [t for t in app.toggle if t.key == "tuned"]


@pytest.mark.slow
def test_removing_the_photo_removes_the_tuning_and_its_frames(scored: AppTest) -> None:
    app = scored
    tune(app)
    editing = to_direction(app)
    assert editing.undo
    app.switch_page("pages/portrait.py").run()
    app.button(key="forget").click().run()
    assert app.session_state["portrait"].tuning is None
    assert editing.drawn is None
    assert not editing.undo
    app.switch_page("pages/health_direction.py").run()
    assert not [t for t in app.toggle if t.key == "tuned"]
    assert not app.exception


@pytest.mark.slow
def test_a_new_score_forgets_the_tuning(scored: AppTest) -> None:
    app = scored
    portrait = tune(app)
    app.button(key="score").click().run()
    finish(app, "portrait")
    assert portrait.score is not None
    assert portrait.tuning is None
    assert app.button(key="tune")


@pytest.mark.slow
def test_a_tuning_can_be_cancelled(scored: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    real = latent.inversion.pivotal_tuning.tune
    monkeypatch.setattr(tuning, "tune", lambda *given: real(*given[:3], LONG, *given[4:]))
    app = scored
    app.button(key="tune").click().run()
    portrait = app.session_state["portrait"]
    job = portrait.tuning_task
    app.button(key="cancel-tuning").click().run()
    assert job.wait(120).state == "cancelled"
    app.run()
    assert "Cancelled. Nothing was saved." in words(app)
    assert portrait.tuning is None
    assert app.button(key="tune")
    assert not app.exception


@pytest.fixture
def automatic(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the server that `scored` starts after it."""
    monkeypatch.setenv("LATENT_HEALTH_TUNING", "on")


def fake_witness(monkeypatch: pytest.MonkeyPatch, before: float, after: float) -> None:
    """Every tuning comes out with these distances of the code's and of the tuned picture."""
    real = latent.inversion.pivotal_tuning.tune

    def tune(*given: Any) -> Pivotal:
        made = real(*given)
        one, two = made.before | {"st_lpips": before}, made.after | {"st_lpips": after}
        return replace(made, before=one, after=two)

    monkeypatch.setattr(tuning, "tune", tune)


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.1, 0.4])
def test_a_score_is_followed_by_a_tuning_that_is_shown_where_it_is_closer(
    monkeypatch: pytest.MonkeyPatch, automatic: None, request: pytest.FixtureRequest, after: float
) -> None:
    fake_witness(monkeypatch, before=0.3, after=after)
    app = request.getfixturevalue("scored")
    portrait: PortraitState = app.session_state["portrait"]
    values = [(metric.label, metric.value) for metric in app.metric]
    if portrait.tuning_task is not None:
        assert portrait.tuning_task.wait(120).state == "done"
        app.run()
    assert not app.exception
    assert portrait.tuning is not None
    assert not portrait.asked
    assert [(metric.label, metric.value) for metric in app.metric] == values, "no value of the page moved"
    choice = [control for control in app.segmented_control if control.label == "Picture shown"]
    closer = after < 0.3
    assert len(choice) == closer
    assert app.session_state["tuned"] is closer
    said = words(app)
    assert ("The tuned picture is for display and has no part in them." in said) is closer
    assert ("is no closer, so the reconstruction stays in place" in said) is not closer
    if closer:
        choice[0].set_value(tuning.BY_CODE[0]).run()
        assert "The tuned picture is for display" not in words(app)
    app.button(key="untune").click().run()
    assert portrait.tuning is None
    assert portrait.tuning_task is None, "what was forgotten does not begin again by itself"
    assert app.button(key="tune")


@pytest.mark.slow
def test_the_automatic_tuning_can_be_cancelled_and_turned_off(
    monkeypatch: pytest.MonkeyPatch, automatic: None, request: pytest.FixtureRequest
) -> None:
    real = latent.inversion.pivotal_tuning.tune
    monkeypatch.setattr(tuning, "tune", lambda *given: real(*given[:3], LONG, *given[4:]))
    app = request.getfixturevalue("scored")
    portrait: PortraitState = app.session_state["portrait"]
    job = portrait.tuning_task
    assert job is not None
    assert portrait.score is not None, "the score is there before the tuning begins"
    app.button(key="cancel-tuning").click().run()
    assert job.wait(120).state == "cancelled"
    app.run()
    assert portrait.tuning_task is job
    assert app.button(key="tune")
    app.toggle(key=tuning.AUTOMATIC).set_value(False).run()
    app.button(key="score").click().run()
    finish(app, "portrait")
    assert portrait.tuning_task is None
    app.toggle(key=tuning.AUTOMATIC).set_value(True).run()
    second = portrait.tuning_task
    assert second is not None
    app.button(key="forget").click().run()
    assert second.wait(120).state == "cancelled", "it goes with the photo"
    assert not app.exception


@pytest.mark.slow
def test_the_first_closer_picture_is_shown_while_the_tuning_works(
    monkeypatch: pytest.MonkeyPatch, automatic: None, request: pytest.FixtureRequest
) -> None:
    real = latent.inversion.pivotal_tuning.tune

    def tune(*given: Any) -> Pivotal:
        given[6](np.zeros_like(given[1].reconstruction))
        return real(*given[:3], LONG, *given[4:6])

    monkeypatch.setattr(tuning, "tune", tune)
    app = request.getfixturevalue("scored")
    portrait: PortraitState = app.session_state["portrait"]
    job = portrait.tuning_task
    assert job is not None
    while job.snapshot().preview is None:
        time.sleep(0.01)
    app.run()
    assert portrait.closer
    assert job.snapshot().active
    assert not job.snapshot().preview.any()
    said = "The tuned picture is for display and has no part in them."
    assert said in words(app)
    app.button(key="cancel-tuning").click().run()
    assert job.wait(120).state == "cancelled"
    app.run()
    assert said not in words(app), "of a tuning that was cancelled nothing stays"
    assert not app.exception
