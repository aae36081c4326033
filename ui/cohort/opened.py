"""What the Cohort page knows of the chosen study: opened once for all sessions, again when its files change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from study.errors import Findings, StudyError
from ui.elements.escaping import plain
from ui.finetune.runs import shown
from ui.shell import resources, session

if TYPE_CHECKING:
    import pandas as pd

    from latent.checkpoints import Checkpoint
    from study.disk.store import Study

PROBLEM = "cohort-problem"  # in the session's state: why something asked for a moment ago could not be done


@dataclass(frozen=True, eq=False)
class Opened:
    """The chosen study, errors and all. key: changes with its files. words: its folder as a command names it."""

    study: Study
    findings: Findings
    key: str
    words: str

    @property
    def usable(self) -> bool:
        return not self.findings.counts["error"]

    @property
    def kind(self) -> str:
        return "simulated patient" if self.study.simulated else "patient"


def opened() -> Opened:
    """The chosen study; StudyError where there is none."""
    name = session.pick_study()
    if name is None:
        raise StudyError(f"There is no study under {resources.studies_root().name}/ yet: make one below.")
    study, findings, key = resources.inspect_study(name)
    return Opened(study, findings, key, shown(resources.studies_root() / name))


def quality(found: Opened) -> pd.DataFrame | None:
    """The photos' measures, None before there are any; StudyError where the file is damaged."""
    return _quality(found.key, found)


@st.cache_resource(show_spinner=False, max_entries=4)
def _quality(key: str, _found: Opened) -> pd.DataFrame | None:
    from faces.flags import read_flags
    from study.photos.quality import read_quality

    table = read_quality(_found.study)
    if table is not None:
        read = {text: tuple(flag.kind for flag in read_flags(text)) for text in table["flags"].unique()}
        kinds = [(p,) if p else read[f] for p, f in zip(table["problem"], table["flags"], strict=True)]
        table["kinds"] = kinds
    return table


def lost(found: Opened) -> tuple[str, ...]:
    """Outcome of the patients whose photos are lost or flagged against that of the others, sentences."""
    return _lost(found.key, found)


@st.cache_resource(show_spinner=False, max_entries=4)
def _lost(key: str, _found: Opened) -> tuple[str, ...]:
    from study.disk.missing_photos import missing_photos

    groups = missing_photos(_found.study, quality(_found))
    return tuple(group.sentence(_found.study.time_unit) for group in groups)


def report(found: Opened) -> Findings:
    """Everything found: in settings and table, and in the photos that were looked over."""
    return _report(found.key, found)


@st.cache_resource(show_spinner=False, max_entries=4)
def _report(key: str, _found: Opened) -> Findings:
    from study.photos.quality import photo_findings

    out = Findings(resources.MAX_FINDINGS)
    out.items, out.counts = list(_found.findings.items), dict(_found.findings.counts)
    try:
        table = quality(_found)
        if table is not None:
            photo_findings(_found.study, table, out)
    except StudyError as error:
        out.warning("quality.parquet", None, str(error))
    return out


def checkpoint_of(found: Opened) -> Checkpoint:
    """The checkpoint that the study names, opened; LatentError with a sentence where it is not there."""
    return resources.open_checkpoint(found.study.settings.checkpoint)


def problem() -> None:
    """Why something that was asked for a moment ago could not be done."""
    told = st.session_state.pop(PROBLEM, "")
    if told:
        st.error(plain(told), icon=":material/error:")
