"""`python -m latent finetune`: train a generator against a discriminator, from a checkpoint or from scratch.

The run folder (--run) holds everything: settings.json, status.json, log.jsonl (a line a tick), samples/, checkpoint/
and the state from which the same command goes on after a stop, a kill or a full disk. Flags that are left out are
chosen from resolution and hardware, and a run that goes on keeps its own. Several processes:
`torchrun --nproc-per-node=N -m -- latent finetune ...` (the dashes: torchrun would read --start as one of its own).
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import torch

from common.command import STOPPED, folder_argument
from latent.checkpoint_config import check_name
from latent.errors import FinetuneError, LatentError
from latent.stylegan2.augment.settings import PRESETS
from latent.training.adversarial.distributed import Group
from latent.training.adversarial.loop import Loop, Stop
from latent.training.adversarial.run import Plan, check_inputs, check_out, open_plan, start_loop
from latent.training.adversarial.settings import AUGMENTATIONS, CRITICS, NAMES, PRECISIONS
from latent.training.run_folder import SETTINGS, STATUS, RunFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("data", type=folder_argument, help="training set made by `python -m latent dataset`")
    add("--run", required=True, type=folder_argument, help="folder of this run; the same command goes on from it")
    add(
        "--start",
        type=folder_argument,
        help="checkpoint folder to start from, of any resolution; without it from scratch",
    )
    add("--out", type=folder_argument, help="checkpoint folder to write at the end")
    add("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    add("--resolution", type=int, help="pixels on a side; that of the start checkpoint or the data")
    add("--kimg", type=float, help="length of the run in thousand images (16 on a CPU, else 1000)")
    add("--batch", type=int, help="images a step over all processes")
    add("--micro-batch", type=int, help="images a forward pass; less memory, same batch")
    add("--learning-rate", type=float)
    add("--gamma", type=float, help="weight of R1; 0: none")
    add("--ema-kimg", type=float, help="half-life of the averaged generator in thousand images")
    add(
        "--ema-rampup",
        type=float,
        help="half-life as a share of the images seen, at most (0.05 from scratch; 0: no limit)",
    )
    add("--g-rate", type=float, help="the generator's learning rate as a share of --learning-rate (1)")
    add("--g-rampup-kimg", type=float, help="thousand images over which the generator's learning rate rises")
    add("--mbstd", type=int, help="group of the minibatch standard deviation; 0: none")
    add("--r1-every", type=int, help="steps between R1 passes (16)")
    add("--pl-every", type=int, help="steps between path-length passes (4)")
    add("--pl-weight", type=float, help="weight of path-length regularisation (2); 0: none")
    add("--mixing", type=float, help="share of style-mixed samples (0.9)")
    add("--mirror", action="store_const", const=True, help="mirror half of the real images")
    add(
        "--fit-mapping",
        action="store_const",
        const=True,
        help="first give the mapping network the distribution of the data's codes, read by the start's encoder",
    )
    add("--freeze-d", type=int, help="convolutions of the discriminator that stay as they are, from the image side")
    add(
        "--critic",
        choices=CRITICS,
        help="opponent: StyleGAN2's discriminator (default), or one on frozen features, which needs far fewer images",
    )
    add("--augment", choices=AUGMENTATIONS, help="adaptive (default), of fixed strength, or none")
    add("--augpipe", choices=sorted(PRESETS), help="what the augmentation may do (bgc)")
    add("--target", type=float, help="E[sign D(real)] that adaptive augmentation holds (0.6)")
    add("--ada-kimg", type=float, help="thousand images in which the strength may go from 0 to 1")
    add("--p", type=float, help="strength of fixed augmentation, or where adaptive starts (0)")
    add("--precision", choices=PRECISIONS, help="of convolutions; auto: bf16 where the hardware multiplies it")
    add("--channel-base", type=int, help="channels at resolution r are min(base / r, max); those of the start")
    add("--channel-max", type=int)
    add("--tick-kimg", type=float, help="thousand images between ticks (1 on a CPU, else 4)")
    add("--checkpoint-ticks", type=int, help="ticks between checkpoints (4)")
    add("--frechet", type=int, metavar="N", help="at ticks, Frechet distance of N samples on face descriptors")
    add("--seed", type=int)


def run(args: argparse.Namespace) -> int:
    """0: done; 130: stopped as asked. Raises LatentError in the first process; the others return 1."""
    if args.out is not None:
        check_name(args.out.name)
    if args.device == "cuda" and not torch.cuda.is_available():
        raise FinetuneError("There is no CUDA device here: leave --device out or say --device cpu.")
    group = Group(args.device)
    folder = RunFolder(args.run)
    try:
        return _guarded(args, group, folder)
    except LatentError:
        if group.first:
            raise
        return 1
    finally:
        folder.release()
        group.close()


def _guarded(args: argparse.Namespace, group: Group, folder: RunFolder) -> int:
    """The run, with status.json telling how it ended."""
    loop: Loop | None = None
    try:
        stop = Stop(folder)
        with stop.listening():
            plan = _plan(args, group, folder)
            loop = start_loop(plan, args.data, group, folder)
            state = loop.run(stop)
            if state == "done" and args.out is not None and group.first:
                loop.save(args.out)
    except (LatentError, MemoryError, torch.OutOfMemoryError) as error:
        told = error if isinstance(error, LatentError) else _out_of_memory(args)
        # A command that was refused says nothing about the run that the folder already holds.
        if group.first and folder.held and (loop or not (folder.path / STATUS).exists()):
            images, total = (loop.trainer.images, loop.total) if loop else (0, 1)
            try:
                folder.status("failed", str(told), images, total, None)
            except FinetuneError:
                print("status.json could not be written either.", file=sys.stderr)
        if told is error:
            raise
        raise told from error
    if group.first:
        where = args.out if state == "done" and args.out is not None else folder.path / "checkpoint"
        print(f"{state}: {loop.trainer.images} images seen; checkpoint {where}")
    # A launcher of several processes takes any other code for a failure.
    return STOPPED if state == "stopped" and group.size == 1 else 0


def _out_of_memory(args: argparse.Namespace) -> FinetuneError:
    return FinetuneError(
        f"The memory of {args.device} does not hold this: start a new --run with a lower --micro-batch."
    )


def _plan(args: argparse.Namespace, group: Group, folder: RunFolder) -> Plan:
    """The first process makes or checks settings.json; then every process reads it."""
    given: dict[str, Any] = {name: getattr(args, name) for name in NAMES if hasattr(args, name)}
    problem: LatentError | None = None
    if group.first:
        try:
            check_out(args.out, folder)
            check_inputs(args.data, args.start)
            folder.lock()
            plan, words = open_plan(given, args.data, args.start, args.device, group.size, folder)
            plan.write(folder.path / SETTINGS)
            print("\n".join(words), file=sys.stderr)
        except LatentError as error:
            problem = error
    if not group.agree(problem is None):
        raise problem or FinetuneError("The first process could not start the run.")
    return Plan.read(folder.path / SETTINGS)
