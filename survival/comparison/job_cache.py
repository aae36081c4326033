"""Finished jobs of a comparison on disk, each under the SHA-256 of everything that shaped it."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.files import PLAIN
from common.parsing import json_value
from survival.comparison.fold_job import Data, FoldJob, FoldResult
from survival.features.encoding import Block
from survival.models.registry import model_entry

CODE = "jobs-3"  # raise it when a model or the scoring changes what it computes
PACKAGES = ("numpy", "scipy", "scikit-learn", "scikit-survival")
MAX_BYTES = 500_000_000
ARRAYS = ("log_risk", "survival", "quartile", "gradient")


class Digest:
    """Keys of jobs on one data set: content of blocks and outcome, rows, model, settings, times, package versions."""

    def __init__(self, data: Data) -> None:
        self._blocks = {name: _block_digest(block) for name, block in data.features.items()}
        entry = [] if data.entry is None else [data.entry.tobytes()]
        self._outcome = _digest(data.time.tobytes(), data.event.tobytes(), *entry)
        self._versions = {name: version(name) for name in PACKAGES}

    def of(self, job: FoldJob) -> str:
        entry = model_entry(job.model)
        described = {
            "code": CODE,
            "versions": self._versions,
            "model": [entry.place, entry.settings],
            "settings": job.settings,
            "blocks": {name: self._blocks[name] for name in job.blocks},
            "outcome": self._outcome,
            "train": _digest(job.train.astype("<i8").tobytes()),
            "test": _digest(job.test.astype("<i8").tobytes()),
            "times": job.times.tolist(),
        }
        return _digest(json.dumps(described, sort_keys=True, default=_plain).encode())


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def _block_digest(block: Block) -> str:
    if isinstance(block, pd.DataFrame):
        columns = [
            str((name, str(dtype), list(dtype.categories) if isinstance(dtype, pd.CategoricalDtype) else ""))
            for name, dtype in block.dtypes.items()
        ]
        values = block.reset_index(drop=True).to_csv(index=False, na_rep="\0", float_format="%.17g")
        return _digest("\0".join(columns).encode(), values.encode())
    digest = hashlib.sha256(f"{block.shape} {block.dtype.str}".encode())
    for row in block:
        digest.update(np.ascontiguousarray(row).tobytes())
    return digest.hexdigest()


class JobCache:
    """A folder of one npz per job. A file that cannot be read, or does not fit the job, counts as absent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, key: str, result: FoldResult) -> None:
        """Under a temporary name first. Failures are kept too: the same data fail the same way."""
        words = {"notes": list(result.notes), "seconds": result.seconds, "error": result.error}
        buffer = io.BytesIO()
        text = np.frombuffer(json.dumps(words).encode(), dtype=np.uint8)
        np.savez_compressed(buffer, words=text, **{name: getattr(result, name) for name in ARRAYS})
        PLAIN.write_bytes(self.folder / f"{key}.npz", buffer.getvalue())

    def read(self, key: str, job: FoldJob) -> FoldResult | None:
        path = self.folder / f"{key}.npz"
        try:
            if path.stat().st_size > MAX_BYTES:
                return None
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in ARRAYS}
                words = json_value(stored["words"].tobytes().decode())
            notes = tuple(str(note) for note in words["notes"])
            result = FoldResult(**arrays, notes=notes, seconds=float(words["seconds"]), error=str(words["error"]))
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, NotImplementedError):
            return None
        return result if _fits(result, job) else None


def _fits(result: FoldResult, job: FoldJob) -> bool:
    if result.error:
        return True
    m = len(job.test)
    shapes = (result.log_risk.shape, result.survival.shape, result.quartile.shape)
    return (
        shapes == ((m,), (m, len(job.times)), (m,))
        and (result.log_risk.dtype, result.quartile.dtype) == (np.float64, np.int64)
        and (result.gradient.dtype, result.gradient.ndim) == (np.float32, 1)
        and all(np.isfinite(array).all() for array in (result.log_risk, result.survival, result.gradient))
    )
