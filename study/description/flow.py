"""From the patients of the table to those analysed: how many leave at each step, and why (as in a CONSORT diagram)."""

from __future__ import annotations

from collections import Counter
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
    """patient_id -> why the last embedding could not use the photo; {} before there was one, or where its report is
    damaged: then these patients only count as not embedded."""
    try:
        report = json_value(read_limited(study.path / REPORT, MAX_REPORT_BYTES, "The embedding's report"))
        return {
            str(row["patient_id"]): _without_name(str(row["reason"]), str(row["photo"])) for row in report["failures"]
        }
    except (StudyError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _without_name(reason: str, photo: str) -> str:
    """The reason in words that photos share: without the file's name in front."""
    rest = reason.removeprefix(photo).lstrip(": ")
    return rest[:1].upper() + rest[1:]


def flow(study: Study) -> list[Step]:
    """The steps from the table to the analysis. Each patient leaves once, at the first step that applies."""
    patients = [str(p) for p in study.patients["patient_id"]]
    steps = [Step("In the table", len(patients))]
    left = [p for p in patients if p not in study.excluded]
    reasons = Counter(study.excluded[p].reason for p in patients if p in study.excluded)
    steps.append(_step("Not excluded", left, reasons))
    cells = dict(zip(patients, study.patients["photo"], strict=True))
    if not study.photos and not any(cells.values()) and not read_refused(study.path):
        return [*steps, Step("Analysed by clinical columns", len(left))]
    refused = read_refused(study.path)
    reasons = Counter(REFUSED if p in refused else _no_photo(str(cells[p])) for p in left if p not in study.photos)
    left = [p for p in left if p in study.photos]
    steps.append(_step("With a photo", left, reasons))
    coded = _coded(study)
    failures = embedding_failures(study)
    reasons = Counter(failures[p] for p in left if p in failures and p not in coded)
    left = [p for p in left if p in coded or p not in failures]
    steps.append(_step("With a usable face", left, reasons))
    waiting = sum(p not in coded for p in left)
    reasons = Counter({"Photo not embedded yet": waiting} if waiting else {})
    steps.append(_step("Analysed", [p for p in left if p in coded], reasons))
    return steps


def _step(name: str, left: list[str], reasons: Counter[str]) -> Step:
    return Step(name, len(left), tuple(reasons.most_common()))


def _no_photo(cell: str) -> str:
    if cell.lower() in MISSING:
        return "No photo named in the table"
    return "Photo file not in the folder" if photo_name(cell) else "Photo cell names no file"


def _coded(study: Study) -> set[str]:
    """Patients with a row in the index; none where there is no index or it is damaged."""
    try:
        return set(read_index(study.path)[0]["patient_id"])
    except StudyError:
        return set()
