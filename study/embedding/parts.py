"""Codes that are finished: one part per block under `embedding.parts/`, and where the code of each photo lies.

A part's key is a digest of its photos and settings, so a block that is done twice is one part; codes are found by the
SHA-256 of the photo, whatever block they were made in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.part_store import JSON, Layout, PartStore, array_json, decode
from study.disk.face_choices import chosen_face, read_choices
from study.disk.latents import (
    INDEX_COLUMNS,
    LATER,
    STORED,
    Embedding,
    Latents,
    has_latents,
    read_latents,
    stream_latents,
)
from study.disk.places import EMBEDDING_PARTS as PARTS
from study.embedding.record import fingerprint
from study.errors import StudyError

CHUNK = 1024  # codes in memory at a time when the parts become one file
Rows = list[dict[str, Any]]
Place = tuple[str, int]  # key of the part, row in it


class FinishedCodes:
    """Where the code of each photo lies: in the study's latents.npy of an earlier run, or in a part.

    Holds a digest and one place per photo, never the codes.
    """

    def __init__(self, folder: Path, record: Embedding) -> None:
        self.folder, self.record, self.mark = folder, record, fingerprint(record)
        self.choices = read_choices(folder)
        self._parts = PartStore(folder / PARTS)
        self._shape = (record.views, record.num_ws, record.w_dim)
        self._layout: Layout = {"index": JSON, "ws": (STORED, (None, *self._shape))}
        self._old: Latents | None = None
        self._places: dict[bytes, Place] = {}
        self._take_latents()
        for key in self._parts:
            rows = self._rows(self._parts.get(key, {"index": JSON}))
            self._places |= {bytes.fromhex(digest): (key, row) for digest, row in self._wanted(rows or [])}

    def _rows(self, arrays: Mapping[str, NDArray[Any]] | None) -> Rows | None:
        """Index rows of a part; None where it is damaged or of other settings."""
        try:
            index = array_json(arrays["index"]) if arrays is not None else {}
            rows: Rows = [dict.fromkeys(LATER, math.nan) | row for row in index["rows"]]
            complete = all(row.keys() == set(INDEX_COLUMNS) and bytes.fromhex(row["photo_sha256"]) for row in rows)
            return rows if complete and index["fingerprint"] == self.mark else None
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def _take_latents(self) -> None:
        if not has_latents(self.folder):
            return
        try:
            latents, old = read_latents(self.folder)
        except StudyError:
            return  # damaged: embedded again
        if fingerprint(old) == self.mark:
            self._old = latents
            wanted = self._wanted(latents.index[["photo_sha256", "flags"]].to_dict("records"))
            self._places = {bytes.fromhex(digest): ("", row) for digest, row in wanted}

    def _wanted(self, rows: Sequence[Mapping[Any, Any]]) -> list[tuple[str, int]]:
        """(SHA-256 of the photo, row) of the codes that are of the face chosen today."""
        chosen = [(str(row["photo_sha256"]), number, chosen_face(row["flags"])) for number, row in enumerate(rows)]
        return [(d, number) for d, number, face in chosen if face == (self.choices[d].face if d in self.choices else 1)]

    def __contains__(self, digest: str) -> bool:
        return bytes.fromhex(digest) in self._places

    def digests(self) -> list[str]:
        return [digest.hex() for digest in self._places]

    def put(self, part: bytes) -> None:
        """Keeps a part as `encode_part` made it. Raises StudyError where it is damaged or the disk refuses."""
        arrays = decode(part, self._layout)
        rows = self._rows(arrays)
        if arrays is None or rows is None or len(rows) != len(arrays["ws"]):
            raise StudyError("A worker returned damaged codes. Run the same command again; finished photos are kept.")
        digests = [row["photo_sha256"] for row in rows]
        key = sha256("".join([self.mark, *digests]).encode()).hexdigest()[:32]
        try:
            self._parts.put(key, arrays)
        except OSError as error:
            raise StudyError(f"{PARTS}/ could not be written: {error.strerror or error}.") from error
        self._places |= {bytes.fromhex(digest): (key, row) for row, digest in enumerate(digests)}

    def assemble(self, photos: Sequence[tuple[str, str]], digests: Sequence[str]) -> Embedding:
        """latents.npy and index.parquet of these (patient, path), in this order, from the codes of these digests.

        CHUNK codes are in memory at a time. Raises StudyError when a part was damaged meanwhile.
        """
        chunks = (
            self._chunk(photos[start : start + CHUNK], digests[start : start + CHUNK])
            for start in range(0, len(photos), CHUNK)
        )
        return stream_latents(self.folder, len(photos), chunks, self.record)

    def _chunk(
        self, photos: Sequence[tuple[str, str]], digests: Sequence[str]
    ) -> tuple[NDArray[np.floating[Any]], pd.DataFrame]:
        ws = np.empty((len(photos), *self._shape), STORED)
        table: Rows = [{}] * len(photos)
        wanted: dict[str, list[tuple[int, int]]] = {}
        for i, digest in enumerate(digests):
            key, row = self._places[bytes.fromhex(digest)]
            wanted.setdefault(key, []).append((i, row))
        for key, pairs in wanted.items():
            rows, codes = self._read(key, [row for _, row in pairs])
            for (i, _), values, code in zip(pairs, rows, codes, strict=True):
                patient, path = photos[i]
                ws[i] = code
                table[i] = {**values, "patient_id": patient, "photo_id": Path(path).stem}
        return ws, pd.DataFrame(table, columns=list(INDEX_COLUMNS))

    def _read(self, key: str, places: list[int]) -> tuple[Rows, NDArray[np.floating[Any]]]:
        """Index rows and codes at these places of a part, or ("") of the earlier latents.npy."""
        if not key:
            assert self._old is not None
            return self._old.index.iloc[places].to_dict("records"), self._old.views[places]  # type: ignore[return-value]
        arrays = self._parts.get(key, self._layout)
        rows = self._rows(arrays)
        if arrays is None or rows is None or len(rows) != len(arrays["ws"]):
            raise StudyError(
                f"A part in {PARTS}/ can no longer be read. Run the same command again: its photos are embedded again."
            )
        return [rows[place] for place in places], arrays["ws"][places]
