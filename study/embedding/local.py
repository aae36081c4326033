"""Engines of one machine: in this process, or in worker processes whose end costs their block and nothing else."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from common.threads import environment
from latent.errors import Cancelled
from study.embedding.blocks import Block, BlockResult, Cancel, MakeWorker, Results, Worker, refusal
from study.embedding.devices import worker_environment

ORPHAN_SECONDS = 1.0
POLL_SECONDS = 0.2


class InProcess:
    """Blocks one after the other, here."""

    workers = 1

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    def run(self, blocks: Iterator[Block], cancelled: Cancel) -> Results:
        for block in blocks:
            if cancelled is not None and cancelled():
                raise Cancelled("The embedding was stopped.")
            yield block, self.worker(block)

    def close(self) -> None:
        """Nothing is held."""


@dataclass(eq=False)
class _Child:
    process: BaseProcess
    pipe: Connection
    device: str
    block: Block | None = None


class Processes:
    """A process a device, each with `threads` threads; one that dies is replaced and its block reported as failed."""

    def __init__(self, make_worker: MakeWorker, devices: list[str], threads: int = 1) -> None:
        self.make_worker, self.devices, self.threads = make_worker, devices, threads
        self.workers = len(devices)

    def run(self, blocks: Iterator[Block], cancelled: Cancel) -> Results:
        """Raises Cancelled when stopped. However this ends, no worker is left."""
        blocks = iter(blocks)
        children: list[_Child] = []
        try:
            for device in self.devices:
                if (block := next(blocks, None)) is None:
                    break
                children.append(self._start(device, block))
            while busy := [child for child in children if child.block is not None]:
                if cancelled is not None and cancelled():
                    raise Cancelled("The embedding was stopped.")
                ready = set(wait([child.pipe for child in busy], POLL_SECONDS))
                for child in [child for child in busy if child.pipe in ready]:
                    yield self._receive(child)
                    if child.block is None and (block := next(blocks, None)) is not None:
                        if not child.process.is_alive():
                            children.remove(child)
                            child.pipe.close()
                            children.append(self._start(child.device, block))
                        else:
                            self._send(child, block)
        finally:
            for child in children:
                child.process.kill()
            for child in children:
                child.process.join()
                child.pipe.close()

    def close(self) -> None:
        """Nothing is held: workers live as long as a run."""

    def _start(self, device: str, block: Block) -> _Child:
        context = multiprocessing.get_context("spawn")
        mine, theirs = context.Pipe()
        arguments = (theirs, os.getpid(), self.make_worker, device)
        process = context.Process(target=_work, args=arguments, daemon=True, name="embedding")
        with environment(worker_environment(self.threads)):
            process.start()
        theirs.close()
        child = _Child(process, mine, device)
        self._send(child, block)
        return child

    @staticmethod
    def _send(child: _Child, block: Block) -> None:
        child.block = block
        try:
            child.pipe.send(block)
        except OSError:
            return  # it has just died: what is read from the pipe says so

    @staticmethod
    def _receive(child: _Child) -> tuple[Block, BlockResult]:
        block, child.block = child.block, None
        assert block is not None
        try:
            return block, child.pipe.recv()
        except (EOFError, OSError):
            child.process.join()
            return block, BlockResult(block.start, error=ending(child.process.exitcode))


def ending(exit_code: int | None) -> str:
    """How a worker process ended, for a person."""
    if exit_code is not None and exit_code < 0:
        return f"its worker process was ended by signal {-exit_code}, perhaps for lack of memory"
    return f"its worker process ended with exit code {exit_code}"


def follow(parent: int) -> None:
    """Ends this process soon after its parent is gone."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(ORPHAN_SECONDS)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


def _work(pipe: Connection, parent: int, make_worker: MakeWorker, device: str) -> None:
    """Life of a worker process. Ctrl-C is for the parent, which ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    follow(parent)
    try:
        worker = make_worker(device)
    except Exception as error:
        sentence = refusal(error)
        if not sentence:
            raise
        block: Block = pipe.recv()
        pipe.send(BlockResult(block.start, refused=sentence))
        return
    while True:
        try:
            block = pipe.recv()
        except EOFError:
            return
        pipe.send(worker(block))
