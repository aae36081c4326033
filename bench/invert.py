"""Inversion: encoder alone, the presets, pivotal tuning and the 1000-step projector in one run, on held-out portraits.

Every method meets every portrait in turn, alone (batch of one), so that seconds are what a person waits. Options:
`python -m bench invert --n 5 --portraits FOLDER --checkpoint FOLDER [FOLDER ...] --steps 1000 --tuning 200`. Several
checkpoints, of one resolution or several, are measured one after the other in the same run. Pivotal tuning starts
from the code of a preset, and its seconds include finding it; its picture is for display, the code stays the preset's.
With `--out FILE` every finished portrait is kept in that file, and the same command resumes where it was stopped.

`st_lpips` is the independent witness: no method minimises it, the projector neither.

The second table is paired: the median over portraits of a method's value divided by the projector's on the same
portrait, its percentile bootstrap interval (2000 samples of portraits), and the share of portraits where it is lower.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.parts.common import Results, print_table
from bench.parts.projector import project
from common.command import Parser, file_argument, folder_argument
from faces.align import align, resize
from faces.errors import FaceError
from faces.landmarks import detect_faces
from faces.photo import load_photo
from latent.checkpoints import Checkpoint, load_checkpoint
from latent.features.perceptual import load_perceptual
from latent.features.st_lpips import NAME as ST_LPIPS
from latent.inversion.invert import Inversion, invert, measure
from latent.inversion.pivotal_tuning import PivotalSettings, close_enough, tune
from latent.inversion.settings import ENCODER_ONLY, PRESETS, InversionSettings

ROOT = Path(__file__).resolve().parent.parent
PORTRAITS = ROOT / "bench" / "portraits"
CHECKPOINT = ROOT / "checkpoints" / "patients"
SUFFIXES = {".jpg", ".jpeg", ".png"}
COLUMNS = ("st_lpips", "perceptual", "psnr", "ssim", "identity", "plausibility", "seconds")
PROJECTOR, PIVOTAL = "projector", "pivotal tuning"
PIVOT = PRESETS["balanced"]  # whose code is tuned around
PAIRED = ("st_lpips", "perceptual", "identity")
SAMPLES = 2000  # of the bootstrap
Method = Callable[[np.ndarray], dict[str, Any]]  # of a portrait


def portraits(folder: Path, n: int) -> list[np.ndarray]:
    """The first n photos of `folder` in which a face is found, aligned, uint8 (256, 256, 3)."""
    faces: list[np.ndarray] = []
    for file in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES):
        if len(faces) == n:
            break
        try:
            photo = load_photo(file)
            faces += [align(photo, face, 256).pixels for face in detect_faces(photo)[:1]]
        except FaceError as error:
            print(f"left out: {file.name}: {error}", file=sys.stderr)
    return faces


def _ours(checkpoint: Checkpoint, settings: InversionSettings, image: np.ndarray) -> dict[str, Any]:
    result: Inversion = invert(checkpoint, image[None], settings)[0]
    return result.metrics | {"seconds": result.seconds, "steps": len(result.losses["total"]) - 1}


def _pivotal(checkpoint: Checkpoint, settings: PivotalSettings, image: np.ndarray) -> dict[str, Any]:
    inversion = invert(checkpoint, image[None], PIVOT)[0]
    result = tune(checkpoint, inversion, image, settings)
    seconds = {"seconds": inversion.seconds + result.seconds, "tuning_seconds": result.seconds}
    return result.after | seconds | {"steps": result.steps, "stopped": result.stopped, "code": inversion.metrics}


def _projector(checkpoint: Checkpoint, steps: int, image: np.ndarray) -> dict[str, Any]:
    target = resize(image, checkpoint.resolution)
    result = project(checkpoint, target, steps)
    metrics = measure(target[None], result.reconstruction[None], checkpoint.device)[0]
    return metrics | {"seconds": result.seconds, "steps": steps}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m bench invert", description=__doc__)
    parser.add_argument("--n", type=int, default=20, help="portraits")
    parser.add_argument(
        "--portraits", type=folder_argument, default=PORTRAITS, help="folder of portraits the model never saw"
    )
    parser.add_argument("--checkpoint", type=folder_argument, nargs="+", default=[CHECKPOINT])
    parser.add_argument("--steps", type=int, default=1000, help="of the projector; 0 leaves it out")
    most = PivotalSettings().steps
    parser.add_argument("--tuning", type=int, default=most, help="at most so many of pivotal tuning; 0 leaves it out")
    parser.add_argument(
        "--out", type=file_argument, help="JSON file: finished portraits are kept there and not done again"
    )
    return parser.parse_args(arguments)


def run(arguments: Sequence[str] = ()) -> dict[str, Any]:
    """Print the tables and return them with every single measurement."""
    options = parse(arguments)
    checkpoints = [load_checkpoint(folder) for folder in options.checkpoint]
    images = portraits(options.portraits, options.n)
    if not images:
        raise SystemExit(f"No portrait with a face in {options.portraits}: give a folder with --portraits.")
    presets = (ENCODER_ONLY, *PRESETS.values())
    tuning = PivotalSettings(steps=options.tuning)
    sha256s = [checkpoint.sha256 for checkpoint in checkpoints]
    shaped: dict[str, Any] = {"checkpoints": sha256s, "presets": [settings.as_dict() for settings in presets]}
    close = close_enough(tuning, load_perceptual(checkpoints[0].device).name)
    shaped |= {"tuning": tuning.as_dict() | {"close": close}, "projector": options.steps, "witness": ST_LPIPS}
    records = Results(options.out, shaped)
    reports: list[dict[str, Any]] = []
    for checkpoint in checkpoints:
        methods: dict[str, Method] = {settings.name: partial(_ours, checkpoint, settings) for settings in presets}
        if options.tuning:
            methods[PIVOTAL] = partial(_pivotal, checkpoint, tuning)
        if options.steps:
            methods[PROJECTOR] = partial(_projector, checkpoint, options.steps)
        methods[ENCODER_ONLY.name](images[0])  # loads what is loaded once
        measured = _measure(images, methods, records, checkpoint.sha256)
        reports.append(_report(checkpoint, measured) | {"portraits": measured})
    slim = [{key: value for key, value in report.items() if key != "portraits"} for report in reports]
    records.write({"checkpoints": slim})
    return {"checkpoints": reports}


def _report(checkpoint: Checkpoint, measured: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Both tables of one checkpoint, printed."""
    rows: list[dict[str, Any]] = []
    for name, results in measured.items():
        series = {column: [each[column] for each in results if column in each] for column in ("steps", *COLUMNS)}
        medians = {column: statistics.median(values) if values else "-" for column, values in series.items()}
        rows.append({"method": name, **medians})
    paired: list[dict[str, Any]] = []
    if PROJECTOR in measured:
        baseline = float(rows[-1]["seconds"])
        rows = [row | {"times faster": baseline / float(row["seconds"])} for row in rows]
        paired = [_paired(name, measured[name], measured[PROJECTOR]) for name in measured if name != PROJECTOR]
    of_encoder = measured[ENCODER_ONLY.name]
    distance = of_encoder[0]["perceptual_name"]
    title = f"Inversion, {checkpoint.name} at {checkpoint.resolution} px, medians of {len(of_encoder)} portraits; "
    print_table(rows, title + f"perceptual: {distance}. {PIVOT.minimised(distance)}")
    if paired:
        print_table(paired, "Divided by the projector's on the same portrait: median, 95 % interval, share below 1")
    facts = {"checkpoint": checkpoint.sha256, "name": checkpoint.name, "resolution": checkpoint.resolution}
    return facts | {"perceptual_name": distance, "medians": rows, "paired": paired}


