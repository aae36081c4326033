"""The engine of a cluster: Ray Data hands blocks to actors, one a GPU or one a group of cores, on any node.

Actors read study and checkpoint from a disk that all nodes mount, and send codes back; this process alone writes. A
block whose actor or node dies is lost to Ray's run without a retry by Ray, and comes back as failed: which photo ends
its workers is found by the job's halving, where Ray would start the same block again without end.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from common.parsing import json_value
from latent.errors import Cancelled
from study.embedding.blocks import Block, BlockResult, Cancel, MakeWorker, Results, Worker, refusal
from study.embedding.local import worker_environment
from study.errors import StudyError

STORE_BYTES = 256 * 2**20  # of a cluster started here: blocks wait for no one, so little is stored
LEFT_FREE = 0.1  # share of a core that one-core actors leave to Ray Data: with none left it may wait for ever
LOST = "its worker or node was lost, perhaps for lack of memory"


class BlockActor:
    """Lives in a Ray actor; loads its worker with the first block, so that a refusal reaches the person."""

    def __init__(self, make_worker: MakeWorker, device: str) -> None:
        self.make_worker, self.device = make_worker, device
        self.worker: Worker | None = None

    def _result(self, block: Block) -> BlockResult:
        if self.worker is None:
            try:
                self.worker = self.make_worker(self.device)
            except Exception as error:
                if sentence := refusal(error):
                    return BlockResult(block.start, refused=sentence)
                return BlockResult(block.start, error=f"{type(error).__name__}: {str(error)[:300]}")
        return self.worker(block)

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        """Columns header and part of the one block in `rows`."""
        start, photos, tries = json_value(str(rows["block"][0]))
        result = self._result(Block(start, tuple((patient, path) for patient, path in photos), tries))
        part = np.empty(1, object)
        part[0] = result.part
        return {"header": np.array([result.header()], object), "part": part}


class RayEngine:
    """address: of a running cluster, "auto" for that of this machine; None: RAY_ADDRESS, or else a new one on this
    machine alone.

    device: auto, cuda or cpu; workers: None for one per GPU of the cluster, or one per group of `threads` cores.
    Raises StudyError where Ray is not installed or no cluster answers.
    """

    def __init__(
        self,
        make_worker: MakeWorker,
        device: str = "auto",
        workers: int | None = None,
        threads: int = 1,
        address: str | None = None,
    ) -> None:
        self.make_worker, self.threads = make_worker, threads
        self.ray = _connect(address, threads)
        resources = self.ray.cluster_resources()
        gpus, cores = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
        if device not in ("auto", "cpu", "cuda"):
            self.close()
            raise StudyError("--engine ray takes --device auto, cpu or cuda: Ray chooses which GPU.")
        if device == "cuda" and not gpus:
            self.close()
            raise StudyError("This Ray cluster has no GPU: use --device cpu, or start nodes with --num-gpus.")
        self.device = "cuda" if gpus and device != "cpu" else "cpu"
        self.workers = workers or max(1, gpus if self.device == "cuda" else cores // threads)

    def run(self, blocks: Iterator[Block], cancelled: Cancel) -> Results:
        """Raises Cancelled when stopped, StudyError when the cluster is gone."""
        waiting = {block.start: block for block in blocks}
        try:
            for result in self._results(list(waiting.values()), cancelled):
                yield waiting.pop(result.start), result
        except self.ray.exceptions.RayError as error:
            sentence = str(error).strip().splitlines()[0][:200]
            raise StudyError(f"The Ray cluster failed ({sentence}). Run the same command again to resume.") from error
        for block in waiting.values():
            yield block, BlockResult(block.start, error=LOST)

    def _results(self, blocks: list[Block], cancelled: Cancel) -> Iterator[BlockResult]:
        if not blocks:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a later Ray will call otherwise
            codes = self._dataset(blocks)
        for row in codes.iter_rows():
            if cancelled is not None and cancelled():
                raise Cancelled("The embedding was stopped.")
            yield BlockResult.parse(str(row["header"]), bytes(row["part"]))

    def _dataset(self, blocks: list[Block]) -> Any:
        """Lazily: one row per block, with its result."""
        from ray.data import ActorPoolStrategy, DataContext, from_items

        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = -1  # a lost block is missing in the results
        rows = [{"block": json.dumps([block.start, block.photos, block.tries])} for block in blocks]
        # A whole number of cores above one is Ray's rule.
        cores = {"num_cpus": 1 - LEFT_FREE if self.threads == 1 else self.threads}
        needs: dict[str, Any] = {"num_gpus": 1, "num_cpus": 0} if self.device == "cuda" else cores
        dataset = from_items(rows, override_num_blocks=len(blocks))
        return dataset.map_batches(
            BlockActor,
            fn_constructor_args=(self.make_worker, self.device),
            batch_size=1,
            compute=ActorPoolStrategy(size=min(self.workers, len(blocks)), max_tasks_in_flight_per_actor=1),
            max_task_retries=0,
            **needs,
        )

    def close(self) -> None:
        """Leaves the cluster, which ends the actors of this run."""
        with suppress(Exception):
            self.ray.shutdown()


def _connect(address: str | None, threads: int) -> Any:
    # Set before the import: Ray would report its use to its makers over the network.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DATA_LOG_LEVEL", "CRITICAL")  # lost blocks are reported by the job
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise StudyError(
            "Ray is not installed: `pip install -r requirements-scale.txt`, or use --engine local."
        ) from error
    shared = {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "runtime_env": {"env_vars": worker_environment(threads)},
    }
    # Not searched for unasked: Ray waits for minutes on what a cluster that crashed has left in /tmp.
    address = address or os.environ.get("RAY_ADDRESS")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Ray's next version will do
            if address is None:
                ray.init(address="local", include_dashboard=False, object_store_memory=STORE_BYTES, **shared)
            else:
                ray.init(address=address, **shared)
    except Exception as error:  # Ray raises bare Exceptions where a node does not start
        sentence = str(error).strip().splitlines()[0][:200]
        raise StudyError(f"No Ray cluster answers at {address or 'this machine'} ({sentence}).") from error
    return ray
