"""The phases in order: which one comes next, how far each has come, and what a run resumes from.

Every random draw is a function of the step (`latent.training.streams`), so a state holds no generators and a resumed
run draws what an uninterrupted one draws.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latent.editing.render import pictures_of
from latent.images import to_uint8
from latent.training.cuda_graphs import Graphed, Step
from latent.training.reconstruction.code_cloud import place
from latent.training.reconstruction.networks import Networks
from latent.training.reconstruction.phases import Autoencoding, DiscriminatorFit, Projected
from latent.training.reconstruction.settings import AUTOENCODING, DISCRIMINATOR, MAPPING, PHASES, PROJECTED, TRAINED
from latent.training.streams import DataOrder, Streams

SPREAD = 1024  # portraits whose codes say how free codes are spread at a tick
COLUMNS = 12  # portraits on the sheet of reconstructions


Phase = Autoencoding | Projected | DiscriminatorFit
KINDS: Mapping[str, type[Phase]] = {AUTOENCODING: Autoencoding, PROJECTED: Projected, DISCRIMINATOR: DiscriminatorFit}


class Trainer:
    """Sequences the phases. totals: images of each of TRAINED; seen: images each of PHASES has had."""

    def __init__(self, networks: Networks, totals: Mapping[str, int]) -> None:
        self.networks, self.settings, self.totals = networks, networks.settings, totals
        self.streams = Streams(self.settings.seed)
        self.order = DataOrder(self.streams, len(networks.data))
        self.seen = dict.fromkeys(PHASES, 0)
        self._phases: dict[str, Phase] = {}
        self._recorded: dict[str, Graphed] = {}
        self.best: dict[str, Any] | None = None  # "distance", and the averaged networks' states at that tick

    @property
    def images(self) -> int:
        return sum(self.seen[phase] for phase in TRAINED)

    @property
    def total(self) -> int:
        return sum(max(total, self.seen[phase]) for phase, total in self.totals.items())

    @property
    def stage(self) -> str:
        """The phase of the next step; "" at the end."""
        return next((phase for phase in TRAINED if self.seen[phase] < self.totals[phase]), "")

    def phase(self, name: str) -> Phase:
        """Made when it is first needed: a run without the projected phase needs no frozen features."""
        if name not in self._phases:
            self._phases[name] = KINDS[name](self.networks)
        return self._phases[name]

    def step(self) -> dict[str, Tensor]:
        """One step of the phase that comes next. What it measured stays on the device: reading it would hold up the
        queue."""
        name, n = self.stage, self.networks
        if name == DISCRIMINATOR:
            self.finish_mapping()
        phase, number = self.phase(name), self.images // self.settings.batch
        phase.prepare(self.seen[name] / self.totals[name], self.images)
        rows = self.order.rows(self.images, self.settings.batch)
        n.rng.manual_seed(self.streams.number("draws", number))
        self.streams.seed_noise("noise", number)
        measured = self._step_of(name, phase)(rows)
        if name != DISCRIMINATOR:
            self.seen[MAPPING] = 0  # codes have moved: the mapping is fitted again before the discriminator
            n.move_averages(self.images)
        if isinstance(phase, Projected):
            if phase.renew():
                self._recorded.clear()
            measured = measured | {"renewals": torch.tensor(float(phase.renewals))}
        self.seen[name] += self.settings.batch
        if not n.data.target_count:
            measured = {key: value for key, value in measured.items() if key != "readout"}
        return measured

    def _step_of(self, name: str, phase: Phase) -> Step:
        """The step; on a GPU recorded, as soon as no size and no weight of a loss changes any more."""
        settled = name == PROJECTED or (name == AUTOENCODING and self.images >= self.settings.feature_from)
        data = self.networks.data
        if not (settled and self.networks.cloud.full and data.images.device.type == data.device.type):
            return phase.step
        return self._recorded.setdefault(name, Graphed(phase.step, self.networks.rng))

    def finish_mapping(self) -> None:
        """Fit the mapping network to the codes of the best networks, unless nothing has moved since it was fitted."""
        if self.images and not self.seen[MAPPING]:
            self._recorded.clear()
            if self.best is not None:
                self.networks.take(self.best)
            self.seen[MAPPING] = self.networks.fit_mapping()

    def keep(self, stage: str, distance: float) -> None:
        """Keep the averaged networks of a tick of phase 2 where their distance to the portraits is the smallest yet."""
        if stage == PROJECTED and (self.best is None or distance < self.best["distance"]):
            self.best = {"distance": distance} | self.networks.averages()

    @torch.no_grad()
    def draw(self, purpose: str, n: int) -> np.ndarray:
        """Samples uint8 (n, R, R, 3) of the averaged generator, of free codes with the spread of the portraits' codes
        by the averaged encoder, to which the mapping network is fitted at the end; latents follow from purpose."""
        networks, count = self.networks, len(self.networks.data)
        z = torch.randn(n, self.settings.w_dim, generator=self.streams.generator(purpose))
        evenly = torch.linspace(0, count - 1, min(SPREAD, count)).long()
        portraits = networks.common_codes(evenly.to(networks.data.images.device))
        codes = place(portraits, z, self.settings.spread)[:, None].expand(-1, networks.generator.num_ws, -1)
        return pictures_of(networks.average_generator.synthesis, codes)

    @torch.no_grad()
    def reconstructions(self) -> np.ndarray:
        """uint8 (3 R, n R, 3), rows: the first portraits; drawn from their codes; from the mean of their layers'
        codes."""
        real = self.networks.data[slice(0, COLUMNS)]
        ws = self.networks.average_encoder(real)
        synthesis = self.networks.average_generator.synthesis
        codes = (ws, ws.mean(1, keepdim=True).expand_as(ws))
        rows = [to_uint8(real), *(to_uint8(synthesis(code, noise_mode="const")) for code in codes)]
        return np.concatenate([np.concatenate(list(row), axis=1) for row in rows])

    def finite(self) -> bool:
        return self.networks.finite()

    def state(self) -> dict[str, Any]:
        phases = {name: phase.state() for name, phase in self._phases.items()}
        return {"networks": self.networks.state(), "phases": phases, "seen": self.seen, "best": self.best}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.networks.restore(state["networks"])
        self.seen = {phase: int(state["seen"][phase]) for phase in PHASES}
        for name, phase_state in state["phases"].items():
            self.phase(name).restore(phase_state)
        self.best = state.get("best")  # not in a run of an earlier version
        self._recorded.clear()
