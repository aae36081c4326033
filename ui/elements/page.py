"""Parts that every page has: masthead, pickers, fact lists, headline figures, the page for what is missing."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import streamlit as st

from ui.elements import remedy
from ui.elements.escaping import labelled, plain, trusted
from ui.elements.text import GLOSSARY
from ui.shell import checkpoint_choice, gate, resources, session, theme

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from study.disk.store import Study
    from ui.shell.resources import Cohort

Opened = TypeVar("Opened")
RESEARCH_USE = (
    "For research. Not a medical device: no decision about a person may rest on it. A hazard learned from photos shows "
    "association, not cause, and a face changed on screen is a picture of a model, not of a prognosis."
)
WANTED = "-wanted"  # after a picker's key: what another part of the page chose for it
RAMP = "linear-gradient(90deg, {low}, #8b8f93, {high})"


def pickers() -> None:
    """Study and checkpoint, in the sidebar; the choice stays when the page changes."""
    with st.sidebar:
        _picker(
            "Study", "study", resources.study_names(), session.DEFAULT_STUDY, "The cohort whose model gives the risk."
        )
        _follow_study()
        names = resources.checkpoint_names()
        study = session.pick_study()
        _picker(
            "Checkpoint",
            "checkpoint",
            names,
            resources.USUAL_CHECKPOINT,
            GLOSSARY["checkpoint"],
            lambda name: checkpoint_choice.label(study, name),
        )
        checkpoint_choice.advise()
        note(RESEARCH_USE)


def _follow_study() -> None:
    """Another study brings its own checkpoint along: its codes and its model belong to no other."""
    study = session.pick_study()
    if study is not None and st.session_state.get("checkpoint-follows") != study:
        st.session_state["checkpoint-follows"] = study
        st.session_state.setdefault(f"checkpoint{WANTED}", resources.checkpoint_of(study))


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
    wanted = st.session_state.pop(f"{key}{WANTED}", None)  # the browser only follows a choice made before the widget
    if wanted in names:
        st.session_state[key] = wanted
    # The browser holds a choice by its label. Where labels changed, with another study or new codes, it is told anew.
    labels = {name: str(shown(name)) for name in names}
    before = st.session_state.get(f"{key}-labels", labels)
    chosen = st.session_state.get(key)
    chosen = next((name for name, told in before.items() if chosen in (told, plain(told))), chosen)
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


def section(title: str) -> None:
    """A thin rule and a heading."""
    st.html('<hr class="lh-section">')
    st.subheader(plain(title), anchor=False)


def note(words: str) -> None:
    """Small print that still reads well (Streamlit's own captions are too pale for figures)."""
    st.html(f'<p class="lh-note">{html.escape(words)}</p>')


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


def require(opener: Callable[[], Opened], what: str) -> Opened:
    """What `opener` returns; where it cannot, its sentence on an otherwise empty page, and the run ends."""
    try:
        return opener()
    except session.SENTENCES as error:
        unavailable(what, error)
        st.stop()


def unavailable(what: str, problem: Exception | str, live: bool = True) -> None:
    """Say in a sentence why something cannot be shown, and offer what puts it right.

    live: whether a job that does so is shown here; False on a page that shows the study's jobs anyway.
    """
    st.warning(plain(remedy.sentence(problem)), title=plain(what), icon=":material/report:")
    remedy.offer(problem, re.sub(r"[^a-z]+", "-", what.lower()), live)


def cautions(cohort: Cohort, compact: bool = False) -> None:
    """Warn where the study changed since its model was fitted, or the model may be no better than guessing.

    compact: as a row of buttons that open the words, for a page that fits a screen.
    """
    if not compact:
        for title, sentence, icon in _cautions(cohort):
            st.warning(plain(sentence), title=plain(title), icon=icon)
        return
    if found := _cautions(cohort):
        with st.container(horizontal=True, key="cautions"):
            for title, sentence, icon in found:
                st.popover(plain(title), icon=icon).markdown(plain(sentence))


def _cautions(cohort: Cohort) -> list[tuple[str, str, str]]:
    """(title, sentence, icon) of each."""
    found = []
    if cohort.changed:
        found.append(
            (
                "The model was fitted before the study changed",
                f"{' '.join(cohort.changed)} The figures and faces here are still of the model as it was fitted. "
                "Fit it again on the page Cohort, under Codes, or choose a model again on the page Survival model.",
                ":material/update:",
            )
        )
    c = cohort.model.oof_c_
    if c.low <= 0.5:
        found.append(
            (
                "No evidence that this model discriminates",
                f"Its out-of-fold C is {c.value:.2f} (95 % CI {c.low:.2f} to {c.high:.2f}), and 0.5 is guessing. A "
                "score, or a face moved along the model's direction, may mean nothing here. More patients with events "
                "help most.",
                ":material/casino:",
            )
        )
    return found


def facts(rows: Sequence[tuple[str, str] | tuple[str, str, str]]) -> None:
    """A list of name, value (`code` in backquotes) and, where given, a note."""
    cells = []
    for name, value, *rest in rows:
        small = f"<small>{html.escape(rest[0])}</small>" if rest and rest[0] else ""
        shown = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(value))
        cells.append(f"<dt>{html.escape(name)}</dt><dd>{shown}{small}</dd>")
    st.html(f'<dl class="lh-facts">{"".join(cells)}</dl>')


