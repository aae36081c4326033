"""`python -m latent dataset`: folders and zip files of photos -> one aligned training set, through the app's gate and
alignment.

On disk: `images.npy` (N, size, size, 3) uint8 RGB; `table.parquet`, one row per photo of the set: folder, file, sha256,
patient and split where they were asked for, measures of quality, factor columns where the folder has a `factors.csv`;
`refused.csv`, every photo left out, and why; `dataset.json`, the counts. While it is being made, finished photos are in
`OUT.parts`, from which the same command resumes.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.command import file_argument, folder_argument, path_argument
from common.files import PLAIN, safe_cell, why_not_writable
from common.threads import pool_size
from faces.align import MAX_SIZE, MIN_SIZE
from latent.datasets.align import align_photos
from latent.datasets.parts import Parts
from latent.datasets.patients import FROM, HELD_OUT, TRAIN, hold_out
from latent.datasets.select import BOUNDS, DUPLICATE, EVERY_FACE, Choices, Refusal, choose, photo_patients, reasons
from latent.datasets.sources import Source, list_photos
from latent.errors import LatentError

REFUSED_LISTED = 20  # photos that a terminal shows by name
READ_BLOCK = 256  # images scaled down at a time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs",
        nargs="+",
        type=path_argument,
        help="folders of photos (searched below), zip files, or renderer outputs",
    )
    parser.add_argument("--out", required=True, type=path_argument, help="folder to write the training set to")
    parser.add_argument("--size", type=int, default=128, help="side of the aligned squares in pixels")
    parser.add_argument("--workers", type=int, default=0, help="processes (default: one per core that is left)")
    who = parser.add_argument_group("people")
    who.add_argument("--patients", type=file_argument, metavar="CSV", help="table that says whose photo each one is")
    who.add_argument("--photo-column", default="photo", help="its column with the photo's path in the input")
    who.add_argument("--patient-column", default="patient_id", help="its column with the patient")
    who.add_argument(
        "--patient-from",
        choices=FROM,
        help="without a table: the first sub-folder, the beginning of the file's name, or one person per photo",
    )
    who.add_argument("--separator", default="_", help="what ends the patient's part of a file name")
    who.add_argument("--hold-out", type=float, metavar="SHARE", help="share of the patients kept out of training")
    who.add_argument("--seed", type=int, default=0, help="of the draw of these patients")
    quality = parser.add_argument_group("leaving photos out by quality (by default all are kept, with their flags)")
    for name, (_, _, text) in BOUNDS.items():
        quality.add_argument(f"--{name.replace('_', '-')}", type=float, help=text)
    quality.add_argument("--no-flags", action="store_true", help="leave out every photo with a quality flag")
    parser.add_argument(
        "--renderer",
        type=folder_argument,
        help="folder of the portrait renderer: adds its identity coefficients to the table by replaying its draws",
    )


def build(
    inputs: list[Path],
    out: Path,
    size: int,
    workers: int = 1,
    renderer: Path | None = None,
    choices: Choices = EVERY_FACE,
) -> dict[str, Any]:
    """Align every photo of `inputs`; returns the numbers that `dataset.json` holds.

    Raises LatentError with nothing written but, after a stop, the parts from which the next call resumes.
    """
    if out.exists():
        raise LatentError(f"{out} exists already: choose another --out or delete it.")
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise LatentError(f"--size must be {MIN_SIZE} to {MAX_SIZE} px, not {size}.")
    choices.check()
    if choices.hold_out is not None and not (choices.patients or choices.patient_from):
        raise LatentError("--hold-out holds people out: say who is in which photo with --patients or --patient-from.")
    sources, others = list_photos(inputs, renderer)
    patients = photo_patients(sources, choices)
    if choices.hold_out is not None and patients is not None:
        hold_out([who for who in patients if who is not None], choices.hold_out, choices.seed)  # refused now, not later
    if why := why_not_writable(out, 2 * len(sources) * size * size * 3):  # once as parts, once as the set
        raise LatentError(f"{out} could not be written: {why}.")
    try:
        parts = Parts(out.with_name(out.name + ".parts"), size)
        digests = align_photos(sources, parts, size, workers)
        accepted, refused = choose(sources, digests, patients, parts, choices)
        if not accepted:
            parts.remove()
            reason, count = next(iter(reasons(refused).items()))
            raise LatentError(f"No face can be taken from the {len(sources)} photos. Most often ({count}): {reason}")
        table = _table(sources, accepted, patients, parts, choices)
        facts: dict[str, Any] = {
            **{"size": size, "photos": len(sources), "kept": len(accepted), "refused": len(refused)},
            "duplicates": sum(refusal.heading == DUPLICATE for refusal in refused),
            "other_files": others,
            "several_faces": int((table["faces_found"] > 1).sum()),
            "flagged": int((table["quality_flags"] != "").sum()),
            "left_out_by": dict(choices.bounds) | ({"no_flags": True} if choices.no_flags else {}),
            "reasons": reasons(refused),
        }
        if "patient" in table:
            facts["patients"] = int(table["patient"].nunique())
        if "split" in table:
            facts["hold_out"] = {"share": choices.hold_out, "seed": choices.seed}
            for side in (TRAIN, HELD_OUT):
                rows = table[table["split"] == side]
                facts["hold_out"][side] = {"photos": len(rows), "patients": int(rows["patient"].nunique())}
        _write(out, parts, accepted, table, refused, facts)
    except OSError as error:
        raise LatentError(f"{out} could not be written: {error.strerror or error}.") from error
    parts.remove()
    return facts


def _table(
    sources: list[Source], accepted: dict[str, int], patients: list[str | None] | None, parts: Parts, choices: Choices
) -> pd.DataFrame:
    """One row per photo of the set: factors first, then what was measured here."""
    rows = []
    for digest, position in accepted.items():
        source = sources[position]
        identity = {"sha256": digest} | ({} if patients is None else {"patient": patients[position]})
        rows.append({"folder": source.folder, "file": source.file} | source.factors | identity | parts.facts[digest])
    table = pd.DataFrame(rows)
    if choices.hold_out is not None:
        table["split"] = hold_out(table["patient"].tolist(), choices.hold_out, choices.seed)
    return table


def _write(
    out: Path,
    parts: Parts,
    accepted: dict[str, int],
    table: pd.DataFrame,
    refused: list[Refusal],
    facts: dict[str, Any],
) -> None:
    """The finished set under a temporary name, then moved in place. One part is in memory at a time."""
    row_of = {digest: row for row, digest in enumerate(accepted)}
    with PLAIN.replacing_folder(out) as temporary:
        shape = (len(accepted), parts.size, parts.size, 3)
        images = np.lib.format.open_memmap(temporary / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
        missing = set(row_of)
        for digest, pixels in parts.pixels():
            if digest in row_of:
                images[row_of[digest]] = pixels
                missing.discard(digest)
        if missing:
            raise LatentError(f"{parts.folder} lacks {len(missing)} photos: run the same command again.")
        images.flush()
        del images
        table.to_parquet(temporary / "table.parquet")
        listed = [(safe_cell(r.source.folder), safe_cell(r.source.file), r.reason) for r in refused]
        pd.DataFrame(listed, columns=["folder", "file", "reason"]).to_csv(temporary / "refused.csv", index=False)
        PLAIN.write_json(temporary / "dataset.json", facts)


def read_table(folder: Path, split: str | None = None) -> pd.DataFrame:
    """Rows of one side of a set (TRAIN or HELD_OUT), or of all; the index is the row in images.npy.

    A set that was made without --hold-out is all training. Raises LatentError where it has no such side.
    """
    if not (folder / "images.npy").exists():
        raise LatentError(f"{folder} is not a training set: make one with `python -m latent dataset`.")
    try:
        table = pd.read_parquet(folder / "table.parquet").reset_index(drop=True)
    except (OSError, ValueError, KeyError) as error:  # arrow's errors are of these kinds
        raise LatentError(f"{folder} has no readable table.parquet: make the set again.") from error
    if len(table) != len(_images(folder)):
        raise LatentError(f"{folder} has {len(table)} rows but a different number of images: make the set again.")
    if split is None or (split == TRAIN and "split" not in table):
        return table
    rows = table[table["split"] == split] if "split" in table else table[:0]
    if rows.empty:
        raise LatentError(f"{folder} has no photos of the part {split!r}: make it with --hold-out.")
    return rows


def _images(folder: Path) -> np.ndarray:
    """images.npy, mapped. Raises LatentError where it is not (N, size, size, 3) uint8."""
    try:
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise LatentError(f"{folder} has no readable images.npy: make the set again.") from error
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[1:] != (images.shape[1], images.shape[1], 3):
        raise LatentError(f"{folder} holds no square RGB images: make the set with `python -m latent dataset`.")
    return images


def read_images(folder: Path, resolution: int, rows: np.ndarray | None = None) -> np.ndarray:
    """Images (n, resolution, resolution, 3) uint8 of some rows, or of all, area means where they are stored larger.

    Raises LatentError if the set does not fit.
    """
    images = _images(folder)
    shrink, rest = divmod(images.shape[1], resolution)
    if rest or shrink < 1:
        raise LatentError(f"{folder} holds {images.shape[1]} px images, which do not scale down to {resolution} px.")
    rows = np.arange(len(images)) if rows is None else np.asarray(rows)
    out = np.empty((len(rows), resolution, resolution, 3), np.uint8)
    for start in range(0, len(rows), READ_BLOCK):  # blocks keep memory low
        block = images[rows[start : start + READ_BLOCK]]
        if shrink > 1:
            tiles = block.reshape(len(block), resolution, shrink, resolution, shrink, 3)
            block = np.rint(tiles.mean((2, 4), dtype=np.float32)).astype(np.uint8)
        out[start : start + len(block)] = block
    return out


def load(folder: Path, resolution: int, split: str | None = TRAIN) -> tuple[np.ndarray, pd.DataFrame]:
    """Images (N, resolution, resolution, 3) uint8 and their table, by default without the people held out.

    split: TRAIN, HELD_OUT, or None for everybody. Raises LatentError if the set does not fit.
    """
    table = read_table(folder, split)
    return read_images(folder, resolution, table.index.to_numpy()), table.reset_index(drop=True)


def _report(facts: dict[str, Any], out: Path) -> Iterator[str]:
    yield f"{facts['kept']} of {facts['photos']} photos aligned at {facts['size']} px, {facts['refused']} refused."
    if facts["refused"]:
        yield from (f"  {count:6d}  {reason}" for reason, count in facts["reasons"].items())
        if sys.stdout.isatty():  # the app keeps what a job prints, and file names often carry people's names
            listed = pd.read_csv(out / "refused.csv", nrows=REFUSED_LISTED)
            yield from (
                f"          {file}: {reason}" for file, reason in zip(listed["file"], listed["reason"], strict=True)
            )
        yield f"Each with its reason: {out / 'refused.csv'}"
    if facts["several_faces"]:
        yield f"Several faces in {facts['several_faces']} photos: the largest was taken."
    if facts["flagged"]:
        yield f"{facts['flagged']} kept photos carry a quality flag (column quality_flags)."
    if "patients" in facts:
        yield f"{facts['patients']} patients."
    if "hold_out" in facts:
        sides = [
            f"{facts['hold_out'][s]['patients']} patients, {facts['hold_out'][s]['photos']} photos"
            for s in (TRAIN, HELD_OUT)
        ]
        yield f"Training: {sides[0]}; held out: {sides[1]} (seed {facts['hold_out']['seed']})."
    if facts["other_files"]:
        yield f"{facts['other_files']} other files in the inputs were ignored."


def run(args: argparse.Namespace) -> int:
    bounds = {name: getattr(args, name) for name in BOUNDS if getattr(args, name) is not None}
    same = ("patients", "photo_column", "patient_column", "patient_from", "separator", "hold_out", "seed", "no_flags")
    choices = Choices(**{name: getattr(args, name) for name in same}, bounds=bounds)
    if args.workers < 0:
        raise LatentError("--workers must be 1 or more, or left out.")
    facts = build(args.inputs, args.out, args.size, pool_size(args.workers), args.renderer, choices)
    sys.stdout.write("".join(f"{line}\n" for line in _report(facts, args.out)))
    return 0
