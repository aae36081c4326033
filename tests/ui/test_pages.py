"""Each page, started from the entry, on a tiny study: what it shows, and what it says when something is missing."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut, coffee
from streamlit.testing.v1 import AppTest

import study.scoring.face_evidence
import study.scoring.scorer
import ui.portrait.photo
from tests.ui import tiny
from tests.ui.conftest import Places

Opener = Callable[..., AppTest]
PAGES = ("pages/home.py", "pages/portrait.py", "pages/health_direction.py")


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def words(app: AppTest) -> str:
    """Everything a page says, as one text."""
    parts = [*app.markdown, *app.html, *app.title, *app.subheader, *app.warning, *app.error, *app.info]
    return "\n".join(str(part.value) for part in parts)


def scrubbers(app: AppTest) -> int:
    """How many scrubbers the page shows."""
    return sum(part.proto.component_name == "latent_health_scrubber" for part in app.get("bidi_component"))


def finish(app: AppTest, where: str) -> AppTest:
    """Wait for the page's background job and run the page again."""
    state = app.session_state[where]
    task = state.drawing and state.drawing[1] if where == "editing" else state.task
    if task is not None:
        assert task.wait(120).state in ("done", "failed", "cancelled")
    return app.run()


@pytest.fixture
def portrait(open_app: Opener) -> AppTest:
    return open_app().switch_page("pages/portrait.py").run()


def test_home_tells_what_this_is_and_how_good_it_is(open_app: Opener, places: Places) -> None:
    app = open_app()
    assert not app.exception
    said = words(app)
    assert "Simulated study" in said
    assert "Research use only" in said
    assert "Tiny simulated study" in said
    assert places.checkpoint.sha256[:16] in said
    assert "32 × 32 px" in said
    figures = {metric.label: metric.value for metric in app.metric}
    assert figures["Harrell's C"] == f"{places.study.report()['harrell']['value']:.3f}"
    assert "95 % CI" in said
    assert said.count("<img src=") == 7 + 8, "seven steps along the direction, eight random faces"
    links = [element.proto.page for element in app.main if element.type == "page_link"]
    assert links == ["cohort", "survival_model", "portrait", "health_direction", "fine_tune"]


def test_study_and_checkpoint_stay_chosen_from_page_to_page(open_app: Opener, places: Places, tmp_path: Path) -> None:
    studies = tmp_path / "studies"
    for name in ("demo", "other"):
        shutil.copytree(places.studies / "demo", studies / name)
    toml = studies / "other" / "study.toml"
    toml.write_text(toml.read_text("utf-8").replace('name = "demo"', 'name = "other"'), "utf-8")
    app = open_app(studies=studies)
    assert app.selectbox(key="study").value == "demo"
    app.selectbox(key="study").select("other").run()
    for page in PAGES[1:]:
        app.switch_page(page).run()
        assert app.selectbox(key="study").value == "other"
        assert not app.exception
        assert "Simulated study" in words(app)
    finish(app, "editing")


def test_another_study_brings_its_checkpoint_along(open_app: Opener, places: Places, tmp_path: Path) -> None:
    studies, checkpoints = tmp_path / "studies", tmp_path / "checkpoints"
    shutil.copytree(places.checkpoints, checkpoints)
    shutil.copytree(checkpoints / "portraits", checkpoints / "second")
    for name in ("demo", "other"):
        shutil.copytree(places.studies / "demo", studies / name)
    toml = studies / "other" / "study.toml"
    words_of_other = toml.read_text("utf-8").replace('name = "demo"', 'name = "other"')
    toml.write_text(words_of_other.replace('checkpoint = "portraits"', 'checkpoint = "second"'), "utf-8")
    assert 'checkpoint = "second"' in toml.read_text("utf-8")
    app = open_app(studies=studies, checkpoints=checkpoints)
    assert app.selectbox(key="checkpoint").value == "portraits"
    app.selectbox(key="study").select("other").run()
    assert app.selectbox(key="checkpoint").value == "second"
    app.selectbox(key="checkpoint").select("portraits").run()
    assert app.selectbox(key="checkpoint").value == "portraits", "a choice of one's own stays"
    toml.write_text("not = [toml", "utf-8")
    app.selectbox(key="study").select("demo").run()
    app.selectbox(key="study").select("other").run()
    assert app.selectbox(key="checkpoint").value == "portraits"


