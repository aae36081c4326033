"""`python -m latent finetune`: train a generator on portraits, from a checkpoint or from scratch.

--method adversarial (the default) trains it against a discriminator, as published: many photos, a graphics card.
--method reconstruction trains it to reproduce the portraits, read by the start's encoder: few photos, no graphics card,
and the result has an encoder. The run folder (--run) holds everything: settings.json, status.json, log.jsonl (one line
per tick), samples/ and the state from which the same command resumes after a stop, a kill or a full disk. Flags that
are left out are chosen from resolution and hardware, and a resumed run keeps its settings. Several processes
(adversarial only): `torchrun --nproc-per-node=N -m -- latent finetune ...` (the dashes: torchrun would take --start for
its own).
"""

import argparse
import sys
from types import ModuleType
from typing import Any

import torch

from common.command import STOPPED, folder_argument
from latent.checkpoint_config import check_name, read_config
from latent.errors import FinetuneError, LatentError
from latent.training.adversarial import run as adversarial
from latent.training.adversarial.settings import NAMES as ADVERSARIAL_NAMES
from latent.training.adversarial.settings import PRECISIONS
from latent.training.distributed import Group
from latent.training.inputs import check_out, data_facts
from latent.training.loop import Loop, Stop
from latent.training.reconstruction import run as reconstruction
from latent.training.reconstruction.settings import NAMES as RECONSTRUCTION_NAMES
from latent.training.run_folder import (
    ADVERSARIAL,
    METHODS,
    RECONSTRUCTION,
    SETTINGS,
    STATUS,
    RunFolder,
    method_of,
    read_json,
)

MODULES: dict[str, ModuleType] = {ADVERSARIAL: adversarial, RECONSTRUCTION: reconstruction}
NAMES = {
    ADVERSARIAL: frozenset(ADVERSARIAL_NAMES),
    RECONSTRUCTION: frozenset((*RECONSTRUCTION_NAMES, *reconstruction.PLAN_NAMES)),
}
LESS_MEMORY = {ADVERSARIAL: "--micro-batch", RECONSTRUCTION: "--batch"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("data", type=folder_argument, help="training set made by `python -m latent dataset`")
    add("--run", required=True, type=folder_argument, help="folder of this run; the same command resumes from it")
    add("--method", choices=METHODS, help="that of the run in the folder, else adversarial")
    start = "checkpoint folder to start from; without it from scratch. Reconstruction: with an encoder trained here"
    add("--start", type=folder_argument, help=start)
    add("--out", type=folder_argument, help="checkpoint folder to write at the end")
    add("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    add("--resolution", type=int, help="pixels on a side; that of the start checkpoint or the data")
    add("--batch", type=int, help="images per step, over all processes")
    add("--learning-rate", type=float, help="of both networks; reconstruction: of the generator in its first phase")
    add("--ema-kimg", type=float, help="half-life of the averaged generator in thousand images")
    add("--precision", choices=PRECISIONS, help="of convolutions; auto: bf16 where the hardware multiplies it")
    add("--channel-base", type=int, help="channels at resolution r are min(base / r, max); those of the start")
    add("--channel-max", type=int)
    add("--tick-kimg", type=float, help="thousand images between ticks (1 on a CPU, else 4)")
    add("--frechet", type=int, metavar="N", help="at ticks, Fréchet distance of N samples on face descriptors")
    add("--seed", type=int)
    for method, module in MODULES.items():
        module.add_flags(parser.add_argument_group(f"--method {method}"))


def run(args: argparse.Namespace) -> int:
    """0: done; 130: stopped as asked. Raises LatentError in the first process; the others return 1."""
    if args.out is not None:
        check_name(args.out.name)
    if args.device == "cuda" and not torch.cuda.is_available():
        raise FinetuneError("There is no CUDA device here: leave --device out or use --device cpu.")
    settings = args.run / SETTINGS
    method: str = args.method or (method_of(read_json(settings)) if settings.exists() else ADVERSARIAL)
    if method == RECONSTRUCTION and args.out is None:
        raise FinetuneError("--method reconstruction needs --out, the checkpoint folder to write at the end.")
    given = _given(args, method)
    group, folder = Group(args.device), RunFolder(args.run)
    try:
        return _guarded(args, method, given, group, folder)
    except LatentError:
        if group.first:
            raise
        return 1
    finally:
        folder.release()
        group.close()


def _given(args: argparse.Namespace, method: str) -> dict[str, Any]:
    """The method's settings among the arguments. Raises FinetuneError for a flag of the other method."""
    given = {name: value for name, value in vars(args).items() if value is not None}
    for other, names in NAMES.items():
        if foreign := sorted((names - NAMES[method]) & given.keys()):
            flag = foreign[0].replace("_", "-")
            raise FinetuneError(f"--{flag} is a flag of --method {other}, and this run is of --method {method}.")
    return {name: value for name, value in given.items() if name in NAMES[method]}


def _guarded(args: argparse.Namespace, method: str, given: dict[str, Any], group: Group, folder: RunFolder) -> int:
    """The run, with status.json saying how it ended."""
    loop: Loop | None = None
    try:
        stop = Stop(folder)
        with stop.listening():
            loop = _loop(args, method, given, group, folder)
            state = loop.run(stop, args.out)
    except (LatentError, MemoryError, torch.OutOfMemoryError) as error:
        less = f"{args.device} has too little memory for this: start a new --run with a lower {LESS_MEMORY[method]}."
        refusal = error if isinstance(error, LatentError) else FinetuneError(less)
        # A command that was refused says nothing about the run that the folder already holds.
        if group.first and folder.held and (loop or not (folder.path / STATUS).exists()):
            images, total = (loop.trainer.images, loop.trainer.total) if loop else (0, 1)
            try:
                folder.status("failed", str(refusal), images, max(1, total), None)
            except FinetuneError:
                print("status.json could not be written either.", file=sys.stderr)
        if refusal is error:
            raise
        raise refusal from error
    if group.first:
        where = f"; checkpoint {args.out or folder.path / 'checkpoint'}" if state == "done" else ""
        print(f"{state}: {loop.trainer.images} images seen{where}")
    # A launcher of several processes takes any other code for a failure.
    return STOPPED if state == "stopped" and group.size == 1 else 0


def _loop(args: argparse.Namespace, method: str, given: dict[str, Any], group: Group, folder: RunFolder) -> Loop:
    """The first process makes or checks settings.json; then every process reads it and builds its networks.

    Where they cannot be built, a new run leaves no settings.json.
    """
    module, path = MODULES[method], folder.path / SETTINGS
    problem: LatentError | None = None
    new = False
    if group.first:
        try:
            check_out(args.out, folder)
            data_facts(args.data)
            if args.start is not None:
                read_config(args.start)
            folder.lock()
            plan, words = module.open_plan(given, args.data, args.start, args.device, group.size, folder)
            new = not path.exists()
            plan.write(path)
            print("\n".join(words), file=sys.stderr)
        except LatentError as error:
            problem = error
    if not group.agree(problem is None):
        raise problem or FinetuneError("The first process could not start the run.")
    try:
        loop: Loop = module.start_loop(module.Plan.read(path), args.data, group, folder)
    except LatentError:
        if new:
            path.unlink(missing_ok=True)
        raise
    return loop