def _measure(
    images: Sequence[np.ndarray], methods: dict[str, Method], records: Results, checkpoint: str
) -> dict[str, list[dict[str, Any]]]:
    """Every method's values for every portrait, those of a finished portrait as they were recorded. checkpoint: its
    sha256."""
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in methods}
    for number, image in enumerate(images, 1):
        digest = hashlib.sha256(checkpoint.encode() + image.tobytes()).hexdigest()
        if not records.of(digest):
            records.add(digest, {name: method(image) for name, method in methods.items()})
            records.write()
        for name in methods:
            measured[name].append(records.of(digest)[name])
        print(f"{number} of {len(images)} portraits", file=sys.stderr, flush=True)
    return measured


def _paired(name: str, ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Ratios of one method's values to the projector's, portrait by portrait."""
    row: dict[str, Any] = {"method": name}
    for column in (column for column in PAIRED if column in ours[0] and column in theirs[0]):
        logs = np.log([a[column] / b[column] for a, b in zip(ours, theirs, strict=True)])
        drawn = np.random.default_rng(0).integers(len(logs), size=(SAMPLES, len(logs)))
        low, high = np.percentile(np.median(logs[drawn], axis=1), [2.5, 97.5])
        row |= {column: math.exp(np.median(logs)), f"{column} from": math.exp(low), f"{column} to": math.exp(high)}
        row[f"{column} lower"] = float(np.mean(logs < 0))
    return row
