"""The loop around a trainer: ticks, stops, and what it leaves on disk so that a run can be watched, stopped and killed.

A tick falls every so many images, at the end of a stage and at the end of the run, never by the clock: states, and so
everything computed after them, do not depend on how fast the machine was. At a tick, in this order: losses and weights
checked, state, log line, pictures, checkpoint, status.
"""

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from latent.errors import FinetuneError, LatentError
from latent.evaluation.features import face_descriptors
from latent.evaluation.metrics import Moments, frechet
from latent.training.distributed import Group
from latent.training.inputs import FEWEST_SAMPLES
from latent.training.run_folder import RunFolder
from latent.training.streams import Streams

STATUS_SECONDS = 5.0
GRID_PIXELS = 768


class Trainer(Protocol):
    """What a method of training offers to the loop.

    images: seen so far, total: of the whole run. stage: what comes next where a run has several stages, else "".
    """

    @property
    def images(self) -> int: ...

    @property
    def total(self) -> int: ...

    @property
    def stage(self) -> str: ...

    def step(self) -> Mapping[str, Tensor | float]:
        """One step; what it measured, the same on every process. Tensors may stay on the device."""

    def state(self) -> dict[str, Any]:
        """Tensors and plain values from which the run resumes bit for bit."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from `state()`. Raises KeyError, TypeError, ValueError or RuntimeError for one of other networks."""

    def finite(self) -> bool:
        """Whether every weight is a finite number."""

    def draw(self, purpose: str, n: int) -> np.ndarray:
        """Samples uint8 (n, R, R, 3) of the averaged generator without truncation; always those of the same latents."""


class Stop:
    """Whether the run was asked to end: SIGTERM, SIGINT or a file RUN/stop."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder, self.signalled = folder, False

    def asked(self) -> bool:
        return self.signalled or (self.folder.path / "stop").exists()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Signals set the flag inside (where this is the main thread; elsewhere the file alone stops the run)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, frame: object) -> None:
            self.signalled = True

        before = {kind: signal.signal(kind, note) for kind in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)


class Means:
    """Means of what the steps of a tick measured; each name over the steps in which it appeared."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor | float] = {}
        self.counts: dict[str, int] = {}

    def add(self, measured: Mapping[str, Tensor | float]) -> None:
        for name, value in measured.items():
            self.sums[name] = value + self.sums.get(name, 0.0)
            self.counts[name] = self.counts.get(name, 0) + 1

    def line(self) -> dict[str, float]:
        """To five digits; here the device is waited for."""
        return {name: float(f"{float(total) / self.counts[name]:.5g}") for name, total in self.sums.items()}


