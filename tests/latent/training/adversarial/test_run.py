"""The command: what a run leaves on disk, and that stops, kills, full disks and broken numbers cost nothing."""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import torch

from common.command import STOPPED
from common.files import PLAIN
from latent import __main__ as command
from latent.checkpoints import load_checkpoint, save_checkpoint
from latent.encoders.wplus import WPlusEncoder
from latent.errors import CheckpointError, FinetuneError
from latent.stylegan2 import Generator
from latent.training import finetune
from latent.training import run_folder as files
from latent.training.adversarial.trainer import Trainer
from latent.training.run_folder import RunFolder, read_status
from tests.latent.training.helpers import (
    arguments,
    dying_after,
    forked,
    log_of,
    numbers,
    weights,
    write_set,
    write_start,
)

SHORT = ("--batch", 4, "--mbstd", 2, "--pl-every", 2, "--r1-every", 2, "--p", 0.2, "--ada-kimg", 0.2)
TICKED = (
    *SHORT,
    "--g-rampup-kimg",
    0.016,
    "--ema-kimg",
    0.05,
    "--tick-kimg",
    0.008,
    "--checkpoint-ticks",
    3,
    "--mirror",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_start(tmp_path_factory.mktemp("start") / "small")


def line(data: Path, start: Path | None, run: Path, *words: object) -> argparse.Namespace:
    from_start = ("--start", start) if start else ("--channel-base", 128, "--channel-max", 16)
    return arguments(data, "--run", run, *from_start, *TICKED, *words)


@pytest.fixture(scope="module")
def straight(data: Path, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 12 ticks that nothing disturbed."""
    run = tmp_path_factory.mktemp("straight") / "run"
    assert finetune.run(line(data, start, run, "--kimg", 0.096)) == 0
    return run


def assert_same_run(run: Path, other: Path) -> None:
    first, second = weights(run), weights(other)
    assert all(torch.equal(first[name], second[name]) for name in first)
    names = ("generator.safetensors", "discriminator.safetensors")
    assert all(PLAIN.sha256_of(run / "checkpoint" / n) == PLAIN.sha256_of(other / "checkpoint" / n) for n in names)


@pytest.mark.slow
def test_a_run_leaves_all_that_a_person_needs(straight: Path, data: Path, start: Path) -> None:
    log = log_of(straight)
    assert [entry["images"] for entry in log] == list(range(8, 97, 8))
    wanted = {"kimg", "images_per_s", "seconds_left", "loss_g", "loss_d", "r1", "pl", "ada_p", "real_sign"}
    assert wanted | {"gradient_g", "gradient_d"} <= set(log[-1])
    status = read_status(straight)
    assert (status["state"], status["images"], status["progress"]) == ("done", 96, 1.0)
    settings = json.loads((straight / "settings.json").read_text())
    assert settings["settings"]["batch"] == 4
    assert settings["start"]["digests"]["generator.safetensors"] == load_checkpoint(start).sha256
    assert len(list((straight / "samples").glob("*.jpg"))) == 13
    assert (straight / "samples" / "00000000.jpg").read_bytes() != (straight / "samples" / "00000096.jpg").read_bytes()
    checkpoint = load_checkpoint(straight / "checkpoint", parts=("discriminator",))
    assert checkpoint.discriminator is not None
    training = checkpoint.config["training"]
    assert (training["images_seen"], training["start"]["name"]) == (96, "small")
    assert training["data"]["name"] == "set"
    state = weights(straight)
    assert torch.equal(checkpoint.generator.synthesis.b16.conv1.weight, state["synthesis.b16.conv1.weight"])
    assert not list(straight.rglob("*.tmp"))


@pytest.mark.slow
def test_ten_kills_anywhere_change_no_bit(straight: Path, data: Path, start: Path, tmp_path: Path) -> None:
    run, rng, kills = tmp_path / "run", random.Random(0), 0
    calls_a_tick = calls_of(lambda: finetune.run(line(data, start, tmp_path / "counted", "--kimg", 0.008)))
    while kills < 10:
        calls = rng.randrange(calls_a_tick // 8, calls_a_tick)
        code = forked(dying_after(calls, lambda: finetune.run(line(data, start, run, "--kimg", 0.096))))
        assert code in (0, -signal.SIGKILL)
        kills += code == -signal.SIGKILL
    assert read_status(run)["state"] == "killed"
    assert forked(lambda: finetune.run(line(data, start, run, "--kimg", 0.096))) == 0
    assert_same_run(run, straight)
    assert list(map(numbers, log_of(run))) == list(map(numbers, log_of(straight)))
    assert not list(run.rglob("*.tmp"))


def calls_of(work: Any) -> int:
    """Python calls that `work` makes."""
    made = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal made
        made += 1

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return made


def images_of(state: Path) -> int:
    return int(torch.load(state, weights_only=True)["images"])


@pytest.mark.slow
@pytest.mark.parametrize("how", ["file", "signal"])
def test_stopped_between_ticks_and_resumed(
    how: str, straight: Path, data: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, step = tmp_path / "run", Trainer.step

    def asking(self: Trainer) -> dict[str, float]:
        if self.images == 36:
            if how == "file":
                (run / "stop").touch()
            else:
                os.kill(os.getpid(), signal.SIGTERM)
        return step(self)

    monkeypatch.setattr(Trainer, "step", asking)
    before = signal.getsignal(signal.SIGTERM)
    assert finetune.run(line(data, start, run, "--kimg", 0.096)) == STOPPED
    assert signal.getsignal(signal.SIGTERM) is before
    assert (read_status(run)["state"], read_status(run)["images"]) == ("stopped", 40)
    assert load_checkpoint(run / "checkpoint").config["training"]["images_seen"] == 40
    monkeypatch.setattr(Trainer, "step", step)
    assert finetune.run(line(data, start, run, "--kimg", 0.096)) == 0
    assert_same_run(run, straight)


@pytest.mark.slow
def test_a_longer_run_continues_a_finished_one(straight: Path, data: Path, start: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert finetune.run(line(data, start, run, "--kimg", 0.04)) == 0
    once = (run / "log.jsonl").read_text()
    assert finetune.run(line(data, start, run, "--kimg", 0.04)) == 0  # nothing left to do, nothing doubled
    assert (run / "log.jsonl").read_text() == once
    assert finetune.run(line(data, start, run, "--kimg", 0.096, "--out", tmp_path / "tuned")) == 0
    assert_same_run(run, straight)
    assert load_checkpoint(tmp_path / "tuned").sha256 == load_checkpoint(run / "checkpoint").sha256
    assert (
        finetune.run(line(data, start, run, "--kimg", 0.096, "--out", tmp_path / "tuned")) == 0
    )  # its own from before
    with pytest.raises(FinetuneError, match="exists already"):
        finetune.run(line(data, start, run, "--out", start))


@pytest.mark.slow
def test_from_scratch_with_a_distance_at_ticks(data: Path, tmp_path: Path) -> None:
    large = write_set(tmp_path / "large", n=60)
    run = tmp_path / "run"
    assert finetune.run(line(large, None, run, "--kimg", 0.008, "--frechet", 50, "--augment", "none")) == 0
    log = log_of(run)
    assert [entry["images"] for entry in log] == [0, 8]
    assert all(entry["frechet"] > 0 for entry in log)
    assert load_checkpoint(run / "checkpoint").resolution == 16


@pytest.mark.slow
def test_a_full_disk_stops_with_a_sentence_and_keeps_the_last_state(
    straight: Path, data: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, opened = tmp_path / "run", files.open_for_writing

    refusing = False

    def full(path: Path) -> IO[bytes]:
        """From the fourth state on every file is /dev/full, which refuses bytes as a full disk does."""
        nonlocal refusing
        state = run / "state.pt"
        refusing = refusing or (".state" in path.name and state.exists() and images_of(state) == 24)
        return open("/dev/full", "wb") if refusing else opened(path)

    monkeypatch.setattr(files, "open_for_writing", full)
    with pytest.raises(FinetuneError, match=r"state\.pt could not be written \(No space left on device\)"):
        finetune.run(line(data, start, run, "--kimg", 0.096))
    assert images_of(run / "state.pt") == 24
    assert images_of(run / "state.previous.pt") == 16
    assert load_checkpoint(run / "checkpoint").config["training"]["images_seen"] == 24
    monkeypatch.setattr(files, "open_for_writing", opened)
    assert finetune.run(line(data, start, run, "--kimg", 0.096)) == 0
    assert_same_run(run, straight)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["loss", "weights"])
def test_broken_numbers_stop_with_a_sentence_and_exit_1(
    where: str, data: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    run, step = tmp_path / "run", Trainer.step

    def breaking(self: Trainer) -> dict[str, float]:
        broken = self.d if where == "loss" else self.g_ema
        if self.images == 20:
            with torch.no_grad():
                next(iter(broken.parameters())).fill_(float("nan"))
        return step(self)

    monkeypatch.setattr(Trainer, "step", breaking)
    words = ["finetune", data, "--run", run, "--start", start, *TICKED, "--kimg", 0.096, "--device", "cpu"]
    assert command.main([str(word) for word in [*words, "--precision", "fp32"]]) == 1
    message = capsys.readouterr().err
    assert "not a finite number" in message or "not finite numbers" in message
    assert "Traceback" not in message
    status = read_status(run)
    assert status["state"] == "failed"
    assert status["message"] in message
    assert images_of(run / "state.pt") == 16
    assert all(torch.isfinite(value).all() for value in weights(run).values())


@pytest.mark.slow
def test_one_process_a_folder(data: Path, start: Path, tmp_path: Path) -> None:
    holder = RunFolder(tmp_path / "run")
    holder.lock()
    with pytest.raises(FinetuneError, match=f"pid {os.getpid()}"):
        finetune.run(line(data, start, tmp_path / "run"))
    assert not (tmp_path / "run" / "status.json").exists()  # it is the other's to write
    holder.release()
    (tmp_path / "run" / "lock").write_text("999999\n")  # what a dead process leaves
    assert finetune.run(line(data, start, tmp_path / "run", "--kimg", 0.008)) == 0


def test_another_run_in_the_folder_is_refused(straight: Path, data: Path, start: Path, tmp_path: Path) -> None:
    with pytest.raises(FinetuneError, match="other images"):
        finetune.run(line(write_set(tmp_path / "other", seed=1), start, straight))
    with pytest.raises(FinetuneError, match="another checkpoint"):
        finetune.run(line(data, write_start(tmp_path / "bare", with_discriminator=False), straight, "--seed", 0))
    with pytest.raises(FinetuneError, match="--gamma"):
        finetune.run(line(data, start, straight, "--gamma", 7.0))
    assert read_status(straight)["state"] == "done"  # the refusals are no part of that run


def test_what_cannot_start_leaves_no_settings(data: Path, start: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(FinetuneError, match="not a training set"):
        finetune.run(line(tmp_path, start, run))
    with pytest.raises(CheckpointError, match="no checkpoint"):
        finetune.run(line(data, tmp_path / "nothing", run))
    with pytest.raises(CheckpointError, match="cannot be the name"):
        finetune.run(line(data, start, run, "--out", tmp_path / ".hidden"))
    with pytest.raises(FinetuneError, match="at least 8"):
        finetune.run(line(write_set(tmp_path / "few", n=5), start, tmp_path / "other"))
    assert not (run / "settings.json").exists()


@pytest.mark.slow
def test_a_damaged_state_falls_back_to_the_one_before(straight: Path, data: Path, start: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert finetune.run(line(data, start, run, "--kimg", 0.048)) == 0
    whole = (run / "state.pt").read_bytes()
    (run / "state.pt").write_bytes(whole[: len(whole) // 2])
    with (run / "log.jsonl").open("a") as file:
        file.write('{"images": 5')
    assert finetune.run(line(data, start, run, "--kimg", 0.096)) == 0
    assert_same_run(run, straight)
    assert [entry["images"] for entry in log_of(run)] == list(range(8, 97, 8))
    for name in ("state.pt", "state.previous.pt"):
        (run / name).write_bytes(b"no state")
    with pytest.raises(FinetuneError, match="No state"):
        finetune.run(line(data, start, run, "--kimg", 0.2))


@pytest.mark.slow
def test_held_out_rows_are_not_trained_on(data: Path, start: Path, tmp_path: Path) -> None:
    import pandas as pd

    split = write_set(tmp_path / "split", n=24)
    table = pd.read_parquet(split / "table.parquet").assign(split=["train"] * 20 + ["held_out"] * 4)
    table.to_parquet(split / "table.parquet")
    images = np.load(split / "images.npy")
    images[20:] = 255
    np.save(split / "images.npy", images)
    seen: list[int] = []
    original = Trainer._real

    def noted(self: Trainer, places: slice) -> torch.Tensor:
        real = original(self, places)
        seen.append(int((real.flatten(1) == 1).all(1).sum()))
        return real

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_real", noted)
        finetune.run(line(split, start, tmp_path / "run", "--kimg", 0.048))
    assert seen
    assert sum(seen) == 0


def test_a_status_nobody_stands_behind_is_killed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.status("running", "Training.", 10, 100, 5.0)
    assert read_status(tmp_path)["state"] == "running"
    record = json.loads((tmp_path / "status.json").read_text())
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    files.write_json(tmp_path / "status.json", record | {"pid": pid, "time": time.time()})
    assert read_status(tmp_path)["state"] == "killed"


@pytest.mark.slow
def test_a_run_against_frozen_features_resumes_bit_for_bit(
    data: Path, start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--start", start, "--discriminator", "projected", "--batch", 4, "--tick-kimg", 0.008, "--mirror")
    for name, lengths in (("straight", (0.016,)), ("broken", (0.008, 0.016))):
        for kimg in lengths:
            assert finetune.run(arguments(data, "--run", tmp_path / name, *words, "--kimg", kimg)) == 0
    assert "discriminator" not in capsys.readouterr().err, "the start's is not used"
    first, second = weights(tmp_path / "straight"), weights(tmp_path / "broken")
    assert all(torch.equal(first[name], second[name]) for name in first)
    moved = load_checkpoint(start).generator.synthesis.b16.conv1.weight
    assert not torch.equal(first["synthesis.b16.conv1.weight"], moved)
    log = log_of(tmp_path / "straight")
    assert {"loss_g", "loss_d", "real_sign"} <= set(log[-1])
    assert not {"r1", "pl"} & set(log[-1])
    checkpoint = load_checkpoint(tmp_path / "straight" / "checkpoint", parts=("discriminator",))
    assert checkpoint.discriminator is None
    with pytest.raises(FinetuneError, match="--augment must be none"):
        finetune.run(arguments(data, "--run", tmp_path / "no", *words, "--augment", "ada"))


def write_start_with_encoder(folder: Path, origin: float = 9.0) -> Path:
    """Its codes: 64 long, around `origin`; z: 16."""
    torch.manual_seed(5)
    generator = Generator(16, 0, 64, 16, 3, {"num_layers": 2}, {"channel_base": 128, "channel_max": 16})
    encoder = WPlusEncoder(16, generator.num_ws, 64, width=8)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        encoder.w_avg.fill_(origin)
    config = {"source": "random weights", "licence": "none: made by a test"}
    return save_checkpoint(folder, generator.eval(), None, encoder.eval(), config, samples=200)


@pytest.mark.slow
def test_a_mapping_is_fitted_to_the_codes_of_the_new_images(data: Path, tmp_path: Path) -> None:
    start = write_start_with_encoder(tmp_path / "start")
    run = tmp_path / "run"
    words = ("--start", start, *SHORT, "--kimg", 0.004, "--tick-kimg", 0.004, "--g-rate", 1e-9, "--fit-mapping")
    assert finetune.run(arguments(data, "--run", run, *words)) == 0
    source, made = load_checkpoint(start), load_checkpoint(run / "checkpoint")
    images = torch.from_numpy(np.load(data / "images.npy")).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        codes = source.encoder(images).mean(1)
        free = made.generator.mapping(torch.randn(4000, 16), None, update_emas=False)[:, 0]
        before = source.generator.mapping(torch.randn(4000, 16), None, update_emas=False)[:, 0]
    away = [float((w.mean(0) - codes.mean(0)).norm() / codes.std(0).norm()) for w in (free, before)]
    assert away[0] < 0.3 < away[1]
    assert made.config["training"]["settings"]["fit_mapping"] is True


def test_a_mapping_is_not_fitted_without_an_encoder(data: Path, start: Path, tmp_path: Path) -> None:
    around_zero = write_start_with_encoder(tmp_path / "zero", origin=0.0)
    with pytest.raises(FinetuneError, match="lies around zero"):
        finetune.run(arguments(data, "--run", tmp_path / "zero_run", "--start", around_zero, *SHORT, "--fit-mapping"))
    for words in ((), ("--start", start)):
        with pytest.raises(FinetuneError, match="--fit-mapping needs a start"):
            finetune.run(arguments(data, "--run", tmp_path / "run", *words, *SHORT, "--fit-mapping"))
