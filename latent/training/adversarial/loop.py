"""Ticks: the loop around `Trainer.step`, and what it leaves on disk so that it can be stopped and killed.

A tick falls every `tick_kimg` thousand images, never by the clock: states, and so everything computed after them, do
not depend on how fast the machine was. At a tick, in this order: weights checked, state, log line, sample grid,
checkpoint (every `checkpoint_ticks`), status.
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from latent.checkpoints import save_checkpoint
from latent.errors import FinetuneError, LatentError
from latent.images import to_uint8
from latent.stylegan2 import Discriminator
from latent.training.adversarial.trainer import Trainer
from latent.training.run_folder import RunFolder

STATUS_SECONDS = 5.0
GRID_PIXELS = 768


class Stop:
    """Whether the run was asked to end: SIGTERM, SIGINT or a file RUN/stop."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder, self.signalled = folder, False

    def asked(self) -> bool:
        return self.signalled or self.folder.stop_asked()

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
        self.sums: dict[str, list[float]] = {}

    def add(self, measured: dict[str, float]) -> None:
        for name, value in measured.items():
            pair = self.sums.setdefault(name, [0.0, 0])
            pair[0], pair[1] = pair[0] + value, pair[1] + 1

    def line(self) -> dict[str, float]:
        return {name: float(f"{total / count:.5g}") for name, (total, count) in self.sums.items()}


class Loop:
    """One run from its state to its end.

    provenance: what goes into the config of each checkpoint. measure: the averaged generator's distance to the data,
    or None where none was asked for.
    """

    def __init__(
        self,
        trainer: Trainer,
        folder: RunFolder,
        provenance: dict[str, Any],
        measure: Callable[[], float] | None = None,
    ) -> None:
        self.trainer, self.folder, self.provenance, self.measure = trainer, folder, provenance, measure
        self.group, self.settings = trainer.group, trainer.settings
        self.total = math.ceil(self.settings.kimg * 1000 / self.settings.batch) * self.settings.batch
        self.tick_images = max(self.settings.batch, round(self.settings.tick_kimg * 1000))
        self.means, self.ticks = Means(), 0
        self.ticked, self.saved = 0, -1  # images seen at the last tick, and when checkpoint/ was written
        self._began, self._first = time.monotonic(), 0

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state of the folder. Raises FinetuneError where it does not fit the run."""
        try:
            self.trainer.restore(state)
            self.ticks, line = int(state["ticks"]), str(state["line"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise FinetuneError(f"The state in {self.folder.path} is of another run: choose another --run.") from error
        self.ticked = self.trainer.images
        if self.group.first:
            self.folder.start_log(self.trainer.images, line)

    def run(self, stop: Stop) -> str:
        """Train to the end or until asked to stop: 'done' or 'stopped'. Raises FinetuneError for what ends it early."""
        self._began, self._first = time.monotonic(), self.trainer.images
        self._status("running", "Training.")
        if self.trainer.images == 0:
            self._on_first(self._begin)
        heard, told = False, time.monotonic()
        while self.trainer.images < self.total and not heard:
            before = self.trainer.images
            measured = self.trainer.step()
            self._check(measured)
            self.means.add(measured)
            # All processes must leave the loop at the same step, whichever of them heard the signal.
            heard = not self.group.agree(not stop.asked())
            if self.trainer.images // self.tick_images > before // self.tick_images:
                self._tick()
            if time.monotonic() - told > STATUS_SECONDS:
                with suppress(FinetuneError):  # a full disk is the next tick's to report
                    self._status("running", "Training.")
                told = time.monotonic()
        done = self.trainer.images >= self.total
        if self.trainer.images != self.ticked:
            self._tick()
        if self.trainer.images != self.saved:
            self._on_first(lambda: self.save(self.folder.path / "checkpoint"))
        state = "done" if done else "stopped"
        self._status(state, "Training is complete." if done else "Stopped as asked; the same command goes on.")
        return state

    def _check(self, measured: dict[str, float]) -> None:
        broken = sorted(name for name, value in measured.items() if not math.isfinite(value))
        if broken:
            raise FinetuneError(
                f"{broken[0]} is no finite number after {self.trainer.images} images: the run folder keeps the last "
                "good state; start again in a new --run with a lower --learning-rate or a higher --gamma."
            )

    def _tick(self) -> None:
        """Save and report. Raises FinetuneError on every process where the first one could not."""
        if not self.trainer.finite():  # the same weights on every process
            raise FinetuneError(
                f"The weights are no finite numbers after {self.trainer.images} images: the run folder keeps the last "
                "good state; start again in a new --run with a lower --learning-rate."
            )
        self._on_first(self._write)
        self.ticks, self.means, self.ticked = self.ticks + 1, Means(), self.trainer.images

    def _on_first(self, work: Callable[[], None]) -> None:
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
        """Where the run starts from: a sample grid, and the distance if one was asked for."""
        self.folder.start_log(0, None)
        self.folder.save_samples(self._grid(), 0)
        if self.measure:
            line = json.dumps({"images": 0, "kimg": 0.0, "frechet": round(self.measure(), 5)})
            self.folder.add_to_log(line)
            print(line, flush=True)

    def _write(self) -> None:
        line = json.dumps(self._line())
        state = self.trainer.state() | {"ticks": self.ticks + 1, "line": line}
        self.folder.save_state(state)
        self.folder.add_to_log(line)
        print(line, flush=True)
        self.folder.save_samples(self._grid(), self.trainer.images)
        if (self.ticks + 1) % self.settings.checkpoint_ticks == 0:
            self.save(self.folder.path / "checkpoint")
        self._status("running", "Training.")

    def _line(self) -> dict[str, Any]:
        images, left = self.trainer.images, self._seconds_left()
        line = {
            "images": images,
            "kimg": round(images / 1000, 3),
            "images_per_s": round(self._speed(), 2),
            "seconds_left": None if left is None else round(left, 1),
        }
        line |= self.means.line()
        return line | ({"frechet": round(self.measure(), 5)} if self.measure else {})

    def _speed(self) -> float:
        return (self.trainer.images - self._first) / max(1e-9, time.monotonic() - self._began)

    def _seconds_left(self) -> float | None:
        speed = self._speed()
        return max(0, self.total - self.trainer.images) / speed if speed else None

    def _status(self, state: str, message: str) -> None:
        if self.group.first:
            self.folder.status(state, message, self.trainer.images, self.total, self._seconds_left())

    @torch.no_grad()
    def _grid(self) -> Any:
        """uint8 (side^2, R, R, 3): the averaged generator on the same codes at every tick, without truncation."""
        trainer = self.trainer
        side = max(2, min(6, GRID_PIXELS // self.settings.resolution))
        z = torch.randn(side**2, trainer.g.z_dim, generator=trainer.streams.generator("grid"))
        images = [trainer.g_ema(part.to(trainer.device), noise_mode="const") for part in z.split(8)]
        return to_uint8(torch.cat(images))

    def save(self, path: Path) -> None:
        """The averaged generator and the discriminator as a checkpoint; a projected critic is not kept in one.

        Raises CheckpointError.
        """
        training = self.provenance["training"] | {"images_seen": self.trainer.images}
        self.saved = self.trainer.images
        discriminator = self.trainer.d if isinstance(self.trainer.d, Discriminator) else None
        save_checkpoint(path, self.trainer.g_ema, discriminator, None, self.provenance | {"training": training})
