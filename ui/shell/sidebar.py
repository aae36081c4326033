"""The frame of every page: study and face model in the sidebar, and the head with title and badges."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

import streamlit as st

from ui.elements.blocks import RESEARCH_USE, note
from ui.elements.escaping import labelled, plain, trusted
from ui.elements.glossary import GLOSSARY
from ui.shell import checkpoint_choice, gate, resources, session, theme


def pickers() -> None:
    """Study and face model, in the sidebar; the choice stays when the page changes."""
    with st.sidebar:
        _picker(
            "Study", "study", resources.study_names(), session.DEFAULT_STUDY, "The patients whose model gives the risk."
        )
        study, names = session.pick_study(), resources.checkpoint_names()
        # Another study brings its own face model along: its codes and its risk model belong to no other.
        if study is not None and st.session_state.get("checkpoint-follows") != study:
            st.session_state["checkpoint-follows"] = study
            if not session.has_choice("checkpoint"):
                session.choose("checkpoint", resources.checkpoint_of(study))
        _picker(
            "Face model",
            "checkpoint",
            names,
            resources.DEFAULT_CHECKPOINT,
            GLOSSARY["checkpoint"],
            lambda name: checkpoint_choice.label(study, name),
        )
        checkpoint_choice.advise()
        note(RESEARCH_USE)


def _picker(
    label: str,
    key: str,
    names: Sequence[str],
    default: str,
    explanation: str,
    shown: Callable[[str], object] = str,
) -> None:
    if not names:
        st.session_state.pop(key, None)
        st.markdown(f"**{trusted(label)}**  \nnone found")
        return
    session.take_choice(key, names)  # the browser only follows a choice made before the widget
    # The browser holds a choice by its label. Where labels changed, with another study or codes, it gets them again.
    labels = {name: str(shown(name)) for name in names}
    before = st.session_state.get(f"{key}-labels", labels)
    chosen = st.session_state.get(key)
    chosen = next((name for name, text in before.items() if chosen in (text, plain(text))), chosen)
    if chosen not in names:
        chosen = default if default in names else names[0]
    if labels != before or chosen != st.session_state.get(key):
        st.session_state[key] = chosen
    st.session_state[f"{key}-labels"] = labels
    st.selectbox(
        trusted(label),
        names,
        format_func=labelled(lambda name: labels.get(name, name)),
        key=key,
        help=trusted(explanation),
        persist_state="session",
    )


def masthead(kicker: str, title: str, lede: str, compact: bool = False) -> None:
    """Title, one sentence, and what kind of data the page shows. compact: two lines, for a page that fits a screen."""
    gate.require_entry()
    theme.apply_style()
    theme.watch_mode()
    if compact:
        with st.container(key="masthead-compact", gap=None):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.title(plain(title), anchor=False, width="content")
                badges = st.container(horizontal=True, horizontal_alignment="right", width="stretch")
            st.html(f'<p class="lh-lede">{html.escape(lede)}</p>')
        with badges:
            _badges()
        return
    words, badges = st.columns([2, 3], vertical_alignment="center")
    words.html(f'<p class="lh-kicker">{html.escape(kicker)}</p>')
    st.title(plain(title), anchor=False)
    st.html(f'<p class="lh-lede">{html.escape(lede)}</p>')
    with badges, st.container(horizontal=True, horizontal_alignment="right"):
        _badges()


def _badges() -> None:
    study = st.container(width="content")
    st.badge("Research use only", icon=":material/info:", color="gray")
    with study:
        study_badge()  # opens the study: after the words


def study_badge() -> None:
    """Whether the study's patients exist."""
    name = session.pick_study()
    if name is None:
        return
    try:
        simulated = resources.open_study(name).simulated
    except session.SENTENCES:
        return
    if simulated:
        st.badge("Simulated study", icon=":material/science:", color="orange")
    else:
        st.badge("Study of real patients", icon=":material/group:", color="red")
