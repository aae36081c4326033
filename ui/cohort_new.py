"""A study from a table and photos: what the columns mean is proposed and confirmed, then a job makes it."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from faces.errors import FaceError
from study.errors import Findings, StudyError
from study.settings import REQUIRED_COLUMNS, TIME_UNITS, Columns, Settings, settings_text
from study.table import MAX_BYTES
from ui import gate, page, resources, state
from ui.cohort_files import PROBLEM
from ui.cohort_study import report_table
from ui.finetune_files import shown
from ui.job_record import QueueError
from ui.page import WANTED

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from study.intake_guess import Look

MAX_ZIP_MB = 1024
ZIP, FOLDER = "Zip file", "Folder on this machine"
NONE, BY_ID = "– not in the table –", "– photos are called as patients –"
MADE = "cohort-made"  # name of a study that is being made: told once it is there
LABELS = {
    "patient_id": ("Patient", "One row a patient, a short id without a name in it."),
    "time": ("Time to event or end of follow-up", "Counted from the photo."),
    "event": ("Event or censored", ""),
    "photo": ("Photo file", "Its name, or its path in the zip or folder."),
    "age": ("Age", "In years. Used to adjust, like the ones that follow."),
    "sex": ("Sex", ""),
    "site": ("Tumour site", ""),
    "stage": ("Stage", ""),
    "ecog": ("ECOG performance status", "0 to 5."),
}
HORIZONS = {"days": "365, 730, 1825", "weeks": "52, 104, 260", "months": "12, 24, 60", "years": "1, 2, 5"}


def form() -> None:
    """Table, meaning, photos, name; and the button that has the study made."""
    _told()
    turn = st.session_state.setdefault("cohort-turn", 0)
    page.section("1. Table")
    table = st.file_uploader(
        "Table of patients (CSV, UTF-8, commas)", ["csv"], key=f"cohort-csv-{turn}", max_upload_size=MAX_BYTES >> 20
    )
    if table is None:
        page.note("One row a patient: id, time, event or censored, photo, and clinical columns where you have them.")
        return
    from study.intake_guess import look

    try:
        seen = look(table.getvalue())
    except StudyError as error:
        page.unavailable("This table cannot be used", str(error))
        return
    _preview(seen)
    page.section("2. What the columns mean")
    page.note("Proposed from names and contents. Check every one: a wrong one is not noticed later.")
    settings = _meaning(seen, turn)
    page.section("3. Photos and name")
    photos = _photos(turn)
    settings = _name(settings, turn)
    page.section("4. Check")
    ready = settings is not None and _check(table.getvalue(), settings)
    allowed = st.checkbox(
        "I may use these data and photos for this: the people in them agreed, or the law allows it.",
        key=f"cohort-allowed-{turn}",
    )
    problem = _name_problem(settings)
    st.button(
        "Make the study",
        key="cohort-make",
        type="primary",
        icon=":material/create_new_folder:",
        on_click=_make,
        args=(settings, table, photos),
        disabled=not ready or photos is None or not allowed or bool(problem),
    )
    page.note(
        problem
        or "Every photo passes the same gate as an upload on the Portrait page and is stored under its patient's "
        "id in the study's folder on this machine. Nothing is there until all of it is."
    )


def _told() -> None:
    name = st.session_state.get(MADE)
    if name is None or name not in resources.study_names():
        return
    st.success(f"The study **{name}** is there.", icon=":material/check_circle:")
    if st.button("Choose it in the sidebar", key="cohort-choose", type="primary"):
        st.session_state[f"study{WANTED}"] = st.session_state.pop(MADE)
        st.rerun()


def _preview(seen: Look) -> None:
    import pandas as pd

    st.dataframe(pd.DataFrame(seen.first, columns=seen.header), hide_index=True, width="stretch")
    page.note(f"The first {len(seen.first)} of {seen.patients:,} rows, {len(seen.header)} columns.")


def _meaning(seen: Look, turn: int) -> Settings | None:
    """Columns, unit, coding and horizons as the person has them; None while something is missing."""
    from study.intake_guess import columns_of, guess_columns, guess_unit

    proposed = guess_columns(seen.header)
    chosen: dict[str, str | None] = {}
    grid = st.columns(3, gap="large")
    for place, (key, (label, explanation)) in enumerate(LABELS.items()):
        empty = [] if key in REQUIRED_COLUMNS[:3] else [BY_ID if key == "photo" else NONE]
        options = [*empty, *seen.header]
        guess = proposed[key]
        index = options.index(guess) if guess else (0 if empty else None)
        told = grid[place % 3].selectbox(
            label, options, index=index, key=f"cohort-column-{key}-{turn}", help=explanation or None
        )
        chosen[key] = told if told in seen.header else None
    named = [name for name in chosen.values() if name]
    if len(set(named)) < len(named):
        st.error("One column is given two meanings: choose another for one of them.", icon=":material/error:")
        return None
    if any(chosen[key] is None for key in REQUIRED_COLUMNS[:3]):
        page.note("Say which columns hold patient, time and event.")
        return None
    left, middle, right = st.columns(3, gap="large")
    unit = left.selectbox(
        "Unit of the time", TIME_UNITS, index=TIME_UNITS.index(guess_unit(chosen["time"])), key=f"cohort-unit-{turn}"
    )
    event, censored = _coding(seen, str(chosen["event"]), middle, turn)
    told = right.text_input(
        f"Report survival at ({unit})",
        HORIZONS[unit],
        key=f"cohort-horizons-{unit}-{turn}",
        help="Fixed before any model is fitted.",
    )
    horizons = _numbers(told)
    if not event or not censored or not horizons:
        page.note("Say which values mean an event and which censoring, and give one to twelve times, with commas.")
        return None
    columns: Columns = columns_of(chosen, seen.header)
    return Settings("unnamed", "Unnamed", False, unit, horizons, columns, event, censored)


def _coding(seen: Look, column: str, place: Any, turn: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    from study.intake_guess import guess_coding

    values = seen.values.get(column)
    if not values:
        place.error(f"{column} has too many different values, or none, to tell an event from censoring.")
        return (), ()
    event, censored = guess_coding(values)
    happened = place.multiselect(
        f"Event happened when {column} is", values, default=list(event), key=f"cohort-event-{column}-{turn}"
    )
    left = [value for value in values if value not in happened]
    lost = place.multiselect(
        f"Censored when {column} is",
        left,
        default=[value for value in left if value in censored],
        key=f"cohort-censored-{column}-{turn}-{len(left)}",
    )
    return tuple(happened), tuple(lost)


def _numbers(text: str) -> tuple[float, ...]:
    """Positive times from a text with commas, () where it holds anything else or more than twelve."""
    parts = [part for part in re.split(r"[,;\s]+", text.strip()) if part]
    if not 0 < len(parts) <= 12 or not all(re.fullmatch(r"\d{1,6}(\.\d{1,4})?", part) for part in parts):
        return ()
    values = sorted({float(part) for part in parts})
    return tuple(values) if values[0] > 0 else ()


def _photos(turn: int) -> UploadedFile | Path | None:
    # A path would let people who signed in from elsewhere read this machine.
    sources = (ZIP,) if gate.sign_in_configured() else (ZIP, FOLDER)
    source = st.segmented_control("Photos from", sources, default=ZIP, key=f"cohort-source-{turn}", required=True)
    if source == ZIP:
        return st.file_uploader("Zip file of photos", ["zip"], key=f"cohort-zip-{turn}", max_upload_size=MAX_ZIP_MB)
    text = st.text_input("Path of a folder or zip", key=f"cohort-path-{turn}", placeholder="/data/portraits").strip()
    if not text:
        return None
    path = Path(text).expanduser()
    if path.is_absolute() and (path.is_dir() or path.is_file()):
        return path
    st.error(f"There is no folder or file {text[:200]} on this machine: give its whole path.")
    return None


def _name(settings: Settings | None, turn: int) -> Settings | None:
    left, right = st.columns(2, gap="large")
    name = left.text_input(
        "Name of the study", key=f"cohort-name-{turn}", max_chars=64, placeholder="my-study", help="Its folder's name."
    ).strip()
    title = right.text_input("Title", key=f"cohort-title-{turn}", max_chars=200, placeholder="What the pages call it")
    known = resources.checkpoint_names()
    preferred = state.pick_checkpoint()
    checkpoint = left.selectbox(
        "Checkpoint for the codes",
        known,
        index=known.index(preferred) if preferred in known else None,
        key=f"cohort-checkpoint-{turn}",
    )
    aligned = right.checkbox(
        "The photos are already aligned squares",
        key=f"cohort-aligned-{turn}",
        help="Only for photos cut as the generator's training photos were: then no face is searched for.",
    )
    simulated = right.checkbox(
        "The patients are simulated", key=f"cohort-simulated-{turn}", help="Every page will then say so."
    )
    if settings is None:
        return None
    return replace(
        settings,
        name=name,
        title=title.strip() or name,
        checkpoint=checkpoint or settings.checkpoint,
        aligned=aligned,
        simulated=simulated,
    )


def _check(data: bytes, settings: Settings) -> bool:
    """The table as the study's gate sees it; whether it passes."""
    from study.intake import check_table

    findings = Findings(resources.MAX_FINDINGS)
    try:
        table = check_table(data, settings, findings)
    except StudyError as error:
        page.unavailable("This table cannot be used", str(error))
        return False
    if findings.counts["error"]:
        st.error(
            "The table has errors. Correct them in your file and choose it again: nothing is repaired here.",
            icon=":material/error:",
        )
    else:
        events = settings.event_values
        happened = sum(cell in events for cell in table.column(settings.columns.event))
        st.success(
            f"{len(table.rows):,} patients, {happened:,} events, in {settings.time_unit}.",
            icon=":material/check_circle:",
        )
    report_table(findings, "cohort-new-report", "check.csv")
    return not findings.counts["error"]


