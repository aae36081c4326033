"""Files of a study: `common.files` with this room's error, and tables as text."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from common.files import Files
from study.errors import StudyError

FILES = Files(StudyError)
replacing, replacing_folder = FILES.replacing, FILES.replacing_folder
write_bytes, write_text, write_json = FILES.write_bytes, FILES.write_text, FILES.write_json
read_limited, sha256_of, check_writable = FILES.read_limited, FILES.sha256_of, FILES.check_writable


def without_nan(value: Any) -> Any:
    """Plain values for JSON, which has neither nan nor infinity: None stands for both."""
    if isinstance(value, dict):
        return {key: without_nan(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def csv_text(table: pd.DataFrame, **options: Any) -> str:
    """A table as CSV without its index, `\\n` line ends."""
    return str(table.to_csv(index=False, lineterminator="\n", **options))
