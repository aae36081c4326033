"""The Fine-tune page, started from the entry: sets, the command it queues, runs, the whole way on a tiny checkpoint."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from skimage.data import astronaut
from streamlit.testing.v1 import AppTest

from jobs.queue import Queue
from latent.checkpoints import load_checkpoint
from tests.ui import tiny
from tests.ui.conftest import Places
from tests.ui.test_pages import png, words
from tests.waiting import wait_until

Opener = Callable[..., AppTest]


@dataclasses.dataclass(frozen=True)
class Shop:
    """A workplace of the page: its runs, its checkpoints, the page itself."""

    runs: Path
    checkpoints: Path
    queue: Queue
    open: Callable[[], AppTest]


@pytest.fixture
def shop(open_app: Opener, places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    runs, checkpoints = tmp_path / "runs", tmp_path / "checkpoints"
    monkeypatch.setenv("LATENT_HEALTH_RUNS", str(runs))
    shutil.copytree(places.checkpoint.path, checkpoints / "portraits")

    def start() -> AppTest:
        return open_app(checkpoints=checkpoints).switch_page("pages/fine_tune.py").run()

    return Shop(runs, checkpoints, Queue(runs / "queue"), start)


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are queued and none is begun."""
    monkeypatch.setattr(Queue, "start_runner", lambda self: None)


def photos(count: int = 1) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(count):
            archive.writestr(f"{number}.png", png(astronaut()))
    return buffer.getvalue()


def test_with_nothing_there_it_offers_to_make_a_set(shop: Shop) -> None:
    app = shop.open()
    assert not app.exception
    said = words(app)
    assert "can reproduce faces that it was trained on" in said
    assert "No job is waiting or running." in said
    assert app.segmented_control(key="finetune-source").value == "New photos"
    assert app.button(key="finetune-make").disabled
    assert app.button(key="finetune-begin").disabled
    assert not shop.runs.exists(), "looking changes nothing on disk"


def test_without_a_checkpoint_it_says_so(shop: Shop) -> None:
    shutil.rmtree(shop.checkpoints)
    app = shop.open()
    assert not app.exception
    assert "`python -m latent import" in app.warning[0].value


def wait_until_done(shop: Shop) -> str:
    """The one job of the queue comes to a good end; its id."""
    [job] = shop.queue.jobs()[0]
    wait_until(lambda: not shop.queue.read(job.id).active, lambda: shop.queue.tail(job.id))
    assert shop.queue.read(job.id).state == "done", shop.queue.tail(job.id)
    return job.id


@pytest.mark.usefixtures("idle")
def test_the_command_is_queued_with_what_was_changed_and_nothing_else(shop: Shop) -> None:
    tiny.write_set(shop.runs / "sets" / "noise")
    app = shop.open()
    assert "No face was found in the photo." in words(app)
    assert "refused &lt;b&gt;1&lt;/b&gt;.jpg" in words(app), "by name"
    begin = app.button(key="finetune-begin")
    assert (begin.label, begin.disabled) == ("Start fine-tuning", False)
    assert app.text_input(key="finetune-name-portraits-noise").value == "portraits-noise"
    app.number_input(key="finetune-kimg").set_value(2.5)
    app.checkbox(key="finetune-mirror").check()
    app.selectbox(key="finetune-batch-32").select(8)
    app.run()
    app.number_input(key="finetune-seed-32-0").set_value(4)  # typed, and the button pressed before the page has run
    app.button(key="finetune-begin").click().run()
    assert not app.exception
    [job] = shop.queue.jobs()[0]
    run = str(shop.runs / "finetune" / "portraits-noise")
    start, out = str(shop.checkpoints / "portraits"), str(shop.checkpoints / "portraits-noise")
    assert job.command == (
        *("latent", "finetune", str(shop.runs / "sets" / "noise"), "--run", run, "--start", start, "--out", out),
        *("--kimg", "2.5", "--batch", "8", "--mirror", "--seed", "4"),
    )
    assert app.button(key="finetune-begin").label == "Add to the queue"
    assert app.text_input(key="finetune-name-portraits-noise-2").value == "portraits-noise-2", "names are not reused"


