"""Quality control: thumbnails with their flags, filtered and sorted; patients taken out with a reason and back."""

from __future__ import annotations

import base64
import html
from collections import Counter
from typing import TYPE_CHECKING

import streamlit as st

from faces.flags import read_flags, sentences
from study.disk.exclusions import MAX_REASON, exclude, include
from study.errors import StudyError
from ui.cohort import jobs
from ui.cohort import opened as files
from ui.cohort.opened import PROBLEM, Opened
from ui.elements import page
from ui.elements.escaping import plain

if TYPE_CHECKING:
    import pandas as pd

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


def section(found: Opened) -> None:
    """The gallery, or what starts the work that it needs."""
    _refused(found)
    if not found.study.photos:
        page.note("No patient has a photo.")
        return
    try:
        table = files.quality(found)
    except StudyError as error:
        page.unavailable("The photos' measures cannot be read", error, live=False)
        table = None
    seen = 0 if table is None else len(table)
    total = sum(len(files) for files in found.study.photo_files.values())
    if seen < total:
        page.note(
            f"{total - seen:,} of {total:,} photos have not been looked over yet: "
            "each is searched for a face, aligned, measured, and flagged where it is blurred, dark, turned or small. "
            "That is done once, in a process of its own, which tells how long it still takes."
        )
        jobs.start_button(found, "quality", "Look the photos over")
    if table is not None and seen:
        st.fragment(_gallery)(found.study.name)


def _refused(found: Opened) -> None:
    """Photos that were refused when the study was made, with the reason."""
    from study.disk.refused_photos import read_refused

    refused = read_refused(found.study.path)
    if not refused:
        return
    with st.expander(f"Refused when the study was made ({len(refused):,})", icon=":material/report:"):
        page.facts(list(refused.items())[:REFUSED_LISTED])
        if len(refused) > REFUSED_LISTED:
            page.note(f"The first {REFUSED_LISTED} of {len(refused):,}; all are in the table check.")


