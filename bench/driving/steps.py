"""The steps from table and photos to a report that read photos, timed one after the other on a fresh copy of a study.

Run as a script in the folder of a revision, `steps.py STUDY PHOTOS`; prints one line of JSON. It imports what
that revision has, and only names that both revisions have. The search for codes is a stand-in that takes no time: a
code holds the means of the aligned face, so that equal codes mean equal faces.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np


def copy_of(source: Path, folder: Path, photos: int) -> None:
    """The first patients of a study and its model, without codes."""
    lines = (source / "patients.csv").read_text(encoding="utf-8").splitlines()
    (folder / "patients.csv").write_text("\n".join(lines[: photos + 1]) + "\n", encoding="utf-8")
    shutil.copy(source / "study.toml", folder)
    if (source / "faces.csv").exists():
        shutil.copy(source / "faces.csv", folder)
    shutil.copytree(source / "models", folder / "models")
    (folder / "photos").mkdir()
    for line in lines[1 : photos + 1]:
        for path in (source / "photos").glob(f"{line.partition(',')[0]}.*"):
            shutil.copy(path, folder / "photos")


def steps(folder: Path) -> dict[str, Any]:
    """Seconds of each step, and the digest of the codes."""
    import study.photos.prepare as preparation
    from faces.encoder import load_face_encoder
    from faces.landmarks import detect_faces
    from faces.photo import Photo
    from latent.inversion.invert import PRESETS, Inversion
    from study.comparison.features import gather
    from study.comparison.plan import Plan
    from study.disk.latents import read_latents
    from study.disk.store import Study
    from study.embedding.command import embed
    from study.photos.quality import measure_study
    from study.robustness.measure import robustness

    def stand_in(checkpoint: Any, images: np.ndarray, settings: Any, on_step: Any, cancelled: Any) -> list[Inversion]:
        metrics = {
            "perceptual": 0.1,
            "perceptual_name": "none",
            "psnr": 30.0,
            "ssim": 0.9,
            "identity": 0.2,
            "st_lpips": 0.2,
        }
        codes = []
        for image in images:
            ws = np.resize(image.mean(axis=1).astype(np.float32), (checkpoint.num_ws, checkpoint.w_dim))
            codes.append(Inversion(ws, image, image, metrics, 1.0, PRESETS["fast"], checkpoint.sha256))
        return codes

    preparation.invert = stand_in  # type: ignore[assignment]
    load_face_encoder()
    detect_faces(Photo(np.zeros((64, 64, 3), np.uint8), ""))
    study = Study.open(folder)
    checkpoint = preparation.study_checkpoint(study)
    plan = Plan(("photo", "descriptor"), ("usual", "cnn"), shortcuts=True)
    seconds = {}
    for name, step in (
        ("quality", lambda: measure_study(study)),
        ("embed", lambda: embed(study, checkpoint)),
        ("compare", lambda: gather(Study.open(folder), plan)),
        ("robustness", lambda: robustness(Study.open(folder), checkpoint, patients=20)),
    ):
        start = time.perf_counter()
        step()
        seconds[name] = time.perf_counter() - start
    codes = np.ascontiguousarray(read_latents(folder)[0].ws)
    return {"seconds": seconds, "codes": hashlib.sha256(codes.tobytes()).hexdigest()}


def main(source: str, photos: str) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = Path(scratch) / "study"
        folder.mkdir()
        copy_of(Path(source), folder, int(photos))
        print(json.dumps(steps(folder)))


if __name__ == "__main__":
    main(*sys.argv[1:])