@pytest.mark.usefixtures("idle")
def test_codes_can_be_fitted_where_the_start_allows_it(shop: Shop) -> None:
    tiny.write_set(shop.runs / "sets" / "noise")
    app = shop.open()
    assert "finetune-mapping" not in [box.key for box in app.checkbox], "no encoder, and too long a z"
    path = shop.checkpoints / "portraits" / "config.json"
    config = json.loads(path.read_text())
    config["generator"]["z_dim"] = config["generator"]["w_dim"] // 2
    config["encoder"] = {"kind": "ours"}
    config["files"]["encoder.safetensors"] = config["files"]["generator.safetensors"]
    path.write_text(json.dumps(config))
    app.run()
    app.radio(key="finetune-method").set_value("adversarial").run()
    app.checkbox(key="finetune-mapping").check().run()
    app.button(key="finetune-begin").click().run()
    assert "--fit-mapping" in shop.queue.jobs()[0][0].command


@pytest.mark.usefixtures("idle")
def test_another_discriminator_has_its_own_settings(shop: Shop) -> None:
    tiny.write_set(shop.runs / "sets" / "noise")
    app = shop.open()
    app.selectbox(key="finetune-discriminator").select("projected").run()
    labels = [box.label for box in (*app.selectbox, *app.number_input)]
    assert "Augmentation" not in labels
    assert "R1 weight (gamma)" not in labels
    assert "a new projected discriminator" in words(app)
    app.button(key="finetune-begin").click().run()
    assert not app.exception
    [job] = shop.queue.jobs()[0]
    assert job.command[-2:] == ("--discriminator", "projected")


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("name", ["", "../x", "-x", "portraits", "a b"])
def test_a_name_that_cannot_be_is_refused_in_a_sentence(shop: Shop, name: str) -> None:
    tiny.write_set(shop.runs / "sets" / "noise")
    app = shop.open()
    app.text_input(key="finetune-name-portraits-noise").set_value(name).run()
    assert app.button(key="finetune-begin").disabled
    assert "is already taken" in words(app) if name == "portraits" else "The name may contain letters" in words(app)


def test_a_set_that_does_not_fit_is_refused_in_a_sentence(shop: Shop) -> None:
    tiny.write_set(shop.runs / "sets" / "odd", size=48)
    tiny.write_set(shop.runs / "sets" / "small", faces=5)
    app = shop.open()
    assert "48 px wide" in words(app)
    app.selectbox(key="finetune-set").select("small").run()
    assert "at least 8 are needed" in words(app)
    assert app.button(key="finetune-begin").disabled


@pytest.mark.usefixtures("idle")
def test_an_upload_becomes_a_job_that_owns_it(shop: Shop) -> None:
    app = shop.open()
    app.file_uploader[0].upload("../../evil name.zip", photos())
    app.text_input(key="finetune-set-name-0").set_value("mine")
    app.selectbox(key="finetune-people").select("One person per photo")
    app.run()
    assert app.button(key="finetune-make").disabled, "not without permission to use the photos"
    app.checkbox(key="finetune-allowed-0").check().run()
    app.button(key="finetune-make").click().run()
    assert not app.exception
    [job] = shop.queue.jobs()[0]
    [kept] = (shop.queue.folder(job.id) / "upload").iterdir()
    assert kept.name == "evil_name.zip"
    out = str(shop.runs / "sets" / "mine")
    size = ("--size", "128", "--patient-from", "photo")
    assert job.command == ("latent", "dataset", str(kept), "--out", out, *size)
    assert app.file_uploader[0].value is None, "the session's memory lets go of it"


@pytest.mark.usefixtures("idle")
def test_what_is_no_zip_leaves_a_sentence_and_nothing_on_disk(shop: Shop) -> None:
    app = shop.open()
    app.file_uploader[0].upload("photos.zip", b"not a zip")
    app.text_input(key="finetune-set-name-0").set_value("mine")
    app.checkbox(key="finetune-allowed-0").check().run()
    app.button(key="finetune-make").click().run()
    assert not app.exception
    assert [error.value for error in app.error] == [
        "photos.zip is not a zip file, or is damaged or cut off: pack it again."
    ]
    assert shop.queue.jobs() == ([], [])
    assert not [entry for entry in (shop.runs / "queue").iterdir() if entry.is_dir()]


