"""The file in which a benchmark keeps finished portraits, so that a stopped run resumes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from study.errors import StudyError
from study.files import read_limited, write_text

MAX_BYTES = 2**28
VERSION = 1


class Results:
    """The record of each photo, by its sha256; without a path in memory alone.

    settings: whatever shapes a record, as plain JSON values. A file with others is refused: its portraits were made in
    another way. Raises StudyError for such a file and for any other file.
    """

    def __init__(self, path: Path | None, settings: Mapping[str, Any]) -> None:
        self.path, self.settings = path, {"version": VERSION, **settings}
        self.records: dict[str, dict[str, Any]] = {}
        if path is not None and path.exists():
            self.records = self._read(path)

    def _read(self, path: Path) -> dict[str, dict[str, Any]]:
        data = read_limited(path, MAX_BYTES, "The file of results")
        try:
            stored = json.loads(data)
            settings, records = stored["settings"], stored["records"]
            if not isinstance(records, dict) or not all(isinstance(r, dict) for r in records.values()):
                raise ValueError("records are not objects")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise StudyError(f"{path.name} holds no portraits of this benchmark: name another file.") from error
        if settings != self.settings:
            raise StudyError(
                f"{path.name} holds portraits of another checkpoint, preset or version: name another file."
            )
        return records

    def of(self, sha256: str) -> dict[str, Any]:
        """The photo's record, {} without one."""
        return self.records.get(sha256, {})

    def add(self, sha256: str, values: Mapping[str, Any]) -> None:
        """Adds to the record of a photo; on disk only with the next `write`."""
        self.records[sha256] = self.of(sha256) | dict(values)

    def write(self, report: Mapping[str, Any] | None = None) -> None:
        """Replaces the file; the report, once made, comes first."""
        if self.path is not None:
            stored = {"report": report, "settings": self.settings, "records": self.records}
            write_text(self.path, json.dumps(stored, ensure_ascii=False) + "\n")
