"""Which photo belongs to which row of a new study's table: exact matches counted, near ones shown to be confirmed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from faces.errors import FaceError
from study.errors import StudyError
from ui.elements import page
from ui.elements.escaping import plain

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from latent.datasets.sources import Source
    from study.intake.make import Table
    from study.intake.match import Match, Matches

TAKE, LEAVE = "Take these matches", "Leave these photos out"
OFFERED = "cohort-offered"  # in the session's state: the photos' names, read once an upload
LISTED = 200


def photos_of(table: Table, photos: UploadedFile | Path, turn: int) -> str | None:
    """The flag of `study intake` for near matches, "" where there are none; None while they are not confirmed, or
    where no study can be made of these photos."""
    from study.errors import Findings
    from study.intake.make import match_photos

    try:
        offered = _offered(photos)
    except (StudyError, FaceError) as error:
        page.unavailable("These photos cannot be used", str(error))
        return None
    found = match_photos(table, offered, None, Findings(0))
    _counts(found, len(offered))
    flag: str | None = ""
    if found.near:
        flag = _confirm(found.near, turn)
    _listed("Photos that belong to no patient", [source.file for source in found.unused])
    _listed("Photos that the table names and that are not there", [request.cell for request in found.absent])
    if not found.exact and flag is not None and flag != "--accept-matches":
        page.note("No photo belongs to a patient yet: check which column names them, and how.")
        return None
    return flag


def _counts(found: Matches, offered: int) -> None:
    page.note(
        f"{offered:,} photos: {len(found.exact):,} are called exactly as the table says, {len(found.near):,} nearly, "
        f"{len(found.unused):,} belong to no patient. {len(found.absent):,} that the table names are not there."
    )
    if found.several or found.doubled:
        rows = [request.row for request, _ in (*found.several, *found.doubled)]
        listed = ", ".join(map(str, sorted(rows)[:20]))
        st.error(
            f"Rows {plain(listed)}: several photos fit, or one photo fits several rows. Write "
            "the photo's whole path in the table.",
            icon=":material/error:",
        )


def _confirm(near: list[Match], turn: int) -> str | None:
    import pandas as pd

    rows = [(m.request.row, m.request.cell, m.source.file, m.differs) for m in near]
    columns = ["Row", "In the table", "Photo", "Differs in"]
    st.dataframe(pd.DataFrame(rows, columns=columns), hide_index=True, width="stretch", key=f"cohort-near-{turn}")
    told = st.radio(
        f"{len(near):,} photos are called nearly as the table says. Check each line.",
        (TAKE, LEAVE),
        index=None,
        key=f"cohort-matches-{turn}",
        horizontal=True,
    )
    if told is None:
        page.note("Nothing is matched before you say so.")
        return None
    return "--accept-matches" if told == TAKE else "--exact-matches"


def _listed(title: str, names: list[str]) -> None:
    if not names:
        return
    with st.expander(f"{plain(title)} ({len(names):,})"):
        for name in names[:LISTED]:
            st.markdown(f"- {plain(name)}")
        if len(names) > LISTED:
            page.note(f"The first {LISTED} of {len(names):,}.")


def _offered(photos: UploadedFile | Path) -> list[Source]:
    """The photos of a zip or folder. An upload stays in memory: only its directory is read."""
    from study.intake.make import offered_in, offered_photos

    if isinstance(photos, Path):
        return offered_photos(photos)
    kept = st.session_state.get(OFFERED)
    if kept is None or kept[0] != photos.file_id:
        kept = (photos.file_id, offered_in(photos.name, photos.getvalue()))
        st.session_state[OFFERED] = kept
    sources: list[Source] = kept[1]
    return sources