@pytest.mark.slow
def test_a_photo_becomes_a_risk_and_a_direction(portrait: AppTest, places: Places) -> None:
    app = portrait
    app.file_uploader[0].upload("astronaut.png", png(astronaut()))
    app.run()
    assert not app.exception
    state = app.session_state["portrait"]
    assert len(state.faces) == 1
    assert state.aligned.pixels.shape == (256, 256, 3)
    app.button(key="score").click().run()
    assert [button.label for button in app.button if button.label == "Cancel"], "a running job can be stopped"
    finish(app, "portrait")
    assert not app.exception
    labels = [metric.label for metric in app.metric]
    assert labels[:2] == ["Percentile of risk", "Hazard ratio"], "the result comes first"
    assert "Percentile of risk" in labels
    assert [label for label in labels if label.startswith("Survival at")] == [
        f"Survival at {t:g} months" for t in places.study.model().horizons(places.study.horizons).carried
    ]
    assert state.score.inversion.metrics["perceptual_name"] in labels, "the distance is called what it is"
    said = words(app)
    assert "tells patients apart" in said
    assert "The 90 % interval contains the model" in said
    assert state.score.risk.interval is not None
    assert "nothing about the person" in said, "a real photo against a simulated study"
    assert len(app.get("plotly_chart")) == 2
    assert len(app.get("download_button")) == 3
    app.button(key="onward").click().run()
    app.switch_page("pages/health_direction.py").run()
    assert app.segmented_control(key="face_source").value == "My photo"
    finish(app, "editing")
    assert np.array_equal(app.session_state["editing"].drawn.ws, state.score.inversion.ws)
    assert scrubbers(app) == 1
    assert not app.exception


@pytest.mark.slow
def test_another_crop_hides_the_old_result(portrait: AppTest, places: Places) -> None:
    app = portrait
    app.segmented_control(key="photo_source").set_value("Example").run()
    app.button(key="example-P0002").click().run()
    tag = app.session_state["portrait"].photo.sha256[:12]
    app.segmented_control(key=f"crop-{tag}").set_value("Already aligned").run()
    app.button(key="score").click().run()
    finish(app, "portrait")
    assert app.metric
    said = words(app)
    assert "In-sample: " in said
    assert "P0002 is a patient of this study" in said, "an in-sample score is named as one"
    cohort = places.study.model().cohort_
    fold = int(cohort["fold"][cohort["patient"] == "P0002"].iloc[0]) + 1
    assert f"fitted without this patient (fold {fold} of" in said, "with the score of the model without the patient"
    app.segmented_control(key=f"crop-{tag}").set_value("Place by hand").run()
    app.slider(key=f"x-{tag}").set_value(20).run()
    assert not app.metric
    assert not app.exception
    app.button(key="forget").click().run()
    assert app.session_state["portrait"].photo is None
    assert app.session_state["portrait"].score is None


def test_a_removed_photo_is_gone_from_the_upload_too(portrait: AppTest) -> None:
    portrait.file_uploader[0].upload("astronaut.png", png(astronaut()))
    portrait.run()
    assert portrait.session_state["portrait"].photo is not None
    portrait.button(key="forget").click().run()
    assert portrait.session_state["portrait"].photo is None
    assert portrait.file_uploader[0].value is None
    assert not portrait.exception


def test_no_face_offers_a_crop_by_hand(portrait: AppTest) -> None:
    app = portrait
    app.file_uploader[0].upload("wall.png", png(np.full((120, 90, 3), 140, np.uint8)))
    app.run()
    assert not app.exception
    tag = app.session_state["portrait"].photo.sha256[:12]
    crop = app.segmented_control(key=f"crop-{tag}")
    assert (crop.value, crop.options) == ("Already aligned", ["Already aligned", "Place by hand"]), "as the cohort's"
    assert "framed differently" not in words(app)
    crop.set_value("Place by hand").run()
    assert "framed differently" in words(app)
    app.slider(key=f"side-{tag}").set_value(50)
    app.slider(key=f"angle-{tag}").set_value(20)
    app.run()
    face = app.session_state["portrait"].aligned
    assert face.quality.face_px == pytest.approx(50)
    assert not app.exception


