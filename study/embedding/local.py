"""Engines of one machine: in this process, or in worker processes whose end costs their block and nothing else.

And how many workers a machine takes, on which devices.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial

from common import threads as common_threads
from common.pool import Pool, PoolStopped, WorkerDied
from latent.errors import Cancelled
from study.embedding.blocks import Block, BlockResult, Cancel, Engine, MakeWorker, Results, Worker, refusal
from study.errors import StudyError

DEVICES = "auto, cpu, cuda or cuda:N"
# One thread a worker is fastest where all cores have one; the allocator's settings halve the time of large networks.
MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "17179869184", "MALLOC_TOP_PAD_": "67108864"}
STOPPED = "The embedding was stopped."


class InProcess(Engine):
    """Blocks one after the other, here."""

    workers = 1

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    def run(self, blocks: Iterator[Block], cancelled: Cancel) -> Results:
        for block in blocks:
            if cancelled is not None and cancelled():
                raise Cancelled(STOPPED)
            yield block, self.worker(block)


class Processes(Engine):
    """A process a device, each with `threads` threads; one that dies is replaced and its block reported as failed."""

    def __init__(self, make_worker: MakeWorker, devices: list[str], threads: int = 1) -> None:
        self.pool = Pool(partial(start_worker, make_worker), devices, threads, MEMORY)
        self.workers = len(devices)

    def run(self, blocks: Iterator[Block], cancelled: Cancel) -> Results:
        """Raises Cancelled when stopped. However this ends, no worker is left."""
        try:
            with closing(self.pool.run(((block, block) for block in blocks), cancelled)) as results:
                for block, result in results:
                    died = isinstance(result, WorkerDied)
                    yield block, BlockResult(block.start, error=str(result)) if died else result
        except PoolStopped:
            raise Cancelled(STOPPED) from None


def start_worker(make_worker: MakeWorker, device: str) -> Worker:
    """The worker of a process; one that cannot be set up refuses every block with the reason."""
    try:
        return make_worker(device)
    except Exception as error:
        sentence = refusal(error)
        if not sentence:
            raise
        return lambda block: BlockResult(block.start, refused=sentence)


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
