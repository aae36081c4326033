"""Stand-in workers that processes of an engine can import: no network, and each with one thing that goes wrong."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from study.embedding.blocks import Block, BlockResult, PhotoOutcome, encode_part
from study.errors import StudyError

SHAPE = (2, 3)


def photo_digest(path: str) -> str:
    """A digest without reading anything."""
    return Path(path).stem.encode().hex().ljust(64, "0")


@dataclass(frozen=True)
class Fake:
    """Makes workers whose codes follow from the photo's name.

    deadly: photos that end their process with SIGKILL; once: a folder where the first worker to meet a deadly photo
    leaves a mark, after which it is harmless; broken: photos at which the worker raises; refuses: no worker starts.
    """

    mark: str
    deadly: tuple[str, ...] = ()
    once: str = ""
    broken: tuple[str, ...] = ()
    refuses: str = ""

    def __call__(self, device: str) -> FakeWorker:
        if self.refuses:
            raise StudyError(self.refuses)
        return FakeWorker(self)


@dataclass(frozen=True)
class FakeWorker:
    fake: Fake

    def _dies(self, name: str) -> bool:
        if name not in self.fake.deadly:
            return False
        if not self.fake.once:
            return True
        mark = Path(self.fake.once) / name
        if mark.exists():
            return False
        mark.touch()
        return True

    def __call__(self, block: Block) -> BlockResult:
        rows, codes = [], []
        for patient, path in block.photos:
            name = Path(path).stem
            if self._dies(name):
                os.kill(os.getpid(), signal.SIGKILL)
            if name in self.fake.broken:
                return BlockResult(block.start, error="MemoryError: the GPU is full")
            texts = (patient, name, photo_digest(path), "c" * 64, "test", "")
            keys = ("patient_id", "photo_id", "photo_sha256", "checkpoint_sha256", "perceptual_name", "flags")
            numbers = dict.fromkeys(("perceptual", "psnr", "ssim", "identity", "seconds", "st_lpips"), 1.0)
            rows.append({**dict(zip(keys, texts, strict=True)), **numbers})
            codes.append(np.full((1, *SHAPE), int(name[1:]), np.float32))
        outcomes = tuple(PhotoOutcome(photo_digest(path)) for _, path in block.photos)
        return BlockResult(block.start, outcomes, encode_part(self.fake.mark, rows, codes))
