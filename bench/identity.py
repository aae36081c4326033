"""`python -m bench identity`: does a reconstruction still show its own person? Closed set, held-out portraits.

Each of n photos is inverted with a preset, and its reconstruction is looked up among all n photos by dlib's face
descriptor. There are two kinds of chip, and one is used on both sides of every comparison: *dlib's own* (the face is
found in the picture itself, enlarged or reduced to 256 px, and cut by its landmarks: what the targets are about), and
the *fixed place* in the aligned square, which is what the inversion's loss looks at. The photo is the aligned one at
256 px, so what a small generator cannot draw counts against it; the row "photo at R px" is what the checkpoint's
resolution alone costs. A reconstruction in which no face is found counts as not recognised. The descriptor is part of
the loss, so these values are not independent evidence of likeness; they show only that people stay apart.

Options: `--n 300 --study demo --portraits FOLDER --checkpoint FOLDER --preset balanced --pivotal 30 --out FILE`. In a
folder every file is taken for a person of its own. With --out every finished portrait is kept in that file, and the
same command resumes where it was stopped.
"""

from __future__ import annotations

import argparse
import operator
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist
from scipy.stats import binomtest

from bench.parts.common import Results, print_table
from common.command import Parser, file_argument, folder_argument
from common.console import ProgressLine
from faces.align import resize
from faces.encoder import CHIP, chip, descriptors
from faces.errors import FaceError
from faces.landmarks import detect_faces
from faces.photo import Photo
from latent.checkpoints import Checkpoint, load_checkpoint
from latent.errors import LatentError
from latent.evaluation.features import face_descriptors
from latent.features.perceptual import load_perceptual
from latent.inversion.invert import Inversion, invert, prepared
from latent.inversion.pivotal_tuning import PivotalSettings, close_enough, tune
from latent.inversion.settings import PRESETS, InversionSettings
from study.disk.store import Study
from study.embedding.record import fingerprint, record_of
from study.errors import StudyError
from study.files import sha256_of
from study.photos.prepare import ALIGNED_SIZE, prepare

ROOT = Path(__file__).resolve().parent.parent
CHECKPOINT = ROOT / "checkpoints" / "patients"
SUFFIXES = {".jpg", ".jpeg", ".png"}
OWN, FIXED = "dlib's own", "fixed place"
PHOTO, REDUCED, CODE, TUNED = "photo", "reduced", "code", "tuned"  # pictures of a portrait, as kept in the file
SHARE, DISTANCE = 0.90, 0.30  # targets of the preset, by dlib's own chip
TUNED_SHARE, TUNED_RATIO = 0.99, 0.5  # and of pivotal tuning


@dataclass(frozen=True, eq=False)
class Portrait:
    """An aligned photo uint8 (256, 256, 3), its file's name and digest."""

    name: str
    sha256: str
    pixels: NDArray[np.uint8]


def found_chips(images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8] | None]:
    """dlib's own chip (150, 150, 3) of the largest face of each picture, None where none is found."""
    photos = [Photo(resize(image, ALIGNED_SIZE), "picture") for image in images]
    return [chip(photo, faces[0]) if (faces := detect_faces(photo)) else None for photo in photos]


def describe(images: NDArray[np.uint8], device: torch.device | str = "cpu") -> list[dict[str, list[float] | None]]:
    """Of aligned pictures (n, S, S, 3), descriptors by chip; None where no face is found."""
    chips = found_chips(list(images))
    detected = [cut for cut in chips if cut is not None]
    stack = np.stack(detected) if detected else np.zeros((0, CHIP, CHIP, 3), np.uint8)
    rows = iter(descriptors(stack, str(device)))
    dlib_chip = [None if cut is None else _plain(next(rows)) for cut in chips]
    fixed = [_plain(row) for row in face_descriptors(images, device)]
    return [{OWN: a, FIXED: b} for a, b in zip(dlib_chip, fixed, strict=True)]


def _plain(descriptor: NDArray[np.float32]) -> list[float]:
    return [round(float(value), 6) for value in descriptor]


def photo_files(study: str, folder: Path | None) -> tuple[list[Path], bool]:
    """The photos, one a person, and whether they are aligned squares already."""
    if folder is not None:
        return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES), False
    opened = Study.open(study)
    return list(opened.included_photos.values()), opened.settings.aligned


def portraits(files: Sequence[Path], aligned: bool, n: int) -> Iterator[Portrait]:
    """The first n photos with a face, in the photo and in its aligned square; each file's bytes count once."""
    seen: set[str] = set()
    for path in files:
        if len(seen) == n:
            return
        digest = sha256_of(path)
        try:
            pixels = prepare(path, aligned).pixels
        except FaceError as error:
            print(f"left out: {path.name}: {error}", file=sys.stderr)
            continue
        if digest in seen or found_chips([pixels])[0] is None:
            why = "a copy of another photo" if digest in seen else "no face is found once it is aligned"
            print(f"left out: {path.name}: {why}", file=sys.stderr)
            continue
        seen.add(digest)
        yield Portrait(path.name, digest, pixels)


