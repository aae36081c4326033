"""A recorded step does what the step does; optimiser states go from one kind of device to the other."""

from __future__ import annotations

import copy
import os

import pytest
import torch
from torch import Tensor, nn

from latent.training.cuda_graphs import WARM_UP, Graphed, adam, load_optimiser, set_rates
from latent.training.distributed import Group

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class Fit:
    """A small network that learns to answer rows with their targets, from noisy inputs."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2)).to(self.device)
        self.inputs, self.targets = torch.randn(32, 8).to(self.device), torch.randn(32, 2).to(self.device)
        self.rng = torch.Generator(self.device).manual_seed(1)
        self.opt = adam([{"params": list(self.net.parameters()), "lr": 1e-2}], self.device, betas=(0.0, 0.99))

    def step(self, rows: Tensor) -> dict[str, Tensor]:
        noise = 0.1 * torch.randn(len(rows), 8, generator=self.rng, device=self.device)
        loss = (self.net(self.inputs[rows] + noise) - self.targets[rows]).square().mean()
        self.opt.zero_grad(set_to_none=True)
        loss.backward()
        self.opt.step()
        return {"loss": loss.detach()}


def run(fit: Fit, recorded: bool, steps: int = 40) -> list[float]:
    step = Graphed(fit.step, fit.rng) if recorded else fit.step
    order = torch.Generator().manual_seed(2)
    losses = []
    for index in range(steps):
        if index == steps // 2:
            set_rates(fit.opt, [1e-3])
        losses.append(
            float(step(torch.randperm(32, generator=order)[:16].to("cpu" if recorded else fit.device))["loss"])
        )
    return losses


def test_on_a_processor_a_step_is_run_as_it_is() -> None:
    assert run(Fit("cpu"), recorded=True) == run(Fit("cpu"), recorded=False)


@CUDA
def test_a_recorded_step_learns_as_the_step_does() -> None:
    assert WARM_UP < 20
    assert run(Fit("cuda"), recorded=True) == pytest.approx(run(Fit("cuda"), recorded=False), rel=1e-4)


def test_rates_fall_when_they_are_set() -> None:
    fit = Fit("cpu")
    rows = torch.arange(16)
    fit.step(rows)
    before = [parameter.detach().clone() for parameter in fit.net.parameters()]
    set_rates(fit.opt, [0.0])
    fit.step(rows)
    assert all(torch.equal(a, b) for a, b in zip(before, fit.net.parameters(), strict=True))
    with pytest.raises(ValueError, match=r"shorter|longer"):
        set_rates(fit.opt, [])


def test_a_state_from_a_gpu_resumes_on_a_processor() -> None:
    fit = Fit("cpu")
    run(fit, recorded=False, steps=4)
    state = copy.deepcopy(fit.opt.state_dict())
    for group in state["param_groups"]:  # as `adam` leaves it on a GPU
        group["capturable"], group["lr"] = True, torch.tensor(5e-3)
    other = Fit("cpu")
    load_optimiser(other.opt, state)
    assert other.opt.param_groups[0]["lr"] == 1e-2
    assert not other.opt.param_groups[0]["capturable"]
    other.step(torch.arange(16))
    moments = [entry["exp_avg_sq"] for entry in fit.opt.state.values()]
    assert any(
        not torch.equal(entry["exp_avg_sq"], old) for entry, old in zip(other.opt.state.values(), moments, strict=True)
    )


def test_a_process_names_its_gpu_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.cuda.set_device refuses `cuda` without one."""
    chosen: list[torch.device] = []
    monkeypatch.setattr("torch.cuda.set_device", chosen.append)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert "RANK" not in os.environ
    assert Group("cuda").device == torch.device("cuda:0")
    assert chosen == [torch.device("cuda:0")]
