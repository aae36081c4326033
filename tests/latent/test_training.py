"""Training set, factor codes, warm start and encoder training, on a handful of small pictures."""

from __future__ import annotations

import argparse
import copy
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from latent.checkpoints import load_checkpoint
from latent.datasets import build as dataset
from latent.datasets.factors import factor_columns, readout_targets
from latent.encoders.wplus import WPlusEncoder
from latent.errors import LatentError
from latent.stylegan2.generator import MappingNetwork
from latent.training import train_encoder
from latent.training.mapping_fit import fit_mapping, origin_for, shift_codes
from latent.training.reconstruction import cli as warmstart_cli
from latent.training.reconstruction.cloud import CAPACITY, CodeCloud, place
from latent.training.reconstruction.trainer import Trainer
from latent.training.run_folder import read_status

PORTRAITS = Path(__file__).parents[1] / "data" / "portraits"


def factor_table(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    sex = rng.choice(["female", "male"], n, p=[0.3, 0.7])
    return pd.DataFrame(
        {
            "index": np.arange(n),
            "sex": sex,
            "maleness": np.where(sex == "male", 0.85, 0.05) + rng.normal(0, 0.13, n),
            "age": rng.uniform(size=n),
            "smile": np.maximum(0, rng.normal(0.1, 0.3, n)),
            "scene": rng.choice(["window", "flash", "rim"], n),
            "light_seed": rng.integers(1 << 31, size=n),
            "constant": 1.0,
        }
    )


def test_what_a_training_set_notes_of_its_photos_is_no_factor() -> None:
    table = factor_table(60)
    noted = table.assign(sha256=[f"{i:x}" for i in range(60)], faces_found=[1, 2] * 30, patient=range(60))
    noted = noted.assign(quality_sharpness=np.linspace(0, 1, 60), quality_flags=["", "blurred"] * 30, split="train")
    assert factor_columns(noted) == factor_columns(table) == ["sex", "maleness", "age", "smile", "scene"]


def test_dataset_aligns_reports_and_refuses(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    portraits = sorted(PORTRAITS.glob("*.jpg"))[:2]
    for path in portraits:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "not_a_photo.jpg").write_bytes(b"hello")
    facts = dataset.build([folder], tmp_path / "set", size=64)
    assert (facts["kept"], facts["refused"]) == (2, 1)
    refused = pd.read_csv(tmp_path / "set" / "refused.csv")
    assert refused["file"].tolist() == ["not_a_photo.jpg"]
    assert len(refused["reason"][0]) > 10
    images, table = dataset.load(tmp_path / "set", 32)
    assert images.shape == (2, 32, 32, 3)
    assert table["file"].tolist() == [p.name for p in portraits]
    with pytest.raises(LatentError, match="exists already"):
        dataset.build([folder], tmp_path / "set", size=64)
    with pytest.raises(LatentError, match="do not scale"):
        dataset.load(tmp_path / "set", 48)


def test_dataset_without_a_face_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "x.png").write_bytes(b"no picture")
    with pytest.raises(LatentError, match="No face"):
        dataset.build([tmp_path / "photos"], tmp_path / "set", size=64)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photos"]


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


