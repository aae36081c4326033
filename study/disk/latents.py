"""latents.npy and index.parquet: the W+ codes of a study's photos, and what each row is.

latents.npy: half precision (n, views, num_ws, w_dim), a code of each view of each photo (`faces.views`), read
memory-mapped; float32 (n, num_ws, w_dim), as it was written before there were views, is read as one view.
index.parquet: one row a photo, same order, with the sha256 of photo file and checkpoint, measures of the code of view 0
and, in its metadata, a record of how the codes were made with the sha256 of latents.npy: the two files are replaced one
after the other, and a stop in between must not pair old with new.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from common.parsing import json_value
from study.disk.places import INDEX
from study.errors import StudyError
from study.files import replacing, sha256_of
from study.settings import VIEWS

LATENTS = "latents.npy"
STORED = "<f2"  # of codes, on disk
CHUNK = 1024  # patients whose codes are in memory in double precision at a time


def to_embed(study: str, sentence: str) -> StudyError:
    """What is wrong with a study's codes; making them again puts it right."""
    return StudyError(sentence, ("embed", study))


def other_checkpoint(study: str, made_with: str) -> StudyError:
    """What is wrong where codes meet a checkpoint that did not make them."""
    sentence = f"The codes of {study} were made with another checkpoint, named {made_with} then: choose that one, or "
    return to_embed(study, f"{sentence}embed the photos again.")


MAX_INDEX_BYTES = 256 * 2**20
MAX_ROWS = 5_000_000
_TEXTS = ("patient_id", "photo_id", "photo_sha256", "checkpoint_sha256", "perceptual_name", "flags")
_NUMBERS = ("perceptual", "psnr", "ssim", "identity", "seconds", "st_lpips")
LATER = ("st_lpips",)  # columns that codes made before they existed do not have: nan there
INDEX_COLUMNS = (*_TEXTS, *_NUMBERS)
_SCHEMA = pa.schema([(c, pa.string()) for c in _TEXTS] + [(c, pa.float64()) for c in _NUMBERS])
_KEY = b"embedding"


@dataclass(frozen=True)
class Embedding:
    """How a study's codes were made. settings: the inversion settings as plain values, and the number of views where it
    is not 1."""

    checkpoint: str
    checkpoint_sha256: str
    preset: str
    num_ws: int
    w_dim: int
    latents_sha256: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def views(self) -> int:
        """Codes a photo."""
        views: int = self.settings.get("views", 1)
        return views


