"""Fine-tuning by reconstructions: what a run takes from its start, leaves on disk, resumes from, and refuses."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from common.command import STOPPED
from common.files import PLAIN
from latent.checkpoints import load_checkpoint, save_checkpoint
from latent.encoders.wplus import WPlusEncoder
from latent.errors import FinetuneError, LatentError
from latent.stylegan2 import Generator
from latent.training import finetune, warmstart
from latent.training.reconstruction.trainer import Trainer
from latent.training.run_folder import RunFolder, read_status
from tests.latent.training import helpers

pytestmark = pytest.mark.slow  # its fixtures take seconds

BATCH = 8


def write_start(folder: Path) -> Path:
    """16 px, codes 64 long around 9, z 16, an encoder of width 8; no setting is the command's own."""
    torch.manual_seed(5)
    generator = Generator(16, 0, 64, 16, 3, {"num_layers": 2}, {"channel_base": 128, "channel_max": 16})
    encoder = WPlusEncoder(16, generator.num_ws, 64, width=8)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        encoder.w_avg.fill_(9.0)
    config = {"source": "random weights", "licence": "none: made by a test"}
    return save_checkpoint(folder, generator.eval(), None, encoder.eval(), config, samples=200)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 discs, of which nothing is known but the file's name."""
    return helpers.write_set(tmp_path_factory.mktemp("data") / "set", n=60)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_start(tmp_path_factory.mktemp("start") / "small")


