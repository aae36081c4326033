"""`python -m bench readout`: what the codes keep. Every known factor of held-out portraits, read from codes and pixels.

A ridge regression reads each factor from the W+ codes, a small network from the aligned photos that the codes stand
for, and a ridge regression from the same pixels in their principal components, as a cheap reference. All three see the
same patients in the same K folds and predict the fold they have not seen; R^2 = 1 - sum (y - prediction)^2 /
sum (y - mean of the training folds)^2 over all patients. The target: codes reach 0.9 of the network's R^2.

Factors are the numeric ones of `latent.datasets.factors`; those that are names (hair, garment, scene, ...) are left
out. A factor that the network does not read (R^2 under 0.05) has no ratio. Intervals of ratios: 1000 bootstraps of
patients, the predictions kept. The network learns from these photos alone, while the generator saw many more: a ratio
above 1 reflects that too, so the better of the two readers of pixels is counted as well.

Options: `--study demo` or `--latents FILE.npy --photos FOLDER --factors FILE.csv [--aligned]`; `--size 64 --folds 5
--members 3 --epochs 30 --width 32 --learning-rate 3e-3 --device cpu --out FILE`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.parts.common import print_table
from bench.parts.readers import NetworkSettings, Numbers, folds_by_group, network, ridge, standardised
from bench.parts.readout_data import Readable, from_files, from_study
from common.command import Parser, file_argument, folder_argument
from common.console import ProgressLine
from faces.errors import FaceError
from latent.errors import LatentError
from study.errors import StudyError
from study.files import write_json

GOAL = 0.9  # of the network's R^2
READ = 0.05  # R^2 from which a factor counts as read
DRAWS = 1000
CODES, NETWORK, PIXELS = "codes, ridge", "pixels, network", "pixels, ridge"


def out_of_fold(
    data: Readable, folds: int, members: int, settings: NetworkSettings, seed: int, device: str
) -> tuple[dict[str, Numbers], Numbers]:
    """Predictions (n, k) of each reader, and the means (n, k) of the training folds, all of the fold left out."""
    fold = folds_by_group(data.groups, folds, seed)
    codes, pixels = data.ws.reshape(len(fold), -1).astype(float), data.photos.reshape(len(fold), -1) / 255
    predicted = {name: np.empty_like(data.y) for name in (CODES, NETWORK, PIXELS)}
    means = np.empty_like(data.y)
    progress, done = ProgressLine("epochs of the networks", folds * members * settings.epochs), 0
    for k in range(folds):
        left = fold == k
        train, test = np.flatnonzero(~left), np.flatnonzero(left)
        means[left] = data.y[train].mean(axis=0)
        scaled = standardised(codes, ~left)
        predicted[CODES][left] = ridge(scaled[train], data.y[train], scaled[test])[0]
        predicted[PIXELS][left] = ridge(pixels[train], data.y[train], pixels[test])[0]
        predictions = []
        for member in range(members):

            def on_epoch(epochs: int, before: int = done) -> None:
                progress(before + epochs)

            photos = (data.photos, data.y, data.signs, train, test, data.groups)
            predictions.append(network(*photos, settings, seed + 1000 * k + member, device, on_epoch))
            done += settings.epochs
        predicted[NETWORK][left] = np.mean(predictions, axis=0)
    return predicted, means


def r_squared(y: Numbers, predictions: Numbers, means: Numbers, weights: Numbers | None = None) -> Numbers:
    """(k,) of predictions (n, k); with weights (b, n), how often each row counts: (b, k)."""
    weights = np.ones((1, len(y))) if weights is None else weights
    values = 1 - (weights @ np.square(y - predictions)) / (weights @ np.square(y - means))
    return values if len(weights) > 1 else values[0]


def patient_draws(groups: NDArray[np.str_], draws: int, seed: int) -> Numbers:
    """Bootstrap weights (draws, n): patients drawn with replacement, all rows of one alike."""
    names, places = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return counts[:, places].astype(float)


def compare(data: Readable, predicted: dict[str, Numbers], means: Numbers, seed: int) -> dict[str, Any]:
    """Rows, the best read first, and how many factors reach the goal."""
    reached = {name: r_squared(data.y, predictions, means) for name, predictions in predicted.items()}
    weights = patient_draws(data.groups, DRAWS, seed)
    bootstrapped = {name: r_squared(data.y, predicted[name], means, weights) for name in (CODES, NETWORK)}
    rows = []
    for i in np.argsort(-reached[NETWORK], kind="stable"):
        row: dict[str, Any] = {"factor": data.names[i]} | {name: float(values[i]) for name, values in reached.items()}
        row |= {"ratio": None, "from": None, "to": None, "reaches": None}
        if reached[NETWORK][i] >= READ:
            ratios = bootstrapped[CODES][:, i] / np.maximum(bootstrapped[NETWORK][:, i], 1e-6)
            low, high = np.percentile(ratios, [2.5, 97.5])
            ratio = row[CODES] / row[NETWORK]
            row |= {"ratio": ratio, "from": float(low), "to": float(high), "reaches": bool(ratio >= GOAL)}
        rows.append(row)
    counted = [row for row in rows if row["reaches"] is not None]
    better = np.maximum(reached[NETWORK], reached[PIXELS])
    read = better >= READ
    return {
        "rows": rows,
        "goal": GOAL,
        "read": len(counted),
        "reach": sum(row["reaches"] for row in counted),
        "read_by_either": int(read.sum()),
        "reach_the_better": int((reached[CODES][read] >= GOAL * better[read]).sum()),
        "not_read": [row["factor"] for row in rows if row["reaches"] is None],
        "mean_r_squared": {name: float(values.mean()) for name, values in reached.items()},
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    defaults = NetworkSettings()
    parser = Parser(prog="python -m bench readout", description=__doc__)
    parser.add_argument("--study", default="demo", help="a simulated study with codes and a truth table")
    parser.add_argument("--latents", type=file_argument, help="codes (n, num_ws, w_dim) instead, .npy")
    parser.add_argument("--photos", type=folder_argument, help="with --latents: the folder of their photos")
    parser.add_argument("--factors", type=file_argument, help="with --latents: CSV, a row a code, with a column photo")
    parser.add_argument("--aligned", action="store_true", help="with --latents: the photos are aligned squares already")
    parser.add_argument("--size", type=int, help="px of the photos; without it that of the codes' generator")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--members", type=int, default=3, help="networks a fold, averaged")
    parser.add_argument("--epochs", type=int, default=defaults.epochs)
    parser.add_argument("--width", type=int, default=defaults.width, help="of the network, a multiple of 8")
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=file_argument, help="JSON file for the values")
    options = parser.parse_args(list(arguments))
    given = [options.latents, options.photos, options.factors]
    if any(given) and not all(given):
        parser.error("--latents, --photos and --factors go together")
    if min(options.folds - 1, options.members, options.epochs, options.width) < 1 or options.width % 8:
        parser.error("--folds must be at least 2, --members and --epochs at least 1, --width a multiple of 8")
    if options.size is not None and not 16 <= options.size <= 256:
        parser.error("--size must be 16 to 256 px")
    return options


def run(arguments: Sequence[str] = ()) -> dict[str, Any]:
    """Print the table and return it."""
    options = parse(arguments)
    settings = NetworkSettings(width=options.width, learning_rate=options.learning_rate, epochs=options.epochs)
    try:
        if options.latents is None:
            data = from_study(options.study, options.size)
        else:
            data = from_files(options.latents, options.photos, options.factors, options.aligned, options.size)
        predicted, means = out_of_fold(data, options.folds, options.members, settings, options.seed, options.device)
        result = compare(data, predicted, means, options.seed)
        facts = {"source": data.source, "photos": len(data.y), "size": data.photos.shape[1], "folds": options.folds}
        facts |= {"members": options.members, "network": asdict(settings), "left_out": data.left_out}
        if options.out is not None:
            write_json(options.out, {"bench": "readout", **facts, **result})
    except (FaceError, LatentError, StudyError, ValueError) as error:
        raise SystemExit(str(error)) from error
    rows = [{name: "-" if value is None else value for name, value in row.items()} for row in result["rows"]]
    shape = f"{len(data.y)} portraits at {data.photos.shape[1]} px, {options.folds} folds"
    print_table(rows, f"Factors of {data.source}: R^2 out of fold, {shape}")
    reach, read = result["reach"], result["read"]
    print(f"\n{reach} of the {read} factors that the network reads (R^2 >= {READ}) reach {GOAL} of its R^2;")
    print(f"{result['reach_the_better']} of {result['read_by_either']} reach {GOAL} of the better reader of pixels.")
    print(f"Left out, being names: {', '.join(data.left_out) or 'none'}.")
    return facts | result
