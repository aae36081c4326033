"""Workers in processes of their own: how many a machine takes, and how one is set up, there or on another machine."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from latent.checkpoints import load_checkpoint
from latent.errors import LatentError
from study.embedding.blocks import BlockWorker, Worker, digest_table
from study.embedding.parts import PARTS, Shelf
from study.embedding.record import fingerprint, inversion_settings, record_of
from study.errors import StudyError
from study.files import replacing
from study.latents import Embedding
from study.store import Study

MakeWorker = Callable[[str], Worker]  # of a device
DEVICES = "auto, cpu, cuda or cuda:N"
SHARED_DISK_SECONDS = 15.0  # a network disk shows a new file late
# One thread a worker is fastest where all cores have one; the allocator's settings halve the time of large networks.
MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "17179869184", "MALLOC_TOP_PAD_": "67108864"}


def worker_environment(threads: int) -> dict[str, str]:
    """Environment variables that a worker process needs before it starts."""
    return {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), **MEMORY}


@contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """os.environ with these in addition, for processes started inside."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def choose_devices(device: str, workers: int | None, threads: int) -> list[str]:
    """The device of each worker on this machine: one a GPU, or one a group of `threads` cores.

    Raises StudyError for a device that is not there.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        device = "cuda" if gpus else "cpu"
    if device == "cpu":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return ["cpu"] * (workers or max(1, cores // threads))
    kind, _, number = device.partition(":")
    if kind != "cuda" or (number and not number.isdecimal()):
        raise StudyError(f"--device {device[:20]!r} is not known: use {DEVICES}.")
    if not gpus or int(number or 0) >= gpus:
        raise StudyError(f"There is no {device} on this machine: use --device cpu, or leave --device out.")
    if number:
        return [device] * (workers or 1)
    return [f"cuda:{i % gpus}" for i in range(workers or gpus)]


@dataclass(frozen=True)
class WorkerSpec:
    """All that a worker needs to know, in plain values. study, checkpoint: absolute paths; known: name of the file
    with the digests of finished photos, under the study's parts."""

    study: str
    checkpoint: str
    record: Embedding
    known: str

    def __call__(self, device: str) -> BlockWorker:
        """The worker, its checkpoint loaded. StudyError or LatentError when it would give other codes, or none."""
        known = self._known()
        checkpoint = load_checkpoint(Path(self.checkpoint), device=device)
        preset, aligned = self.record.preset, bool(self.record.settings["aligned"])
        mine = record_of(checkpoint, inversion_settings(self.record), preset, aligned)
        if fingerprint(mine) != fingerprint(self.record):
            raise StudyError(
                f"{socket.gethostname()} has another checkpoint or other perceptual weights under the same name and "
                "would make codes that do not fit the others: give every machine the same files."
            )
        return BlockWorker(checkpoint, self.record, known)

    def _known(self) -> Any:
        path = Path(self.study) / PARTS / self.known
        until = time.monotonic() + SHARED_DISK_SECONDS
        while not path.is_file() and time.monotonic() < until:
            time.sleep(0.2)
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False) if path.stat().st_size > 128 else digest_table([])
        except (OSError, ValueError) as error:
            raise StudyError(
                f"{socket.gethostname()} does not see the study's folder {self.study}: put study and checkpoint on a "
                "disk that every machine mounts at the same path, or use --engine local."
            ) from error


@contextmanager
def worker_spec(study: Study, checkpoint: Path, record: Embedding, shelf: Shelf) -> Iterator[WorkerSpec]:
    """The specification for workers of one run; its file of finished photos is removed at the end."""
    name = f"known-{uuid.uuid4().hex[:8]}.npy"
    path = study.path.resolve() / PARTS / name
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, digest_table(shelf.digests()), allow_pickle=False)
    try:
        yield WorkerSpec(str(study.path.resolve()), str(checkpoint.resolve()), replace(record), name)
    finally:
        with suppress(OSError):
            path.unlink()


def refusal(error: Exception) -> str:
    """The sentence for a worker that could not be set up, "" for an error that is none of ours."""
    return str(error) if isinstance(error, (StudyError, LatentError)) else ""
