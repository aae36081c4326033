"""Original against reconstruction, sorted by error; and whether that error says anything about survival."""

from __future__ import annotations

import html
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

from common.text import p_value
from faces.flags import read_flags, sentences
from ui.cohort.opened import Opened
from ui.elements import page, pictures, remedy
from ui.elements.escaping import plain
from ui.elements.text import GLOSSARY, number
from ui.shell import resources, session

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 8
DIGITS = {"perceptual": 3, "identity": 3, "psnr": 1, "ssim": 3}
FIRST = ("Largest error first", "Smallest error first")


def gallery(found: Opened) -> None:
    """Original, reconstruction and difference of a few patients at a time."""
    from study.embedding.reconstruct import error_table

    if not found.study.photos and not found.study.has_latents:
        page.note("The study has no photos, so there are no reconstructions.")
        return
    try:
        table = error_table(found.study)
    except session.SENTENCES as error:
        page.unavailable("There are no reconstructions to show", error, live=False)
        return
    if table.empty:
        page.note("No patient who is not excluded has a code.")
        return
    st.fragment(_gallery)(found, table)


def names(table: pd.DataFrame) -> dict[str, str]:
    """What each measure is called; the perceptual distance by the name of the one that was used."""
    perceptual = str(table["perceptual_name"].iloc[0]) or "Perceptual distance"
    return {"perceptual": perceptual, "identity": "Identity distance", "psnr": "PSNR", "ssim": "SSIM"}


