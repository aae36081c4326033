"""Engines of one machine: in this process, or in worker processes whose end costs their block and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial

from common.pool import Pool, PoolStopped, WorkerDied
from latent.errors import Cancelled
from study.embedding.blocks import Block, BlockResult, Cancel, Engine, MakeWorker, Results, Worker, refusal
from study.embedding.devices import MEMORY

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