@pytest.mark.slow
def test_what_is_no_face_is_scored_only_in_the_persons_words(
    portrait: AppTest, monkeypatch: pytest.MonkeyPatch, real_doubt: Callable[..., str]
) -> None:
    """A cup of coffee: warned of and not scored, until a person says what it is; the words stay with the score."""
    for module in (study.scoring.face_evidence, study.scoring.scorer, ui.portrait.photo):
        monkeypatch.setattr(module, "doubt", real_doubt)
    app = portrait
    app.file_uploader[0].upload("cup.png", png(coffee()))
    app.run()
    assert not app.exception
    assert "finds no face in this square" in words(app)
    assert "pose was not measured" in words(app)
    assert app.button(key="score").disabled
    (box,) = [field for field in app.text_input if field.key.startswith("confirmed-")]
    box.set_value("a cup, for the test").run()
    assert not app.button(key="score").disabled
    app.button(key="score").click().run()
    finish(app, "portrait")
    assert app.session_state["portrait"].score.ground == "Confirmed by a person: a cup, for the test"


def test_a_code_without_a_face_has_pictures_and_no_figures(portrait: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study.scoring.scorer.Scorer, "no_figures", lambda self, inversion: "No values: not a face.")
    app = portrait
    app.segmented_control(key="photo_source").set_value("Example").run()
    app.button(key="example-P0001").click().run()
    app.button(key="score").click().run()
    finish(app, "portrait")
    app.run()
    assert not app.exception
    assert "No values: not a face." in words(app)
    assert not any("Hazard ratio" in metric.label or "Percentile" in metric.label for metric in app.metric)
    assert not any(button.key == "onward" for button in app.button)


def test_a_photo_on_its_side_is_turned_and_said_to_be(portrait: AppTest) -> None:
    app = portrait
    app.file_uploader[0].upload("side.png", png(np.ascontiguousarray(np.rot90(astronaut()))))
    app.run()
    assert not app.exception
    assert "turned by 90° clockwise" in words(app)
    assert np.array_equal(app.session_state["portrait"].photo.pixels, astronaut())


def test_several_faces_are_numbered_largest_first(portrait: AppTest) -> None:
    face = astronaut()[0:220, 120:340]
    half = np.asarray(Image.fromarray(face).resize((150, 150)))
    group = np.full((240, 420, 3), 128, np.uint8)
    group[40:190, 20:170] = half
    group[10:230, 190:410] = face
    app = portrait
    app.file_uploader[0].upload("two.png", png(group))
    app.run()
    assert not app.exception
    state = app.session_state["portrait"]
    assert len(state.faces) == 2
    app.segmented_control(key=f"crop-{state.photo.sha256[:12]}").set_value("Detected face").run()
    chooser = app.segmented_control(key=f"face-{state.photo.sha256[:12]}")
    assert chooser.value.startswith("1 (")
    first = state.aligned
    chooser.set_value(chooser.options[1]).run()
    assert app.session_state["portrait"].aligned is not first
    assert app.session_state["portrait"].aligned.quality.face_px < first.quality.face_px


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("text.png", b"not a picture"),
        ("cut.png", png(np.zeros((64, 64, 3), np.uint8))[:60]),
        ("bomb.png", png(np.zeros((8, 20001, 3), np.uint8))),
        ("empty.jpg", b""),
    ],
)
def test_what_is_no_photo_is_refused_in_a_sentence(portrait: AppTest, name: str, data: bytes) -> None:
    app = portrait
    app.file_uploader[0].upload(name, data)
    app.run()
    assert not app.exception
    assert len(app.error) == 1
    assert "uploaded photo" in app.error[0].value
    assert "Traceback" not in words(app)
    assert app.session_state["portrait"].photo is None


@pytest.mark.slow
def test_an_uploaded_photo_leaves_nothing_on_disk(portrait: AppTest, places: Places) -> None:
    def everything() -> set[Path]:
        return {path for root in (places.studies, places.checkpoints) for path in root.rglob("*")}

    before = everything()
    portrait.file_uploader[0].upload("astronaut.png", png(astronaut()))
    portrait.run()
    portrait.button(key="score").click().run()
    finish(portrait, "portrait")
    assert everything() == before