def _gallery(found: Opened, table: pd.DataFrame) -> None:
    from study.embedding.reconstruct import worst_first

    called = names(table)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        measure = st.selectbox(
            "Sort by",
            list(called),
            format_func=lambda m: called[m],
            key="cohort-measure",
            persist_state="session",
            width=320,
            help=GLOSSARY.get(called["perceptual"], "Perceptual distance: 0 is identical.")
            + " "
            + GLOSSARY["identity"],
        )
        first = st.segmented_control(
            "Order", FIRST, default=FIRST[0], key="cohort-first", persist_state="session", required=True
        )
    rows = worst_first(table, measure, first == FIRST[0])
    pages = -(-len(rows) // SHOWN)
    at = st.pagination(pages, key=f"cohort-codes-page-{pages}-{measure}-{first}")
    part = rows.iloc[(at - 1) * SHOWN : at * SHOWN]
    page.note(
        f"{(at - 1) * SHOWN + 1:,} to {(at - 1) * SHOWN + len(part):,} of {len(rows):,} patients. In each: photo as "
        "the generator sees it, what its code draws, and where the two differ."
    )
    try:
        checkpoint = _checkpoint(found)
        with st.skeleton(height=420):
            drawn = _pictures(found.key, checkpoint.sha256, tuple(part["patient_id"]), found, checkpoint)
    except session.SENTENCES as error:
        page.unavailable("The reconstructions cannot be drawn", error, live=False)
        return
    cells = [_cell(found, row, called, *drawn[str(row["patient_id"])]) for row in part.to_dict("records")]
    st.html(f'<div class="lh-trios">{"".join(cells)}</div>')
    left, _ = st.columns([2, 3])
    page.heat_legend(left, pictures.heat_gradient(), "25 % of the grey range or more")
    if found.study.simulated:
        page.note("Rendered portraits of simulated patients. Nobody in them exists.")


def _checkpoint(found: Opened) -> Any:
    """The checkpoint that the codes were made with, chosen in the sidebar or not."""
    from study.disk.latents import read_embedding
    from study.errors import StudyError

    record = read_embedding(found.study.path)
    for name in dict.fromkeys((session.pick_checkpoint(), record.checkpoint, found.study.settings.checkpoint)):
        if name in resources.checkpoint_names():
            checkpoint = resources.open_checkpoint(str(name))
            if checkpoint.sha256 == record.checkpoint_sha256:
                return checkpoint
    raise StudyError(f"The checkpoint {record.checkpoint} that the codes were made with is not here any more.")


@st.cache_data(show_spinner=False, max_entries=64)
def _pictures(
    key: str, sha256: str, patients: tuple[str, ...], _found: Opened, _checkpoint: Any
) -> dict[str, tuple[list[str], str]]:
    """Patient -> data URIs of original, reconstruction and difference (the second alone where there is no original),
    and why."""
    from study.embedding.reconstruct import reconstructions

    out = {}
    for pair in reconstructions(_found.study, _checkpoint, patients):
        made, original = pair.reconstruction, pair.original
        shown = [made] if original is None else [original, made, pictures.difference(made, original)]
        out[pair.patient] = ([pictures.data_uri(picture) for picture in shown], pair.problem)
    return out


def _cell(found: Opened, row: Mapping[Hashable, Any], called: dict[str, str], uris: list[str], problem: str) -> str:
    patient = str(row["patient_id"])
    kinds = ("Photo", "Reconstruction", "Difference") if len(uris) == 3 else ("Reconstruction",)
    images = "".join(
        f'<span><img src="{uri}" alt="{html.escape(f"{kind} of {found.kind} {patient}")}">{html.escape(kind)}</span>'
        for kind, uri in zip(kinds, uris, strict=True)
    )
    told = [f"{name} {number(float(row[m]), DIGITS[m])}{' dB' if m == 'psnr' else ''}" for m, name in called.items()]
    flags = " ".join([problem, sentences(read_flags(str(row["flags"])))]).strip()
    small = f"<small>{html.escape(flags)}</small>" if flags else ""
    return (
        f'<figure class="lh-trio"><div>{images}</div><figcaption><b>{html.escape(patient)}</b> '
        f"{html.escape(' · '.join(told))}{small}</figcaption></figure>"
    )


def survival(found: Opened) -> None:
    """Whether inversion error or photo quality predicts survival, in words and figures."""
    if not found.study.has_latents:
        page.note("Told here as soon as the codes are made.")
        return
    try:
        with st.spinner("Asking whether the error predicts survival"):
            answer = _survival(found.key, found)
    except session.SENTENCES as error:
        page.note(remedy.sentence(error))  # the buttons stand above
        return
    for sentence in answer.warnings:
        st.warning(plain(sentence), icon=":material/warning:")
    if answer.alone:
        if not answer.warnings:
            main = answer.alone[0]
            st.success(
                f"No sign of it: neither the {plain(main.name)} nor any photo flaw that could be tested goes along "
                f"with survival. Hazard ratios inside {main.low:.2f} to {main.high:.2f} are not excluded.",
                icon=":material/check_circle:",
            )
        _ratios(answer)
    for sentence in answer.notes:
        page.note(sentence)
    page.note(
        f"Cox regression of {answer.patients:,} analysed patients with {answer.events:,} events"
        + (f"; adjusted for {', '.join(answer.adjusted_for)}." if answer.adjusted_for else ".")
        + " A hazard ratio of 1 means that the error tells nothing."
        + (" The study is simulated." if found.study.simulated else "")
    )


@st.cache_data(show_spinner=False, max_entries=8)
def _survival(key: str, _found: Opened) -> Any:
    from study.description.inversion_error import error_and_survival

    return error_and_survival(_found.study)


def _ratios(answer: Any) -> None:

    adjusted = {ratio.name: ratio for ratio in answer.together}

    def cell(ratio: Any) -> str:
        if ratio is None:
            return "<td>–</td>"
        interval = f"{ratio.low:.2f} to {ratio.high:.2f}, {html.escape(p_value(ratio.p, named=True))}"
        return f"<td>{ratio.hr:.2f} <small>{interval}</small></td>"

    rows = "".join(
        f'<tr><th scope="row">{html.escape(ratio.name[:1].upper() + ratio.name[1:])} <small>'
        f"{'per standard deviation' if ratio.per == 'SD' else f'{ratio.patients:,} photos'}</small></th>"
        f"{cell(ratio)}{cell(adjusted.get(ratio.name)) if adjusted else ''}</tr>"
        for ratio in answer.alone
    )
    names = ["", "Hazard ratio alone", *(["Adjusted"] if adjusted else [])]
    head = "".join(f"<th scope=col>{html.escape(name)}</th>" for name in names)
    st.html(f'<table class="lh-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>')
