"""Why a request of a moment ago failed: left by a callback, shown once by the next run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from ui.elements.escaping import plain

_KEY = "message"  # in the session's state


def leave(problem: Exception | str) -> None:
    """Keep a sentence for the next run of the page."""
    st.session_state[_KEY] = str(problem)


@contextmanager
def left_by(*problems: type[Exception]) -> Iterator[None]:
    """Leave the sentence of such an exception, and go on behind the block."""
    try:
        yield
    except problems as error:
        leave(error)


def show() -> None:
    """Show the sentence that was left, if any, and forget it."""
    if text := st.session_state.pop(_KEY, ""):
        st.error(plain(text), icon=":material/error:")
