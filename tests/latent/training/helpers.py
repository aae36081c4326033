"""Small sets, small networks, and runs of the command in a process of their own."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from latent.checkpoints import save_checkpoint
from latent.errors import LatentError
from latent.stylegan2 import Discriminator, Generator
from latent.training import finetune

SIZE = 16


def discs(n: int, size: int = SIZE, seed: int = 0) -> np.ndarray:
    """uint8 (n, size, size, 3): a coloured disc somewhere on grey."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size]
    images = np.full((n, size, size, 3), 60, np.uint8)
    for image, (cx, cy), colour in zip(
        images, rng.uniform(0.3, 0.7, (n, 2)) * size, rng.integers(90, 250, (n, 3)), strict=True
    ):
        image[(x - cx) ** 2 + (y - cy) ** 2 < (size / 4) ** 2] = colour
    return images


def write_set(folder: Path, n: int = 24, size: int = SIZE, seed: int = 0) -> Path:
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", discs(n, size, seed))
    pd.DataFrame({"folder": "x", "file": [f"{seed}_{i}.png" for i in range(n)]}).to_parquet(folder / "table.parquet")
    return folder


def small_networks(
    size: int = SIZE, use_noise: bool = True, mbstd: bool = True, seed: int = 3, c_dim: int = 0
) -> tuple[Generator, Discriminator]:
    torch.manual_seed(seed)
    synthesis = {"channel_base": 128, "channel_max": 16, "use_noise": use_noise}
    generator = Generator(16, c_dim, 16, size, 3, {"num_layers": 2}, synthesis)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.1)
    epilogue = {"mbstd_group_size": 2} if mbstd else {"mbstd_num_channels": 0}
    discriminator = Discriminator(c_dim, size, 3, channel_base=128, channel_max=16, epilogue_kwargs=epilogue)
    return generator, discriminator


def write_start(folder: Path, c_dim: int = 0, with_discriminator: bool = True) -> Path:
    generator, discriminator = small_networks(c_dim=c_dim)
    config = {"source": "random weights", "licence": "none: made by a test"}
    return save_checkpoint(folder, generator, discriminator if with_discriminator else None, None, config, samples=100)


def arguments(*words: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    finetune.add_arguments(parser)
    return parser.parse_args(["--device", "cpu", "--precision", "fp32", *map(str, words)])


def forked(work: Callable[[], int]) -> int:
    """Run `work` in a forked process (torch is imported already): its exit code, or minus the signal that ended it."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
            code = work()
        except LatentError:
            code = 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def dying_after(calls: int, work: Callable[[], int]) -> Callable[[], int]:
    """`work` in a process that SIGKILLs itself at the given number of Python calls, wherever that is."""

    def run() -> int:
        left = calls

        def count(frame: object, event: str, argument: object) -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        return work()

    return run


def log_of(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def numbers(line: dict) -> dict:
    """A log line without what depends on the clock."""
    return {name: value for name, value in line.items() if name not in ("images_per_s", "seconds_left")}


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "state.pt", weights_only=True)["networks"]["g_ema"]
