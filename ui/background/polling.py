"""Parts of a page that refresh themselves: how often, by one rule."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import streamlit as st

FASTEST, SLOWEST = 1.0, 16.0  # seconds between two refreshes
SHARE = 0.2  # of the time at most goes into refreshing: the rest is for the work that is watched, and other people
INTERVAL = "poll-interval"  # in the session's state: what the browser keeps for the part that refreshes itself


def interval(took: float, least: float = FASTEST) -> float:
    """Seconds from one refresh to the next, where one took so long: `least`, doubled until the share is kept."""
    seconds = max(least, FASTEST)
    while seconds < SLOWEST and took > SHARE * seconds:
        seconds *= 2
    return min(seconds, max(SLOWEST, least))


def poll(draw: Callable[..., None], *args: Any, every: float | None = FASTEST) -> None:
    """Draw a part of the page with these arguments, again and again without the page. every: seconds, more where a
    refresh takes long; None: once."""
    if every is None:
        st.fragment(draw)(*args)
        return
    every = max(every, FASTEST)
    st.session_state[INTERVAL] = every
    st.fragment(_refresh, run_every=every)(draw, args, every)


def _refresh(draw: Callable[..., None], args: tuple[Any, ...], least: float) -> None:
    begin = time.perf_counter()
    draw(*args)
    wanted = interval(time.perf_counter() - begin, least)
    if wanted != st.session_state.get(INTERVAL) and _ask_browser(wanted):
        st.session_state[INTERVAL] = wanted


def _ask_browser(seconds: float) -> bool:
    """Let the browser refresh the running part at another interval; False where this is not a refreshing part.

    Streamlit has no call for this: `run_every` is read when the page runs. The message is the one that it sends then,
    and the browser replaces the part's timer by it.
    """
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
    from streamlit.runtime.scriptrunner_utils.script_run_context import ThreadState, get_script_run_ctx

    context = get_script_run_ctx()
    fragment = ThreadState.get().fragment_id
    if context is None or fragment is None:
        return False
    message = ForwardMsg()
    message.auto_rerun.interval = seconds
    message.auto_rerun.fragment_id = fragment
    context.enqueue(message)
    return True
