"""`python -m latent dataset`: folders of portraits -> one aligned training set, through the app's gate and alignment.

On disk: `images.npy` (N, size, size, 3) uint8 RGB, `table.parquet` (one row per kept image: source folder, file, and
factor columns where the folder has a `factors.csv`), `refused.csv` (every photo left out, and why), `dataset.json`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from faces.align import align
from faces.errors import FaceError, NoFaceError
from faces.landmarks import detect_faces
from faces.photo import load_photo
from latent.errors import LatentError

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", nargs="+", type=Path, help="folders of photos (searched below), or renderer outputs")
    parser.add_argument("--out", required=True, type=Path, help="folder to write the training set to")
    parser.add_argument("--size", type=int, default=128, help="side of the aligned squares in pixels")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--renderer",
        type=Path,
        help="folder of the portrait renderer: adds its identity coefficients to the table by replaying its draws",
    )


def _align_file(job: tuple[Path, int]) -> np.ndarray | str:
    """Aligned pixels (size, size, 3) uint8 of the largest face, or the reason for refusal."""
    path, size = job
    try:
        photo = load_photo(path, path.name)
        faces = detect_faces(photo)
        if not faces:
            raise NoFaceError("no face was found")
        return align(photo, faces[0], size).pixels
    except FaceError as error:
        return str(error)


def _photo_rows(folder: Path, renderer: ModuleType | None) -> list[dict]:
    """One row a photo of `folder`, with the factors of `factors.csv` and identity coefficients where they are known."""
    table = folder / "factors.csv"
    if not table.exists():
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES)
        if not found:
            raise LatentError(f"{folder} holds no photo: give a folder with JPEG, PNG, WebP, BMP or TIFF files.")
        return [{"folder": folder.name, "file": str(p.relative_to(folder)), "path": p} for p in found]
    factors = pd.read_csv(table)
    settings = json.loads((folder / "run.json").read_text()) if (folder / "run.json").exists() else {}
    rows = []
    for row in factors.to_dict("records"):
        path = folder / row["image"]
        if not path.exists():  # a run that was interrupted, or is still going on
            continue
        if renderer is not None:
            drawn = renderer.draw(settings["command"], settings["seed"], int(row["index"]))
            if drawn.seed != row["seed"]:
                raise LatentError(f"{table}: row {row['index']} was not drawn by the renderer that was given.")
            row |= {f"identity_{i:03d}": float(v) for i, v in enumerate(drawn.identity)}
        rows.append({"folder": folder.name, "file": row.pop("image"), "path": path, **row})
    return rows


def _load_renderer(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("factors", folder / "factors.py")
    if spec is None or spec.loader is None or not (folder / "factors.py").exists():
        raise LatentError(f"{folder} is not the portrait renderer: it has no factors.py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules["factors"] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


def _aligned(rows: list[dict], size: int, workers: int) -> Iterator[np.ndarray | str]:
    jobs = [(row["path"], size) for row in rows]
    if workers <= 1:
        yield from map(_align_file, jobs)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_align_file, jobs, chunksize=16)


def build(folders: list[Path], out: Path, size: int, workers: int = 1, renderer: Path | None = None) -> dict:
    """Align every photo below `folders`; returns the numbers that `dataset.json` holds. Raises LatentError."""
    if out.exists():
        raise LatentError(f"{out} exists already: choose another --out or delete it.")
    module = _load_renderer(renderer) if renderer else None
    rows = [row for folder in folders for row in _photo_rows(folder, module)]
    images, kept, refused = [], [], []
    started = time.monotonic()
    for done, (row, result) in enumerate(zip(rows, _aligned(rows, size, workers), strict=True), 1):
        if isinstance(result, str):
            refused.append({"folder": row["folder"], "file": row["file"], "reason": result})
        else:
            images.append(result)
            kept.append({k: v for k, v in row.items() if k != "path"})
        if done % 100 == 0 or done == len(rows):
            left = (time.monotonic() - started) / done * (len(rows) - done)
            print(f"\r{done}/{len(rows)} photos, {len(refused)} refused, {left:.0f} s left  ", end="", file=sys.stderr)
    print(file=sys.stderr)
    if not images:
        raise LatentError(f"No face was found in any of the {len(rows)} photos.")
    temporary = out.with_name(out.name + ".tmp")
    temporary.mkdir(parents=True)
    np.save(temporary / "images.npy", np.stack(images))
    pd.DataFrame(kept).to_parquet(temporary / "table.parquet")
    pd.DataFrame(refused, columns=["folder", "file", "reason"]).to_csv(temporary / "refused.csv", index=False)
    facts = {"size": size, "photos": len(rows), "kept": len(kept), "refused": len(refused)}
    (temporary / "dataset.json").write_text(json.dumps(facts, indent=1) + "\n")
    os.replace(temporary, out)
    return facts


def load(folder: Path, resolution: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Images (N, resolution, resolution, 3) uint8 and their table. Raises LatentError if the set does not fit."""
    if not (folder / "images.npy").exists():
        raise LatentError(f"{folder} is not a training set: make one with `python -m latent dataset`.")
    images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    shrink, rest = divmod(images.shape[1], resolution)
    if rest or shrink < 1:
        raise LatentError(f"{folder} holds {images.shape[1]} px images, which do not scale down to {resolution} px.")
    if shrink > 1:  # the area mean, in blocks that keep memory low
        means = [
            block.reshape(len(block), resolution, shrink, resolution, shrink, 3).mean((2, 4), dtype=np.float32)
            for block in np.array_split(images, max(1, len(images) // 256))
        ]
        images = np.concatenate([np.rint(mean).astype(np.uint8) for mean in means])
    return np.array(images), pd.read_parquet(folder / "table.parquet")


def run(args: argparse.Namespace) -> int:
    facts = build(args.folders, args.out, args.size, args.workers, args.renderer)
    print(f"{facts['kept']} of {facts['photos']} photos aligned at {facts['size']} px, {facts['refused']} refused.")
    return 0
