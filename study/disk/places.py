"""Where studies lie: one rule for the command line and the app."""

from __future__ import annotations

import os
from pathlib import Path

from study.settings import SAFE_NAME

EMBEDDING_PARTS, QUALITY_PARTS = "embedding.parts", "quality.parts"
COMPARISON_PARTS, ROBUSTNESS_PARTS, ALIGNED_PARTS = "comparisons.parts", "robustness.parts", "aligned"
# Folders of a study in which jobs keep what they have so far. Nobody else reads them.
SCRATCH = frozenset({EMBEDDING_PARTS, QUALITY_PARTS, COMPARISON_PARTS, ROBUSTNESS_PARTS, ALIGNED_PARTS})
MODELS, COMPARISONS, QUALITY, DESCRIPTORS = "models", "comparisons", "quality.parquet", "descriptors.npz"
ROBUSTNESS, ROBUSTNESS_TABLE, REPORT_PAGE = "robustness.json", "robustness.csv", "report.html"
# What is made of a study: where it changes, table, photos, exclusions and codes are still the same.
RESULTS = frozenset({MODELS, COMPARISONS, QUALITY, DESCRIPTORS, ROBUSTNESS, ROBUSTNESS_TABLE, REPORT_PAGE})
VARIABLE = "LATENT_HEALTH_STUDIES"
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
