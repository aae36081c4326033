"""`python -m study check`: everything found in a study, by row, with what to do."""

from __future__ import annotations

import json
from typing import Any

from common.command import path_argument
from common.text import count
from study.disk.exclusions import FILE_NAME as EXCLUSIONS_FILE
from study.disk.latents import INDEX
from study.disk.models import MODELS
from study.disk.photos import check_photos
from study.disk.store import Study, inspect
from study.errors import Findings, StudyError
from study.settings import FILE_NAME as SETTINGS_FILE


def check(path: str, quick: bool = False) -> tuple[Study, Findings]:
    """Inspects a study and, unless `quick`, opens every photo; codes and models are checked where they are.

    Raises StudyError only when there is no study, or a file as a whole cannot be read.
    """
    study, findings = inspect(path)
    if not quick:
        check_photos(study.patients, study.photo_files, findings, study.table_name)
    try:
        if study.has_latents:
            index, views = study.latents().index, study.embedding.views
            missing = len(study.included_files) - int(index["patient_id"].isin(study.included_photos.keys()).sum())
            if missing > 0:
                findings.warning(
                    INDEX, None, f"{count(missing, 'photo')} without a code.", "Run `python -m study embed`."
                )
            if views != study.settings.views:
                findings.warning(
                    INDEX,
                    None,
                    f"The codes rest on {count(views, 'view')} of each photo, but {SETTINGS_FILE} says "
                    f"{study.settings.views}.",
                    f"Run `python -m study embed`, or write views = {views}.",
                )
        for folder in sorted(p for p in (study.path / MODELS).glob("*") if p.is_dir()):
            study.model(folder.name)
    except StudyError as error:
        findings.error("codes and models", None, str(error))
    return study, findings


def summary(study: Study, findings: Findings) -> str:
    """One paragraph: patients, events, follow-up, photos, codes."""
    table = study.patients
    n, events, unit = len(table), int(table["event"].sum()), study.time_unit
    lines = [f"{study.name}: {study.settings.title}{' (simulated)' if study.simulated else ''}"]
    lines.append(f"{count(n, 'patient')}, {count(events, 'event')}, longest follow-up {table['time'].max():g} {unit}.")
    codes = "no codes checked"
    if study.has_latents and not findings.errors:
        codes = f"{count(len(study.latents().index), 'code')} ({count(study.embedding.views, 'view')} a photo)"
    photos = sum(len(files) for files in study.photo_files.values())
    lines.append(f"{count(photos, 'photo')}, {codes}." if photos else "No photos: clinical columns alone.")
    if study.competing_note:
        lines.append(study.competing_note)
    if study.excluded:
        lines.append(f"{count(len(study.excluded), 'patient')} excluded ({EXCLUSIONS_FILE}).")
    lines.append(", ".join(count(findings.counts[kind], kind) for kind in ("error", "warning", "note")) + ".")
    return "\n".join(lines)


def add_arguments(parser: Any) -> None:
    parser.add_argument("study", type=path_argument)
    parser.add_argument("--quick", action="store_true", help="do not open every photo")
    parser.add_argument("--json", action="store_true", help="findings as JSON, one object per line")


def run(args: Any) -> int:
    study, findings = check(args.study, args.quick)
    for finding in findings:
        if args.json:
            print(json.dumps(vars(finding), ensure_ascii=False))
        else:
            print(f"{finding.severity:<8}{finding}")
    if not args.json:
        if findings.left_off:
            print(f"... and {findings.left_off} more of the same kinds.")
        print(summary(study, findings))
    return 1 if findings.counts["error"] else 0
