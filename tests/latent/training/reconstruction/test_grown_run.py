"""A run that grows: what stays as it was, a projected discriminator that is replaced, the best networks."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from common.command import STOPPED
from common.files import PLAIN
from latent.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from latent.encoders.wplus import WPlusEncoder
from latent.stylegan2 import Generator
from latent.training import finetune, inputs
from latent.training.reconstruction import phases, run
from latent.training.reconstruction.data import Portraits
from latent.training.reconstruction.networks import Networks
from latent.training.reconstruction.phases import Projected
from latent.training.reconstruction.settings import Settings
from latent.training.reconstruction.trainer import Trainer
from tests.latent.training import helpers

pytestmark = pytest.mark.slow  # runs of some seconds

BATCH = 8


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 px, codes 32 long, z 8."""
    torch.manual_seed(6)
    generator = Generator(8, 0, 32, 32, 3, {"num_layers": 2}, {"channel_base": 128, "channel_max": 8})
    encoder = WPlusEncoder(32, generator.num_ws, 32, width=8)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    folder = tmp_path_factory.mktemp("start") / "small"
    return save_checkpoint(folder, generator.eval(), None, encoder.eval(), {}, samples=100)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return helpers.write_set(tmp_path_factory.mktemp("data") / "set", n=60, size=64)


def arguments(data: Path, start: Path, folder: Path, *words: object) -> argparse.Namespace:
    line: list[object] = [data, "--method", "reconstruction", "--start", start, "--resolution", 64]
    line += ["--run", folder / "run", "--out", folder / "made", "--batch", BATCH, "--tick-kimg", 0.016]
    line += ["--autoencoding-kimg", 0.008, "--projected-kimg", 0.064, "--discriminator-kimg", 0.008, *words]
    return helpers.arguments(*line)


def distance_of_samples(trainer: Trainer, *given: object) -> Callable[[], float]:
    """In place of the descriptors', which take seconds: a number that follows from the averaged networks."""
    return lambda: float(trainer.draw("frechet latents", 4).std())


GROWING = ("--fine-from", 64, "--coarse-rate", 0, "--renew-below", 9, "--frechet", 50)


@pytest.fixture(scope="module")
def done(data: Path, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder above an undisturbed run and its checkpoint; the discriminator is replaced as often as may be."""
    folder = tmp_path_factory.mktemp("done")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phases, "LOOKED_AT", 2)
        patch.setattr(run, "descriptor_distance", distance_of_samples)
        assert finetune.run(arguments(data, start, folder, *GROWING)) == 0
    return folder


def convolutions(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """What no shift of the codes' origin changes."""
    state = checkpoint.generator.synthesis.state_dict()
    return {name: value for name, value in state.items() if name.endswith("weight") and "affine" not in name}


def test_coarse_blocks_and_the_encoder_stay_as_they_were_at_rate_0(done: Path, start: Path) -> None:
    made, source = load_checkpoint(done / "made"), load_checkpoint(start)
    before, after = convolutions(source), convolutions(made)
    assert before.keys() < after.keys()
    assert all(torch.equal(value.half(), after[name].half()) for name, value in before.items())
    assert any(float(value.abs().max()) > 0 for name, value in after.items() if "b64.torgb" in name)
    for name, value in source.encoder.state_dict().items():
        if not name.startswith(("stem.", "w_avg")):
            assert torch.equal(value.half(), made.encoder.state_dict()[name].half()), name


def test_a_slower_rate_moves_coarse_blocks_less(data: Path, start: Path, tmp_path: Path) -> None:
    moved = []
    for rate in (1.0, 0.01):
        words = ("--fine-from", 64, "--coarse-rate", rate, "--projected-kimg", 0, "--discriminator-kimg", 0)
        assert finetune.run(arguments(data, start, tmp_path / str(rate), *words)) == 0
        made, source = (convolutions(load_checkpoint(path)) for path in (tmp_path / str(rate) / "made", start))
        moved.append(sum(float((made[name] - value).abs().sum()) for name, value in source.items()))
    assert 0 < moved[1] < 0.1 * moved[0]


def test_a_stopped_run_resumes_bit_for_bit(data: Path, start: Path, done: Path, tmp_path: Path) -> None:
    """Stopped before and after a replaced discriminator, and once the best networks are taken."""
    step = Trainer.step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phases, "LOOKED_AT", 2)
        patch.setattr(run, "descriptor_distance", distance_of_samples)
        for images in (16, 40, 72):

            def stopping(trainer: Trainer, at: int = images - BATCH) -> dict[str, torch.Tensor]:
                if trainer.images == at:
                    (tmp_path / "run" / "stop").touch()
                return step(trainer)

            patch.setattr(Trainer, "step", stopping)
            assert finetune.run(arguments(data, start, tmp_path, *GROWING)) == STOPPED
        patch.setattr(Trainer, "step", step)
        assert finetune.run(arguments(data, start, tmp_path, *GROWING)) == 0
    for name in ("generator", "encoder", "discriminator"):
        expected = PLAIN.sha256_of(done / "made" / f"{name}.safetensors")
        assert PLAIN.sha256_of(tmp_path / "made" / f"{name}.safetensors") == expected, name
    renewals = [line["renewals"] for line in helpers.log_of(done / "run") if "renewals" in line]
    assert renewals[-1] > 0
    assert renewals == sorted(renewals)
    assert renewals[-1] == renewals[-2], "not once the rates fall"