@pytest.mark.slow
def test_a_run_is_shown_with_its_samples_and_charts(shop: Shop) -> None:
    tiny.write_run(shop.runs / "finetune" / "noise")
    app = shop.open()
    assert not app.exception
    figures = {metric.label: metric.value for metric in app.metric}
    assert figures["Images seen"] == "800"
    assert figures["Images/s"] == "10.0"
    assert len(app.get("plotly_chart")) == 4
    slider = app.select_slider(key="finetune-sample-noise")
    assert slider.value == 0.8
    assert "After 0.8 thousand images" in words(app)
    slider.set_value(0.4).run()
    assert "After 0.4 thousand images" in words(app)
    assert not app.exception


@pytest.mark.usefixtures("idle")
def test_failures_and_damage_are_told_in_sentences(shop: Shop) -> None:
    run = tiny.write_run(shop.runs / "finetune" / "noise", "failed", "The disk is full: make room.")
    words_ = ["latent", "finetune", "set", "--run", str(run), "--out", str(shop.checkpoints / "x")]
    job = shop.queue.add("Fine-tune noise", words_)
    with shop.queue.turn():
        shop.queue.change(job.id, state="failed", started=time.time() - 1, ended=time.time(), exit_code=1)
    damaged = shop.queue.draft()[0]
    (shop.queue.folder(damaged) / "job.json").write_text('{"title": "x", "command": ["rm", "-rf"]}')
    app = shop.open()
    assert not app.exception
    assert [error.value for error in app.error] == ["The disk is full: make room."]
    assert [damaged in warning.value for warning in app.warning] == [True]
    app.button(key=f"resume-{job.id}").click().run()
    assert shop.queue.read(job.id).state == "waiting"
    assert not app.exception


@pytest.mark.slow
@pytest.mark.usefixtures("idle")
def test_the_line_can_be_changed_and_cleared(shop: Shop) -> None:
    run = tiny.write_run(shop.runs / "finetune" / "noise")
    first = shop.queue.add("First", ["latent", "finetune", "set", "--run", str(run)])
    second = shop.queue.add("Second", ["latent", "dataset", "photos"])
    app = shop.open()
    assert "number 2 in line" in words(app)
    app.button(key=f"to_front-{second.id}").click().run()
    assert [job.title for job in shop.queue.jobs()[0]] == ["Second", "First"]
    app.button(key=f"stop-{first.id}").click().run()
    assert shop.queue.read(first.id).state == "stopped"
    app.run()
    app.button(key=f"gone-{first.id}").click().run()
    assert [job.title for job in shop.queue.jobs()[0]] == ["Second"]
    assert not run.exists(), "samples and states go with the entry"
    assert not app.exception


@pytest.mark.slow
def test_from_faces_to_a_checkpoint_in_the_picker(shop: Shop) -> None:
    tiny.write_set(shop.runs / "sets" / "noise")
    app = shop.open()
    app.number_input(key="finetune-kimg").set_value(0.1)
    app.number_input(key="finetune-tick_kimg-32-1").set_value(0.05)
    app.run()
    app.button(key="finetune-begin").click().run()
    wait_until_done(shop)
    app.run()
    assert not app.exception
    assert any("portraits-noise" in success.value for success in app.success)
    assert "portraits-noise (not for demo)" in app.selectbox(key="checkpoint").options
    made = load_checkpoint(shop.checkpoints / "portraits-noise")
    assert made.resolution == 32
    assert made.sha256 != load_checkpoint(shop.checkpoints / "portraits").sha256
    app.button(key="finetune-choose").click().run()
    assert app.selectbox(key="checkpoint").value == "portraits-noise"
    status = json.loads((shop.runs / "finetune" / "portraits-noise" / "status.json").read_text())
    assert status["state"] == "done"


@pytest.mark.slow
@pytest.mark.usefixtures("idle")
def test_a_finished_run_is_measured_on_request(shop: Shop) -> None:
    run = tiny.write_run(shop.runs / "finetune" / "noise", "done", "Training is complete.")
    shutil.copytree(shop.checkpoints / "portraits", shop.checkpoints / "noise")
    out = str(shop.checkpoints / "noise")
    job = shop.queue.add("Fine-tune noise", ["latent", "finetune", "the-set", "--run", str(run), "--out", out])
    with shop.queue.turn():
        shop.queue.change(job.id, state="done", started=time.time() - 1, ended=time.time(), exit_code=0)
    app = shop.open()
    app.button(key="finetune-evaluate").click().run()
    [asked] = [found for found in shop.queue.jobs()[0] if found.active]
    assert asked.command[:5] == ("latent", "evaluate", out, "--data", "the-set")
    app.run()
    assert app.button(key="finetune-evaluate").disabled
    row = {"psi": 0.7, "face_share": 1.0, "diversity": 0.5, "frechet": 0.123456, "frechet_sd": 0.01, "fid": None}
    report = {"rows": [row], "floor": {**row, "psi": None, "frechet": 0.05}, "n": 9, "samples": 300}
    (run / "evaluation.json").write_text(json.dumps({**report, "reference": "held out"}))
    app.run()
    assert not app.exception
    said = words(app)
    assert "0.1235" in said
    assert "people held out of training" in said
    (run / "evaluation.json").write_text(json.dumps({"rows": "<script>"}))
    app.run()
    assert not app.exception
    assert "damaged" in words(app)


