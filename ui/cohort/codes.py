"""Photo and reconstruction, sorted by error; and whether that error is associated with survival."""

from __future__ import annotations

import html
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
import streamlit as st

from common.text import limits, number, p_value
from faces.flags import read_flags, sentences
from study.description.inversion_error import error_and_survival
from study.disk.latents import read_embedding
from study.embedding.reconstruct import error_table, reconstruction_words, reconstructions, worst_first
from study.errors import StudyError
from ui.background import remedy
from ui.background.missing import unavailable
from ui.elements import blocks, pictures
from ui.elements.escaping import plain
from ui.elements.glossary import GLOSSARY
from ui.elements.tables import DASH, Cell, table
from ui.shell import resources, session
from ui.shell.resources import OpenedStudy, study_data

SHOWN = 8
DIGITS = {"st_lpips": 3, "perceptual": 3, "identity": 3, "psnr": 1, "ssim": 3}
FIRST = ("Largest error first", "Smallest error first")


def gallery(opened: OpenedStudy) -> None:
    """Photo, reconstruction and difference of a few patients at a time."""
    if not opened.study.photos and not opened.study.has_latents:
        blocks.note("The study has no photos, so there are no reconstructions.")
        return
    try:
        errors = error_table(opened.study)
    except session.SENTENCES as error:
        unavailable("There are no reconstructions to show", error, live=False)
        return
    if errors.empty:
        blocks.note("No patient in the analysis has a face code.")
        return
    st.fragment(_gallery)(opened, errors)


def names(errors: pd.DataFrame) -> dict[str, str]:
    """What each measure is called, without those that no code has; the perceptual distance by the name of the one
    that was used."""
    perceptual = str(errors["perceptual_name"].iloc[0]) or "Perceptual distance"
    called = {"st_lpips": "ST-LPIPS", "perceptual": perceptual, "identity": "Identity distance"}
    called |= {"psnr": "PSNR", "ssim": "SSIM"}
    return {measure: name for measure, name in called.items() if errors[measure].notna().any()}


