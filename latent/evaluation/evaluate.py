"""`python -m latent evaluate`: how close a checkpoint's samples are to portraits it has not seen.

Distances between samples and portraits are printed next to the same distances between two halves of the portraits, the
floor for every generator. All sets have the same number of images, because most of these measures depend on it. With
a data set that holds people out, only they are the reference. Some of them are reconstructed, too.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from common.command import file_argument, folder_argument
from common.console import ProgressLine
from common.files import PLAIN, why_not_writable
from latent.checkpoints import Checkpoint, load_checkpoint
from latent.datasets.build import read_images, read_table
from latent.datasets.patients import HELD_OUT
from latent.errors import LatentError
from latent.evaluation.features import BATCH, Features, features_of, sample_images
from latent.evaluation.metrics import bootstrap_sd, frechet, kernel_distance, mean_pairwise_distance, precision_recall
from latent.evaluation.reconstructions import reconstruction_errors, reconstruction_lines
from latent.evaluation.report import SHEET_ROWS, SHEET_SUFFIXES, table_lines, write_sheet
from latent.features.inception import InceptionFeatures, load_inception, weights_file
from latent.inversion.settings import PRESETS, InversionSettings

MIN_IMAGES = 8
STOPPED = 130
MAX_SAMPLES = 1_000_000


COMPARED = ("frechet", "frechet_sd", "kernel", "kernel_sd", "precision", "recall", "fid", "fid_sd", "kid", "kid_sd")


def measure(features: Features, psi: float | None, reference: Features | None, n: int) -> dict[str, float | None]:
    """Measures of a set; what compares uses its first n images and the reference's first n.

    psi: truncation of samples, None for portraits. COMPARED are None where there is no reference, or no Inception
    network. sd: of distances by bootstrap, of kernel distances over subsets.
    """
    row: dict[str, float | None] = {"psi": psi, "face_share": float(features.has_face.mean())}
    row |= {"diversity": mean_pairwise_distance(features.descriptors), **dict.fromkeys(COMPARED)}
    if reference is None:
        return row
    ours, theirs = features.descriptors[:n], reference.descriptors[:n]
    row["precision"], row["recall"] = precision_recall(theirs, ours)
    row |= _distances(theirs, ours, ("frechet", "kernel"), unit_scale(theirs))
    if features.inception is not None and reference.inception is not None:
        row |= _distances(reference.inception[:n], features.inception[:n], ("fid", "kid"), 1.0)
    return row


def _distances(
    a: NDArray[np.float32], b: NDArray[np.float32], names: tuple[str, str], scale: float
) -> dict[str, float]:
    repeats = max(5, min(50, 20_000 // len(a)))
    kernel, kernel_sd = kernel_distance(scale * a, scale * b)
    values = (frechet(a, b), bootstrap_sd(frechet, a, b, repeats), kernel, kernel_sd)
    return dict(zip((names[0], f"{names[0]}_sd", names[1], f"{names[1]}_sd"), values, strict=True))


def unit_scale(reference: NDArray[np.float32]) -> float:
    """What brings descriptors to a mean square of 1 a number. They are so small that the kernel (x.y / d + 1)^3 would
    be linear and see their means only; Inception's features have about this size by themselves."""
    return float(1 / np.sqrt(np.mean(np.square(reference, dtype=np.float64))))


