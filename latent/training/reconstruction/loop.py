"""Phases in order, and what they leave on disk so that a run can be watched, stopped and killed.

A tick falls every TICK_SECONDS, at the end of a phase and at a stop. At a tick, in this order: losses and weights
checked, state, log line, samples, reconstructions, status. What steps measure stays on the device until then, for
reading it would hold up the queue.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from latent.checkpoints import save_checkpoint
from latent.errors import FinetuneError
from latent.images import to_uint8
from latent.training.adversarial.loop import GRID_PIXELS, STATUS_SECONDS, Stop
from latent.training.reconstruction.plan import Plan, provenance
from latent.training.reconstruction.settings import TRAINED
from latent.training.reconstruction.trainer import Trainer
from latent.training.run_folder import RunFolder, write_whole

TICK_SECONDS = 90.0
COLUMNS = 12  # portraits on the sheet of reconstructions
WORDS = {
    "autoencoding": "Learning to reproduce the portraits.",
    "adversary": "Sharpening against the critic.",
    "discriminator": "Training a discriminator.",
}
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 92]


class Loop:
    """One run from its state to its end. measure: distance of samples to the portraits, None where not asked for."""

    def __init__(
        self, trainer: Trainer, folder: RunFolder, plan: Plan, measure: Callable[[], float] | None = None
    ) -> None:
        self.trainer, self.folder, self.plan, self.measure = trainer, folder, plan, measure
        self._began, self._first = time.monotonic(), 0
        self._forget()

    @property
    def images(self) -> int:
        return self.trainer.images_seen

    @property
    def total(self) -> int:
        """Images of the whole run."""
        return sum(max(of, self.trainer.seen[phase]) for phase, of in self.plan.totals.items())

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the folder. Raises FinetuneError where it does not fit the run."""
        try:
            self.trainer.restore(state)
            line = str(state["line"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise FinetuneError(f"The state in {self.folder.path} is of another run: choose another --run.") from error
        self.folder.start_log(self.images, line)

    def run(self, stop: Stop) -> str:
        """Train to the end or until asked to stop: 'done' or 'stopped'. Raises LatentError for what ends it early."""
        self._began, self._first = time.monotonic(), self.images
        if self.images == 0:
            self._begin()
        for phase in TRAINED:
            if phase == "discriminator" and self.images and not self.trainer.seen["mapping"]:
                self.trainer.fit_mapping()
            if not self._through(phase, stop) and self.images < self.total:
                self._status("stopped", "Stopped as asked; the same command goes on.")
                return "stopped"
        return "done"

    def finish(self, out: Path) -> None:
        """Write the checkpoint. Raises CheckpointError."""
        t = self.trainer
        self._status("running", "Writing the checkpoint.")
        config = provenance(self.plan, self.folder, t.seen, len(t.data.images))
        save_checkpoint(out, t.ema_g, t.d.eval(), t.ema_e, config)
        self._status("done", "Training is complete.")

    def _through(self, phase: str, stop: Stop) -> bool:
        """Train one phase to its end; False where the run was asked to stop before."""
        seen, total = self.trainer.seen, self.plan.totals[phase]
        if seen[phase] < total:
            self._status("running", WORDS[phase])
        ticked = told = time.monotonic()
        while seen[phase] < total:
            self._add(self.trainer.step(phase, seen[phase] / total))
            heard, now = stop.asked(), time.monotonic()
            if heard or seen[phase] >= total or now - ticked > TICK_SECONDS:
                self._tick(phase)
                ticked = told = time.monotonic()
            elif now - told > STATUS_SECONDS:
                with suppress(FinetuneError):  # a full disk is the next tick's to report
                    self._status("running", WORDS[phase])
                told = now
            if heard:
                return False
        return not stop.asked()

    def _forget(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._steps = 0

    def _add(self, measured: Mapping[str, Tensor]) -> None:
        for name, value in measured.items():
            self._sums[name] = value + self._sums.get(name, 0.0)
        self._steps += 1

    def _tick(self, phase: str) -> None:
        means = {name: float(f"{float(value) / self._steps:.5g}") for name, value in self._sums.items()}
        self._forget()
        if not all(map(math.isfinite, means.values())) or not self.trainer.finite():
            raise FinetuneError(
                f"A loss or weight is not a number after {self.images} images: the run folder keeps the last good "
                "state; start again in a new --run with lower rates, or with --precision fp32."
            )
        if not self.trainer.data.targets.shape[1]:
            means.pop("readout", None)
        speed = self._speed()
        line: dict[str, Any] = {"phase": phase, "images": self.images, "kimg": round(self.images / 1000, 3)}
        line |= {"images_per_s": round(speed, 2), "seconds_left": round(max(0, self.total - self.images) / speed, 1)}
        line |= means | self._distance()
        text = json.dumps(line)
        self.folder.save_state(self.trainer.state() | {"line": text})
        self._log(text)
        self._pictures()
        self._status("running", WORDS[phase])

    def _begin(self) -> None:
        """Where the run starts from, if it starts from something."""
        self.folder.start_log(0, None)
        self._status("running", "The networks are read.")
        if self.plan.start is not None and any(self.plan.totals.values()):
            self._pictures()
            if self.measure is not None:
                self._log(json.dumps({"images": 0, "kimg": 0.0} | self._distance()))

    def _log(self, line: str) -> None:
        self.folder.add_to_log(line)
        print(line, flush=True)

    def _distance(self) -> dict[str, float]:
        return {} if self.measure is None else {"frechet": round(self.measure(), 5)}

    def _pictures(self) -> None:
        """Samples on the same latents at every tick, and portraits above what is drawn of their codes."""
        t = self.trainer
        side = max(2, min(6, GRID_PIXELS // t.s.resolution))
        rng = torch.Generator().manual_seed(t.s.seed)
        self.folder.save_samples(to_uint8(t.draw(torch.randn(side**2, t.s.w_dim, generator=rng))), self.images)
        data = cv2.imencode(".jpg", reconstructions(t)[..., ::-1], JPEG)[1].tobytes()
        path = self.folder.path / "reconstructions" / f"{self.images:08d}.jpg"
        write_whole(path, lambda file: file.write(data))

    def _speed(self) -> float:
        return max(1, self.images - self._first) / max(1e-9, time.monotonic() - self._began)

    def _status(self, state: str, message: str) -> None:
        left = max(0, self.total - self.images)
        known = self.images > self._first or not left
        self.folder.status(state, message, self.images, max(1, self.total), left / self._speed() if known else None)


@torch.no_grad()
def reconstructions(trainer: Trainer) -> np.ndarray:
    """uint8 (3 R, n R, 3), rows: the first portraits; drawn from their codes; from the mean of their layers' codes."""
    real = trainer.data[slice(0, COLUMNS)]
    ws = trainer.ema_e(real)
    codes = (ws, ws.mean(1, keepdim=True).expand_as(ws))
    rows = [to_uint8(real), *(to_uint8(trainer.ema_g.synthesis(code, noise_mode="const")) for code in codes)]
    return np.ascontiguousarray(np.concatenate([np.concatenate(list(row), axis=1) for row in rows]))