@dataclass(frozen=True, eq=False)
class Latents:
    """views: float16 or float32 (n, views, num_ws, w_dim), memory-mapped and read-only; index: one row a photo,
    INDEX_COLUMNS. `flags` holds the quality sentences of a photo, one a line.
    """

    views: NDArray[np.floating[Any]]
    index: pd.DataFrame

    @property
    def ws(self) -> NDArray[np.floating[Any]]:
        """(n, num_ws, w_dim), memory-mapped: the code of each photo itself, for pictures."""
        return self.views[:, 0]

    @property
    def features(self) -> NDArray[np.float32]:
        """(n, num_ws, w_dim): the mean over each photo's views, for models."""
        return self.features_of([[row] for row in range(len(self.views))])

    def features_of(self, photos: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Features of patients, (m, num_ws, w_dim), from the rows of each patient's photos: the mean over photos of the
        mean over views."""
        out = np.empty((len(photos), *self.views.shape[2:]), np.float32)
        for start in range(0, len(photos), CHUNK):
            some = photos[start : start + CHUNK]
            each = mean_over_views(self.views[[row for rows in some for row in rows]])
            ends = np.cumsum([len(rows) for rows in some])
            for i, (rows, end) in enumerate(zip(some, ends, strict=True), start):
                out[i] = each[end - len(rows) : end].mean(axis=0)
        return out


def mean_over_views(views: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The features of codes (..., views, num_ws, w_dim): what models see of a photo."""
    return np.asarray(views, np.float64).mean(axis=-3)


def stream_latents(
    folder: Path, n: int, chunks: Iterable[tuple[NDArray[np.floating[Any]], pd.DataFrame]], embedding: Embedding
) -> Embedding:
    """Writes both files from chunks of codes (m, views, num_ws, w_dim) and index rows, n in all; returns the record
    with the sha256 filled in.

    latents.npy is in place first. Only a chunk is in memory at a time.
    """
    header = io.BytesIO()
    shape = (n, embedding.views, embedding.num_ws, embedding.w_dim)
    np.lib.format.write_array_header_1_0(header, {"descr": STORED, "fortran_order": False, "shape": shape})
    digest, written = hashlib.sha256(header.getvalue()), 0
    with replacing(folder / INDEX) as index_file, pq.ParquetWriter(index_file, _SCHEMA) as index:
        with replacing(folder / LATENTS) as latents_file, latents_file.open("wb") as latents:
            latents.write(header.getvalue())
            for ws, rows in chunks:
                if ws.shape != (len(rows), *shape[1:]):
                    raise ValueError(f"codes {ws.shape} do not fit {len(rows)} rows of {shape}")
                data = np.ascontiguousarray(ws, STORED).data
                digest.update(data)
                latents.write(data)
                table = pa.Table.from_pandas(rows[list(INDEX_COLUMNS)], schema=_SCHEMA, preserve_index=False)
                index.write_table(table.replace_schema_metadata(None))
                written += len(rows)
            if written != n:
                raise ValueError(f"{written} codes were given, not {n}")
        record = replace(embedding, latents_sha256=digest.hexdigest())
        index.add_key_value_metadata({_KEY: json.dumps(asdict(record), sort_keys=True)})
    return record


def by_patient(index: pd.DataFrame) -> pd.DataFrame:
    """The index with one row per patient, patient_id as its index: means of the numbers, all flags of all photos."""
    if not index["patient_id"].duplicated().any():
        return index.set_index("patient_id")
    groups = index.groupby("patient_id", sort=False)
    rows = groups.first()
    rows[list(_NUMBERS)] = groups[list(_NUMBERS)].mean()
    rows["flags"] = groups["flags"].agg(lambda texts: "\n".join(dict.fromkeys("\n".join(texts).splitlines())).strip())
    return rows


def has_latents(folder: Path) -> bool:
    return (folder / LATENTS).is_file() and (folder / INDEX).is_file()


def read_index(folder: Path) -> tuple[pd.DataFrame, Embedding]:
    """The index and the record alone, for lists and galleries: the codes are neither opened nor checked."""
    if not has_latents(folder):
        raise to_embed(folder.name, "The photos of this study have no W+ codes yet.")
    path = folder / INDEX
    try:
        if path.stat().st_size > MAX_INDEX_BYTES:
            raise to_embed(folder.name, f"{INDEX} is too large.")
        facts = pq.read_metadata(path)
        if facts.num_rows > MAX_ROWS:
            raise to_embed(folder.name, f"{INDEX} has too many rows.")
        absent = [column for column in LATER if column not in facts.schema.names]
        table = pq.read_table(path, columns=[column for column in INDEX_COLUMNS if column not in absent])
        for column in absent:
            table = table.append_column(column, pa.nulls(len(table), pa.float64()))
        record = Embedding(**json_value((facts.metadata or {})[_KEY]))
        if type(record.views) is not int or record.views not in VIEWS:
            raise ValueError("views")
        index = table.select(list(INDEX_COLUMNS)).replace_schema_metadata(None).cast(_SCHEMA).to_pandas()
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise to_embed(folder.name, f"{INDEX} is damaged or not ours.") from error
    if index[list(_TEXTS)].isna().any(axis=None) or index["photo_id"].duplicated().any():
        raise to_embed(folder.name, f"{INDEX} has missing or repeated photos.")
    return index, record


def read_embedding(folder: Path) -> Embedding:
    """The record of how the codes were made; StudyError if there is none."""
    return read_index(folder)[1]


def read_latents(folder: Path) -> tuple[Latents, Embedding]:
    """Opens and checks both files; StudyError when they are missing, damaged or do not belong together."""
    index, record = read_index(folder)
    views = open_views(folder, len(index), record)
    if sha256_of(folder / LATENTS) != record.latents_sha256:
        raise to_embed(folder.name, f"{LATENTS} and {INDEX} do not belong together.")
    if (index["checkpoint_sha256"] != record.checkpoint_sha256).any():
        raise to_embed(folder.name, f"{INDEX} mixes codes of several checkpoints.")
    return Latents(views, index), record


def open_views(folder: Path, n: int, record: Embedding) -> NDArray[np.floating[Any]]:
    """The codes of n photos (n, views, num_ws, w_dim), memory-mapped; not hashed. StudyError where they are damaged or
    not those of the record."""
    try:
        codes = np.load(folder / LATENTS, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise to_embed(folder.name, f"{LATENTS} is damaged.") from error
    if isinstance(codes, np.ndarray) and codes.ndim == 3 and codes.dtype == np.float32:
        codes = codes[:, None]  # written before there were views
    expected = (n, record.views, record.num_ws, record.w_dim)
    if not isinstance(codes, np.ndarray) or codes.dtype not in (np.float16, np.float32) or codes.shape != expected:
        raise to_embed(folder.name, f"{LATENTS} does not hold codes of shape {expected}.")
    return codes
