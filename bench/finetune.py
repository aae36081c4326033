"""`python -m bench finetune`: images a second of our training loop against the plain one, same networks, in turns.

The baseline is the objective as the papers state it, before lazy regularisation: R1 and path lengths at every step,
float32, planar (NCHW) memory. Both show the same real images, augmented with the same strength. A turn of ours is a
whole period of 16 steps (one R1 pass, four of path lengths), so that every pass is in its mean.
Options: `--resolution 64 --batch 16 --rounds 3 --device cpu`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from bench.parts.common import print_table
from common.command import Parser
from latent.training.adversarial.networks import build, layout
from latent.training.adversarial.settings import Settings, automatic
from latent.training.adversarial.trainer import Trainer
from latent.training.distributed import Group

BASELINE_STEPS = 4
AGREEMENT = 0.05  # relative, of the first step's losses: bf16 against float32
IMAGES = 256


class Planar(TorchFunctionMode):
    """Inside, no tensor is put into channels_last memory."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("memory_format") == torch.channels_last:
            kwargs["memory_format"] = torch.contiguous_format
        return func(*args, **kwargs)


class TimedLoop:
    """A trainer, the steps of its turn, and the seconds that they took."""

    def __init__(self, settings: Settings, group: Group, steps: int, planar: bool) -> None:
        self.steps, self.planar, self.seconds = steps, planar, list[float]()
        generator, discriminator = build(layout(settings, None), 0)
        if planar:
            for parameter in [*generator.parameters(), *discriminator.parameters()]:
                parameter.data = parameter.data.contiguous()
        shape = (IMAGES, settings.resolution, settings.resolution, 3)
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        self.trainer = Trainer(settings, generator, discriminator, images, group)
        self.first = self._step()  # first calls allocate and choose kernels

    def _step(self) -> dict[str, float]:
        with Planar() if self.planar else nullcontext():
            return self.trainer.step()

    def turn(self) -> None:
        start = time.perf_counter()
        for _ in range(self.steps):
            self._step()
        self.seconds.append(time.perf_counter() - start)

    def images_per_second(self) -> float:
        return self.steps * self.trainer.settings.batch / statistics.median(self.seconds)


def run(arguments: Sequence[str] = ()) -> dict[str, Any]:
    """Print the table; the numbers as a dict. Raises RuntimeError where the two do not train the same thing."""
    parser = Parser(prog="python -m bench finetune")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(list(arguments))
    group = Group(options.device)
    given = {"batch": options.batch, "augment": "fixed", "p": 0.2}
    settings = automatic(given, options.resolution, options.device, 1, from_start=False)
    exact = replace(settings, precision="fp32")
    period = settings.r1_every
    loops = {
        f"ours, {settings.precision}": TimedLoop(settings, group, period, planar=False),
        "ours, fp32": TimedLoop(exact, group, period, planar=False),
        "baseline": TimedLoop(replace(exact, r1_every=1, pl_every=1), group, BASELINE_STEPS, planar=True),
    }
    if settings.precision == "fp32":
        del loops["ours, fp32"]
    for name in ("loss_g", "loss_d"):  # the others are measured after updates that differ
        values = [loop.first[name] for loop in loops.values()]
        if max(values) - min(values) > AGREEMENT * (abs(values[-1]) + 1e-3):
            raise RuntimeError(f"the loops disagree about {name} at the first step: {values}")
    for turn in range(options.rounds):
        for loop in list(loops.values())[:: 1 if turn % 2 == 0 else -1]:
            loop.turn()
    base = loops["baseline"].images_per_second()
    rows = [
        {"loop": name, "images/s": loop.images_per_second(), "times faster": loop.images_per_second() / base}
        for name, loop in loops.items()
    ]
    title = f"Training at {options.resolution} px, batch {settings.batch}, {options.device}, {options.rounds} rounds"
    print_table(rows, title)
    return {"resolution": options.resolution, "batch": settings.batch, "rounds": options.rounds, "rows": rows}
