"""What is finished, on disk: one part file a block under `embedding.parts/`, and where each photo's code lies.

Parts are found again by the sha256 of the photos inside, whatever block they were made in. A name is a digest of the
contents' photos and settings, so a block that is done twice is one file; files are spread over 256 folders.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.parsing import json_value
from study.disk.face_choices import chosen_face, read_choices
from study.disk.latents import INDEX_COLUMNS, Embedding, Latents, has_latents, read_latents, stream_latents
from study.disk.places import EMBEDDING_PARTS as PARTS
from study.embedding.record import fingerprint
from study.errors import StudyError
from study.files import write_bytes

CHUNK = 1024  # codes in memory at a time when the parts become one file
Place = tuple[int, int]  # number of the file, row in it


def _read(path: Path, mark: str) -> tuple[list[dict[str, Any]], NDArray[np.float32]]:
    """Index rows and codes of a part; ValueError and kin where it is damaged or of other settings."""
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as part:
        if str(part["fingerprint"]) != mark:
            raise ValueError("other settings")
        rows, ws = json_value(part["rows"].tobytes()), part["ws"]
    if len(rows) != len(ws):
        raise ValueError("rows and codes differ in number")
    return rows, ws


_DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


class Shelf:
    """Where the code of each photo lies: in the study's latents.npy of an earlier run, or in a part.

    Holds a digest and two numbers a photo, never the codes.
    """

    def __init__(self, folder: Path, record: Embedding) -> None:
        self.folder, self.record, self.mark = folder, record, fingerprint(record)
        self.choices = read_choices(folder)
        self._files: list[Path] = []
        self._old: Latents | None = None
        self._places: dict[bytes, Place] = {}
        self._take_latents()
        for path in sorted((folder / PARTS).rglob("*.npz")):
            try:
                rows, _ = _read(path, self.mark)
            except _DAMAGE:
                continue  # damaged, or of other settings: made anew
            self._take(path, self._wanted(rows))

    def _take_latents(self) -> None:
        if not has_latents(self.folder):
            return
        try:
            latents, old = read_latents(self.folder)
        except StudyError:
            return  # damaged: made anew
        if fingerprint(old) == self.mark:
            self._old = latents
            wanted = self._wanted(latents.index[["photo_sha256", "flags"]].to_dict("records"))
            self._places = {bytes.fromhex(digest): (-1, row) for digest, row in wanted}

    def _wanted(self, rows: Sequence[Mapping[Any, Any]]) -> list[tuple[str, int]]:
        """(sha256 of the photo, row) of the codes that are of the face chosen today."""
        chosen = [(str(row["photo_sha256"]), number, chosen_face(row["flags"])) for number, row in enumerate(rows)]
        return [(d, number) for d, number, face in chosen if face == (self.choices[d].face if d in self.choices else 1)]

    def _take(self, path: Path, digests: Sequence[tuple[str, int]]) -> None:
        self._files.append(path)
        number = len(self._files) - 1
        self._places |= {bytes.fromhex(digest): (number, row) for digest, row in digests}

    def __contains__(self, digest: str) -> bool:
        return bytes.fromhex(digest) in self._places

    def digests(self) -> list[str]:
        return [digest.hex() for digest in self._places]

    def put(self, part: bytes) -> None:
        """Keeps a part as `encode_part` made it. StudyError when the disk refuses."""
        with np.load(io.BytesIO(part), allow_pickle=False) as contents:
            digests = [row["photo_sha256"] for row in json_value(contents["rows"].tobytes())]
        name = sha256("".join([self.mark, *digests]).encode()).hexdigest()[:16]
        path = self.folder / PARTS / name[:2] / f"{name}.npz"
        write_bytes(path, part)
        self._take(path, list(zip(digests, range(len(digests)), strict=True)))

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
    ) -> tuple[NDArray[np.float32], pd.DataFrame]:
        ws = np.empty((len(photos), self.record.num_ws, self.record.w_dim), np.float32)
        rows: list[dict[str, Any]] = [{}] * len(photos)
        wanted: dict[int, list[tuple[int, int]]] = {}
        for i, digest in enumerate(digests):
            number, row = self._places[bytes.fromhex(digest)]
            wanted.setdefault(number, []).append((i, row))
        for number, pairs in wanted.items():
            found, codes = self._rows(number, [row for _, row in pairs])
            for (i, _), values, code in zip(pairs, found, codes, strict=True):
                patient, path = photos[i]
                ws[i] = code
                rows[i] = {**values, "patient_id": patient, "photo_id": Path(path).stem}
        return ws, pd.DataFrame(rows, columns=list(INDEX_COLUMNS))

    def _rows(self, number: int, rows: list[int]) -> tuple[list[dict[str, Any]], NDArray[np.float32]]:
        if number < 0:
            assert self._old is not None
            return [
                dict(zip(INDEX_COLUMNS, r, strict=True)) for r in self._old.index.iloc[rows].to_numpy()
            ], self._old.ws[rows]
        path = self._files[number]
        try:
            found, ws = _read(path, self.mark)
        except _DAMAGE as error:
            message = f"{PARTS}/{path.name} can no longer be read. Run the same command again: it is made anew."
            raise StudyError(message) from error
        return [found[row] for row in rows], ws[rows]