class Loop:
    """One run from its state to its end.

    save: writes the checkpoint to a folder. tick_images: images between ticks; checkpoint_ticks: ticks between
    checkpoints in the run folder, 0 for none there. measure: distance of samples to the training images, None where
    none was asked for. sheet: a picture of reconstructions uint8 (H, W, 3), None where there are none.
    """

    def __init__(
        self,
        trainer: Trainer,
        folder: RunFolder,
        group: Group,
        save: Callable[[Path], object],
        resolution: int,
        tick_images: int,
        checkpoint_ticks: int = 0,
        measure: Callable[[], float] | None = None,
        keep: Callable[[str, float], object] | None = None,
        sheet: Callable[[], np.ndarray] | None = None,
    ) -> None:
        self.trainer, self.folder, self.group = trainer, folder, group
        self._save, self.measure, self.keep, self.sheet = save, measure, keep, sheet
        self.tick_images, self.checkpoint_ticks = tick_images, checkpoint_ticks
        self.samples = max(2, min(6, GRID_PIXELS // resolution)) ** 2
        self.means, self.ticks = Means(), 0
        self.saved = -1  # images seen when checkpoint/ was written
        self._began, self._first = time.monotonic(), 0

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from a state of the folder. Raises FinetuneError where it does not fit the run."""
        try:
            self.trainer.restore(state)
            self.ticks, line = int(state["ticks"]), str(state["line"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise FinetuneError(f"The state in {self.folder.path} is of another run: choose another --run.") from error
        if self.group.first:
            self.folder.start_log(self.trainer.images, line)

    def run(self, stop: Stop, out: Path | None = None) -> str:
        """Train to the end, and write the checkpoint to `out`, or until asked to stop: 'done' or 'stopped'.

        Raises LatentError for what ends it early.
        """
        trainer = self.trainer
        self._began, self._first = time.monotonic(), trainer.images
        self._status("running", "Training.")
        if trainer.images == 0:
            self._on_first(self._begin)
        asked, reported = False, time.monotonic()
        while trainer.images < trainer.total and not asked:
            before, stage = trainer.images, trainer.stage
            self.means.add(trainer.step())
            # All processes must leave the loop at the same step, whichever of them received the signal.
            asked = not self.group.agree(not stop.asked())
            ticks = trainer.images // self.tick_images > before // self.tick_images
            if ticks or asked or trainer.stage != stage or trainer.images >= trainer.total:
                self._tick(stage)
            if time.monotonic() - reported > STATUS_SECONDS:
                with suppress(FinetuneError):  # a full disk is the next tick's to report
                    self._status("running", "Training.")
                reported = time.monotonic()
        if self.checkpoint_ticks and trainer.images != self.saved:
            self._on_first(self._checkpoint)
        if trainer.images < trainer.total:
            self._status("stopped", "Stopped as asked; the same command resumes the run.")
            return "stopped"
        if out is not None:
            self._status("running", "Writing the checkpoint.")
            self._on_first(lambda: self._save(out))
        self._status("done", "Training is complete.")
        return "done"

    def _tick(self, stage: str) -> None:
        """Save and report. Raises FinetuneError on every process where the first one could not."""
        means = self.means.line()  # the same on every process
        broken = sorted(name for name, value in means.items() if not math.isfinite(value))
        if broken or not self.trainer.finite():
            what = f"{broken[0]} is not a finite number" if broken else "The weights are not finite numbers"
            raise FinetuneError(
                f"{what} after {self.trainer.images} images: the run folder keeps the last good state; start again in "
                "a new --run with lower learning rates, or with --precision fp32."
            )
        self._on_first(lambda: self._write(stage, means))
        self.ticks, self.means = self.ticks + 1, Means()

    def _on_first(self, work: Callable[[], object]) -> None:
        """Do what only the first process does; where it fails, every process raises."""
        problem: LatentError | None = None
        if self.group.first:
            try:
                work()
            except LatentError as error:
                problem = error
        if not self.group.agree(problem is None):
            raise problem or FinetuneError("The first process stopped the run.")

    def _begin(self) -> None:
        """Where the run starts from: pictures, and the distance if one was asked for."""
        self.folder.start_log(0, None)
        if self.trainer.total:
            self._pictures()
            if self.measure:
                self._log(json.dumps({"images": 0, "kimg": 0.0} | self._distance()))

    def _write(self, stage: str, means: dict[str, float]) -> None:
        images, left = self.trainer.images, self._seconds_left()
        line: dict[str, Any] = {"phase": stage} if stage else {}
        line |= {"images": images, "kimg": round(images / 1000, 3), "images_per_s": round(self._speed(), 2)}
        distance = self._distance()
        if self.keep and distance:
            self.keep(stage, distance["frechet"])
        line |= {"seconds_left": None if left is None else round(left, 1), **means, **distance}
        text = json.dumps(line)
        self.folder.save_state(self.trainer.state() | {"images": images, "ticks": self.ticks + 1, "line": text})
        self._log(text)
        self._pictures()
        if self.checkpoint_ticks and (self.ticks + 1) % self.checkpoint_ticks == 0:
            self._checkpoint()
        self._status("running", "Training.")

    def _log(self, line: str) -> None:
        self.folder.add_to_log(line)
        print(line, flush=True)

    def _distance(self) -> dict[str, float]:
        return {"frechet": round(self.measure(), 5)} if self.measure else {}

    def _pictures(self) -> None:
        self.folder.save_samples(self.trainer.draw("grid", self.samples), self.trainer.images)
        if self.sheet is not None:
            self.folder.save_picture("reconstructions", self.sheet(), self.trainer.images)

    def _checkpoint(self) -> None:
        self._save(self.folder.path / "checkpoint")
        self.saved = self.trainer.images

    def _speed(self) -> float:
        return (self.trainer.images - self._first) / max(1e-9, time.monotonic() - self._began)

    def _seconds_left(self) -> float | None:
        speed, left = self._speed(), max(0, self.trainer.total - self.trainer.images)
        return left / speed if speed else (None if left else 0.0)

    def _status(self, state: str, message: str) -> None:
        if self.group.first:
            total = max(1, self.trainer.total)
            self.folder.status(state, message, self.trainer.images, total, self._seconds_left())


def descriptor_distance(
    trainer: Trainer, count: int, images: Callable[[Tensor], np.ndarray], n: int, seed: int, device: torch.device
) -> Callable[[], float]:
    """What measures the Fréchet distance of n samples to as many of the `count` images on face descriptors:
    always the same images and latents, so that ticks can be compared.

    images: uint8 (n, R, R, 3) of rows (n,). Raises FinetuneError where there are too few.
    """
    n = min(n, count)
    if n < FEWEST_SAMPLES:
        raise FinetuneError(f"--frechet needs at least {FEWEST_SAMPLES} images to compare with; this set has {count}.")
    rows = torch.randperm(count, generator=Streams(seed).generator("frechet images"))[:n].sort().values
    reference = Moments.of(face_descriptors(images(rows), device))
    return lambda: frechet(reference, face_descriptors(trainer.draw("frechet latents", n), device))