def figure_row(key: str, figures: Sequence[tuple[str, str, str, str]], columns: int = 4) -> None:
    """Headline figures: (what it is, value with unit, uncertainty or basis, explanation)."""
    grid = st.grid(columns, gap=("medium", "medium"), min_column_width=150)
    for index, (label, value, small, explanation) in enumerate(figures):
        lead = "lead-" if index == 0 else ""
        with grid.cell(), st.container(key=f"number-{lead}{key}-{index}", gap=None):
            st.metric(plain(label), plain(value), help=trusted(explanation) or None)
            note(small)


def picture(target: DeltaGenerator, uri: str, title: str, small: str, alt: str) -> None:
    """A picture with its caption, scaled to its column."""
    target.html(
        f'<figure class="lh-picture"><img src="{uri}" alt="{html.escape(alt, quote=True)}">'
        f"<figcaption>{html.escape(title)}<small>{html.escape(small)}</small></figcaption></figure>"
    )


def face_strip(uris: Sequence[str], labels: Sequence[str], middle: int, ends: tuple[str, str], alt: str) -> None:
    """Faces in a row, low risk on the left, with a label each and a rule from blue to orange."""
    colours = theme.palette()
    cells = "".join(
        f'<div class="cell{" middle" if i == middle else ""}"><img src="{uri}" alt="{html.escape(f"{alt}, {label}")}">'
        f"<span>{html.escape(label)}</span></div>"
        for i, (uri, label) in enumerate(zip(uris, labels, strict=True))
    )
    rule = RAMP.format(low=colours.low, high=colours.high)
    st.html(
        f'<figure class="lh-strip"><div>{cells}</div><div class="lh-rule" style="background:{rule}"></div>'
        f"<figcaption><span>{html.escape(ends[0])}</span><span>{html.escape(ends[1])}</span></figcaption></figure>"
    )


def gallery(uris: Sequence[str], alt: str) -> None:
    """Small pictures in a row."""
    cells = "".join(f'<img src="{uri}" alt="{html.escape(f"{alt} {i + 1}")}">' for i, uri in enumerate(uris))
    st.html(f'<div class="lh-gallery">{cells}</div>')


def heat_legend(target: DeltaGenerator, gradient: str, top: str) -> None:
    """The colours of a difference picture and what they mean."""
    target.html(
        f'<div class="lh-ramp"><i style="background:{gradient}"></i>'
        f"<span>no change</span><span>{html.escape(top)}</span></div>"
    )


def research_notice(study: Study | None) -> None:
    """What must be known before any number is read."""
    simulated = (
        "<p><b>The patients of this study are simulated.</b> Their portraits are rendered and their survival times are "
        "drawn from a known formula; nobody in the pictures exists. Figures show that the method recovers what was put "
        "in, not how well faces predict survival of real people.</p>"
        if study is not None and study.simulated
        else ""
    )
    competing = html.escape(study.competing_note) if study is not None else ""
    told = f"<p>{competing}</p>" if competing else ""
    st.html(f'<div class="lh-notice">{simulated}{told}<p>{html.escape(RESEARCH_USE)}</p></div>')


def notice(title: str, words: str) -> None:
    """What must be known before a page is used."""
    st.html(f'<div class="lh-notice"><p><b>{html.escape(title)}.</b> {html.escape(words)}</p></div>')
