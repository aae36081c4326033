"""A simulated study: rendered portraits with known factors become patients with a known hazard.

The face's part of the log-hazard comes with the renderer's factor table (`face_log_hazard`); the clinical part that the
face does not show, the times and the censoring come from `survival.simulate`, whose constants study.toml records.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from common.command import file_argument, folder_argument, path_argument
from common.parsing import json_value
from faces.align import resize
from faces.errors import FaceError
from faces.photo import load_photo
from study.disk.latents import LATENTS
from study.disk.photos import FOLDER, photo_name
from study.disk.places import EMBEDDING, INDEX, MODELS, studies_root
from study.disk.store import TRUTH_FILE, inspect
from study.errors import StudyError
from study.files import check_writable, csv_text, read_limited, replacing_folder, sha256_of, write_bytes, write_text
from study.settings import FILE_NAME as SETTINGS_FILE
from study.settings import SAFE_NAME, Scalar, Settings, settings_text
from study.tables.formats.raw import FILE_NAME as PATIENTS_FILE
from study.tables.formats.raw import MAX_BYTES
from survival import simulate as outcomes

PHOTO_SIZE = 256
JPEG_QUALITY = 92
NEEDED = ("image", "sex", "age_years", "face_log_hazard")
COMMENTS = (
    "Simulated patients: rendered portraits, outcomes drawn from a known hazard. Nobody here exists.",
    "",
    "log-hazard = face part + clinical part",
    "  face part: column face_log_hazard of truth.csv, from the renderer's factors (age, cachexia, jaundice, pallor,",
    "    under-eye shadow, hair loss, adiposity, sex). The signs share one latent severity.",
    "  clinical part: site + stage + ECOG, independent of the face; mean 0 and the standard deviation clinical_sd.",
    "event time = scale * (-log U / exp(log-hazard)) ** (1 / shape), U uniform (Weibull);",
    "  seen if not after min(exponential with mean censoring_mean, follow_up). All in months.",
)


@dataclass(frozen=True)
class Summary:
    """What was simulated. C: Harrell's concordance of the true parts with the simulated outcome."""

    folder: Path
    patients: int
    events: int
    c_face: float
    c_clinical: float
    c_total: float


def read_factors(path: Path) -> pd.DataFrame:
    """The renderer's factor table, checked; StudyError names the column or row that is wrong."""
    read_limited(path, MAX_BYTES, "The factor table")
    try:
        table = pd.read_csv(path, encoding="utf-8")
    except (ValueError, pd.errors.ParserError) as error:
        raise StudyError(f"{path.name} is not a CSV table as the portrait renderer writes it.") from error
    absent = [name for name in NEEDED if name not in table]
    if absent or table.empty:
        raise StudyError(f"{path.name} lacks {', '.join(absent) or 'rows'}; use factors.csv of a `patients` run.")
    for name in ("age_years", "face_log_hazard"):
        values = pd.to_numeric(table[name], errors="coerce").to_numpy(float)
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values))[0]) + 2
            raise StudyError(f"{path.name}, row {row}: {name} is not a number; render the table again.")
    return table


