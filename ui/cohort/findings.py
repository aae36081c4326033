"""What was measured and found in the chosen study: read once for all sessions, again when its files change."""

from __future__ import annotations

import pandas as pd

from faces.flags import read_flags
from study.disk.missing_photos import missing_photos
from study.errors import Findings, StudyError
from study.photos.quality import photo_findings, read_quality
from ui.shell import resources
from ui.shell.resources import OpenedStudy, study_resource


@study_resource
def quality(opened: OpenedStudy) -> pd.DataFrame | None:
    """The photos' measures, None before there are any; StudyError where the file is damaged."""
    table = read_quality(opened.study)
    if table is not None:
        read = {text: tuple(flag.kind for flag in read_flags(text)) for text in table["flags"].unique()}
        kinds = [(p,) if p else read[f] for p, f in zip(table["problem"], table["flags"], strict=True)]
        table["kinds"] = kinds
    return table


@study_resource
def lost(opened: OpenedStudy) -> tuple[str, ...]:
    """Outcome of the patients whose photos are lost or flagged against that of the others, sentences."""
    groups = missing_photos(opened.study, quality(opened))
    return tuple(group.sentence(opened.study.time_unit) for group in groups)


@study_resource
def report(opened: OpenedStudy) -> Findings:
    """Everything found: in settings and table, and in the photos that were checked."""
    out = Findings(resources.MAX_FINDINGS)
    out.items, out.counts = list(opened.findings.items), dict(opened.findings.counts)
    try:
        table = quality(opened)
        if table is not None:
            photo_findings(opened.study, table, out)
    except StudyError as error:
        out.warning("quality.parquet", None, str(error))
    return out
