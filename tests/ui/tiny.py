"""A tiny checkpoint and a simulated study on it, made in seconds: an untrained generator, patients drawn from it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from latent.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from latent.editing.render import synthesize
from latent.encoders.wplus import WPlusEncoder
from latent.space import sample_ws
from latent.stylegan2 import Generator
from latent.training.adversarial.settings import automatic
from latent.training.run_folder import RunFolder
from study.comparison.fit import fit, fit_plan
from study.disk.latents import INDEX_COLUMNS, Embedding
from study.disk.store import Study
from study.embedding.record import study_preset
from study.files import csv_text, sha256_of, write_bytes, write_text
from study.settings import Settings, settings_text
from study.simulation.simulate import encode_jpeg
from tests.latents_file import write_latents


def write_checkpoint(path: Path, resolution: int = 32, w_dim: int = 32, seed: int = 0) -> Checkpoint:
    """An untrained generator as a checkpoint folder."""
    torch.manual_seed(seed)
    generator = Generator(
        z_dim=w_dim,
        c_dim=0,
        w_dim=w_dim,
        img_resolution=resolution,
        img_channels=3,
        mapping_kwargs={"num_layers": 2},
        synthesis_kwargs={"channel_base": 512, "channel_max": 32},
    )
    save_checkpoint(
        path, generator.eval().requires_grad_(False), config={"source": "untrained, for tests"}, samples=500
    )
    return load_checkpoint(path)


def give_encoder(path: Path) -> Checkpoint:
    """Replace a checkpoint by one with a mapping that can be fitted and an untrained encoder of ours."""
    torch.manual_seed(4)
    generator = Generator(16, 0, 32, 32, 3, {"num_layers": 2}, {"channel_base": 512, "channel_max": 32})
    encoder = WPlusEncoder(32, generator.num_ws, 32, width=8)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    save_checkpoint(path, generator.eval(), None, encoder.eval(), {"source": "untrained, for tests"}, samples=500)
    return load_checkpoint(path)


def write_study(path: Path, checkpoint: Checkpoint, patients: int = 60, seed: int = 1, size: int = 64) -> Study:
    """Simulated patients whose portraits the generator draws and whose hazard is linear in the code; model fitted."""
    rng = np.random.default_rng(seed)
    ws = sample_ws(checkpoint.generator, list(range(patients)), 1.0)
    flat = ws.reshape(patients, -1)
    lp = flat @ rng.standard_normal(flat.shape[1])
    lp = 1.5 * (lp - lp.mean()) / lp.std()
    time = 30 * (-np.log(rng.random(patients)) / np.exp(lp)) ** (1 / 1.3)
    follow_up = np.minimum(rng.exponential(90, patients), 60)
    ids = [f"P{i + 1:04d}" for i in range(patients)]
    table = pd.DataFrame(
        {
            "patient_id": ids,
            "age": rng.integers(30, 85, patients),
            "sex": rng.choice(["female", "male"], patients),
            "site": "lung",
            "stage": "II",
            "ecog": 1,
            "time_months": np.maximum(np.minimum(time, follow_up), 0.05).round(2),
            "event": (time <= follow_up).astype(int),
            "photo": [f"photos/{i}.jpg" for i in ids],
        }
    )
    settings = Settings(
        name=path.name,
        title="Tiny simulated study",
        simulated=True,
        checkpoint=checkpoint.name,
        preset="fast",
        aligned=True,
        views=1,
    )
    write_text(path / "study.toml", settings_text(settings))
    write_text(path / "patients.csv", csv_text(table))
    for patient, image in zip(ids, synthesize(checkpoint, ws), strict=True):
        write_bytes(
            path / "photos" / f"{patient}.jpg",
            encode_jpeg(np.kron(image, np.ones((size // 32, size // 32, 1), np.uint8))),
        )
    study = Study.open(path)
    numbers = ("tiny", "", 0.1, 30.0, 0.9, 0.2, 1.0, 0.3)
    rows = [
        dict(zip(INDEX_COLUMNS, (p, f.stem, sha256_of(f), checkpoint.sha256, *numbers), strict=True))
        for p, f in study.photos.items()
    ]
    record = Embedding(
        checkpoint.name,
        checkpoint.sha256,
        settings.preset,
        *ws.shape[1:],
        settings={**replace(study_preset(study), steps=2).as_dict(), "perceptual_name": "tiny"},
    )
    write_latents(path, ws.astype(np.float32), pd.DataFrame(rows), record)
    fit(study, plan=fit_plan(folds=3, repeats=1, penalties=12, samples=200))
    return Study.open(path)


def write_set(folder: Path, faces: int = 24, size: int = 32, **facts: object) -> Path:
    """An aligned training set of coloured noise, as `python -m latent dataset` leaves one."""
    folder.mkdir(parents=True)
    images = np.random.default_rng(3).integers(0, 256, (faces, size, size, 3)).astype(np.uint8)
    np.save(folder / "images.npy", images, allow_pickle=False)
    pd.DataFrame({"file": [f"{i}.jpg" for i in range(faces)]}).to_parquet(folder / "table.parquet")
    counts = {"size": size, "photos": faces + 2, "kept": faces, "refused": 2, "flagged": 1}
    told = {**counts, "reasons": {"No face was found in the photo.": 2}, **facts}
    (folder / "dataset.json").write_text(json.dumps(told), "utf-8")
    rows = "".join(f"photos,refused <b>{i}</b>.jpg,No face was found in the photo.\n" for i in range(2))
    (folder / "refused.csv").write_text(f"folder,file,reason\n{rows}", "utf-8")
    return folder


def write_run(
    folder: Path, state: str = "stopped", message: str = "Stopped as asked; the same command goes on."
) -> Path:
    """A run of 32 px with four reports, written by the package that writes real ones."""
    run = RunFolder(folder)
    run.lock()
    settings = automatic({"kimg": 1.0, "tick_kimg": 0.2}, 32, "cpu", 1, True)
    (folder / "settings.json").write_text(
        json.dumps({"settings": asdict(settings), "data": {"name": "noise"}}), "utf-8"
    )
    for seen in (200, 400, 600, 800):
        measured = {"loss_g": 0.7, "loss_d": 1.3, "gradient_g": 0.3, "gradient_d": 0.1, "ada_p": 0.1, "real_sign": 0.4}
        run.add_to_log(json.dumps({"images": seen, "kimg": seen / 1000, "images_per_s": 10.0, **measured}))
        run.save_samples(np.full((4, 32, 32, 3), seen // 4, np.uint8), seen)
    run.status(state, message, 800, 1000, 20.0)
    run.release()
    return folder