def halves(table: pd.DataFrame, n: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of images.npy for reference and floor, equally many and at most n each, no person in both.

    Raises LatentError where there are too few portraits.
    """
    who = table["patient"] if "patient" in table else pd.Series(table.index.astype(str), index=table.index)
    rng = np.random.default_rng(seed)
    everyone = sorted(set(who))
    place = dict(zip(everyone, rng.permutation(len(everyone)), strict=True))
    order = rng.permutation(len(table))
    order = order[np.argsort([place[person] for person in who.iloc[order]], kind="stable")]
    people = who.iloc[order].to_numpy()
    cuts = np.flatnonzero(people[1:] != people[:-1]) + 1  # between two people
    cut = int(cuts[np.abs(cuts - len(order) / 2).argmin()]) if len(cuts) else 0
    n = min(n, cut, len(order) - cut)
    if n < MIN_IMAGES:
        raise LatentError(
            f"The reference has {len(table)} portraits of {len(place)} people: a comparison needs at least "
            f"{2 * MIN_IMAGES} portraits and a cut between people that leaves {MIN_IMAGES} on either side."
        )
    rows = table.index.to_numpy()
    return rows[order[:cut][:n]], rows[order[cut:][:n]]


def evaluate(
    checkpoint: Checkpoint,
    psis: list[float],
    samples: int = 500,
    data: Path | None = None,
    seed: int = 0,
    inception: InceptionFeatures | None = None,
    sheet_psi: float | None = None,
    reconstruct: int = 0,
    search: InversionSettings = PRESETS["balanced"],
) -> tuple[dict[str, Any], NDArray[np.uint8] | None]:
    """The report that --out holds, and the first pictures of `sheet_psi` (m, R, R, 3). Raises LatentError.

    reconstruct: so many of the reference's portraits, at most, are reconstructed by the encoder alone and by `search`.
    """
    if samples < MIN_IMAGES:
        raise LatentError(f"--samples must be at least {MIN_IMAGES}, not {samples}.")
    device, started = checkpoint.device, time.monotonic()
    table = None if data is None else _reference_table(data)
    first, second = (None, None) if table is None else halves(table, samples, seed)
    n = samples if first is None else len(first)
    total, done = samples * len(psis) + (0 if first is None else 2 * n), 0
    progress = ProgressLine("images", total)

    def seen(images: int) -> None:
        nonlocal done
        done += images
        progress(done)

    def portraits(rows: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
        assert data is not None
        for start in range(0, len(rows), BATCH):
            yield read_images(data, checkpoint.resolution, rows[start : start + BATCH])

    reference = floor = None
    if first is not None and second is not None:
        reference = features_of(portraits(first), device, inception, seen)
        floor = measure(features_of(portraits(second), device, inception, seen), None, reference, n)
    pictures: list[NDArray[np.uint8]] = []

    def samples_of(psi: float) -> Iterator[NDArray[np.uint8]]:
        for images in sample_images(checkpoint, samples, psi, seed):
            if psi == sheet_psi and sum(map(len, pictures)) < SHEET_ROWS**2:
                pictures.append(images)
            yield images

    rows = [measure(features_of(samples_of(psi), device, inception, seen), psi, reference, n) for psi in psis]
    reconstructed = []
    if first is not None and reconstruct:
        images = np.concatenate(list(portraits(first[:reconstruct])))
        reconstructed = reconstruction_errors(checkpoint, images, [search])
    report = {
        "checkpoint": checkpoint.name,
        "sha256": checkpoint.sha256,
        "resolution": checkpoint.resolution,
        "device": str(device),
        "data": None if data is None else data.name,
        "reference": None if table is None else ("held out" if "split" in table else "all"),
        "reference_portraits": None if table is None else len(table),
        "n": None if first is None else n,
        "samples": samples,
        "seed": seed,
        "inception": None if inception is None else inception.name,
        "rows": rows,
        "floor": floor,
        "reconstructions": reconstructed,
        "seconds": round(time.monotonic() - started, 1),
    }
    return report, np.concatenate(pictures) if pictures else None


def _reference_table(data: Path) -> pd.DataFrame:
    everyone = read_table(data)
    return read_table(data, HELD_OUT) if "split" in everyone else everyone


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=folder_argument, help="checkpoint folder")
    parser.add_argument(
        "--data", type=folder_argument, help="set made by `python -m latent dataset`, best with people held out"
    )
    parser.add_argument("--samples", type=int, default=500, help="samples at each truncation")
    parser.add_argument(
        "--reconstruct", type=int, default=20, help="portraits of --data to reconstruct; 0 leaves it out"
    )
    parser.add_argument("--preset", choices=list(PRESETS), default="balanced", help="effort of their reconstruction")
    parser.add_argument("--psi", type=float, default=0.7, help="truncation; 1 is none")
    parser.add_argument("--sweep", help="further truncations, such as 0.5,0.7,0.85,1.0")
    parser.add_argument("--seed", type=int, default=0, help="of the first sample, and of the cut of the portraits")
    parser.add_argument("--out", type=file_argument, help="JSON file for the values")
    parser.add_argument("--sheet", type=file_argument, help="PNG or JPEG file for 6 x 6 samples at --psi")
    parser.add_argument(
        "--inception", type=file_argument, help="weights for FID and KID, where they are not in their default place"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")


def truncations(psi: float, sweep: str | None) -> list[float]:
    """All truncations in order, each once. Raises LatentError for anything but numbers from 0 to 2."""
    try:
        psis = sorted({psi, *(float(part) for part in (sweep or "").split(",") if part.strip())})
    except ValueError:
        psis = [-1.0]
    if not all(0 <= value <= 2 for value in psis):
        raise LatentError("--psi and --sweep take numbers from 0 to 2, separated by commas.")
    return psis


def run(args: argparse.Namespace) -> int:
    psis = truncations(args.psi, args.sweep)
    if args.sheet is not None and args.sheet.suffix.lower() not in SHEET_SUFFIXES:
        raise LatentError(f"--sheet must end in {', '.join(SHEET_SUFFIXES)}.")
    for path in (args.out, args.sheet):
        if path is not None and (why := why_not_writable(path)):
            raise LatentError(f"{path} could not be written: {why}.")
    if not MIN_IMAGES <= args.samples <= MAX_SAMPLES:
        raise LatentError(f"--samples must be at least {MIN_IMAGES} and at most {MAX_SAMPLES:,}, not {args.samples}.")
    if not 0 <= args.reconstruct <= MAX_SAMPLES:
        raise LatentError(f"--reconstruct must be 0 to {MAX_SAMPLES:,}, not {args.reconstruct}.")
    if not 0 <= args.seed < 2**31:
        raise LatentError(f"--seed must be 0 to {2**31 - 1}, not {args.seed}.")
    if args.data is not None:
        _reference_table(args.data)
    checkpoint = load_checkpoint(
        args.checkpoint,
        args.device,
        parts=("generator", "encoder") if args.data and args.reconstruct else ("generator",),
    )
    file = args.inception or weights_file()
    inception = load_inception(file, checkpoint.device) if file and args.data else None
    sheet_psi = args.psi if args.sheet else None
    try:
        report, pictures = evaluate(
            checkpoint,
            psis,
            args.samples,
            args.data,
            args.seed,
            inception,
            sheet_psi,
            args.reconstruct,
            PRESETS[args.preset],
        )
        if args.out:
            PLAIN.write_json(args.out, report)
        if args.sheet and pictures is not None:
            write_sheet(pictures, args.sheet)
    except OSError as error:
        raise LatentError(f"The results could not be written: {error.strerror or error}.") from error
    except KeyboardInterrupt:
        print("\nlatent evaluate: stopped; nothing was written.", file=sys.stderr)
        return STOPPED
    print("\n".join([*table_lines(report), *reconstruction_lines(report["reconstructions"])]))
    return 0
