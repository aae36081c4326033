"""Models and results on disk: STEM.json (numbers and words) + STEM.npz (arrays). No pickle; nothing is trusted.

The JSON lists every array with shape and dtype and carries the SHA-256 of the npz. Reading checks sizes and headers
before anything is allocated, so a hostile file is refused instead of believed.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from common.files import PLAIN
from common.parsing import json_value
from survival.errors import SurvivalError

MAX_JSON_BYTES = 20_000_000
MAX_NPZ_BYTES = 2_000_000_000
MAX_ARRAYS = 64
DTYPES = ("<f8", "<f4", "<i8", "|b1")


def write_model(
    folder: Path, kind: str, meta: dict[str, Any], arrays: dict[str, np.ndarray], stem: str = "model"
) -> None:
    """Write folder/STEM.json and folder/STEM.npz, each under a temporary name first.

    kind names what is stored and its version; reading asks for the same. meta: JSON values, nan allowed as null only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{name: np.ascontiguousarray(a) for name, a in arrays.items()})
    data = buffer.getvalue()
    document = {
        "kind": kind,
        "npz_sha256": hashlib.sha256(data).hexdigest(),
        "arrays": {name: {"shape": list(a.shape), "dtype": a.dtype.str} for name, a in arrays.items()},
        "meta": meta,
    }
    text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
    for path, content in ((folder / f"{stem}.npz", data), (folder / f"{stem}.json", text.encode())):
        PLAIN.write_bytes(path, content)


def read_model(folder: Path, kind: str, stem: str = "model") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what write_model wrote: (meta, arrays). Raises SurvivalError on anything else."""
    listing = folder / f"{stem}.json"
    document = _read_json(listing)
    if document.get("kind") != kind:
        _refuse(listing, f"it was not written by this version (it is not {kind})")
    listed, meta = document.get("arrays"), document.get("meta")
    if not isinstance(listed, dict) or not isinstance(meta, dict) or len(listed) > MAX_ARRAYS:
        _refuse(listing, "its list of arrays or its numbers are missing")
    path = folder / f"{stem}.npz"
    try:
        if path.stat().st_size > MAX_NPZ_BYTES:
            _refuse(path, "it is too large")
        data = path.read_bytes()
    except OSError:
        _refuse(path, "it cannot be read")
    if hashlib.sha256(data).hexdigest() != document.get("npz_sha256"):
        _refuse(path, f"it does not belong to the {listing.name} next to it (another SHA-256)")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sorted(archive.namelist()) != sorted(f"{name}.npy" for name in listed):
                _refuse(path, f"it holds other arrays than {listing.name} lists")
            return meta, {name: _read_array(path, archive, name, listed[name]) for name in listed}
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, KeyError, NotImplementedError):
        _refuse(path, "it is damaged")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            _refuse(path, "it is too large")
        document = json_value(path.read_bytes().decode("utf-8"), finite=True)
    except OSError:
        _refuse(path, "it cannot be read")
    except (ValueError, RecursionError):
        _refuse(path, "it is not JSON")
    if not isinstance(document, dict):
        _refuse(path, "it is not a model")
    return document


def _read_array(path: Path, archive: zipfile.ZipFile, name: str, entry: Any) -> np.ndarray:
    """One array, its header compared with the listing and with the member's size before it is read."""
    shape = tuple(entry["shape"]) if isinstance(entry, dict) and isinstance(entry.get("shape"), list) else None
    if shape is None or not all(type(s) is int and s >= 0 for s in shape) or entry.get("dtype") not in DTYPES:
        _refuse(path, f"the listing of {name} is not understood")
    dtype = np.dtype(entry["dtype"])
    size = math.prod(shape) * dtype.itemsize
    info = archive.getinfo(f"{name}.npy")
    if not size <= info.file_size <= size + 1024 or size > MAX_NPZ_BYTES:
        _refuse(path, f"the size of {name} is not as listed")
    with archive.open(info) as member:
        array = np.load(io.BytesIO(member.read(size + 1024)), allow_pickle=False)
    if array.shape != shape or array.dtype != dtype:
        _refuse(path, f"{name} is not as listed")
    if dtype.kind == "f" and not np.isfinite(array).all():
        _refuse(path, f"{name} holds values that are not finite")
    return array


def _refuse(path: Path, why: str) -> NoReturn:
    raise SurvivalError(f"{path.name} in {path.parent.name}: {why}.")
