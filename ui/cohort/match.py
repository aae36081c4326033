"""Which photo belongs to which row of a new study's table: exact matches counted, near ones shown for confirmation."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from faces.errors import FaceError
from latent.datasets.sources import Source
from study.errors import Findings, StudyError
from study.intake.make import Table, match_photos, offered_in, offered_photos
from study.intake.match import Match
from ui.background.missing import unavailable
from ui.elements import blocks
from ui.elements.escaping import plain

TAKE, LEAVE = "Take these matches", "Leave these photos out"
OFFERED = "cohort-offered"  # in the session's state: the photos' names, read once an upload
LISTED = 200


def photos_of(table: Table, photos: UploadedFile | Path, turn: int) -> str | None:
    """The flag of `study intake` for near matches, "" where there are none; None while they are not confirmed, or
    where no study can be made of these photos."""
    try:
        offered = _offered(photos)
    except (StudyError, FaceError) as error:
        unavailable("These photos cannot be used", str(error))
        return None
    matches = match_photos(table, offered, None, Findings(0))
    blocks.note(
        f"{len(offered):,} photos: {len(matches.exact):,} are named exactly as in the table, {len(matches.near):,} "
        f"nearly, {len(matches.unused):,} belong to no patient. {len(matches.absent):,} photos in the "
        "table are missing."
    )
    if matches.several or matches.doubled:
        rows = [request.row for request, _ in (*matches.several, *matches.doubled)]
        listed = ", ".join(map(str, sorted(rows)[:20]))
        st.error(
            f"Rows {plain(listed)}: several photos fit, or one photo fits several rows. Write the photo's full path "
            "in the table.",
            icon=":material/error:",
        )
    flag = _confirm(matches.near, turn) if matches.near else ""
    _listed("Photos that belong to no patient", [source.file for source in matches.unused])
    _listed("Photos in the table that are missing", [request.cell for request in matches.absent])
    if not matches.exact and flag is not None and flag != "--accept-matches":
        blocks.note(
            "No photo belongs to a patient yet: check which column holds the photos' names, and how they are written."
        )
        return None
    return flag


def _confirm(near: list[Match], turn: int) -> str | None:
    rows = [(m.request.row, m.request.cell, m.source.file, m.differs) for m in near]
    columns = ["Row", "In the table", "Photo", "Differs in"]
    st.dataframe(pd.DataFrame(rows, columns=columns), hide_index=True, width="stretch", key=f"cohort-near-{turn}")
    answer = st.radio(
        f"{len(near):,} photos are named nearly as in the table. Check each line.",
        (TAKE, LEAVE),
        index=None,
        key=f"cohort-matches-{turn}",
        horizontal=True,
    )
    if answer is None:
        blocks.note("Nothing is matched until you confirm it.")
        return None
    return "--accept-matches" if answer == TAKE else "--exact-matches"


def _listed(title: str, names: list[str]) -> None:
    if not names:
        return
    with st.expander(f"{plain(title)} ({len(names):,})"):
        for name in names[:LISTED]:
            st.markdown(f"- {plain(name)}")
        if len(names) > LISTED:
            blocks.note(f"The first {LISTED} of {len(names):,}.")


def _offered(photos: UploadedFile | Path) -> list[Source]:
    """The photos of a zip or folder. An upload stays in memory: only its directory is read."""
    if isinstance(photos, Path):
        return offered_photos(photos)
    kept = st.session_state.get(OFFERED)
    if kept is None or kept[0] != photos.file_id:
        kept = (photos.file_id, offered_in(photos.name, photos.getvalue()))
        st.session_state[OFFERED] = kept
    sources: list[Source] = kept[1]
    return sources
