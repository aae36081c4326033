"""Quality control: thumbnails with their flags, filtered and sorted; patients excluded or included again."""

from __future__ import annotations

import base64
import html
from collections import Counter
from typing import Any

import pandas as pd
import streamlit as st

from faces.flags import read_flags, sentences
from study.disk.exclusions import MAX_REASON, exclude, include
from study.disk.refused_photos import read_refused
from study.errors import StudyError
from study.photos.confirm import CONFIRMED, confirm
from study.photos.quality import thumbnails
from ui.background.missing import unavailable
from ui.background.start import study_button
from ui.cohort import findings
from ui.elements import blocks, message
from ui.elements.escaping import plain
from ui.shell import session
from ui.shell.resources import OpenedStudy

COLUMNS, ROWS = 6, 4
SHOWN = COLUMNS * ROWS
REFUSED_LISTED = 200
PICKED, UNDO = "cohort-picked", "cohort-undo"
CLEAN, EXCLUDED = "without a flag", "excluded"
# label: (column, smallest first, digits, unit)
SORTS = {
    "Table order": ("place", True, 0, ""),
    "Blurred first": ("sharpness", True, 0, ""),
    "Dark first": ("exposure", True, 2, ""),
    "Bright first": ("exposure", False, 2, ""),
    "Flat light first": ("contrast", True, 3, ""),
    "Turned first": ("yaw", False, 0, "°"),
    "Tilted first": ("pitch", False, 0, "°"),
    "Leaning first": ("roll", False, 0, "°"),
    "Small first": ("face_px", True, 0, " px"),
    "Cut off first": ("outside", False, 2, ""),
}


def section(opened: OpenedStudy) -> None:
    """The gallery, or what starts the work that it needs."""
    _refused(opened)
    if not opened.study.photos:
        blocks.note("No patient has a photo.")
        return
    try:
        table = findings.quality(opened)
    except StudyError as error:
        unavailable("The photos' measures cannot be read", error, live=False)
        table = None
    checked = 0 if table is None else len(table)
    total = sum(len(files) for files in opened.study.photo_files.values())
    if checked < total:
        blocks.note(
            f"{total - checked:,} of {total:,} photos have not been checked yet: in each, the face is detected, "
            "aligned, measured, and flagged where it is blurred, dark, turned or small. This is done once, in the "
            "background."
        )
        study_button(opened, "quality", "Check the photos")
    if table is not None and checked:
        st.fragment(_gallery)(opened.study.name)


def _refused(opened: OpenedStudy) -> None:
    """Photos that were refused when the study was made, with the reason."""
    if not (refused := read_refused(opened.study.path)):
        return
    with st.expander(f"Refused when the study was made ({len(refused):,})", icon=":material/report:"):
        blocks.facts(list(refused.items())[:REFUSED_LISTED])
        if len(refused) > REFUSED_LISTED:
            blocks.note(f"The first {REFUSED_LISTED} of {len(refused):,}; all are in the table check.")


