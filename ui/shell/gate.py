"""Who may see the app: everyone on this machine, or people who signed in. Nobody else.

The app shows patients' photos. Bound to the loopback address it can only be reached from this machine; anywhere else
it refuses to show anything until sign-in (OpenID Connect, `[auth]` in .streamlit/secrets.toml) is set up.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import streamlit as st
from streamlit.errors import StreamlitSecretNotFoundError

ENTERED = "entered"  # in the session's state once the entry has let this visit pass


def is_loopback(host: str | None) -> bool:
    """Whether a host name or address can only mean this machine. None and "" mean every address."""
    if not host:
        return False
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def needs_sign_in(bound_to: str | None, asked_for: str | None) -> bool:
    """Whether this visit could come from elsewhere.

    bound_to: the server's address. asked_for: the Host header, None where there is none; a name that is not loopback
    means a proxy, or a page elsewhere that resolves its own name to this machine.
    """
    if not is_loopback(bound_to):
        return True
    return asked_for is not None and not is_loopback(urlsplit(f"//{asked_for}").hostname)


def sign_in_configured() -> bool:
    """Whether `[auth]` stands in the secrets."""
    try:
        return "auth" in st.secrets
    except StreamlitSecretNotFoundError:
        return False


def require_access() -> None:
    """Let the visit pass, ask for sign-in, or show why not and stop the run."""
    st.session_state.pop(ENTERED, None)
    if sign_in_configured():
        if st.user.is_logged_in:
            if st.sidebar.button("Sign out", icon=":material/logout:"):
                st.logout()
            st.session_state[ENTERED] = True
            return
        st.title("Please sign in")
        st.markdown("This installation shows patients' photos only to people who have signed in.")
        if st.button("Sign in", type="primary"):
            st.login()
        st.stop()
    if needs_sign_in(st.get_option("server.address"), st.context.headers.get("Host")):
        st.title("Not open to the network")
        st.error(
            "This server can be reached from other machines and has no sign-in, so it shows nothing. "
            "Start it with `--server.address 127.0.0.1`, or set up sign-in: an `[auth]` section in "
            "`.streamlit/secrets.toml` (see docs/guide.md)."
        )
        st.stop()
    st.session_state[ENTERED] = True


def require_entry() -> None:
    """Send a visit that came past the entry script back to it.

    Until the entry has run once, Streamlit takes the files in pages/ for pages of their own: the first visit to a
    fresh server, made straight to /portrait, would run that file without the entry and its gate.
    """
    if not st.session_state.get(ENTERED):
        st.switch_page("app.py")
