"""`python -m latent warmstart`: train, or fine-tune from --start, by reconstructions and a projected critic.

The run folder (--run) keeps what `finetune` keeps (`latent/training/run_folder.py`), so that a run can be watched,
stopped and gone on with in the same way.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.command import STOPPED, folder_argument
from latent.checkpoint_config import check_name
from latent.checkpoints import load_checkpoint
from latent.errors import FinetuneError, LatentError
from latent.images import to_uint8
from latent.training.adversarial.loop import Stop
from latent.training.adversarial.run import FEWEST_IMAGES, check_inputs, check_out, distance_to
from latent.training.reconstruction.data import Portraits
from latent.training.reconstruction.loop import Loop
from latent.training.reconstruction.plan import FEWEST_SAMPLES, Plan, open_plan, unchanged
from latent.training.reconstruction.settings import NAMES, PRECISIONS, TRAINED, Settings
from latent.training.reconstruction.trainer import Trainer
from latent.training.run_folder import SETTINGS, STATUS, RunFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "data",
        type=folder_argument,
        help="training set made by `python -m latent dataset`, with factor columns or without",
    )
    add("--run", required=True, type=folder_argument, help="folder of this run; the same command goes on from it")
    add("--out", required=True, type=folder_argument, help="checkpoint folder to write at the end")
    add(
        "--start",
        type=folder_argument,
        help="checkpoint to start from, with our encoder, of this resolution, half of it, ...",
    )
    add("--autoencoding-kimg", type=float, help="thousand images of phase 1 (60; 0 from a start of the same size)")
    add("--adversary-kimg", type=float, help="thousand images of phase 2 (60; 6 from a start on a CPU)")
    add("--discriminator-kimg", type=float, help="of phase 4 (10; from a start a sixth of phase 2, at least 1)")
    add("--frechet", type=int, metavar="N", help="at ticks, Frechet distance of N samples on face descriptors")
    add("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    taken = ("resolution", "channel_base", "channel_max", "z_dim", "w_dim", "encoder_width")
    for name, value in asdict(Settings()).items():
        flag, usual = f"--{name.replace('_', '-')}", f"{value}, or as the start" if name in taken else f"{value}"
        if name == "precision":
            add(flag, choices=("auto", *PRECISIONS), help="auto: bf16 where the hardware multiplies it")
        else:
            add(flag, type=type(value), help=usual)


def run(args: argparse.Namespace) -> int:
    """0: done; 130: stopped as asked. Raises LatentError."""
    check_name(args.out.name)
    if args.device == "cuda" and not torch.cuda.is_available():
        raise FinetuneError("There is no CUDA device here: leave --device out or say --device cpu.")
    folder = RunFolder(args.run)
    try:
        return _guarded(args, folder)
    finally:
        folder.release()


def _guarded(args: argparse.Namespace, folder: RunFolder) -> int:
    """The run, with status.json telling how it ended."""
    loop: Loop | None = None
    try:
        stop = Stop(folder)
        with stop.listening():
            check_out(args.out, folder)
            check_inputs(args.data, args.start)
            folder.lock()
            given: dict[str, Any] = {name: getattr(args, name) for name in NAMES}
            kimg = {phase: getattr(args, f"{phase}_kimg") for phase in TRAINED}
            plan = open_plan(given, kimg, args.frechet, args.data, args.start, args.device, folder)
            loop = _loop(plan, args.data, torch.device(args.device), folder)
            state = loop.run(stop)
            if state == "done":
                loop.finish(args.out)
    except (LatentError, MemoryError, torch.OutOfMemoryError) as error:
        told = error if isinstance(error, LatentError) else _out_of_memory(args)
        # A command that was refused says nothing about the run that the folder already holds.
        if folder.held and (loop or not (folder.path / STATUS).exists()):
            images, total = (loop.images, loop.total) if loop else (0, 1)
            try:
                folder.status("failed", str(told), images, max(1, total), None)
            except FinetuneError:
                print("status.json could not be written either.", file=sys.stderr)
        if told is error:
            raise
        raise told from error
    if state == "done":
        made = load_checkpoint(args.out, parts=("generator",))
        print(f"{args.out}: {made.resolution} px, {made.num_ws} codes, sha256 {made.sha256[:12]}")
    else:
        print(f"{state}: {loop.images} images seen; the same command resumes it")
    return 0 if state == "done" else STOPPED


def _out_of_memory(args: argparse.Namespace) -> FinetuneError:
    return FinetuneError(f"The memory of {args.device} does not hold this: start a new --run with a lower --batch.")


def _loop(plan: Plan, data: Path, device: torch.device, folder: RunFolder) -> Loop:
    """Networks, trainer and loop of a plan, at the newest state of the folder. Raises LatentError.

    settings.json of a new run is written when start and set fit each other.
    """
    portraits = Portraits(data, plan.settings, device)
    if len(portraits.images) < FEWEST_IMAGES:
        raise FinetuneError(
            f"{data} has {len(portraits.images)} images to train on; at least {FEWEST_IMAGES} are needed."
        )
    trainer = Trainer(plan.settings, portraits, device, plan.generator)
    state = folder.load_state(device)
    if state is None and (source := unchanged(plan)) is not None:
        trainer.start_from(source)
    plan.write(folder.path / SETTINGS)
    loop = Loop(trainer, folder, plan, _distance(trainer, plan.frechet) if plan.frechet else None)
    if state is not None:
        loop.restore(state)
    return loop


def _distance(trainer: Trainer, samples: int) -> Any:
    """Measures the distance of samples to as many portraits, always the same ones and the same latents."""
    data, rng = trainer.data, torch.Generator().manual_seed(trainer.s.seed + 1)
    n = min(samples, len(data.images))
    if n < FEWEST_SAMPLES:
        raise FinetuneError(f"--frechet needs at least {FEWEST_SAMPLES} images to train on; this set has {n}.")
    rows = torch.randperm(len(data.images), generator=rng)[:n].sort().values
    images = np.ascontiguousarray(data.images[rows.to(data.images.device)].permute(0, 2, 3, 1).cpu().numpy())
    z = torch.randn(n, trainer.s.w_dim, generator=rng)
    return distance_to(images, lambda: to_uint8(trainer.draw(z)), trainer.device)