def test_the_networks_of_the_best_tick_are_kept(
    data: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ticks of phase 2 alone count."""
    distances = iter([0.1, 0.1, 0.9, 0.3, 0.2, 0.4, 0.8, 0.1, 0.1])
    monkeypatch.setattr(run, "descriptor_distance", lambda *given: lambda: next(distances))
    kept = []
    keep = Trainer.keep

    def noted(trainer: Trainer, stage: str, distance: float) -> None:
        before = trainer.best
        keep(trainer, stage, distance)
        if trainer.best is not before:
            kept.append((stage, distance))

    monkeypatch.setattr(Trainer, "keep", noted)
    assert finetune.run(arguments(data, start, tmp_path, "--frechet", 50)) == 0
    assert kept == [("projected", 0.9), ("projected", 0.3), ("projected", 0.2)]
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    best, made = state["best"], convolutions(load_checkpoint(tmp_path / "made"))
    assert best["distance"] == 0.2
    for name, value in made.items():
        assert torch.equal(value.half(), best["generator"][f"synthesis.{name}"].half()), name


def test_ticks_compare_with_the_photos_held_out(tmp_path: Path) -> None:
    folder = helpers.write_set(tmp_path / "set", n=80)
    images = np.load(folder / "images.npy")
    table = pd.read_parquet(folder / "table.parquet")

    def pixels(rows: torch.Tensor) -> np.ndarray:
        return images[rows.numpy()]

    assert inputs.distance_reference(folder, 16, 80, pixels) == (80, pixels)
    for held, count in ((50, 50), (49, 31)):
        table["split"] = ["train"] * (80 - held) + ["held_out"] * held
        table.to_parquet(folder / "table.parquet")
        number, chosen = inputs.distance_reference(folder, 16, 80 - held, pixels)
        assert number == count
        first = images[80 - held] if held == 50 else images[0]
        assert np.array_equal(chosen(torch.tensor([0]))[0], first)


@pytest.fixture
def phase(data: Path) -> Projected:
    settings: dict[str, Any] = {"resolution": 64, "channel_base": 128, "channel_max": 8, "z_dim": 8, "w_dim": 32}
    chosen = Settings(**settings, encoder_width=8, batch=BATCH, photometric=0.0)
    device = torch.device("cpu")
    return Projected(Networks(chosen, Portraits(data, 64, device), device))


@pytest.mark.parametrize(("loss", "done", "replaced"), [(1.0, 0.1, True), (1.5, 0.1, False), (1.0, 0.9, False)])
def test_a_discriminator_that_has_won_is_replaced(phase: Projected, loss: float, done: float, replaced: bool) -> None:
    before = {name: value.clone() for name, value in phase.discriminator.state_dict().items()}
    outcomes = []
    for _ in range(phases.LOOKED_AT):
        phase.prepare(done, 0)
        phase.loss_sum += loss
        outcomes.append(phase.renew())
    assert outcomes == [False] * (phases.LOOKED_AT - 1) + [replaced]
    after = phase.discriminator.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items()) != replaced
    assert float(phase.loss_sum) == 0
    assert phase.renewals == int(replaced)
