"""The command: phases in order, a tick (state, sheet, log line) every minute and a half, a checkpoint at the end."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from latent.checkpoints import PARTS, load_checkpoint, save_checkpoint
from latent.errors import LatentError
from latent.images import to_uint8
from latent.warmstart.data import Portraits
from latent.warmstart.settings import PHASES, Settings
from latent.warmstart.trainer import Trainer

TICK_SECONDS = 90.0


@torch.no_grad()
def sample_sheet(trainer: Trainer, path: Path, columns: int = 12) -> None:
    """Rows: real, reconstructed from W+, from W, free samples at psi 1 and 0.7."""
    g, e = trainer.ema_g, trainer.ema_e
    real = trainer.data[slice(0, columns)]
    ws = e(real)
    codes = [ws, ws.mean(1, keepdim=True).expand_as(ws)]
    for psi in (1.0, 0.7):
        free = trainer.cloud.draw(columns, torch.Generator(trainer.device).manual_seed(123), psi)
        codes.append(free[:, None].expand_as(ws))
    rows = [to_uint8(real)] + [to_uint8(g.synthesis(code, noise_mode="const")) for code in codes]
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    cv2.imwrite(str(path), sheet[..., ::-1])


def _tick(trainer: Trainer, run: Path, phase: str, facts: dict[str, float]) -> None:
    line = {"phase": phase, "kimg": round(trainer.images_seen / 1000, 2)}
    line |= {name: round(value, 4) for name, value in facts.items()}
    print(json.dumps(line), flush=True)
    with (run / "log.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")
    trainer.save(run / "state.pt")
    sample_sheet(trainer, run / f"sheet_{trainer.images_seen // 1000:04d}.png")


def train(trainer: Trainer, run: Path, totals: dict[str, int]) -> None:
    """Run the phases "autoencoding", "adversary" and "discriminator" to the given numbers of images.

    Raises LatentError where a loss is no number.
    """
    began, start = time.monotonic(), trainer.images_seen
    for phase, total in totals.items():
        if phase == "discriminator" and trainer.images_seen and not trainer.seen["mapping"]:
            trainer.fit_mapping()
        sums: dict[str, Tensor] = {}
        steps, ticked = 0, time.monotonic()
        while trainer.seen[phase] < total:
            for name, value in trainer.step(phase, trainer.seen[phase] / total).items():
                sums[name] = value + sums.get(name, 0.0)
            steps += 1
            if time.monotonic() - ticked > TICK_SECONDS or trainer.seen[phase] >= total:
                means = {name: float(value) / steps for name, value in sums.items()}
                if any(value != value for value in means.values()):
                    raise LatentError(
                        f"A loss is not a number after {trainer.images_seen} images; the last state is kept."
                    )
                speed = (trainer.images_seen - start) / (time.monotonic() - began)
                left = sum(max(0, of - trainer.seen[name]) for name, of in totals.items()) / speed / 60
                _tick(trainer, run, phase, {"images_per_s": speed, "minutes_left": left} | means)
                ticked, sums, steps = time.monotonic(), {}, 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, help="training set made by `python -m latent dataset` with factor columns")
    parser.add_argument("--run", required=True, type=Path, help="folder for state, log and sample sheets")
    parser.add_argument("--out", required=True, type=Path, help="checkpoint folder to write at the end")
    parser.add_argument("--start", type=Path, help="checkpoint to start from, of this resolution or half of it, ...")
    parser.add_argument("--autoencoding-kimg", type=float, default=60.0)
    parser.add_argument("--adversary-kimg", type=float, default=60.0)
    parser.add_argument("--discriminator-kimg", type=float, default=10.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for name, value in asdict(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)


def run(args: argparse.Namespace) -> int:
    settings = Settings(**{name: getattr(args, name) for name in asdict(Settings())})
    device = torch.device(args.device)
    args.run.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(settings, Portraits(args.data, settings, device), device)
    if (args.run / "state.pt").exists():
        trainer.load(args.run / "state.pt")
    elif args.start is not None:
        trainer.start_from(load_checkpoint(args.start, args.device, PARTS))
    totals = {phase: int(getattr(args, f"{phase}_kimg") * 1000) for phase in PHASES if phase != "mapping"}
    train(trainer, args.run, totals)
    provenance = {
        "source": "trained by `python -m latent warmstart` on portraits rendered from known factors",
        "licence": "as the project (GPL-3.0-or-later); no photograph of a person was used",
        "training": asdict(settings) | {"images_seen": trainer.seen, "training_images": len(trainer.data.images)},
        "start": None if args.start is None else load_checkpoint(args.start, parts=("generator",)).sha256,
        "half_precision": True,
    }
    save_checkpoint(args.out, trainer.ema_g, trainer.d.eval(), trainer.ema_e, provenance)
    checkpoint = load_checkpoint(args.out)
    print(f"{args.out}: {checkpoint.resolution} px, {checkpoint.num_ws} codes, sha256 {checkpoint.sha256[:12]}")
    return 0
