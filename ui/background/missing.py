"""Where something cannot be shown: why, in a sentence, and what puts it right, with the job that does so."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import streamlit as st

from ui.background import remedy, study_jobs
from ui.elements.escaping import plain
from ui.shell import session

Opened = TypeVar("Opened")


def require(opener: Callable[[], Opened], title: str) -> Opened:
    """What `opener` returns; where it cannot, its sentence on an otherwise empty page, and the run ends."""
    try:
        return opener()
    except session.SENTENCES as error:
        unavailable(title, error)
        st.stop()


def unavailable(title: str, problem: Exception | str, live: bool = True) -> None:
    """Say in a sentence why something cannot be shown, and offer what puts it right.

    live: whether a job that does so is shown here; False on a page that shows the study's jobs anyway.
    """
    st.warning(plain(remedy.sentence(problem)), title=plain(title), icon=":material/report:")
    offer(problem, re.sub(r"[^a-z]+", "-", title.lower()), live)


def offer(problem: Exception | str, key: str, live: bool = True) -> None:
    """What puts a problem right and, where `live`, the job that it started."""
    if remedy.offer(problem, key) and live:
        study_jobs.section(session.opened_study().path, study_jobs.OF_COHORT, f"remedy-{key}")
