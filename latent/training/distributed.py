"""One process or several of `torchrun`: the same few calls. Sums go over gloo on CPUs and NCCL on GPUs."""

import gc
import os
from collections.abc import Sequence

import torch
from torch import Tensor, distributed


class Group:
    """The processes of a run. Outside torchrun it is this process alone and every call returns at once."""

    def __init__(self, device: str) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        local = int(os.environ.get("LOCAL_RANK", "0"))
        self.device = torch.device(f"cuda:{local}" if device == "cuda" else device)  # set_device wants a number
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if self.size > 1:
            distributed.init_process_group("nccl" if self.device.type == "cuda" else "gloo")

    @property
    def first(self) -> bool:
        """Whether this process writes the run folder."""
        return self.rank == 0

    def sum_(self, values: Tensor) -> Tensor:
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def sum_gradients(self, gradients: Sequence[Tensor]) -> None:
        """Sum of each gradient over the processes, in place, in one message."""
        if self.size == 1 or not gradients:
            return
        flat = self.sum_(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view(gradient.shape))

    def agree(self, fine: bool) -> bool:
        """Whether every process is fine: all stop for what only one has met (a full disk)."""
        return not int(self.sum_(torch.tensor([int(not fine)], device=self.device)))

    def close(self) -> None:
        """Leave the group. gloo aborts at exit now and then unless everything is collected before and after."""
        if self.size > 1 and distributed.is_initialized():
            gc.collect()
            distributed.destroy_process_group()
            gc.collect()