def _name_problem(settings: Settings | None) -> str:
    from study.intake import check_name

    if settings is None:
        return "What the columns mean is not complete yet."
    if not settings.name:
        return "Give the study a name."
    try:
        check_name(settings.name, resources.studies_root())
    except StudyError as error:
        return str(error)
    return ""


def _make(settings: Settings, table: UploadedFile, photos: UploadedFile | Path) -> None:
    """Keep what was uploaded in the job's own folder and queue the command (runs before the page)."""
    from faces.archive import PhotoArchive

    queue = resources.queue()
    upload: Path | None = None
    try:
        queue.clear_drafts()
        job, upload = queue.draft()
        (upload / "patients.csv").write_bytes(table.getbuffer())
        (upload / "study.toml").write_text(settings_text(settings), "utf-8")
        source = photos
        if not isinstance(source, Path):
            source = upload / "photos.zip"
            source.write_bytes(photos.getbuffer())  # type: ignore[union-attr]
            PhotoArchive(source).close()
        words = [
            "study",
            "intake",
            shown(upload / "patients.csv"),
            shown(source),
            "--plan",
            shown(upload / "study.toml"),
        ]
        queue.add(f"Study {settings.name}", [*words, "--root", shown(resources.studies_root())], name=job)
    except (QueueError, FaceError, OSError) as error:
        if upload is not None:
            shutil.rmtree(upload.parent, ignore_errors=True)
        told = f"The upload could not be kept: {error.strerror or error}." if isinstance(error, OSError) else str(error)
        st.session_state[PROBLEM] = told
        return
    st.session_state[MADE] = settings.name
    st.session_state["cohort-turn"] += 1  # empties the widgets, and what they hold in memory
