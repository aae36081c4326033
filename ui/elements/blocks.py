"""Parts that pages are made of: headings, notes, fact lists, headline values, pictures, notices."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from ui.elements.escaping import plain, trusted
from ui.elements.text import interval
from ui.shell import theme

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from study.disk.store import Study
    from study.scoring.scorer import Scorer

RESEARCH_USE = (
    "For research only. Not a medical device: no decision about a person may rest on it. A risk learned from photos "
    "shows association, not cause, and a face changed on screen shows what the model reads, not a prognosis."
)
RAMP = "linear-gradient(90deg, {low}, #8b8f93, {high})"


def section(title: str) -> None:
    """A thin rule and a heading."""
    st.html('<hr class="lh-section">')
    st.subheader(plain(title), anchor=False)


def note(words: str) -> None:
    """Small print that still reads well (Streamlit's own captions are too pale)."""
    st.html(f'<p class="lh-note">{html.escape(words)}</p>')


def cautions(scorer: Scorer, compact: bool = False) -> None:
    """Warn where the study changed since its model was fitted, or the model may be no better than guessing.

    compact: as a row of buttons that open the words, for a page that fits a screen.
    """
    if not compact:
        for title, sentence, icon in _cautions(scorer):
            st.warning(plain(sentence), title=plain(title), icon=icon)
        return
    if rows := _cautions(scorer):
        with st.container(horizontal=True, key="cautions"):
            for title, sentence, icon in rows:
                st.popover(plain(title), icon=icon).markdown(plain(sentence))


def _cautions(scorer: Scorer) -> list[tuple[str, str, str]]:
    """(title, sentence, icon) of each."""
    cautions = []
    if scorer.changed:
        words = (
            f"{' '.join(scorer.changed)} The results and faces here are still those of the model as it was fitted. Fit "
            "it again on the page Cohort, under “Face codes and model”, or choose a model again on the page Survival "
            "model."
        )
        cautions.append(("The model was fitted before the study changed", words, ":material/update:"))
    c = scorer.model.oof_c_
    if c.low <= 0.5:
        words = (
            f"Its C on patients that it was not fitted to is {c.value:.2f} ({interval(c.low, c.high, 2)}), and 0.5 is "
            "guessing. A score, or a face moved along the health direction, may mean nothing here. More patients with "
            "events help most."
        )
        cautions.append(("No evidence that this model discriminates", words, ":material/casino:"))
    return cautions


def facts(rows: Sequence[tuple[str, str] | tuple[str, str, str]]) -> None:
    """A list of name, value (`code` in backquotes) and, where given, a note."""
    cells = []
    for name, value, *rest in rows:
        small = f"<small>{html.escape(rest[0])}</small>" if rest and rest[0] else ""
        shown = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(value))
        cells.append(f"<dt>{html.escape(name)}</dt><dd>{shown}{small}</dd>")
    st.html(f'<dl class="lh-facts">{"".join(cells)}</dl>')


def value_row(key: str, values: Sequence[tuple[str, str, str, str]], columns: int = 4) -> None:
    """Headline values: (what it is, value with unit, uncertainty or basis, explanation)."""
    grid = st.grid(columns, gap=("medium", "medium"), min_column_width=150)
    for index, (label, value, small, explanation) in enumerate(values):
        lead = "lead-" if index == 0 else ""
        with grid.cell(), st.container(key=f"number-{lead}{key}-{index}", gap=None):
            st.metric(plain(label), plain(value), help=trusted(explanation) or None)
            note(small)


def download(label: str, data: Any, name: str, mime: str, key: str, icon: str = "download", about: str = "") -> None:
    """A button for a file; the page does not run again."""
    icon, about = f":material/{icon}:", trusted(about)
    st.download_button(trusted(label), data, name, mime, key=key, icon=icon, on_click="ignore", help=about or None)


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
        "<p><b>The patients of this study are simulated.</b> Their portraits are computer-generated and their survival "
        "times come from a known formula; these people do not exist. The results show that the method recovers what "
        "was put in, not how well faces predict the survival of real people.</p>"
        if study is not None and study.simulated
        else ""
    )
    note = study.competing_note if study is not None else ""
    competing = f"<p>{html.escape(note)}</p>" if note else ""
    st.html(f'<div class="lh-notice">{simulated}{competing}<p>{html.escape(RESEARCH_USE)}</p></div>')


def notice(title: str, words: str) -> None:
    """What must be known before a page is used."""
    st.html(f'<div class="lh-notice"><p><b>{html.escape(title)}.</b> {html.escape(words)}</p></div>')