def nearest_own(
    probes: NDArray[np.float64], places: NDArray[np.int64], gallery: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """For probes (m, d), the photo of probe i being gallery[places[i]] of (n, d): whether that one is the nearest, and
    how far it is. A probe of nan was not described: it is not recognised, and its distance is nan."""
    distances = cdist(probes, gallery)
    rows = np.arange(len(probes))
    to_own = distances[rows, places].copy()
    distances[rows, places] = np.inf
    return np.nan_to_num(to_own, nan=np.inf) < np.nan_to_num(distances.min(axis=1), nan=-np.inf), to_own


def invert_all(
    checkpoint: Checkpoint, people: Sequence[Portrait], settings: InversionSettings, results: Results, batch: int
) -> None:
    """Invert the portraits without a result, a batch at a time."""
    missing = [p for p in people if CODE not in results.of(p.sha256)]
    progress, done = ProgressLine(f"portraits inverted ({settings.name})", len(missing)), 0
    for start in range(0, len(missing), batch):
        block = missing[start : start + batch]
        images = np.stack([p.pixels for p in block])
        inversions = invert(checkpoint, images, settings)
        kinds = {
            PHOTO: images,
            REDUCED: prepared(images, checkpoint.resolution),
            CODE: np.stack([inversion.reconstruction for inversion in inversions]),
        }
        described = {kind: describe(pictures, checkpoint.device) for kind, pictures in kinds.items()}
        for i, (person, inversion) in enumerate(zip(block, inversions, strict=True)):
            record = {"name": person.name, "metrics": _finite(inversion.metrics)}
            results.add(person.sha256, record | {kind: rows[i] for kind, rows in described.items()})
        results.write()
        done += len(block)
        progress(done)


def tune_all(checkpoint: Checkpoint, people: Sequence[Portrait], settings: InversionSettings, results: Results) -> None:
    """Tune a generator to each of these people without a result; the code is searched again first."""
    missing = [p for p in people if TUNED not in results.of(p.sha256)]
    progress = ProgressLine("portraits tuned", len(missing))
    for done, person in enumerate(missing, 1):
        inversion: Inversion = invert(checkpoint, person.pixels[None], settings)[0]
        tuned = tune(checkpoint, inversion, person.pixels, PivotalSettings())
        after = _finite(tuned.after) | {"steps": tuned.steps, "stopped": tuned.stopped, "before": _finite(tuned.before)}
        picture = describe(tuned.picture[None], checkpoint.device)[0]
        results.add(person.sha256, {TUNED: picture, "tuned_metrics": after})
        results.write()
        progress(done)


def _finite(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """For JSON, which knows no infinity: PSNR of equal pictures."""
    return {k: v if isinstance(v, str) or np.isfinite(v) else None for k, v in metrics.items()}


def report(records: Sequence[Mapping[str, Any]], names: Mapping[str, str], pivotal: int) -> dict[str, Any]:
    """Rows by chip and picture (`names`: kind -> what it is called), distances between people, perceptual distances.

    pivotal: portraits, the first ones, whose tuned pictures count too.
    """
    rows, people = [], []
    for route in (OWN, FIXED):
        gallery = _matrix(records, PHOTO, route)
        apart = pdist(gallery)
        people.append({"chip": route, "pairs": len(apart)} | _spread(apart, {"5 %": 5, "median": 50}))
        for kind, name in names.items():
            counted = records[:pivotal] if kind == TUNED else records
            if counted:
                probes = _matrix(counted, kind, route)
                hits, to_own = nearest_own(probes, np.arange(len(counted)), gallery)
                interval = binomtest(int(hits.sum()), len(hits)).proportion_ci(method="wilson")
                facts = {"chip": route, "picture": name, "portraits": len(hits), "own nearest": float(hits.mean())}
                facts |= {"from": float(interval.low), "to": float(interval.high)}
                facts |= _spread(to_own, {"median": 50, "1st quartile": 25, "3rd quartile": 75})
                rows.append(facts | {"no face": int(np.isnan(to_own).sum())})
    result: dict[str, Any] = {"rows": rows, "between_people": people}
    result["perceptual_median"] = float(np.median([record["metrics"]["perceptual"] for record in records]))
    if pivotal:
        tuned = [record["tuned_metrics"] for record in records[:pivotal]]
        earlier = [metrics["before"] for metrics in tuned]
        before, after = (float(np.median([t["perceptual"] for t in some])) for some in (earlier, tuned))
        result["pivotal"] = {"portraits": pivotal, "before": before, "after": after, "ratio": after / before}
    return result


def _matrix(records: Sequence[Mapping[str, Any]], kind: str, route: str) -> NDArray[np.float64]:
    """Descriptors (n, 128), nan where no face was found."""
    return np.array([record[kind][route] or [np.nan] * 128 for record in records], dtype=np.float64)


def _spread(values: NDArray[np.float64], percentiles: Mapping[str, float]) -> dict[str, float | None]:
    finite = values[np.isfinite(values)]
    return {name: float(np.percentile(finite, p)) if len(finite) else None for name, p in percentiles.items()}


def targets(result: Mapping[str, Any], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """The targets next to the results, by dlib's own chip."""
    rows = {row["picture"]: row for row in result["rows"] if row["chip"] == OWN}
    code = rows[names[CODE]]
    checks = [
        (f"{names[CODE]}: own photo nearest", code["own nearest"], SHARE, ">="),
        (f"{names[CODE]}: median distance", code["median"], DISTANCE, "<="),
    ]
    if "pivotal" in result:
        nearest = rows[names[TUNED]]["own nearest"]
        checks.append((f"{names[TUNED]}: own photo nearest", nearest, TUNED_SHARE, ">="))
        checks.append(("median perceptual, tuned / code", result["pivotal"]["ratio"], TUNED_RATIO, "<="))
    met = {">=": operator.ge, "<=": operator.le}
    return [
        {
            "target": what,
            "wanted": f"{sign} {goal}",
            "found": value,
            "met": value is not None and met[sign](value, goal),
        }
        for what, value, goal, sign in checks
    ]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m bench identity", description=__doc__)
    parser.add_argument("--n", type=int, default=300, help="portraits, the first ones with a face")
    parser.add_argument("--study", default="demo", help="whose photos; none of them may have trained the checkpoint")
    parser.add_argument("--portraits", type=folder_argument, help="a folder of photos instead, one a person")
    parser.add_argument("--checkpoint", type=folder_argument, default=CHECKPOINT)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="balanced")
    parser.add_argument("--pivotal", type=int, default=0, help="pivotal tuning of the first so many portraits")
    parser.add_argument("--batch", type=int, default=8, help="portraits inverted at once")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--out", type=file_argument, help="JSON file: finished portraits are kept there and not done again"
    )
    options = parser.parse_args(list(arguments))
    if options.n < 2 or options.batch < 1 or options.pivotal < 0:
        parser.error("--n must be at least 2, --batch at least 1, --pivotal not negative")
    return options


def run(arguments: Sequence[str] = ()) -> dict[str, Any]:
    """Print the tables and return them, with the distances of every portrait."""
    try:
        return _run(parse(arguments))
    except (FaceError, LatentError, StudyError) as error:
        raise SystemExit(str(error)) from error


def _run(options: argparse.Namespace) -> dict[str, Any]:
    checkpoint, settings = load_checkpoint(options.checkpoint, options.device), PRESETS[options.preset]
    files, aligned = photo_files(options.study, options.portraits)
    shaped = fingerprint(record_of(checkpoint, settings, settings.name, aligned))
    close = close_enough(PivotalSettings(), load_perceptual(checkpoint.device).name)
    results = Results(options.out, {"codes": shaped, "pivotal": PivotalSettings().as_dict() | {"close": close}})
    people = list(portraits(files, aligned, options.n))
    if len(people) < 2:
        raise SystemExit("There are fewer than two portraits with a face: give a folder of them with --portraits.")
    invert_all(checkpoint, people, settings, results, options.batch)
    tune_all(checkpoint, people[: options.pivotal], settings, results)
    names = {REDUCED: f"photo at {checkpoint.resolution} px", CODE: settings.name, TUNED: "pivotal tuning"}
    records = [results.of(person.sha256) for person in people]
    result = report(records, names, min(options.pivotal, len(people)))
    result["targets"] = targets(result, names)
    _print(result, checkpoint, records[0]["metrics"]["perceptual_name"])
    facts = {"checkpoint": checkpoint.sha256, "resolution": checkpoint.resolution, "preset": settings.name}
    results.write(facts | result)
    kept = ("name", "metrics", "tuned_metrics")
    return facts | result | {"portraits": [{n: record[n] for n in kept if n in record} for record in records]}


def _print(result: Mapping[str, Any], checkpoint: Checkpoint, distance: str) -> None:
    rows = result["rows"]
    title = f"Identity, {checkpoint.name} at {checkpoint.resolution} px; distances to the own photo"
    print_table(rows, f"{title}; 95 % intervals by Wilson")
    print_table(result["between_people"], "Distances between two people's photos")
    print(f"\nmedian {distance}: {result['perceptual_median']:.4g}")
    if "pivotal" in result:
        p = result["pivotal"]
        change = f"{p['before']:.4g} before, {p['after']:.4g} after, ratio {p['ratio']:.3g}"
        print(f"of the {p['portraits']} tuned: {change}")
    print_table(result["targets"], f"Targets, by {OWN} chip")