def arguments(data: Path, start: Path | None, run: Path, out: Path, *words: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    finetune.add_arguments(parser)
    line = [
        data,
        "--method",
        "reconstruction",
        "--run",
        run,
        "--out",
        out,
        "--device",
        "cpu",
        "--precision",
        "fp32",
        "--batch",
        BATCH,
    ]
    line += ["--projected-kimg", 0.024, "--discriminator-kimg", 0.016, *(("--start", start) if start else ()), *words]
    return parser.parse_args([*map(str, line)])


@pytest.fixture(scope="module")
def done(data: Path, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder above an undisturbed run and its checkpoint `made`."""
    folder = tmp_path_factory.mktemp("done")
    assert finetune.run(arguments(data, start, folder / "run", folder / "made", "--frechet", 50)) == 0
    return folder


def test_a_run_takes_its_start_s_settings_and_leaves_all_that_a_person_needs(done: Path, start: Path) -> None:
    run = done / "run"
    log = helpers.log_of(run)
    assert [(line.get("phase"), line["images"]) for line in log] == [
        (None, 0),
        ("projected", 24),
        ("discriminator", 40),
    ]
    wanted = {"kimg", "images_per_s", "seconds_left", "pixel", "texture", "identity", "loss_g", "loss_projected"}
    assert wanted <= set(log[1])
    assert {"loss_d", "real_sign"} <= set(log[2])
    assert all(line["frechet"] >= 0 for line in log)
    assert "readout" in log[1], "of what was altered; nothing else is known of these faces"
    status = read_status(run)
    assert (status["state"], status["images"], status["images_total"], status["progress"]) == ("done", 40, 40, 1.0)
    settings = json.loads((run / "settings.json").read_text())["settings"]
    taken = {"resolution": 16, "channel_base": 128, "channel_max": 16, "z_dim": 16, "w_dim": 64, "encoder_width": 8}
    assert {name: settings[name] for name in taken} == taken
    for kind in ("samples", "reconstructions"):
        assert sorted(p.name for p in (run / kind).iterdir()) == ["00000000.jpg", "00000024.jpg", "00000040.jpg"]
    samples = [(run / "samples" / f"{seen:08d}.jpg").read_bytes() for seen in (0, 24)]
    assert samples[0] != samples[1]
    assert not list(run.rglob("*.tmp"))
    made, source = load_checkpoint(done / "made", parts=("encoder", "discriminator")), load_checkpoint(start)
    assert made.encoder is not None
    assert made.discriminator is not None
    assert made.generator.init_kwargs == source.generator.init_kwargs
    assert made.config["start"] == source.sha256 != made.sha256
    assert "none: made by a test" in made.config["licence"]
    assert made.config["training"]["images_seen"]["projected"] == 24


def test_a_stopped_run_resumes_bit_for_bit(data: Path, start: Path, done: Path, tmp_path: Path) -> None:
    """Stopped in the projected phase and in the discriminator's, mapping network included."""
    run, out, step = tmp_path / "run", tmp_path / "made", Trainer.step
    options = arguments(data, start, run, out)
    for images in (BATCH, 32):

        def stopping(trainer: Trainer, at: int = images - BATCH) -> dict[str, torch.Tensor]:
            if trainer.images == at:
                (run / "stop").touch()
            return step(trainer)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Trainer, "step", stopping)
            assert finetune.run(options) == STOPPED
        status = read_status(run)
        assert (status["state"], status["images"], status["images_total"]) == ("stopped", images, 40)
        assert not out.exists()
    assert finetune.run(options) == 0
    assert [line["images"] for line in helpers.log_of(run)] == [BATCH, 24, 32, 40]
    assert read_status(run)["state"] == "done"
    for name in ("generator", "encoder", "discriminator"):
        assert PLAIN.sha256_of(out / f"{name}.safetensors") == PLAIN.sha256_of(done / "made" / f"{name}.safetensors")


def test_ticks_fall_at_numbers_of_images(data: Path, start: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ("--tick-kimg", 0.016, "--photometric", 0)
    assert finetune.run(arguments(data, start, run, tmp_path / "made", *words)) == 0
    assert [line["images"] for line in helpers.log_of(run)] == [16, 24, 32, 40], "and at the end of a phase"
    assert not any("readout" in line for line in helpers.log_of(run)), "nothing is known of these faces"


def test_a_finished_run_may_be_made_longer(data: Path, start: Path, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "made"
    assert finetune.run(arguments(data, start, run, out)) == 0
    assert finetune.run(arguments(data, start, run, out, "--projected-kimg", 0.04)) == 0, "its checkpoint is replaced"
    assert load_checkpoint(out).config["training"]["images_seen"] == {
        "autoencoding": 0,
        "projected": 40,
        "mapping": 60,
        "discriminator": 16,
    }
    with pytest.raises(FinetuneError, match="has --seed 0, not 3"):
        finetune.run(arguments(data, start, run, out, "--seed", 3))
    assert read_status(run)["state"] == "done", "a refused command says nothing about the run"


def test_flags_belong_to_a_method(data: Path, start: Path, done: Path, tmp_path: Path) -> None:
    with pytest.raises(FinetuneError, match="--gamma is a flag of --method adversarial"):
        finetune.run(arguments(data, start, tmp_path / "run", tmp_path / "out", "--gamma", 1))
    with pytest.raises(FinetuneError, match="is one of --method reconstruction"):
        finetune.run(helpers.arguments(data, "--run", done / "run", "--start", start, "--method", "adversarial"))
    with pytest.raises(FinetuneError, match="needs --out"):  # the method of the run in the folder
        finetune.run(helpers.arguments(data, "--run", done / "run", "--start", start))


def test_the_former_command_says_its_new_name(
    data: Path, start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    warmstart.add_arguments(parser)
    line = [data, "--start", start, "--run", tmp_path / "run", "--out", tmp_path / "made", "--device", "cpu"]
    line += ["--precision", "fp32", "--batch", BATCH, "--adversary-kimg", 0.008, "--critic-rate", 0.002]
    options = parser.parse_args([*map(str, line), "--discriminator-kimg", "0"])
    assert (options.method, options.projected_kimg) == ("reconstruction", 0.008)
    assert warmstart.run(options) == 0
    assert "`latent finetune --method reconstruction`" in capsys.readouterr().out
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert settings["settings"]["projected_discriminator_rate"] == 0.002
    settings = {"command": "warmstart"} | {name: value for name, value in settings.items() if name != "method"}
    (tmp_path / "run" / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(FinetuneError, match="started by an earlier version"):
        warmstart.run(options)


def test_results_and_inputs_of_other_runs_are_refused_at_the_start(
    data: Path, start: Path, done: Path, tmp_path: Path
) -> None:
    before = PLAIN.sha256_of(done / "made" / "config.json")
    with pytest.raises(FinetuneError, match="exists already"):
        finetune.run(arguments(data, start, tmp_path / "run", done / "made"))
    assert PLAIN.sha256_of(done / "made" / "config.json") == before
    assert not (tmp_path / "run" / "settings.json").exists()
    other = write_start(tmp_path / "other")
    torch.manual_seed(1)
    changed = load_checkpoint(other)
    save_checkpoint(other, small_generator(), None, changed.encoder, {}, samples=200)
    with pytest.raises(FinetuneError, match="from another checkpoint"):
        finetune.run(arguments(data, other, done / "run", done / "made"))
    with pytest.raises(FinetuneError, match="on other images"):
        finetune.run(arguments(helpers.write_set(tmp_path / "set"), start, done / "run", done / "made"))
    folder = RunFolder(done / "run")
    folder.lock()
    with pytest.raises(FinetuneError, match="is at work in"):
        finetune.run(arguments(data, start, done / "run", done / "made"))
    folder.release()
    assert read_status(done / "run")["state"] == "done"


def small_generator() -> Generator:
    return Generator(16, 0, 64, 16, 3, {"num_layers": 2}, {"channel_base": 128, "channel_max": 16}).eval()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--batch", 6), "--batch must be a multiple of 4"),
        (("--projected-discriminator-rate", "nan"), "--projected-discriminator-rate must be a number from 0"),
        (("--frechet", 10), "--frechet must be 0 or at least 50"),
        (("--projected-kimg", -1), "--projected-kimg must be 0 or above"),
        (("--resolution", 32), "cannot be grown to 32 px"),
        (("--channel-max", 8), "other channels or codes"),
    ],
)
def test_invalid_settings_are_refused_in_a_sentence(
    data: Path, start: Path, tmp_path: Path, words: tuple[Any, ...], sentence: str
) -> None:
    wide = helpers.write_set(tmp_path / "set", n=12, size=32) if "--resolution" in words else data
    with pytest.raises(LatentError, match=sentence):
        finetune.run(arguments(wide, start, tmp_path / "run", tmp_path / "out", *words))
    assert not (tmp_path / "run" / "settings.json").exists()
    assert read_status(tmp_path / "run")["state"] == "failed"


def test_a_full_disk_leaves_the_state_before(
    data: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, out = tmp_path / "run", tmp_path / "made"
    assert finetune.run(arguments(data, start, run, out)) == 0
    kept = (run / "state.pt").read_bytes()
    monkeypatch.setattr("latent.training.run_folder.open_for_writing", full_for_states)
    with pytest.raises(FinetuneError, match=r"state\.pt could not be written"):
        finetune.run(arguments(data, start, run, out, "--projected-kimg", 0.04))
    assert (run / "state.pt").read_bytes() == kept
    assert read_status(run)["state"] == "failed"


def full_for_states(path: Path) -> Any:
    return (Path("/dev/full") if "state" in path.name and "json" not in path.name else path).open("wb")
