"""Inversion: encoder alone, the presets, pivotal tuning and the 1000-step projector in one run, on held-out portraits.

Every method meets every portrait in turn, alone (batch of one), so that seconds are what a person waits. Options:
`python -m bench invert --n 5 --portraits FOLDER --checkpoint FOLDER --steps 1000 --tuning 200`. Pivotal tuning starts
from the code of a preset, and its seconds include finding it; its picture is for display, the code stays the preset's.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import print_table
from bench.projector import project
from faces.align import align, resize
from faces.errors import FaceError
from faces.landmarks import detect_faces
from faces.photo import load_photo
from latent.checkpoints import Checkpoint, load_checkpoint
from latent.inversion import PRESETS, Inversion, InversionSettings, invert, measure
from latent.pivotal import PivotalSettings, tune

ROOT = Path(__file__).resolve().parent.parent
PORTRAITS = ROOT / "bench" / "portraits"
CHECKPOINT = ROOT / "checkpoints" / "patients"
SUFFIXES = {".jpg", ".jpeg", ".png"}
COLUMNS = ("perceptual", "psnr", "ssim", "identity", "plausibility", "seconds")
ENCODER_ONLY = replace(PRESETS["fast"], name="encoder only", steps=0)
PROJECTOR, PIVOTAL = "projector", "pivotal tuning"
PIVOT = PRESETS["balanced"]  # whose code is tuned around


def portraits(folder: Path, n: int) -> list[np.ndarray]:
    """The first n photos of `folder` in which a face is found, aligned, uint8 (256, 256, 3)."""
    faces: list[np.ndarray] = []
    for file in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES):
        if len(faces) == n:
            break
        try:
            photo = load_photo(file)
            found = detect_faces(photo)
            if found:
                faces.append(align(photo, found[0], 256).pixels)
        except FaceError as error:
            print(f"left out: {file.name}: {error}", file=sys.stderr)
    return faces


def _ours(checkpoint: Checkpoint, settings: InversionSettings) -> Callable[[np.ndarray], dict[str, Any]]:
    def call(image: np.ndarray) -> dict[str, Any]:
        result: Inversion = invert(checkpoint, image[None], settings)[0]
        return result.metrics | {"seconds": result.seconds, "steps": len(result.losses["total"]) - 1}

    return call


def _pivotal(checkpoint: Checkpoint, settings: PivotalSettings) -> Callable[[np.ndarray], dict[str, Any]]:
    def call(image: np.ndarray) -> dict[str, Any]:
        inversion = invert(checkpoint, image[None], PIVOT)[0]
        result = tune(checkpoint, inversion, image, settings)
        seconds = {"seconds": inversion.seconds + result.seconds, "tuning_seconds": result.seconds}
        return result.after | seconds | {"steps": result.steps, "stopped": result.stopped, "code": inversion.metrics}

    return call


def _projector(checkpoint: Checkpoint, steps: int) -> Callable[[np.ndarray], dict[str, Any]]:
    def call(image: np.ndarray) -> dict[str, Any]:
        target = resize(image, checkpoint.resolution)
        result = project(checkpoint, target, steps)
        metrics = measure(target[None], result.reconstruction[None], checkpoint.device)[0]
        return metrics | {"seconds": result.seconds, "steps": steps}

    return call


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench invert", description=__doc__)
    parser.add_argument("--n", type=int, default=20, help="portraits")
    parser.add_argument("--portraits", type=Path, default=PORTRAITS, help="folder of portraits the model never saw")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--steps", type=int, default=1000, help="of the projector; 0 leaves it out")
    most = PivotalSettings().steps
    parser.add_argument("--tuning", type=int, default=most, help="at most so many of pivotal tuning; 0 leaves it out")
    return parser.parse_args(arguments)


def run(arguments: Sequence[str] = ()) -> dict[str, Any]:
    """Print the table of medians and return it with every single measurement."""
    options = parse(arguments)
    checkpoint = load_checkpoint(options.checkpoint)
    images = portraits(options.portraits, options.n)
    if not images:
        raise SystemExit(f"No portrait with a face in {options.portraits}: give a folder with --portraits.")
    methods = {s.name: _ours(checkpoint, s) for s in (ENCODER_ONLY, *PRESETS.values())}
    if options.tuning:
        methods[PIVOTAL] = _pivotal(checkpoint, PivotalSettings(steps=options.tuning))
    if options.steps:
        methods[PROJECTOR] = _projector(checkpoint, options.steps)
    methods[ENCODER_ONLY.name](images[0])  # loads what is loaded once
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in methods}
    for number, image in enumerate(images, 1):
        for name, method in methods.items():
            measured[name].append(method(image))
        print(f"{number} of {len(images)} portraits", file=sys.stderr, flush=True)
    rows = [_row(name, results) for name, results in measured.items()]
    if options.steps:
        baseline = float(rows[-1]["seconds"])
        rows = [row | {"times faster": baseline / float(row["seconds"])} for row in rows]
    distance = measured[ENCODER_ONLY.name][0]["perceptual_name"]
    title = f"Inversion, {checkpoint.name} at {checkpoint.resolution} px, medians of {len(images)} portraits; "
    print_table(rows, title + f"perceptual: {distance}")
    return {"checkpoint": checkpoint.sha256, "perceptual_name": distance, "medians": rows, "portraits": measured}


def _row(name: str, results: list[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"method": name, "steps": statistics.median(result["steps"] for result in results)}
    for column in COLUMNS:
        values = [result[column] for result in results if column in result]
        row[column] = statistics.median(values) if values else "-"
    return row
