"""Finished jobs of a comparison on disk, each under the SHA-256 of everything that shaped it."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.files import PLAIN
from common.parsing import json_value
from survival.comparison.workers import Job, JobResult
from survival.features.encoding import Block, Features
from survival.outcome import Outcome

CODE = "jobs-2"  # raise it when a model or the scoring changes what it computes
PACKAGES = ("numpy", "scipy", "scikit-learn", "scikit-survival")
MAX_BYTES = 500_000_000
ARRAYS = ("log_risk", "survival", "quartile")


class Digest:
    """Keys of jobs on one data set: content of blocks and outcome, rows, model, settings, times, package versions."""

    def __init__(self, features: Features, outcome: Outcome, entry: np.ndarray | None = None) -> None:
        self._blocks = {name: _block_digest(block) for name, block in features.items()}
        self._outcome = _digest(
            outcome.time.tobytes(), outcome.event.tobytes(), *([] if entry is None else [entry.tobytes()])
        )
        self._versions = {name: version(name) for name in PACKAGES}

    def of(self, job: Job) -> str:
        described = {
            "code": CODE,
            "versions": self._versions,
            "entry": asdict(job.entry),
            "settings": job.settings,
            "blocks": {name: self._blocks[name] for name in job.blocks},
            "outcome": self._outcome,
            "train": _digest(job.train.astype("<i8").tobytes()),
            "test": _digest(job.test.astype("<i8").tobytes()),
            "times": job.times.tolist(),
        }
        return _digest(json.dumps(described, sort_keys=True, default=_plain).encode())


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)


def _digest(*parts: bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.hexdigest()


def _block_digest(block: Block) -> str:
    if isinstance(block, pd.DataFrame):
        columns = [
            str((name, str(dtype), list(dtype.categories) if isinstance(dtype, pd.CategoricalDtype) else ""))
            for name, dtype in block.dtypes.items()
        ]
        values = block.reset_index(drop=True).to_csv(index=False, na_rep="\0", float_format="%.17g")
        return _digest("\0".join(columns).encode(), values.encode())
    found = hashlib.sha256(f"{block.shape} {block.dtype.str}".encode())
    for row in block:
        found.update(np.ascontiguousarray(row).tobytes())
    return found.hexdigest()


class JobCache:
    """A folder of one npz a job. What cannot be read, or does not fit the job, counts as not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, key: str, result: JobResult) -> None:
        """Under a temporary name first. Failures are kept too: the same data fail the same way."""
        words = {"notes": list(result.notes), "seconds": result.seconds, "error": result.error}
        buffer = io.BytesIO()
        text = np.frombuffer(json.dumps(words).encode(), dtype=np.uint8)
        np.savez_compressed(
            buffer, log_risk=result.log_risk, survival=result.survival, quartile=result.quartile, words=text
        )
        PLAIN.write_bytes(self.folder / f"{key}.npz", buffer.getvalue())

    def read(self, key: str, job: Job) -> JobResult | None:
        path = self.folder / f"{key}.npz"
        try:
            if path.stat().st_size > MAX_BYTES:
                return None
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
                log_risk, survival, quartile = (stored[name] for name in ARRAYS)
                words = json_value(stored["words"].tobytes().decode())
            result = JobResult(
                log_risk,
                survival,
                quartile,
                tuple(str(note) for note in words["notes"]),
                float(words["seconds"]),
                str(words["error"]),
            )
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, NotImplementedError):
            return None
        return result if _fits(result, job) else None


def _fits(result: JobResult, job: Job) -> bool:
    if result.error:
        return True
    m = len(job.test)
    shapes = (result.log_risk.shape, result.survival.shape, result.quartile.shape)
    return (
        shapes == ((m,), (m, len(job.times)), (m,))
        and result.log_risk.dtype == np.float64
        and result.quartile.dtype == np.int64
        and bool(np.isfinite(result.log_risk).all() and np.isfinite(result.survival).all())
    )
