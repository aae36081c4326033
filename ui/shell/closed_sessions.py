"""Sessions whose tab was closed are closed for good after a while, with the photo and everything else they hold.

Streamlit keeps a session that lost its connection, so that a short break costs nothing, and drops it when the next
visitor comes; in a quiet hour that is never, and until then its pictures can be fetched by whoever knows their address.
"""

from __future__ import annotations

import logging
import threading
import time

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

KEEP_SECONDS = 120.0  # a session without a connection; less than server.disconnectedSessionTTL
LOOK_SECONDS = 10.0
logger = logging.getLogger(__name__)


class ClosedSessions:
    """Which sessions there are, and since when those without a connection have had none."""

    def __init__(self, server: runtime.Runtime) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._gone: dict[str, float | None] = {}  # since when; None while it is connected

    def note(self, session_id: str) -> None:
        """A session is at work."""
        with self._lock:
            self._gone[session_id] = None

    def look(self, now: float) -> list[str]:
        """Close what has been without a connection for too long; returns which."""
        closed = []
        with self._lock:
            for session_id, since in list(self._gone.items()):
                if self._server.is_active_session(session_id):
                    self._gone[session_id] = None
                elif since is None:
                    self._gone[session_id] = now
                elif now - since >= KEEP_SECONDS:
                    del self._gone[session_id]
                    closed.append(session_id)
        for session_id in closed:
            self._server.clear_user_info_for_session(session_id)
        return closed

    def watch(self) -> None:
        """Look for ever."""
        while runtime.exists():
            try:
                self.look(time.monotonic())
            except Exception:
                logger.exception("Closed sessions could not be looked for")
            time.sleep(LOOK_SECONDS)


@st.cache_resource(show_spinner=False)
def _watched() -> ClosedSessions:
    """One watch per server."""
    sessions = ClosedSessions(runtime.get_instance())
    threading.Thread(target=sessions.watch, name="closed sessions", daemon=True).start()
    return sessions


def note_this_one() -> None:
    """Call at every run of the entry script."""
    context = get_script_run_ctx()
    if context is not None and runtime.exists():
        _watched().note(context.session_id)
