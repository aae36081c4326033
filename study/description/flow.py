"""From the patients of the table to those analysed: how many leave at each step, and why (as in a CONSORT diagram)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from common.parsing import json_value
from study.disk.latents import read_index
from study.disk.photos import photo_name
from study.disk.refused_photos import REFUSED, read_refused
from study.disk.store import Study
from study.embedding.run import REPORT
from study.errors import StudyError
from study.files import read_limited
from study.tables.formats.raw import MISSING

MAX_REPORT_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Step:
    """patients: how many are left after this step; lost: (reason, how many), the most frequent first."""

    name: str
    patients: int
    lost: tuple[tuple[str, int], ...] = ()


def embedding_failures(study: Study) -> dict[str, str]:
    """patient_id -> why the last embedding could not use the photo, in words that photos share: without the file's name
    in front; {} before there was one, or where its report is damaged: these patients only count as not embedded."""
    try:
        report = json_value(read_limited(study.path / REPORT, MAX_REPORT_BYTES, "The embedding's report"))
        failures = {
            str(row["patient_id"]): str(row["reason"]).removeprefix(str(row["photo"])).lstrip(": ")
            for row in report["failures"]
        }
    except (StudyError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return {patient: reason[:1].upper() + reason[1:] for patient, reason in failures.items()}


def flow(study: Study) -> list[Step]:
    """The steps from the table to the analysis. Each patient leaves once, at the first step that applies."""
    left = [str(p) for p in study.patients["patient_id"]]
    cells = dict(zip(left, study.patients["photo"], strict=True))
    steps = [Step("In the table", len(left))]

    def leave(name: str, why: Callable[[str], str]) -> None:
        """why: reason for which a patient leaves, "" for those who stay."""
        reasons = {p: why(p) for p in left}
        left[:] = [p for p in left if not reasons[p]]
        steps.append(Step(name, len(left), tuple(Counter(filter(None, reasons.values())).most_common())))

    def no_photo(patient: str) -> str:
        if patient in study.photos:
            return ""
        if patient in refused:
            return REFUSED
        if str(cells[patient]).lower() in MISSING:
            return "No photo named in the table"
        return "Photo file not in the folder" if photo_name(str(cells[patient])) else "Photo cell does not name a file"

    leave("Not excluded", lambda p: study.excluded[p].reason if p in study.excluded else "")
    refused = read_refused(study.path)
    if not study.photos and not any(cells.values()) and not refused:
        return [*steps, Step("Analysed by clinical columns", len(left))]
    leave("With a photo", no_photo)
    coded: set[str] = set()
    with suppress(StudyError):  # no index, or a damaged one
        coded = set(read_index(study.path)[0]["patient_id"])
    failures = embedding_failures(study)
    leave("With a usable face", lambda p: "" if p in coded else failures.get(p, ""))
    leave("Analysed", lambda p: "" if p in coded else "Photo not embedded yet")
    return steps