def encode_jpeg(pixels: NDArray[np.uint8], quality: int = JPEG_QUALITY) -> bytes:
    """uint8 (H, W, 3) -> JPEG without metadata."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def _write_photos(
    factors: pd.DataFrame, images: Path, ids: list[str], folder: Path, on_photo: Callable[[int, int], None] | None
) -> None:
    for i, (cell, patient) in enumerate(zip(factors["image"].astype(str), ids, strict=True)):
        name = photo_name(cell.removeprefix("images/"))
        if name is None:
            raise StudyError(f"The factor table, row {i + 2}: {cell[:60]!r} is not an image in the given folder.")
        try:
            pixels, data = load_photo(images / name).pixels, (images / name).read_bytes()
        except FaceError as error:
            raise StudyError(f"The factor table, row {i + 2}: {error}") from error
        # A JPEG of the right size stays as it is, so that it is not compressed twice.
        fits = data.startswith(b"\xff\xd8") and pixels.shape[:2] == (PHOTO_SIZE, PHOTO_SIZE)
        data = data if fits else encode_jpeg(resize(pixels, PHOTO_SIZE))
        write_bytes(folder / FOLDER / f"{patient}.jpg", data)
        if on_photo:
            on_photo(i + 1, len(ids))


def simulate_tables(factors: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """patients.csv and truth.csv of a cohort, both with patient_id, in the order of the factor table."""
    n = len(factors)
    ids = [f"P{i + 1:0{max(4, len(str(n)))}d}" for i in range(n)]
    age = np.rint(factors["age_years"].to_numpy(float)).astype(int)
    face = factors["face_log_hazard"].to_numpy(float)
    patients, truth = outcomes.simulate_cohort(face, age, factors["sex"].to_numpy(), seed=seed)
    patients.insert(0, "patient_id", ids)
    patients["photo"] = [f"{FOLDER}/{i}.jpg" for i in ids]
    columns = factors.drop(columns=["index", "image", *truth.columns], errors="ignore").reset_index(drop=True)
    truth = pd.concat([pd.Series(ids, name="patient_id"), columns, truth.round(5)], axis=1)
    return patients, truth


def study_settings(name: str, seed: int, source: dict[str, Scalar]) -> Settings:
    """study.toml of a simulated study."""
    recipe: dict[str, Scalar] = {
        "seed": seed,
        "baseline": "Weibull",
        "shape": outcomes.SHAPE,
        "scale": outcomes.SCALE,
        "censoring_mean": outcomes.MEAN_CENSORING,
        "follow_up": outcomes.LAST_FOLLOW_UP,
        "clinical_sd": outcomes.CLINICAL_SD,
    }
    title = "Simulated patients with rendered portraits"
    return Settings(name=name, title=title, simulated=True, simulation={**recipe, **source})


def _check_target(folder: Path, overwrite: bool) -> None:
    check_writable(folder)
    if not SAFE_NAME.fullmatch(folder.name):
        raise StudyError(f"{folder.name!r} cannot be a study's name; use letters, digits, - and _.")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not overwrite:
        raise StudyError(f"{folder} exists already; choose another name, or say --overwrite to replace its patients.")
    if not (folder / SETTINGS_FILE).exists() or not inspect(folder)[0].simulated:
        raise StudyError(f"{folder} is not a simulated study, so it is not overwritten.")


def simulate(
    folder: Path,
    factors_path: Path,
    images: Path,
    seed: int = 1,
    limit: int | None = None,
    overwrite: bool = False,
    on_photo: Callable[[int, int], None] | None = None,
) -> Summary:
    """Writes a simulated study into `folder`: study.toml, patients.csv, truth.csv, photos/.

    Same factor table, images and seed: same bytes. With `overwrite`, codes and models of an earlier simulation stay;
    they are refused later should the photos differ. Raises StudyError; then nothing has changed on disk.
    """
    from survival.metrics.concordance import harrell_c

    _check_target(folder, overwrite)
    factors = read_factors(factors_path)[:limit]
    patients, truth = simulate_tables(factors, seed)
    settings = study_settings(folder.name, seed, {"patients": len(patients), **factor_source(factors_path)})
    with replacing_folder(folder) as new:
        _write_photos(factors, images, list(patients["patient_id"]), new, on_photo)
        write_text(new / PATIENTS_FILE, csv_text(patients))
        write_text(new / TRUTH_FILE, csv_text(truth))
        write_text(new / SETTINGS_FILE, settings_text(settings, COMMENTS))
        # Codes, models and reports of an earlier simulation stay; `embed` and `fit` know whether they still hold.
        for name in (LATENTS, INDEX, EMBEDDING):
            if (folder / name).is_file():
                shutil.copy2(folder / name, new / name)
        if (folder / MODELS).is_dir():
            shutil.copytree(folder / MODELS, new / MODELS)
    time, event = patients["time_months"].to_numpy(float), patients["event"].to_numpy(bool)
    c = [float(harrell_c(time, event, truth[f"{part}log_hazard"])) for part in ("face_", "clinical_", "")]
    return Summary(folder, len(patients), int(event.sum()), *c)


def factor_source(path: Path) -> dict[str, Scalar]:
    """Where the faces come from: sha256 of the factor table, and the renderer's record of its run if it is there."""
    source: dict[str, Scalar] = {"factors_sha256": sha256_of(path)}
    try:
        record = json_value(read_limited(path.with_name("run.json"), 2**16, "The renderer's record")).items()
    except (StudyError, ValueError, AttributeError):
        return source
    values = {k: v for k, v in record if k in ("command", "seed", "n") and isinstance(v, str | int)}
    return source | {f"render_{k}": v for k, v in values.items()}


def render_patients(renderer: Path, n: int, seed: int, out: Path) -> tuple[Path, Path]:
    """Runs `render.py patients` of a portrait renderer; returns its factor table and image folder."""
    script = renderer / "render.py" if renderer.is_dir() else renderer
    if not script.is_file():
        raise StudyError(f"There is no render.py in {renderer}.")
    command = [sys.executable, str(script), "patients", "--n", str(n), "--size", str(PHOTO_SIZE)]
    command += ["--seed", str(seed), "--out", str(out)]
    if subprocess.run(command, check=False).returncode:
        raise StudyError("The portrait renderer stopped with an error (its message is above).")
    return out / "factors.csv", out / "images"


def add_arguments(parser: Any) -> None:
    parser.add_argument("study", type=folder_argument, help="folder to write, or a name under studies/")
    parser.add_argument("--factors", type=file_argument, help="factors.csv of the portrait renderer")
    parser.add_argument("--images", type=folder_argument, help="folder with the images the table names")
    parser.add_argument("--renderer", type=path_argument, help="instead: folder of the portrait renderer (render.py)")
    parser.add_argument("--patients", type=int, default=None, help="how many (default: all; 600 with --renderer)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--overwrite", action="store_true", help="replace the patients of a simulated study")


def run(args: Any) -> int:
    from common.console import ProgressLine

    folder = studies_root() / args.study if SAFE_NAME.fullmatch(str(args.study)) else args.study
    if args.seed < 0 or (args.patients is not None and args.patients < 1):
        raise StudyError("--seed must be 0 or more, and --patients 1 or more.")
    _check_target(folder, args.overwrite)
    with tempfile.TemporaryDirectory() as scratch:
        if args.renderer:
            n = args.patients or 600
            args.factors, args.images = render_patients(args.renderer, n, args.seed, Path(scratch) / "rendered")
        if not args.factors or not args.images:
            raise StudyError("Give --factors and --images, or --renderer.")
        progress = ProgressLine("photos")
        summary = simulate(folder, args.factors, args.images, args.seed, args.patients, args.overwrite, progress)
    share = summary.events / summary.patients
    print(f"{summary.folder}: {summary.patients} simulated patients, {summary.events} events ({share:.0%}).")
    print(f"Harrell C of the true log-hazard: face {summary.c_face:.3f}, clinical {summary.c_clinical:.3f}, ", end="")
    print(f"both {summary.c_total:.3f}.")
    return 0