@pytest.mark.slow
def test_a_patient_can_be_moved_and_moves_back(open_app: Opener, places: Places) -> None:
    app = open_app().switch_page("pages/health_direction.py").run()
    assert app.segmented_control(key="face_source").value == "Patient"
    finish(app, "editing")
    assert not app.exception
    editing = app.session_state["editing"]
    first = editing.drawn
    assert "fitted with this patient" in words(app)
    app.segmented_control(key="kind").set_value("Typical change").run()
    finish(app, "editing")
    assert editing.drawn.direction.kind == "pattern"
    assert not np.array_equal(editing.drawn.strip.frames, first.strip.frames)
    app.segmented_control(key="face_source").set_value("Random").run()
    app.number_input(key="seed").set_value(7).run()
    finish(app, "editing")
    assert "number 7" in editing.drawn.caption
    assert len(set(editing.undo)) == len(editing.undo) >= 3, "undo is a list of distinct pictures"
    for expected in ("pattern", "pattern", "coefficients"):
        if editing.drawn.request.source == "Patient" and expected == "coefficients":
            assert editing.drawn.request.kind in ("pattern", "coefficients")
        app.button(key="undo").click().run()
        finish(app, "editing")
        if len(editing.undo) == 1:
            break
    assert editing.drawn.request == first.request
    assert app.segmented_control(key="kind").value == "Shortest change"
    assert app.segmented_control(key="face_source").value == "Patient"
    assert np.array_equal(editing.drawn.strip.frames, first.strip.frames)
    assert not app.exception


def test_a_band_that_carries_nothing_is_said_in_a_sentence(open_app: Opener) -> None:
    app = open_app().switch_page("pages/health_direction.py").run()
    for band in ("Coarse", "Middle", "Fine"):
        app.segmented_control(key="band").set_value(band).run()
        finish(app, "editing")
        assert not app.exception
        said = words(app)
        assert scrubbers(app) == 1 or "of this direction's effect" in said


@pytest.mark.parametrize("page", PAGES)
def test_nothing_installed_is_said_in_a_sentence(open_app: Opener, tmp_path: Path, page: str) -> None:
    app = open_app(studies=tmp_path / "none", checkpoints=tmp_path / "none")
    app.switch_page(page).run()
    assert not app.exception
    assert len(app.warning) == 1
    if page == "pages/home.py":
        assert "There is no study" in app.warning[0].value
        assert [button.label for button in app.button] == ["Make a study"]
    else:
        assert "`python -m latent import" in app.warning[0].value


@pytest.mark.parametrize("page", PAGES)
def test_a_study_of_another_checkpoint_is_refused_in_a_sentence(
    open_app: Opener, places: Places, tmp_path: Path, page: str
) -> None:
    tiny.write_checkpoint(tmp_path / "portraits", seed=5)
    app = open_app(checkpoints=tmp_path)
    app.switch_page(page).run()
    assert not app.exception
    assert "another" in app.warning[0].value
    assert "Traceback" not in words(app)


def test_damaged_files_are_said_in_a_sentence(open_app: Opener, places: Places, tmp_path: Path) -> None:
    broken = tmp_path / "checkpoints" / "portraits"
    shutil.copytree(places.checkpoints / "portraits", broken)
    (broken / "generator.safetensors").write_bytes(b"\0" * 100)
    app = open_app(checkpoints=tmp_path / "checkpoints")
    assert not app.exception
    assert app.warning
    studies = tmp_path / "studies"
    shutil.copytree(places.studies / "demo", studies / "demo")
    (studies / "demo" / "models" / "photo" / "model.json").write_text("{}")
    app = open_app(studies=studies)
    assert not app.exception
    assert "fit" in app.warning[0].value


@pytest.mark.slow
def test_the_record_to_take_away_is_complete(portrait: AppTest, places: Places) -> None:
    from study.scoring.scorer import Scorer

    app = portrait
    app.segmented_control(key="photo_source").set_value("Example").run()
    app.button(key="example-P0001").click().run()
    app.button(key="score").click().run()
    finish(app, "portrait")
    scorer = Scorer.open(places.study, places.checkpoint)
    record = scorer.record(app.session_state["portrait"].score)
    again = json.loads(json.dumps(record, allow_nan=False))
    assert again["simulated"] is True
    assert again["checkpoint_sha256"] == places.checkpoint.sha256
    assert np.isclose(again["hr"], np.exp(again["log_hr"]))
    carried = places.study.model().horizons(places.study.horizons).carried
    assert set(again["survival_at"]) == {f"{t:g}" for t in carried}
    assert bool(again["survival_left_out"]) == (len(carried) < 3)
    assert again["inversion"]["settings"]["steps"] == 2


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_thin(page: str) -> None:
    text = (Path(__file__).resolve().parents[2] / page).read_text("utf-8")
    assert len(text.splitlines()) < 150
    assert "numpy" not in text
    assert "torch" not in text
