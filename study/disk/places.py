"""Where studies lie: one rule for the command line and the app."""

from __future__ import annotations

import os
from pathlib import Path

from common.parsing import json_value, toml_table
from study.settings import FILE_NAME, MAX_BYTES, SAFE_NAME

EMBEDDING_PARTS, COMPARISON_PARTS, ROBUSTNESS_PARTS = "embedding.parts", "comparisons.parts", "robustness.parts"
ALIGNED = "aligned"
# Folders in which work on a study keeps what it has finished so far; they may be deleted while nothing runs.
SCRATCH = frozenset({EMBEDDING_PARTS, COMPARISON_PARTS, ROBUSTNESS_PARTS, ALIGNED})
MODELS, COMPARISONS, QUALITY = "models", "comparisons", "quality.parquet"
ROBUSTNESS, ROBUSTNESS_TABLE, REPORT_PAGE = "robustness.json", "robustness.csv", "report.html"
LEARNING_CURVE = "learning-curve.json"
# Results of a study: where they change, table, photos, exclusions and codes are still the same.
RESULTS = frozenset({MODELS, COMPARISONS, QUALITY, ROBUSTNESS, ROBUSTNESS_TABLE, LEARNING_CURVE, REPORT_PAGE})
INDEX, EMBEDDING = "index.parquet", "embedding.json"
MAX_RECORD_BYTES = 2**20
VARIABLE = "LATENT_HEALTH_STUDIES"
CHECKPOINT_HELP = "folder or name under checkpoints/ (default: as in study.toml)"
ROOT_HELP = f"folder of the studies (default {VARIABLE}, where that is set, else studies)"


def studies_root(home: Path = Path()) -> Path:
    """Folder of the studies: LATENT_HEALTH_STUDIES where it is set, else studies/ in `home` (here: the command line is
    run in the project's folder; the app names it)."""
    return Path(os.environ.get(VARIABLE) or home / "studies")


def resolve(path: Path | str) -> Path:
    """A study's folder from what a person typed: a folder, or the name of a study."""
    folder = Path(path)
    if not folder.exists() and SAFE_NAME.fullmatch(str(path)) and (studies_root() / folder).is_dir():
        return studies_root() / folder
    return folder


def study_names(root: Path) -> list[str]:
    """Names of the studies in a folder of studies, sorted."""
    return sorted(path.parent.name for path in root.glob(f"*/{FILE_NAME}") if not path.parent.name.startswith("."))


def named_checkpoint(study: Path) -> str:
    """Name of the checkpoint in a study's settings; "" where they name none or cannot be read."""
    try:
        with (study / FILE_NAME).open("rb") as file:
            embedding = toml_table(file.read(MAX_BYTES)).get("embedding")
    except (OSError, ValueError):
        return ""
    name = embedding.get("checkpoint") if isinstance(embedding, dict) else None
    return name if isinstance(name, str) else ""


def codes_time(study: Path) -> tuple[int, ...]:
    """Changes with the record of a study's codes; () where there are no codes."""
    files = [study / name for name in (INDEX, EMBEDDING)]
    return tuple(file.stat().st_mtime_ns if file.is_file() else 0 for file in files) if files[0].is_file() else ()


def recorded_checkpoint(study: Path) -> str:
    """sha256 of the generator that a study's codes were made with, by their small record; "" where it does not say."""
    try:
        with (study / EMBEDDING).open("rb") as file:
            data = file.read(MAX_RECORD_BYTES + 1)
        record = json_value(data) if len(data) <= MAX_RECORD_BYTES else None
    except (OSError, ValueError, RecursionError):
        return ""
    sha256 = record.get("checkpoint_sha256") if isinstance(record, dict) else None
    return sha256 if isinstance(sha256, str) else ""
