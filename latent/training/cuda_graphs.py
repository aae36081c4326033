"""A training step as one launch.

On a GPU a step of a small network is a thousand short kernels, and the processor takes longer to launch them one by one
than the GPU to run them (a warm start's step at 128 px, batch 64, on an H100: 148 ms against 42 ms). A CUDA graph
launches them all at once. On a CPU nothing changes.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

WARM_UP = 3  # steps before recording, in which libraries choose their kernels and optimisers make their state

Step = Callable[[Tensor], dict[str, Tensor]]


def adam(groups: Iterable[dict[str, Any]], device: torch.device, **options: Any) -> torch.optim.Adam:
    """Adam over parameter groups, each with its `lr`; on a GPU its state and rates stay there, for a graph's sake."""
    listed = list(groups)
    if device.type == "cuda":
        for group in listed:
            group["lr"] = torch.tensor(float(group["lr"]), device=device)
        options["capturable"] = True
    return torch.optim.Adam(listed, **options)


def set_rates(optimiser: torch.optim.Optimizer, rates: Sequence[float]) -> None:
    """The learning rate of each group, seen by recorded steps too."""
    for group, rate in zip(optimiser.param_groups, rates, strict=True):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def load_optimiser(optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """State of the same optimiser, perhaps from another kind of device."""
    options = [{name: group[name] for name in ("lr", "capturable")} for group in optimiser.param_groups]
    groups = [saved | own for saved, own in zip(state["param_groups"], options, strict=True)]
    optimiser.load_state_dict(state | {"param_groups": groups})


class Graphed:
    """`step(rows)` run as it is at first, then recorded and replayed.

    step: draws only from `generator` (on its device) and the device's default generator, asks the device nothing, and
    touches no other memory from call to call. rows: int64 (B,), always as many; lies on the CPU. The results are read
    by the caller before the next call.
    """

    def __init__(self, step: Step, generator: torch.Generator) -> None:
        self.step, self.generator = step, generator
        self.device = generator.device
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, rows: Tensor) -> dict[str, Tensor]:
        if self.device.type != "cuda":
            return self.step(rows)
        if self.calls < WARM_UP:
            self.calls += 1
            rows = rows.to(self.device)
            stream = torch.cuda.Stream()  # of its own, as recording will run it
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                results = self.step(rows)
            torch.cuda.current_stream().wait_stream(stream)
            return results
        if self.graph is None:  # nothing is computed here: recording is not running
            self.rows = rows.to(self.device)
            graph = torch.cuda.CUDAGraph()
            graph.register_generator_state(self.generator)
            torch.cuda.synchronize()
            with torch.cuda.graph(graph):
                self.results = self.step(self.rows)
            self.graph = graph
        self.rows.copy_(rows.pin_memory(), non_blocking=True)
        self.graph.replay()
        return self.results
