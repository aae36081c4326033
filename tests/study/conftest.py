"""Small studies on disk: no rendering, no detector, no generator needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from faces.align import AlignedFace
from faces.photo import Photo
from latent.checkpoints import Checkpoint
from study.disk.latents import INDEX_COLUMNS, Embedding
from study.disk.store import Study
from study.errors import StudyError
from study.files import csv_text, sha256_of, write_bytes, write_text
from study.photos.prepare import prepare, target_size
from study.scoring.results import Score
from study.scoring.scorer import Scorer
from study.settings import Settings, settings_text
from study.simulation.simulate import encode_jpeg
from tests.latents_file import write_latents
from tests.ui.tiny import write_checkpoint

CHECKPOINT_SHA = "c" * 64
HEADER = "patient_id,age,sex,site,stage,ecog,time_months,event,photo"


def face_like(seed: int, size: int = 64) -> np.ndarray:
    """uint8 (size, size, 3): smooth, different for each seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 220, (4, 4, 3))
    return np.kron(coarse, np.ones((size // 4, size // 4, 1))).astype(np.uint8)


def patient_table(n: int, seed: int = 0) -> pd.DataFrame:
    """(n) plausible rows of patients.csv; times carry no signal."""
    rng = np.random.default_rng(seed)
    ids = [f"P{i + 1:04d}" for i in range(n)]
    return pd.DataFrame(
        {
            "patient_id": ids,
            "age": rng.integers(30, 85, n),
            "sex": rng.choice(["female", "male"], n),
            "site": rng.choice(["lung", "pancreas"], n),
            "stage": rng.choice(["I", "II", "III", "IV"], n),
            "ecog": rng.integers(0, 4, n),
            "time_months": np.round(rng.exponential(24, n) + 0.1, 2),
            "event": (rng.random(n) < 0.6).astype(int),
            "photo": [f"photos/{i}.jpg" for i in ids],
        }
    )


def write_study(folder: Path, table: pd.DataFrame | str | bytes, photos: int = 0, **settings: object) -> Path:
    """A study folder; `table` as rows, or as the raw contents of patients.csv."""
    text = settings_text(Settings(name=folder.name, title="Test study", **{"views": 1, **settings}))  # type: ignore[arg-type]
    write_text(folder / "study.toml", text)
    if isinstance(table, pd.DataFrame):
        table = csv_text(table)
    write_bytes(folder / "patients.csv", table.encode() if isinstance(table, str) else table)
    for i in range(photos):
        write_bytes(folder / "photos" / f"P{i + 1:04d}.jpg", encode_jpeg(face_like(i)))
    return folder


def scorer_of(study: Study) -> Scorer:
    """The study's own model, opened with a stand-in for the checkpoint that its codes are of."""
    checkpoint = SimpleNamespace(name="stand-in", sha256=study.report(study.chosen_model)["checkpoint_sha256"])
    return Scorer.open(study, checkpoint)  # type: ignore[arg-type]


def write_codes(study: Study, ws: np.ndarray, checkpoint_sha256: str = CHECKPOINT_SHA) -> Embedding:
    """Codes (n, num_ws, w_dim) for the study's photos, in order, as `embed` would leave them."""
    rows = [
        dict(
            zip(
                INDEX_COLUMNS,
                (p, f.stem, sha256_of(f), checkpoint_sha256, "test", "", 0.1, 30.0, 0.9, 0.2, 1.0, 0.3),
                strict=True,
            )
        )
        for p, f in study.photos.items()
    ]
    record = Embedding("tiny", checkpoint_sha256, study.settings.preset, ws.shape[1], ws.shape[2])
    return write_latents(study.path, ws.astype(np.float32), pd.DataFrame(rows), record)


def make_cohort(folder: Path, n: int = 240, shape: tuple[int, int] = (6, 8), seed: int = 1) -> tuple[Study, np.ndarray]:
    """A simulated study whose log-hazard is linear in its codes, lp = <g, ws>; returns it and the true gradient g.

    truth.csv holds lp as face_log_hazard; its standard deviation is 1.5.
    """
    rng = np.random.default_rng(seed)
    gradient = rng.standard_normal(shape)
    codes = rng.standard_normal((n, *shape))
    lp = np.tensordot(codes, gradient, 2)
    gradient, lp = gradient * 1.5 / lp.std(), lp * 1.5 / lp.std()
    lp -= lp.mean()
    time = 24 * (-np.log(rng.random(n)) / np.exp(lp)) ** (1 / 1.3)
    censoring = rng.exponential(120, n)
    table = patient_table(n)
    table["time_months"] = np.round(np.minimum(time, censoring) + 0.01, 2)
    table["event"] = (time <= censoring).astype(int)
    write_study(folder, table, simulated=True)
    truth = pd.DataFrame({"patient_id": table["patient_id"], "face_log_hazard": lp, "log_hazard": lp})
    write_text(folder / "truth.csv", csv_text(truth))
    for patient in table["patient_id"]:  # the bytes are never decoded here, only hashed
        write_bytes(folder / "photos" / f"{patient}.jpg", patient.encode())
    study = Study.open(folder)
    write_codes(study, codes)
    return study, gradient


@pytest.fixture
def tiny_study(tmp_path: Path) -> Study:
    """Twelve patients with photos, no codes."""
    return Study.open(write_study(tmp_path / "tiny", patient_table(12), photos=12))


@pytest.fixture(scope="session")
def make_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Checkpoint]:
    """An untrained generator as a checkpoint; the same one each time."""
    made: list[Checkpoint] = []

    def make() -> Checkpoint:
        if not made:
            made.append(write_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny"))
        return made[0]

    return make


def score_of(scorer: Scorer, face: AlignedFace | Photo | Path, *settings: Any, **options: Any) -> Score:
    """The score of a photo, or of a face aligned before. Raises StudyError with the reason where there is none."""
    if not isinstance(face, AlignedFace):
        face = prepare(face, scorer.study.settings.aligned, target_size(scorer.checkpoint))
    (result,) = scorer.score_faces([face], *settings, **options)
    if not isinstance(result, Score):
        raise StudyError(result.reason)
    return result
