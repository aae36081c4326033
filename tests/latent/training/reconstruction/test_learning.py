"""A run by reconstructions learns, on a handful of small pictures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from latent.checkpoints import load_checkpoint
from latent.datasets import build as dataset
from latent.errors import LatentError
from latent.training import finetune
from latent.training.reconstruction.trainer import Trainer
from latent.training.run_folder import read_status
from tests.latent.datasets.test_factors import factor_table


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Discs whose colour and place follow the factors, 16 px."""
    folder = tmp_path_factory.mktemp("set")
    table = factor_table(96, seed=1)
    y, x = np.mgrid[0:16, 0:16]
    images = np.full((96, 16, 16, 3), 60, np.uint8)
    for i, row in table.iterrows():
        disc = (x - 4 - 8 * row["age"]) ** 2 + (y - 8) ** 2 < 16
        images[i][disc] = (220, 120, 90) if row["sex"] == "male" else (90, 120, 220)
    np.save(folder / "images.npy", images)
    table.to_parquet(folder / "table.parquet")
    return folder


def run_arguments(data: Path, run: Path, out: Path, kimg: tuple[float, float, float]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    finetune.add_arguments(parser)
    line = [
        str(data),
        "--method",
        "reconstruction",
        "--run",
        str(run),
        "--out",
        str(out),
        "--resolution",
        "16",
        "--z-dim",
        "8",
        "--channel-base",
    ]
    line += ["256", "--channel-max", "16", "--feature-from", "1000000", "--device", "cpu", "--batch", "8"]
    line += ["--encoder-width", "16", "--ema-kimg", "2", "--precision", "fp32"]
    line += ["--tick-kimg", "4"]
    for phase, images in zip(("autoencoding", "projected", "discriminator"), kimg, strict=True):
        line += [f"--{phase}-kimg", str(images)]
    return parser.parse_args(line)


@pytest.mark.slow
def test_a_run_learns_resumes_and_writes_a_checkpoint(small_set: Path, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "tiny"
    finetune.run(run_arguments(small_set, run, out, (0.24, 0.0, 0.0)))
    first = json.loads((run / "log.jsonl").read_text().splitlines()[-1])["pixel"]
    finetune.run(run_arguments(small_set, run, out, (1.6, 0.016, 0.016)))
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["phase"] for line in lines] == ["autoencoding", "autoencoding", "projected", "discriminator"]
    assert lines[1]["pixel"] < 0.6 * first
    checkpoint = load_checkpoint(out, parts=("generator", "discriminator", "encoder"))
    assert checkpoint.resolution == 16
    assert checkpoint.config["training"]["images_seen"]["autoencoding"] == 1600
    images, _ = dataset.load(small_set, 16)
    x = torch.from_numpy(images[:8]).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        again = checkpoint.generator.synthesis(checkpoint.encoder(x), noise_mode="const")
    assert (again - x).abs().mean() < 0.5 * (x - x.mean(0)).abs().mean() + 0.1

    options = run_arguments(small_set, tmp_path / "next", tmp_path / "resumed", (0.0, 0.0, 0.0))
    options.start = out
    finetune.run(options)
    resumed = load_checkpoint(tmp_path / "resumed")
    with torch.no_grad():
        same = resumed.generator.synthesis(resumed.encoder(x), noise_mode="const")
    assert torch.allclose(same, again, atol=1e-2)  # weights are kept in half precision
    assert resumed.config["start"] == checkpoint.sha256


def broken_step(trainer: Trainer) -> dict[str, torch.Tensor]:
    trainer.seen[trainer.stage] += trainer.settings.batch
    return {"pixel": torch.tensor(float("nan"))}


@pytest.mark.slow
def test_a_run_stops_at_a_loss_that_is_not_finite(
    small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    finetune.run(run_arguments(small_set, run, tmp_path / "out", (0.08, 0.0, 0.0)))
    kept = (run / "state.pt").read_bytes()
    monkeypatch.setattr(Trainer, "step", broken_step)
    with pytest.raises(LatentError, match="pixel is not a finite number"):
        finetune.run(run_arguments(small_set, run, tmp_path / "other", (0.16, 0.0, 0.0)))
    assert (run / "state.pt").read_bytes() == kept
    assert not (tmp_path / "other").exists()
    status = read_status(run)
    assert (status["state"], status["message"].startswith("pixel is not a finite number")) == ("failed", True)


def test_a_start_that_does_not_fit_is_refused(small_set: Path, tmp_path: Path, tiny_checkpoint: Path) -> None:
    options = run_arguments(small_set, tmp_path / "run", tmp_path / "out", (0.0, 0.0, 0.0))
    options.start = tiny_checkpoint
    with pytest.raises(LatentError, match="cannot start this run"):
        finetune.run(options)
    assert not (tmp_path / "out").exists()
