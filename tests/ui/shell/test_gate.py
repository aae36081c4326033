"""Who may come in."""

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from tests.ui.conftest import APP
from ui.shell import gate


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.8.9.1", "LOCALHOST"])
def test_loopback(host: str) -> None:
    assert gate.is_loopback(host)


@pytest.mark.parametrize("host", [None, "", "0.0.0.0", "::", "192.168.1.4", "example.org", "127.0.0.1.example.org"])
def test_everything_else_is_not(host: str | None) -> None:
    assert not gate.is_loopback(host)


@pytest.mark.parametrize(
    ("bound", "asked", "needed"),
    [
        ("127.0.0.1", None, False),
        ("127.0.0.1", "127.0.0.1:8501", False),
        ("localhost", "localhost:8501", False),
        ("::1", "[::1]:8501", False),
        ("0.0.0.0", "127.0.0.1:8501", True),
        (None, "localhost:8501", True),
        ("127.0.0.1", "hospital.example.org", True),
        ("127.0.0.1", "rebound.example.org:8501", True),
    ],
)
def test_sign_in_is_asked_of_whoever_could_be_elsewhere(bound: str | None, asked: str | None, needed: bool) -> None:
    assert gate.needs_sign_in(bound, asked) is needed


def test_a_server_open_to_the_network_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = st.get_option
    monkeypatch.setattr(st, "get_option", lambda name: "0.0.0.0" if name == "server.address" else asked(name))
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    assert not app.exception
    assert [title.value for title in app.title] == ["Not open to the network"]
    assert "127.0.0.1" in app.error[0].value
    assert not app.selectbox
    assert not app.metric
    assert gate.ENTERED not in app.session_state


@pytest.mark.slow
@pytest.mark.parametrize("signed_in", [False, True])
def test_with_sign_in_only_known_people_come_in(monkeypatch: pytest.MonkeyPatch, signed_in: bool) -> None:
    monkeypatch.setattr(gate, "sign_in_configured", lambda: True)
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.user = {"is_logged_in": signed_in, "email": "ada@example.org"}
    app.run()
    assert not app.exception
    assert (gate.ENTERED in app.session_state) is signed_in
    labels = [button.label for button in app.button]
    assert ("Sign out" in labels) is signed_in
    assert ("Sign in" in labels) is not signed_in


@pytest.mark.parametrize("page", ["pages/portrait.py", "pages/health_direction.py"])
def test_a_first_visit_straight_to_a_page_goes_through_the_entry(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = st.get_option
    monkeypatch.setattr(st, "get_option", lambda name: "0.0.0.0" if name == "server.address" else asked(name))
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.switch_page(page).run()
    assert not app.exception
    assert [title.value for title in app.title] == ["Not open to the network"]
    assert not app.file_uploader
