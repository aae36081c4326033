"""What was measured and found in the chosen study: read once for all sessions, again when its files change."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from faces.flags import read_flags
from study.disk.missing_photos import missing_photos
from study.errors import Findings, StudyError
from study.photos.quality import photo_findings, read_quality
from ui.shell import resources
from ui.shell.resources import OpenedStudy


def quality(opened: OpenedStudy) -> pd.DataFrame | None:
    """The photos' measures, None before there are any; StudyError where the file is damaged."""
    return _quality(opened.key, opened)


@st.cache_resource(show_spinner=False, max_entries=4)
def _quality(key: str, _opened: OpenedStudy) -> pd.DataFrame | None:
    table = read_quality(_opened.study)
    if table is not None:
        read = {text: tuple(flag.kind for flag in read_flags(text)) for text in table["flags"].unique()}
        kinds = [(p,) if p else read[f] for p, f in zip(table["problem"], table["flags"], strict=True)]
        table["kinds"] = kinds
    return table


def lost(opened: OpenedStudy) -> tuple[str, ...]:
    """Outcome of the patients whose photos are lost or flagged against that of the others, sentences."""
    return _lost(opened.key, opened)


@st.cache_resource(show_spinner=False, max_entries=4)
def _lost(key: str, _opened: OpenedStudy) -> tuple[str, ...]:
    groups = missing_photos(_opened.study, quality(_opened))
    return tuple(group.sentence(_opened.study.time_unit) for group in groups)


def report(opened: OpenedStudy) -> Findings:
    """Everything found: in settings and table, and in the photos that were checked."""
    return _report(opened.key, opened)


@st.cache_resource(show_spinner=False, max_entries=4)
def _report(key: str, _opened: OpenedStudy) -> Findings:
    out = Findings(resources.MAX_FINDINGS)
    out.items, out.counts = list(_opened.findings.items), dict(_opened.findings.counts)
    try:
        table = quality(_opened)
        if table is not None:
            photo_findings(_opened.study, table, out)
    except StudyError as error:
        out.warning("quality.parquet", None, str(error))
    return out
