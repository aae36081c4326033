"""A closed tab's session is closed for good after a while, a short break costs nothing."""

from __future__ import annotations

import tomllib
from pathlib import Path

from streamlit.runtime import Runtime

from ui.shell.closed_sessions import KEEP_SECONDS, LOOK_SECONDS, ClosedSessions


class Fake:
    def __init__(self) -> None:
        self.active: set[str] = set()
        self.closed: list[str] = []

    def is_active_session(self, session_id: str) -> bool:
        return session_id in self.active

    def clear_user_info_for_session(self, session_id: str) -> None:
        self.closed.append(session_id)


def test_a_session_is_closed_once_its_tab_has_been_away_for_long() -> None:
    server = Fake()
    sessions = ClosedSessions(server)
    server.active = {"a", "b"}
    for name in server.active:
        sessions.note(name)
    assert sessions.look(0.0) == []
    server.active = {"b"}
    assert sessions.look(10.0) == []
    assert sessions.look(9.0 + KEEP_SECONDS) == []
    assert sessions.look(10.0 + KEEP_SECONDS) == ["a"]
    assert sessions.look(1e9) == []
    assert server.closed == ["a"]


def test_a_break_costs_nothing() -> None:
    server = Fake()
    sessions = ClosedSessions(server)
    sessions.note("a")
    assert sessions.look(0.0) == []
    server.active = {"a"}
    assert sessions.look(KEEP_SECONDS + 1) == []
    server.active = set()
    assert sessions.look(KEEP_SECONDS + 2) == []
    sessions.note("a")
    assert sessions.look(2 * KEEP_SECONDS + 3) == []
    assert server.closed == []


def test_streamlit_still_keeps_the_session_until_it_is_closed_here() -> None:
    config = tomllib.loads((Path(__file__).parents[3] / ".streamlit" / "config.toml").read_text("utf-8"))
    assert config["server"]["disconnectedSessionTTL"] > KEEP_SECONDS + 2 * LOOK_SECONDS


def test_streamlit_has_what_is_asked_of_it() -> None:
    """Both are documented as safe from any thread in the pinned version; the bench looks at what they do."""
    for name in ("is_active_session", "clear_user_info_for_session"):
        assert "Threading: SAFE" in str(getattr(Runtime, name).__doc__)
