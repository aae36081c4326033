"""What the Fine-tune page makes of folders: whole ones, damaged ones, hostile ones."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from jobs.progress import Progress, progress_of
from jobs.record import Job
from latent.errors import LatentError
from tests.ui import tiny
from ui.background.job_row import run_status
from ui.finetune import runs

FILE = {"bytes": 1, "sha256": "0" * 64}
CONFIG = {"format": 1, "resolution": 64, "files": {"generator.safetensors": FILE, "statistics.safetensors": FILE}}


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LATENT_HEALTH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("LATENT_HEALTH_CHECKPOINTS", str(tmp_path / "checkpoints"))
    return tmp_path / "runs"


def job(state: str, name: str = "a", started: float | None = None, verb: str = "finetune") -> Job:
    command = ("latent", verb, "set", "--run", str(runs.finetune_root() / name))
    return Job("x", "x", command, state, started=started)  # type: ignore[arg-type]


def progress(job: Job, log: str) -> Progress:
    return progress_of(job, log, run_status(job))


def test_sets_are_what_has_a_whole_record(root: Path) -> None:
    sides = {"train": {"photos": 20, "patients": 9}, "held_out": {"photos": 4, "patients": 2}}
    tiny.write_set(root / "sets" / "noise", hold_out={"share": 0.1, "seed": 0, **sides})
    for name, text in {"torn": '{"size": 3', "list": "[]", "text": '{"size": "9"}', "deep": "[" * 50_000}.items():
        (root / "sets" / name).mkdir()
        (root / "sets" / name / "dataset.json").write_text(text)
    [found] = runs.training_sets()
    assert (found.name, found.size, found.kept, found.to_train_on) == ("noise", 32, 24, 20)
    assert found.reasons() == {"No face was found in the photo.": 2}


@pytest.mark.parametrize("held", [None, 3, {"train": 1}, {"train": {"photos": "9"}, "held_out": {}}])
def test_a_damaged_hold_out_counts_as_none(root: Path, held: object) -> None:
    tiny.write_set(root / "sets" / "noise", hold_out=held)
    assert runs.training_sets()[0].to_train_on == 24


def test_refused_photos_are_named(root: Path) -> None:
    folder = tiny.write_set(root / "sets" / "a")
    [found] = runs.training_sets()
    assert found.refused(1) == [("refused <b>0</b>.jpg", "No face was found in the photo.")]
    (folder / "refused.csv").write_bytes(b"\xff\xfe")
    assert found.refused(9) == []
    (folder / "refused.csv").unlink()
    assert found.refused(9) == []


def test_a_run_is_read_as_it_is(root: Path) -> None:
    folder = tiny.write_run(root / "finetune" / "a")
    with (folder / "log.jsonl").open("a") as log:
        log.write('{"images": 900, "kimg": 0.9, "loss_g": NaN}\n{"images": 999, "kimg": null}\n{"images": 1')
    run = runs.read_run("a")
    assert run.series("loss_g") == ([0.2, 0.4, 0.6, 0.8], [0.7] * 4)
    assert [kimg for kimg, _ in run.samples] == [0.2, 0.4, 0.6, 0.8]
    assert run.newest("frechet") is None
    assert runs.measured_speed(32, "adversarial") == (10.0, "a")
    assert runs.measured_speed(64, "adversarial") is None
    assert runs.measured_speed(32, "reconstruction") is None, "the other method has its own speed"
    assert (run.method, run.reconstructions) == ("adversarial", None)
    assert runs.read_run("none").status == {}


def test_a_run_of_an_earlier_version_is_shown_under_today_s_names(root: Path) -> None:
    folder = tiny.write_run(root / "finetune" / "a")
    (folder / "settings.json").write_text('{"command": "warmstart", "settings": {"resolution": 32}}')
    (folder / "log.jsonl").write_text('{"kimg": 0.2, "criticism": 1.5, "critic_loss": 2.5, "images_per_s": 3.0}\n')
    run = runs.read_run("a")
    assert (run.method, run.newest("loss_g"), run.newest("loss_projected")) == ("reconstruction", 1.5, 2.5)


def test_a_failure_is_told_in_the_words_of_whoever_failed(root: Path) -> None:
    tiny.write_run(root / "finetune" / "a", "failed", "loss_d is no finite number.")
    now = time.time()
    assert progress(job("failed", started=now), "log").sentence == "loss_d is no finite number."
    later = job("failed", started=now + 60)  # refused before it touched the run
    assert progress(later, "[start]\nThe run was started on other images.").sentence.endswith("other images.")


def test_progress_comes_from_the_run_or_from_the_log(root: Path) -> None:
    tiny.write_run(root / "finetune" / "a", "done", "Training is complete.")
    now = time.time()
    now_at = progress(job("running", started=now), "")
    assert (now_at.share, now_at.seconds_left, now_at.sentence) == (0.8, 20.0, "Training is complete.")
    assert progress(job("running", started=now + 60), "").sentence == "Starting"
    assert progress(job("interrupted", started=now), "").state == "done", "it ended with nobody waiting for it"
    assert progress(job("interrupted", started=now + 60), "").state == "interrupted"
    aligned = progress(job("running", verb="dataset"), "[start]\n30 of 120 photos, 2 refused, 9 s left")
    assert aligned.share == 0.25
    assert aligned.sentence.startswith("30 of 120")


def test_only_folders_of_the_page_are_deleted(root: Path, tmp_path: Path) -> None:
    outside = tiny.write_set(tmp_path / "outside")
    (root / "sets").mkdir(parents=True)
    (root / "sets" / "link").symlink_to(outside)
    for folder in (outside, root / "sets" / "link", root / "sets" / "..", root / "sets"):
        with pytest.raises(LatentError):
            runs.delete_folder(folder, root / "sets")
    assert (outside / "images.npy").exists()
    inside = tiny.write_set(root / "sets" / "noise")
    runs.delete_folder(inside, root / "sets")
    assert not inside.exists()


def test_only_runs_of_the_page_are_its_runs(root: Path, tmp_path: Path) -> None:
    assert runs.run_of(job("done")) == "a"
    assert runs.run_of(Job("x", "x", ("latent", "finetune", "set", "--run", str(tmp_path / "elsewhere")))) is None
    assert runs.run_of(Job("x", "x", ("latent", "finetune", "set", "--run"))) is None
    assert runs.run_of(job("done", "c", verb="warmstart")) == "c"
    out = str(runs.finetune_root() / "b" / "evaluation.json")
    assert runs.run_of(Job("x", "x", ("latent", "evaluate", "c", "--out", out))) == "b"


@pytest.mark.parametrize(
    "text", ["", "{}", json.dumps(CONFIG | {"resolution": "64"}), json.dumps(CONFIG | {"files": []})]
)
def test_a_damaged_checkpoint_is_no_start(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "checkpoints" / "broken"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(text)
    with pytest.raises(LatentError, match="broken"):
        runs.start_from("broken")


def test_a_start_tells_what_it_has(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints" / "good"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    start = runs.start_from("good")
    assert (start.resolution, start.discriminator, start.fittable, start.reconstructs) == (64, False, False, False)
    networks = {"z_dim": 16, "w_dim": 32, "c_dim": 0, "mapping_kwargs": {"num_layers": 2}}
    files_of_all = CONFIG["files"] | {"encoder.safetensors": FILE, "discriminator.safetensors": FILE}
    record = CONFIG | {"files": files_of_all, "generator": networks, "encoder": {"kind": "ours"}}
    (folder / "config.json").write_text(json.dumps(record))
    start = runs.start_from("good")
    assert (start.discriminator, start.fittable, start.reconstructs) == (True, True, True)
    for change in ({"z_dim": 17}, {"mapping_kwargs": {"num_layers": 8}}, {"c_dim": 2}):
        (folder / "config.json").write_text(json.dumps(record | {"generator": networks | change}))
        assert not runs.start_from("good").reconstructs