def _gallery(name: str) -> None:
    found = files.opened()  # again: an exclusion a moment ago changed it
    table = files.quality(found)
    if table is None or found.study.name != name:
        st.rerun()
        return
    files.problem()
    picked: set[str] = st.session_state.setdefault(PICKED, {}).setdefault(name, set())
    rows = _chosen(found, table)
    pages = max(1, -(-len(rows) // SHOWN))
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        at = st.pagination(pages, key=f"cohort-photos-page-{pages}")
        st.html(f'<p class="lh-note">{len(rows):,} of {len(table):,} photos</p>')
    part = rows.iloc[(at - 1) * SHOWN : at * SHOWN]
    if part.empty:
        page.note("No photo is like this.")
    _thumbnails(found, part, picked)
    for sentence in files.lost(found):
        page.note(sentence)
    if found.study.simulated:
        page.note("Rendered portraits of simulated patients. Nobody in them exists.")
    _exclusion(found, picked, list(part["patient_id"]))
    _taken_out(found)


def _chosen(found: Opened, table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the chosen kinds, sorted."""
    counts = Counter(kind for kinds in table["kinds"] for kind in kinds)
    out = table["patient_id"].isin(found.study.excluded.keys())
    clean = table["kinds"].map(len) == 0
    counts[CLEAN], counts[EXCLUDED] = int(clean.sum()), int(out.sum())
    options = [kind for kind, count in counts.most_common() if count and kind not in (CLEAN, EXCLUDED)]
    options += [kind for kind in (CLEAN, EXCLUDED) if counts[kind]]
    left, right = st.columns([5, 2], gap="large")
    with left:
        wanted = st.pills(
            "Show only",
            options,
            selection_mode="multi",
            key=f"cohort-kinds-{found.study.name}",
            wrap=True,
            format_func=lambda kind: f"{plain(kind)} ({counts[kind]:,})",
            help="Several together show the photos that have any of them. None chosen: all photos.",
        )
    with right:
        order = st.selectbox("Sort", list(SORTS), key="cohort-sort", persist_state="session")
    st.session_state["cohort-shown-measure"] = order
    if wanted:
        keep = table["kinds"].map(lambda kinds: any(kind in wanted for kind in kinds))
        table = table[keep | (clean & (CLEAN in wanted)) | (out & (EXCLUDED in wanted))]
    column, ascending, _, _ = SORTS[order]
    values = table[column].abs() if column in ("yaw", "pitch", "roll") else table[column]
    return table.loc[values.sort_values(ascending=ascending, na_position="last", kind="stable").index]


def _thumbnails(found: Opened, part: pd.DataFrame, picked: set[str]) -> None:
    from study.photos.quality import thumbnails

    try:
        pictures = thumbnails(found.study, [int(place) for place in part["place"]])
    except StudyError as error:
        page.unavailable("The thumbnails cannot be read", error, live=False)
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
            out = found.study.excluded.get(patient)
            measure = "" if column == "place" else f"{abs(float(row[column])):.{digits}f}{unit}".replace("nan", "–")
            with cell, st.container(gap=None):
                st.html(_picture(found, row, data, out is not None, measure))
                if out is None:
                    key = f"cohort-pick-{found.study.name}-{patient}{again}"
                    st.session_state[key] = patient in picked
                    st.checkbox(plain(patient), key=key, on_change=_pick, args=(found.study.name, patient, key))
                else:
                    st.markdown(f"~~{plain(patient)}~~", help=f"Excluded: {plain(out.reason)}")


def _picture(found: Opened, row: dict, data: bytes, out: bool, measure: str) -> str:
    flags = " · ".join(row["kinds"])
    told = html.escape(flags or "no flag")
    hint = html.escape(row["reason"] or sentences(read_flags(row["flags"])), quote=True)
    alt = html.escape(f"Photo of {found.kind} {row['patient_id']}: {flags or 'no flag'}", quote=True)
    source = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    image = f'<img src="{source}" alt="{alt}">' if data else '<div class="none">cannot be opened</div>'
    number = f"<em>{html.escape(measure)}</em>" if measure else ""
    return (
        f'<figure class="lh-thumb{" out" if out else ""}{" flagged" if flags else ""}" title="{hint}">{image}'
        f"<figcaption>{told}{number}</figcaption></figure>"
    )


def _pick(name: str, patient: str, key: str) -> None:
    """Mark a patient, or not any more, as the box says (runs before the page, and twice for one click where another
    run, such as that of a changed mode, comes between)."""
    picked = st.session_state[PICKED][name]
    (picked.add if st.session_state[key] else picked.discard)(patient)


def _exclusion(found: Opened, picked: set[str], on_page: list[str]) -> None:
    picked -= set(found.study.excluded)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        turn = st.session_state.setdefault("cohort-reason-turn", 0)
        st.text_input(
            "Reason for leaving the marked patients out, or what their faces show",
            key=f"cohort-reason-{turn}",
            max_chars=MAX_REASON,
            placeholder="for example: face covered by a mask",
            width=420,
        )
        st.button(
            f"Exclude {len(picked):,} marked" if picked else "Exclude the marked",
            key="cohort-exclude",
            type="primary",
            icon=":material/person_remove:",
            on_click=_exclude,
            args=(found,),
            disabled=not picked,
        )
        st.button(
            "Confirm the faces of the marked",
            key="cohort-confirm",
            icon=":material/how_to_reg:",
            on_click=_confirm,
            args=(found,),
            disabled=not picked,
            help="For photos with an uncertain find or several faces: you looked, and the face shown, the largest, is "
            "the patient's. They are measured and embedded again. For another face of the photo: "
            "`python -m study confirm STUDY PATIENT --face NUMBER`.",
        )
        st.button("Mark this page", key="cohort-mark", on_click=_mark, args=(found, on_page), type="tertiary")
        st.button("Unmark all", key="cohort-unmark", on_click=picked.clear, type="tertiary", disabled=not picked)
        undo = st.session_state.get(UNDO, {}).get(found.study.name)
        st.button(
            "Undo the last exclusion",
            key="cohort-undo-last",
            icon=":material/undo:",
            type="tertiary",
            on_click=_include,
            args=(found, undo or ()),
            disabled=not undo,
        )
    page.note(
        "Excluded patients keep row and photo and can be taken back. Who left and why is written to exclusions.csv; "
        "codes and model are then made without them."
    )


def _mark(found: Opened, patients: list[str]) -> None:
    st.session_state[PICKED][found.study.name] |= set(patients) - found.study.excluded.keys()


def _exclude(found: Opened) -> None:
    """Take the marked patients out (runs before the page). The reason is read here: it may be typed and not sent yet
    when the button is drawn."""
    name = found.study.name
    reason = str(st.session_state.get(f"cohort-reason-{st.session_state['cohort-reason-turn']}", ""))
    picked = st.session_state[PICKED][name]
    try:
        fresh = exclude(found.study.path, sorted(picked), reason)
    except StudyError as error:
        st.session_state[PROBLEM] = str(error)
        return
    st.session_state.setdefault(UNDO, {})[name] = tuple(fresh)
    st.session_state["cohort-reason-turn"] += 1
    picked.clear()


def _confirm(found: Opened) -> None:
    """A person looked at the marked patients' faces (runs before the page)."""
    from study.disk.face_choices import CONFIRMED, confirm

    name = found.study.name
    reason = str(st.session_state.get(f"cohort-reason-{st.session_state['cohort-reason-turn']}", "")).strip()
    picked = st.session_state[PICKED][name]
    try:
        confirm(found.study, sorted(picked), reason or CONFIRMED)
    except StudyError as error:
        st.session_state[PROBLEM] = str(error)
        return
    st.session_state["cohort-reason-turn"] += 1
    picked.clear()


def _include(found: Opened, patients: tuple[str, ...]) -> None:
    """Take patients back (runs before the page)."""
    try:
        include(found.study.path, patients)
    except StudyError as error:
        st.session_state[PROBLEM] = str(error)
        return
    left = set(st.session_state.get(UNDO, {}).get(found.study.name, ())) - set(patients)
    st.session_state.setdefault(UNDO, {})[found.study.name] = tuple(sorted(left))


def _taken_out(found: Opened) -> None:
    listed = found.study.excluded
    if not listed:
        return
    with st.expander(f"Excluded patients ({len(listed):,})", icon=":material/person_off:"):
        back = st.multiselect(
            "Take back", list(listed), key=f"cohort-back-{len(listed)}", placeholder="Choose patients"
        )
        st.button(
            "Take them back", key="cohort-include", on_click=_include, args=(found, tuple(back)), disabled=not back
        )
        page.facts([(patient, e.reason, e.when.replace("T", " ")[:16]) for patient, e in list(listed.items())[:200]])
        if len(listed) > 200:
            page.note(f"The first 200 of {len(listed):,}; all are in exclusions.csv.")
