"""What every run checks before it begins: its training set, its start, and where its results go."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from common.files import why_not_writable
from latent.datasets.build import read_images, read_table
from latent.datasets.patients import HELD_OUT
from latent.errors import FinetuneError
from latent.training.run_folder import SETTINGS, RunFolder, read_json

FEWEST_IMAGES = 8
FEWEST_SAMPLES = 50  # for a Fréchet distance

Pixels = Callable[[Tensor], np.ndarray]


def require(valid: bool, name: str, wanted: str, settings: object) -> None:
    """Raises FinetuneError about the flag of this name among the settings where its value is not valid."""
    if not valid:
        raise FinetuneError(f"--{name.replace('_', '-')} must be {wanted}, not {getattr(settings, name)}.")


def check_same_flags(before: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raises FinetuneError where a flag asks for another run than the one in the folder."""
    for name, value in given.items():
        if value != before[name] and (name, value) != ("precision", "auto"):
            raise FinetuneError(
                f"The run in this folder has --{name.replace('_', '-')} {before[name]}, not {value}: leave the flag "
                "out to resume it, or start in a new --run."
            )


def check_out(out: Path | None, folder: RunFolder) -> None:
    """Raises FinetuneError where the checkpoint to write exists and was not written by this run, or where run or
    checkpoint could not be written."""
    for path in (folder.path / SETTINGS, out):
        if path is not None and (why := why_not_writable(path)):
            raise FinetuneError(f"{path} could not be written: {why}.")
    if out is None or not out.exists():
        return
    config = out / "config.json"
    if not config.is_file() or read_json(config).get("run") != str(folder.path.resolve()):
        raise FinetuneError(f"{out} exists already: choose another --out, or delete it.")


def data_facts(folder: Path) -> dict[str, Any]:
    """Name, number and size of the images, and a digest of their table. Raises FinetuneError where there is no set."""
    try:
        shape = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False).shape
        digest = hashlib.sha256((folder / "table.parquet").read_bytes()).hexdigest()
    except (OSError, ValueError) as error:
        raise FinetuneError(f"{folder} is not a training set: make one with `python -m latent dataset`.") from error
    return {"name": folder.resolve().name, "shape": list(shape), "table_sha256": digest}


def check_enough(data: Path, images: int) -> None:
    """Raises FinetuneError for a set with fewer than FEWEST_IMAGES images to train on."""
    if images < FEWEST_IMAGES:
        raise FinetuneError(f"{data} has {images} images to train on; at least {FEWEST_IMAGES} are needed.")


def distance_reference(data: Path, resolution: int, count: int, pixels: Pixels) -> tuple[int, Pixels]:
    """Number and pixels, uint8 (n, R, R, 3) of rows (n,), of the photos with which samples are compared at ticks: those
    held out of training, where there are enough, else the `count` that are trained on, with their `pixels`."""
    table = read_table(data)
    held = table.index[table["split"] == HELD_OUT].to_numpy() if "split" in table else table.index.to_numpy()[:0]
    if len(held) < FEWEST_SAMPLES:
        return count, pixels
    return len(held), lambda rows: read_images(data, resolution, held[rows.numpy()])
