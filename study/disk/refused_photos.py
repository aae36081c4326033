"""Photos that were refused when the study was made: intake.json remembers whose, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.parsing import json_value
from study.errors import StudyError
from study.files import read_limited, write_json

FILE_NAME = "intake.json"
MAX_BYTES = 64 * 2**20
REFUSED = "Photo refused when the study was made"


def write_refused(folder: Path, refused: Sequence[Mapping[str, object]]) -> None:
    """patient_id, row (of the table that was given) and reason of each."""
    write_json(folder / FILE_NAME, {"photos_refused": list(refused)})


def read_refused(folder: Path) -> dict[str, str]:
    """patient_id -> why a photo of theirs was refused; {} where the study was not made by `intake`, or the file is
    damaged: then these patients only count as without a photo."""
    if not (folder / FILE_NAME).is_file():
        return {}
    try:
        record: Any = json_value(read_limited(folder / FILE_NAME, MAX_BYTES, "The record of refused photos"))
        return {str(row["patient_id"]): str(row["reason"]) for row in record["photos_refused"]}
    except (StudyError, ValueError, KeyError, TypeError, RecursionError):
        return {}
