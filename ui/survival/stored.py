"""A result that a study keeps in a file of its own: shown, out of date, damaged, or not measured yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import streamlit as st

from study.disk.store import Study
from ui.background import remedy
from ui.elements import blocks
from ui.elements.escaping import plain
from ui.shell import session

Result = TypeVar("Result")


def stored_result(
    study: Study,
    exists: bool,
    read: Callable[[Study], Result],
    stale: Callable[[Study, Result], Iterable[str]],
    show: Callable[[Result], None],
    absent: str,
) -> None:
    """Show the result with a warning where it is out of date; its error where it is damaged, or `absent`. What makes it
    again stands below."""
    if not exists:
        blocks.note(absent)
        return
    try:
        result = read(study)
    except session.SENTENCES as error:
        st.error(plain(remedy.sentence(error)), icon=":material/error:")
        return
    if reasons := list(stale(study, result)):
        st.warning(f"Out of date: {plain(' '.join(reasons))} Run it again.", icon=":material/update:")
    show(result)