def _gallery(name: str) -> None:
    opened = session.opened_study()  # again: an exclusion a moment ago changed it
    table = findings.quality(opened)
    if table is None or opened.study.name != name:
        st.rerun()
        return
    message.show()
    picked: set[str] = st.session_state.setdefault(PICKED, {}).setdefault(name, set())
    rows = _chosen(opened, table)
    pages = max(1, -(-len(rows) // SHOWN))
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        at = st.pagination(pages, key=f"cohort-photos-page-{pages}")
        st.html(f'<p class="lh-note">{len(rows):,} of {len(table):,} photos</p>')
    part = rows.iloc[(at - 1) * SHOWN : at * SHOWN]
    if part.empty:
        blocks.note("No photo has the chosen flags.")
    _thumbnails(opened, part, picked)
    for sentence in findings.lost(opened):
        blocks.note(sentence)
    if opened.study.simulated:
        blocks.note("Computer-generated portraits of simulated patients. These people do not exist.")
    _exclusion(opened, picked, list(part["patient_id"]))
    _excluded(opened)


def _chosen(opened: OpenedStudy, table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the chosen kinds, sorted."""
    counts = Counter(kind for kinds in table["kinds"] for kind in kinds)
    excluded = table["patient_id"].isin(opened.study.excluded.keys())
    clean = table["kinds"].map(len) == 0
    counts[CLEAN], counts[EXCLUDED] = int(clean.sum()), int(excluded.sum())
    options = [kind for kind, count in counts.most_common() if count and kind not in (CLEAN, EXCLUDED)]
    options += [kind for kind in (CLEAN, EXCLUDED) if counts[kind]]
    left, right = st.columns([5, 2], gap="large")
    with left:
        wanted = st.pills(
            "Show only",
            options,
            selection_mode="multi",
            key=f"cohort-kinds-{opened.study.name}",
            wrap=True,
            format_func=lambda kind: f"{plain(kind)} ({counts[kind]:,})",
            help="If several are chosen, photos with any of them are shown; if none, all photos.",
        )
    with right:
        order = st.selectbox("Sort", list(SORTS), key="cohort-sort", persist_state="session")
    st.session_state["cohort-shown-measure"] = order
    if wanted:
        keep = table["kinds"].map(lambda kinds: any(kind in wanted for kind in kinds))
        table = table[keep | (clean & (CLEAN in wanted)) | (excluded & (EXCLUDED in wanted))]
    column, ascending, _, _ = SORTS[order]
    values = table[column].abs() if column in ("yaw", "pitch", "roll") else table[column]
    return table.loc[values.sort_values(ascending=ascending, na_position="last", kind="stable").index]


def _thumbnails(opened: OpenedStudy, part: pd.DataFrame, picked: set[str]) -> None:
    try:
        pictures = thumbnails(opened.study, [int(place) for place in part["place"]])
    except StudyError as error:
        unavailable("The thumbnails cannot be read", error, live=False)
        return
    column, _, digits, unit = SORTS[st.session_state["cohort-shown-measure"]]
    records = part.to_dict("records")
    drawn: set[str] = set()
    for start in range(0, len(records), COLUMNS):
        cells = st.columns(COLUMNS, gap="small")
        for cell, row, data in zip(
            cells, records[start : start + COLUMNS], pictures[start : start + COLUMNS], strict=False
        ):
            patient = str(row["patient_id"])
            again = f"-{row['place']}" if patient in drawn else ""  # a further photo of theirs on this page
            drawn.add(patient)
            out = opened.study.excluded.get(patient)
            measure = "" if column == "place" else f"{abs(float(row[column])):.{digits}f}{unit}".replace("nan", "–")
            with cell, st.container(gap=None):
                st.html(_picture(opened, row, data, out is not None, measure))
                if out is None:
                    key = f"cohort-pick-{opened.study.name}-{patient}{again}"
                    st.session_state[key] = patient in picked
                    st.checkbox(plain(patient), key=key, on_change=_pick, args=(opened.study.name, patient, key))
                else:
                    st.markdown(f"~~{plain(patient)}~~", help=f"Excluded: {plain(out.reason)}")


def _picture(opened: OpenedStudy, row: dict[Any, Any], data: bytes, out: bool, measure: str) -> str:
    flags = " · ".join(row["kinds"])
    caption = html.escape(flags or "no flag")
    hint = html.escape(row["reason"] or sentences(read_flags(row["flags"])), quote=True)
    alt = html.escape(f"Photo of {opened.kind} {row['patient_id']}: {flags or 'no flag'}", quote=True)
    source = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    image = f'<img src="{source}" alt="{alt}">' if data else '<div class="none">cannot be opened</div>'
    number = f"<em>{html.escape(measure)}</em>" if measure else ""
    return (
        f'<figure class="lh-thumb{" out" if out else ""}{" flagged" if flags else ""}" title="{hint}">{image}'
        f"<figcaption>{caption}{number}</figcaption></figure>"
    )


def _pick(name: str, patient: str, key: str) -> None:
    """Mark or unmark a patient, as the box says (runs before the page, and twice for one click where another
    run, such as that of a changed mode, comes between)."""
    picked = st.session_state[PICKED][name]
    (picked.add if st.session_state[key] else picked.discard)(patient)


def _exclusion(opened: OpenedStudy, picked: set[str], on_page: list[str]) -> None:
    picked -= set(opened.study.excluded)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        turn = st.session_state.setdefault("cohort-reason-turn", 0)
        st.text_input(
            "Reason for excluding the marked patients, or what their faces show",
            key=f"cohort-reason-{turn}",
            max_chars=MAX_REASON,
            placeholder="for example: face covered by a mask",
            width=420,
        )
        st.button(
            f"Exclude {len(picked):,} marked" if picked else "Exclude marked patients",
            key="cohort-exclude",
            type="primary",
            icon=":material/person_remove:",
            on_click=_exclude,
            args=(opened,),
            disabled=not picked,
        )
        st.button(
            "Confirm the marked faces",
            key="cohort-confirm",
            icon=":material/how_to_reg:",
            on_click=_confirm,
            args=(opened,),
            disabled=not picked,
            help="For photos with an uncertain detection or several faces: you have looked, and the face shown (the "
            "largest) is the patient's. These photos are then measured and embedded again. To choose another face of "
            "a photo, use the command line (`study confirm`).",
        )
        st.button("Mark this page", key="cohort-mark", on_click=_mark, args=(opened, on_page), type="tertiary")
        st.button("Unmark all", key="cohort-unmark", on_click=picked.clear, type="tertiary", disabled=not picked)
        undo = st.session_state.get(UNDO, {}).get(opened.study.name)
        st.button(
            "Undo the last exclusion",
            key="cohort-undo-last",
            icon=":material/undo:",
            type="tertiary",
            on_click=_include,
            args=(opened, undo or ()),
            disabled=not undo,
        )
    blocks.note(
        "Excluded patients keep their row and photo and can be included again. Who was excluded and why is written to "
        "exclusions.csv; face codes and model are then computed without them."
    )


def _mark(opened: OpenedStudy, patients: list[str]) -> None:
    st.session_state[PICKED][opened.study.name] |= set(patients) - opened.study.excluded.keys()


def _marked(opened: OpenedStudy) -> tuple[str, set[str], str]:
    """Study, marked patients, reason. It is read here: it may be typed and not sent yet when the button is drawn."""
    reason = str(st.session_state.get(f"cohort-reason-{st.session_state['cohort-reason-turn']}", ""))
    return opened.study.name, st.session_state[PICKED][opened.study.name], reason


def _exclude(opened: OpenedStudy) -> None:
    """Exclude the marked patients (runs before the page)."""
    name, picked, reason = _marked(opened)
    with message.left_by(StudyError):
        newly = exclude(opened.study.path, sorted(picked), reason)
        st.session_state.setdefault(UNDO, {})[name] = tuple(newly)
        st.session_state["cohort-reason-turn"] += 1
        picked.clear()


def _confirm(opened: OpenedStudy) -> None:
    """A person looked at the marked patients' faces (runs before the page)."""
    _, picked, reason = _marked(opened)
    with message.left_by(StudyError):
        confirm(opened.study, sorted(picked), reason.strip() or CONFIRMED)
        st.session_state["cohort-reason-turn"] += 1
        picked.clear()


def _include(opened: OpenedStudy, patients: tuple[str, ...]) -> None:
    """Include patients again (runs before the page)."""
    with message.left_by(StudyError):
        include(opened.study.path, patients)
        left = set(st.session_state.get(UNDO, {}).get(opened.study.name, ())) - set(patients)
        st.session_state.setdefault(UNDO, {})[opened.study.name] = tuple(sorted(left))


def _excluded(opened: OpenedStudy) -> None:
    if not (listed := opened.study.excluded):
        return
    with st.expander(f"Excluded patients ({len(listed):,})", icon=":material/person_off:"):
        back = st.multiselect(
            "Include again", list(listed), key=f"cohort-back-{len(listed)}", placeholder="Choose patients"
        )
        st.button(
            "Include them again", key="cohort-include", on_click=_include, args=(opened, tuple(back)), disabled=not back
        )
        blocks.facts([(patient, e.reason, e.when.replace("T", " ")[:16]) for patient, e in list(listed.items())[:200]])
        if len(listed) > 200:
            blocks.note(f"The first 200 of {len(listed):,}; all are in exclusions.csv.")
