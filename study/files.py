"""Files of a study: `common.files` with this room's error, and tables as text."""

from __future__ import annotations

from typing import Any

import pandas as pd

from common.files import Files
from study.errors import StudyError

FILES = Files(StudyError)
replacing, replacing_folder = FILES.replacing, FILES.replacing_folder
write_bytes, write_text, write_json = FILES.write_bytes, FILES.write_text, FILES.write_json
read_limited, sha256_of, check_writable = FILES.read_limited, FILES.sha256_of, FILES.check_writable


def csv_text(table: pd.DataFrame, **options: Any) -> str:
    """A table as CSV without its index, `\\n` line ends."""
    return str(table.to_csv(index=False, lineterminator="\n", **options))
