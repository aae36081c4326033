"""How many workers a machine takes, on which devices, and what their processes need to know before they start."""

from __future__ import annotations

from common import threads as common_threads
from study.errors import StudyError

DEVICES = "auto, cpu, cuda or cuda:N"
# One thread a worker is fastest where all cores have one; the allocator's settings halve the time of large networks.
MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "17179869184", "MALLOC_TOP_PAD_": "67108864"}


def worker_environment(threads: int) -> dict[str, str]:
    """Environment variables that a worker process needs before it starts."""
    return {**common_threads.worker_environment(threads), **MEMORY}


def choose_devices(device: str, workers: int | None, threads: int) -> list[str]:
    """The device of each worker on this machine: one a GPU, or one a group of `threads` cores.

    Raises StudyError for a device that does not exist.
    """
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        device = "cuda" if gpus else "cpu"
    if device == "cpu":
        return ["cpu"] * common_threads.pool_size(workers, threads)
    kind, _, number = device.partition(":")
    if kind != "cuda" or (number and not number.isdecimal()):
        raise StudyError(f"--device {device[:20]!r} is not known: use {DEVICES}.")
    if not gpus or int(number or 0) >= gpus:
        raise StudyError(f"There is no {device} on this machine: use --device cpu, or leave --device out.")
    if number:
        return [device] * (workers or 1)
    return [f"cuda:{i % gpus}" for i in range(workers or gpus)]