def _gallery(opened: OpenedStudy, errors: pd.DataFrame) -> None:
    called = names(errors)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        measure = st.selectbox(
            "Sort by",
            list(called),
            format_func=lambda m: called[m],
            key="cohort-measure",
            persist_state="session",
            width=320,
            help=" ".join([GLOSSARY["ST-LPIPS"], GLOSSARY.get(called["perceptual"], ""), GLOSSARY["identity"]]),
        )
        first = st.segmented_control(
            "Order", FIRST, default=FIRST[0], key="cohort-first", persist_state="session", required=True
        )
    rows = worst_first(errors, measure, first == FIRST[0])
    pages = -(-len(rows) // SHOWN)
    at = st.pagination(pages, key=f"cohort-codes-page-{pages}-{measure}-{first}")
    part = rows.iloc[(at - 1) * SHOWN : at * SHOWN]
    blocks.note(
        f"{(at - 1) * SHOWN + 1:,} to {(at - 1) * SHOWN + len(part):,} of {len(rows):,} patients. For each: the "
        "photo as the face model sees it, its reconstruction, and where the two differ. "
        + reconstruction_words(opened.study)
    )
    try:
        checkpoint = _checkpoint(opened)
        with st.skeleton(height=420):
            drawn = _pictures(opened, tuple(part["patient_id"]), checkpoint.sha256, checkpoint)
    except session.SENTENCES as error:
        unavailable("The reconstructions cannot be drawn", error, live=False)
        return
    cells = [_cell(opened, row, called, *drawn[str(row["patient_id"])]) for row in part.to_dict("records")]
    st.html(f'<div class="lh-trios">{"".join(cells)}</div>')
    left, _ = st.columns([2, 3])
    blocks.heat_legend(left, pictures.heat_gradient(), "25 % of the grey range or more")
    if opened.study.simulated:
        blocks.note("Computer-generated portraits of simulated patients. These people do not exist.")


def _checkpoint(opened: OpenedStudy) -> Any:
    """The checkpoint that the codes were made with, chosen in the sidebar or not."""
    record = read_embedding(opened.study.path)
    for name in dict.fromkeys((session.pick_checkpoint(), record.checkpoint, opened.study.settings.checkpoint)):
        if name in resources.checkpoint_names():
            checkpoint = resources.open_checkpoint(str(name))
            if checkpoint.sha256 == record.checkpoint_sha256:
                return checkpoint
    raise StudyError(f"The photos were embedded with the face model {record.checkpoint}, which is no longer installed.")


@study_data
def _pictures(
    opened: OpenedStudy, patients: tuple[str, ...], sha256: str, _checkpoint: Any
) -> dict[str, tuple[list[str], str]]:
    """Patient -> data URIs of original, reconstruction and difference (the second alone where there is no original),
    and why."""
    out = {}
    for pair in reconstructions(opened.study, _checkpoint, patients):
        made, original = pair.reconstruction, pair.original
        shown = [made] if original is None else [original, made, pictures.difference(made, original)]
        out[pair.patient] = ([pictures.data_uri(picture) for picture in shown], pair.problem)
    return out


def _cell(
    opened: OpenedStudy, row: Mapping[Hashable, Any], called: dict[str, str], uris: list[str], problem: str
) -> str:
    patient = str(row["patient_id"])
    kinds = ("Photo", "Reconstruction", "Difference") if len(uris) == 3 else ("Reconstruction",)
    images = "".join(
        f'<span><img src="{uri}" alt="{html.escape(f"{kind} of {opened.kind} {patient}")}">{html.escape(kind)}</span>'
        for kind, uri in zip(kinds, uris, strict=True)
    )
    measures = [
        f"{name} {number(float(row[m]), DIGITS[m])}{' dB' if m == 'psnr' else ''}" for m, name in called.items()
    ]
    flags = " ".join([problem, sentences(read_flags(str(row["flags"])))]).strip()
    small = f"<small>{html.escape(flags)}</small>" if flags else ""
    return (
        f'<figure class="lh-trio"><div>{images}</div><figcaption><b>{html.escape(patient)}</b> '
        f"{html.escape(' · '.join(measures))}{small}</figcaption></figure>"
    )


def survival(opened: OpenedStudy) -> None:
    """Whether reconstruction error or photo quality is associated with survival."""
    if not opened.study.has_latents:
        blocks.note("This can be tested once the photos have been embedded.")
        return
    try:
        with st.spinner("Testing whether the error predicts survival"):
            answer = _survival(opened)
    except session.SENTENCES as error:
        blocks.note(remedy.sentence(error))  # the buttons stand above
        return
    for sentence in answer.warnings:
        st.warning(plain(sentence), icon=":material/warning:")
    if answer.alone:
        if not answer.warnings:
            main = answer.alone[0]
            st.success(
                f"No evidence that it does: neither the {plain(main.name)} nor any quality flag that could be tested "
                f"is associated with survival. Hazard ratios from {main.low:.2f} to {main.high:.2f} are not excluded.",
                icon=":material/check_circle:",
            )
        _ratios(answer)
    for sentence in answer.notes:
        blocks.note(sentence)
    blocks.note(
        f"Cox regression of {answer.patients:,} analysed patients with {answer.events:,} events"
        + (f"; adjusted for {', '.join(answer.adjusted_for)}." if answer.adjusted_for else ".")
        + " A hazard ratio of 1 means no association."
        + (" The study is simulated." if opened.study.simulated else "")
    )


@study_data
def _survival(opened: OpenedStudy) -> Any:
    return error_and_survival(opened.study)


def _ratios(answer: Any) -> None:
    adjusted = {ratio.name: ratio for ratio in answer.together}

    def cell(ratio: Any) -> Cell:
        if ratio is None:
            return Cell(DASH)
        return Cell(f"{ratio.hr:.2f}", f"{limits(ratio.low, ratio.high, 2)}, {p_value(ratio.p, named=True)}")

    rows = []
    for ratio in answer.alone:
        unit = "per standard deviation" if ratio.per == "SD" else f"{ratio.patients:,} photos"
        name = Cell(ratio.name[:1].upper() + ratio.name[1:], unit)
        rows.append([name, cell(ratio), *([cell(adjusted.get(ratio.name))] if adjusted else [])])
    table(["", "Hazard ratio alone", *(["Adjusted"] if adjusted else [])], rows)