def warmstart_arguments(data: Path, run: Path, out: Path, kimg: tuple[float, float, float]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    warmstart_cli.add_arguments(parser)
    line = [str(data), "--run", str(run), "--out", str(out), "--resolution", "16", "--z-dim", "8", "--channel-base"]
    line += ["256", "--channel-max", "16", "--feature-from", "1000000", "--device", "cpu", "--batch", "8"]
    line += ["--encoder-width", "16", "--ema-kimg", "2", "--precision", "fp32"]
    for phase, images in zip(("autoencoding", "adversary", "discriminator"), kimg, strict=True):
        line += [f"--{phase}-kimg", str(images)]
    return parser.parse_args(line)


@pytest.mark.slow
def test_warmstart_learns_resumes_and_writes_a_checkpoint(small_set: Path, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "tiny"
    warmstart_cli.run(warmstart_arguments(small_set, run, out, (0.24, 0.0, 0.0)))
    first = json.loads((run / "log.jsonl").read_text().splitlines()[-1])["pixel"]
    warmstart_cli.run(warmstart_arguments(small_set, run, out, (1.6, 0.016, 0.016)))
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["phase"] for line in lines] == ["autoencoding", "autoencoding", "adversary", "discriminator"]
    assert lines[1]["pixel"] < 0.6 * first
    checkpoint = load_checkpoint(out, parts=("generator", "discriminator", "encoder"))
    assert checkpoint.resolution == 16
    assert checkpoint.config["training"]["images_seen"]["autoencoding"] == 1600
    images, _ = dataset.load(small_set, 16)
    x = torch.from_numpy(images[:8]).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        again = checkpoint.generator.synthesis(checkpoint.encoder(x), noise_mode="const")
    assert (again - x).abs().mean() < 0.5 * (x - x.mean(0)).abs().mean() + 0.1

    options = warmstart_arguments(small_set, tmp_path / "next", tmp_path / "gone_on", (0.0, 0.0, 0.0))
    options.start = out
    warmstart_cli.run(options)
    gone_on = load_checkpoint(tmp_path / "gone_on")
    with torch.no_grad():
        same = gone_on.generator.synthesis(gone_on.encoder(x), noise_mode="const")
    assert torch.allclose(same, again, atol=1e-2)  # weights are kept in half precision
    assert gone_on.config["start"] == checkpoint.sha256


def broken_step(trainer: Trainer, phase: str, done: float) -> dict[str, torch.Tensor]:
    trainer.seen[phase] += trainer.s.batch
    return {"pixel": torch.tensor(float("nan"))}


@pytest.mark.slow
def test_warmstart_stops_at_a_loss_that_is_no_number(
    small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    warmstart_cli.run(warmstart_arguments(small_set, run, tmp_path / "out", (0.08, 0.0, 0.0)))
    kept = (run / "state.pt").read_bytes()
    monkeypatch.setattr(Trainer, "step", broken_step)
    with pytest.raises(LatentError, match="not a number"):
        warmstart_cli.run(warmstart_arguments(small_set, run, tmp_path / "other", (0.16, 0.0, 0.0)))
    assert (run / "state.pt").read_bytes() == kept
    assert not (tmp_path / "other").exists()
    status = read_status(run)
    assert (status["state"], status["message"].startswith("A loss or weight is not a number")) == ("failed", True)


def test_readout_targets_are_standardised_and_know_their_mirror() -> None:
    table = factor_table(50).assign(yaw=np.linspace(-1, 1, 50), identity_000=1.5, age_years=40.0)
    targets, signs = readout_targets(table)
    assert targets.shape == (50, 4)  # maleness, age, smile, yaw: no names, constants, seeds, derived columns
    assert np.allclose(targets.mean(0), 0, atol=1e-6)
    assert np.allclose(targets.std(0), 1, atol=1e-5)
    assert signs.tolist() == [1, 1, 1, -1]


@pytest.mark.slow
def test_encoder_training_lowers_the_error_and_resumes(tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint, parts=("generator",))
    checkpoint.generator.requires_grad_(False)
    images, _ = train_encoder.sample(checkpoint, 32, torch.Generator().manual_seed(9))

    def error(trainer: train_encoder.Trainer) -> float:
        with torch.no_grad():
            again = checkpoint.generator.synthesis(trainer.encoder(images), noise_mode="const")
        return float((again - images).abs().mean())

    trainer = train_encoder.Trainer(checkpoint, None, batch=4, rate=2e-3, seed=0)
    before = error(trainer)
    trainer.step(400)
    trainer.save(tmp_path / "state.pt")
    again = train_encoder.Trainer(checkpoint, None, batch=4, rate=2e-3, seed=1)
    again.load(tmp_path / "state.pt")
    assert again.seen == 4
    assert error(again) == pytest.approx(error(trainer), abs=1e-6)
    for _ in range(60):
        again.step(400)
    assert error(again) < 0.95 * before
    later = train_encoder.Trainer(checkpoint, None, batch=4, rate=2e-3, seed=2, start=again.encoder)
    assert error(later) == pytest.approx(error(again), abs=1e-6)
    other = WPlusEncoder(again.encoder.resolution, again.encoder.num_ws, again.encoder.w_dim, width=16)
    with pytest.raises(LatentError, match="other pictures or codes"):
        train_encoder.Trainer(checkpoint, None, batch=4, rate=2e-3, seed=2, start=other)


def test_mapping_fit_gives_codes_the_mean_and_covariance_asked_for() -> None:
    rng = torch.Generator().manual_seed(0)
    w = 3.0 + torch.randn(3000, 8, generator=rng) @ torch.randn(8, 24, generator=rng)
    w = w + origin_for(w)
    assert float((w < 0).float().mean()) < 1e-3
    mapping = MappingNetwork(8, 0, 24, 4, num_layers=2, layer_features=24, lr_multiplier=1.0)
    fit_mapping(mapping, w)
    with torch.no_grad():
        free = mapping(torch.randn(3000, 8, generator=rng), None, update_emas=False)[:, 0]
    assert torch.allclose(free.mean(0), w.mean(0), atol=0.15 * float(w.std()))
    gap = torch.cov(free.T) - torch.cov(w.T)
    assert float(torch.linalg.matrix_norm(gap) / torch.linalg.matrix_norm(torch.cov(w.T))) < 0.15
    assert torch.equal(mapping.w_avg, w.mean(0))


def test_warmstart_refuses_a_start_that_does_not_fit(small_set: Path, tmp_path: Path, tiny_checkpoint: Path) -> None:
    options = warmstart_arguments(small_set, tmp_path / "run", tmp_path / "out", (0.0, 0.0, 0.0))
    options.start = tiny_checkpoint
    with pytest.raises(LatentError, match="cannot start this run"):
        warmstart_cli.run(options)
    assert not (tmp_path / "out").exists()


def test_mapping_fit_refuses_another_network() -> None:
    with pytest.raises(LatentError, match="two layers"):
        fit_mapping(MappingNetwork(8, 0, 24, 4, num_layers=3), torch.randn(50, 24))


def test_a_shift_of_the_origin_changes_no_picture(tiny_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint, parts=("generator",))
    g = copy.deepcopy(checkpoint.generator)
    encoder = WPlusEncoder(g.img_resolution, g.num_ws, g.w_dim, width=16)
    images = torch.randn(3, 3, g.img_resolution, g.img_resolution)
    with torch.no_grad():
        before = g.synthesis(encoder(images), noise_mode="const")
        shift_codes(g, encoder, torch.rand(g.w_dim) * 3)
        after = g.synthesis(encoder(images), noise_mode="const")
    assert not torch.allclose(encoder.w_avg, torch.zeros(g.w_dim))
    assert torch.allclose(before, after, atol=1e-4 * float(before.abs().max()))


def test_free_codes_have_the_mean_and_covariance_of_the_recent_ones() -> None:
    rng = torch.Generator().manual_seed(0)
    cloud = CodeCloud()
    with pytest.raises(ValueError, match="no codes"):
        cloud.draw(1, rng)
    cloud.add(torch.full((CAPACITY, 3), 9.0))  # pushed out by what follows
    codes = 2.0 + torch.randn(CAPACITY, 3, generator=rng) @ torch.randn(3, 3, generator=rng)
    for part in codes.split(500):
        cloud.add(part)
    assert torch.equal(cloud.codes, codes)
    free = cloud.draw(4000, rng)
    assert torch.allclose(free.mean(0), codes.mean(0), atol=0.15)
    gap = torch.linalg.matrix_norm(torch.cov(free.T) - torch.cov(codes.T))
    assert float(gap / torch.linalg.matrix_norm(torch.cov(codes.T))) < 0.1
    same = [cloud.draw(50, torch.Generator().manual_seed(1), psi) - codes.mean(0) for psi in (1.0, 0.5)]
    assert torch.allclose(0.5 * same[0], same[1], atol=1e-4)
    placed = place(codes, torch.randn(4000, 3, generator=rng))
    assert torch.allclose(placed.mean(0), codes.mean(0), atol=0.15)
    gap = torch.linalg.matrix_norm(torch.cov(placed.T) - torch.cov(codes.T))
    assert float(gap / torch.linalg.matrix_norm(torch.cov(codes.T))) < 0.1