@pytest.mark.usefixtures("idle")
def test_a_start_with_an_encoder_is_fine_tuned_with_reconstructions(shop: Shop) -> None:
    tiny.write_set(shop.runs / "sets" / "noise")
    tiny.give_encoder(shop.checkpoints / "portraits")
    app = shop.open()
    assert not app.exception
    assert app.radio(key="finetune-method").value == "reconstruction"
    assert "can be fitted to new photos at once" in words(app)
    labels = {box.label for box in (*app.selectbox, *app.number_input, *app.checkbox)}
    assert {"Batch", "Precision", "Seed", "Length (thousand images)"} <= labels
    assert not {"Augmentation", "R1 weight (gamma)", "Mirror the photos", "Discriminator", "Learning rate"} & labels
    app.number_input(key="finetune-warm-kimg").set_value(2.5)
    app.selectbox(key="finetune-warm-batch").select(8).run()
    app.button(key="finetune-begin").click().run()
    assert not app.exception
    [job] = shop.queue.jobs()[0]
    run = str(shop.runs / "finetune" / "portraits-noise")
    start, out = str(shop.checkpoints / "portraits"), str(shop.checkpoints / "portraits-noise")
    assert job.command == (
        *("latent", "finetune", str(shop.runs / "sets" / "noise"), "--method", "reconstruction", "--run", run),
        *("--start", start, "--out", out, "--projected-kimg", "2.5", "--batch", "8"),
    )
    assert app.text_input(key="finetune-name-portraits-noise-2").value == "portraits-noise-2", "names are not reused"
    app.radio(key="finetune-method").set_value("adversarial").run()
    assert not app.exception
    assert "Augmentation" in [box.label for box in app.selectbox]
    app.button(key="finetune-begin").click().run()
    assert [job.command[1] for job in shop.queue.jobs()[0]] == ["finetune", "finetune"]


def test_without_an_encoder_the_start_has_one_way_and_says_why(shop: Shop) -> None:
    app = shop.open()
    assert "finetune-method" not in [box.key for box in app.radio]
    assert "needs a start that was trained here" in words(app)


@pytest.mark.slow
def test_reconstructions_from_faces_to_a_checkpoint_with_an_encoder(shop: Shop) -> None:
    tiny.write_set(shop.runs / "sets" / "noise")
    tiny.give_encoder(shop.checkpoints / "portraits")
    app = shop.open()
    app.number_input(key="finetune-warm-kimg").set_value(0.1).run()
    app.button(key="finetune-begin").click().run()
    job = wait_until_done(shop)
    app.run()
    assert not app.exception
    [said] = [success.value for success in app.success if "portraits-noise" in success.value]
    assert "embed the study's photos again" in said
    assert "train an encoder" not in said
    assert "portraits-noise (not for demo)" in app.selectbox(key="checkpoint").options
    assert load_checkpoint(shop.checkpoints / "portraits-noise").encoder is not None
    figures = {metric.label: metric.value for metric in app.metric}
    assert figures["Images seen"] == "1,120", "112 with reconstructions, 1,008 of the discriminator"
    assert "Face distance" in figures
    assert "Augmentation p" not in figures
    assert len(app.get("plotly_chart")) == 3, "distance, losses, speed"
    assert app.select_slider(key="finetune-sample-portraits-noise").value == 1.12
    assert "from a face code with equal layers" in words(app)
    assert app.button(key="finetune-evaluate").label == "Measure it against the portraits"
    status = json.loads((shop.runs / "finetune" / "portraits-noise" / "status.json").read_text())
    assert status["state"] == "done"
    app.button(key=f"gone-{job}").click().run()
    assert not app.exception
    assert not (shop.runs / "finetune" / "portraits-noise").exists()
