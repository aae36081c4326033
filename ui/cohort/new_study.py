"""A study from a table and photos: what the columns mean is proposed and confirmed, then a job makes it."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from faces.errors import FaceError
from jobs.record import QueueError
from study.errors import Findings, StudyError
from study.settings import Settings, settings_text
from study.tables.formats.raw import MAX_BYTES
from study.tables.read import EXTENSIONS
from ui.cohort.checks import report_table
from ui.cohort.columns import meaning
from ui.cohort.match import OFFERED, photos_of
from ui.cohort.opened import PROBLEM
from ui.elements import page
from ui.elements.escaping import plain
from ui.elements.page import WANTED
from ui.finetune.runs import shown
from ui.shell import gate, resources, session

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from study.intake.guess import Look
    from study.intake.make import Table

MAX_ZIP_MB = 1024
ZIP, FOLDER, NO_PHOTOS = "Zip file", "Folder on this machine", "No photos"
TABLE, EXAMPLE = "A table of yours", "An example of real patients"
SOURCES = (TABLE, EXAMPLE)
READ, CHECKED = "cohort-read", "cohort-checked"  # in the session's state: the table, and what the check found
MADE = "cohort-made"  # name of a study that is being made: told once it is there


def form() -> None:
    """Table, meaning, photos, name; and the button that has the study made. Or an example of real patients."""
    _told()
    turn = st.session_state.setdefault("cohort-turn", 0)
    source = st.segmented_control("Make it from", SOURCES, default=SOURCES[0], key="cohort-from", required=True)
    if source == EXAMPLE:
        _example()
        return
    page.section("1. Table")
    table = st.file_uploader(
        "Table of patients (CSV, Excel or Parquet)",
        list(EXTENSIONS),
        key=f"cohort-csv-{turn}",
        max_upload_size=MAX_BYTES >> 20,
    )
    if table is None:
        page.note(
            "One row a patient: id, time, event or censored, and photo and clinical columns where you have them. "
            "Excel and cBioPortal files, REDCap exports, follow-up as two dates: what is detected is said below, and "
            "what the table does not tell is asked."
        )
        return
    try:
        seen = _look(table)
    except StudyError as error:
        page.unavailable("This table cannot be used", str(error))
        return
    _preview(seen)
    page.section("2. What the columns mean")
    page.note("Proposed from names and contents. Check every one: a wrong one is not noticed later.")
    settings = meaning(seen, turn)
    page.section("3. Photos and name")
    photos = _photos(turn)
    settings = _name(settings, turn, photos != NO_PHOTOS)
    page.section("4. Check")
    checked = None if settings is None else _check(seen, settings, photos != NO_PHOTOS)
    flag: str | None = ""
    if checked is not None and photos is not None and not isinstance(photos, str):
        flag = photos_of(checked, photos, turn)
    ready = checked is not None and flag is not None
    included, kind = ("", "-table") if photos == NO_PHOTOS else (", photos included", "")
    allowed = st.checkbox(
        f"I may use these data for this{included}: the people in them agreed, or the law allows it.",
        key=f"cohort-allowed-{turn}{kind}",  # who agreed to a table has not agreed to photos
    )
    problem = _name_problem(settings)
    st.button(
        "Make the study",
        key="cohort-make",
        type="primary",
        icon=":material/create_new_folder:",
        on_click=_make,
        args=(settings, table, photos, flag),
        disabled=not ready or photos is None or not allowed or bool(problem),
    )
    stored = (
        "The table is stored"
        if photos == NO_PHOTOS
        else "Every photo passes the same gate as an upload on the Portrait page and is stored under its patient's id"
    )
    page.note(problem or f"{stored} in the study's folder on this machine. Nothing is there until all of it is.")


def _look(table: UploadedFile) -> Look:
    """What stands in the uploaded table, read once: it stays in this session's memory alone."""
    from study.intake.guess import look

    kept = st.session_state.get(READ)
    digest = hashlib.sha256(table.getbuffer()).hexdigest()
    if kept is None or kept[0] != digest:
        kept = (digest, look(table.getvalue()))
        st.session_state[READ] = kept
        st.session_state.pop(CHECKED, None)
    seen: Look = kept[1]
    return seen


def _told() -> None:
    name = st.session_state.get(MADE)
    if name is None or name not in resources.study_names():
        return
    st.success(f"The study **{plain(name)}** is there.", icon=":material/check_circle:")
    if st.button("Choose it in the sidebar", key="cohort-choose", type="primary"):
        st.session_state[f"study{WANTED}"] = st.session_state.pop(MADE)
        st.rerun()


def _preview(seen: Look) -> None:
    import pandas as pd

    st.dataframe(pd.DataFrame(seen.first, columns=seen.header), hide_index=True, width="stretch")
    page.note(
        f"The first {len(seen.first)} of {seen.patients:,} rows, {len(seen.header)} columns. {' '.join(seen.said)}"
    )


def _example() -> None:
    """A real cohort that comes with scikit-survival, as a study of clinical columns alone."""
    from study.intake.example import EXAMPLES

    taken = {name.casefold() for name in resources.study_names()}
    name = st.selectbox(
        "Real patients, clinical columns alone",
        list(EXAMPLES),
        key="cohort-example",
        format_func=lambda key: f"{EXAMPLES[key].title} ({key})",
    )
    page.note(f"{EXAMPLES[name].about} {EXAMPLES[name].citation}. From the installed scikit-survival; no download.")
    there = name.casefold() in taken
    st.button(
        "Make the study",
        key="cohort-make-example",
        type="primary",
        icon=":material/create_new_folder:",
        on_click=_make_example,
        args=(name,),
        disabled=there,
    )
    if there:
        page.note(f"There is a study {name} already: choose it in the sidebar.")


def _make_example(name: str) -> None:
    """Write the example's study (runs before the page; takes a second at most)."""
    from study.intake.example import write_example

    try:
        write_example(name, resources.studies_root())
    except StudyError as error:
        st.session_state[PROBLEM] = str(error)
    else:
        st.session_state[MADE] = name


def _photos(turn: int) -> UploadedFile | Path | str | None:
    """What the photos come from; NO_PHOTOS, or None while nothing is chosen."""
    # A path would let people who signed in from elsewhere read this machine.
    sources = (ZIP, NO_PHOTOS) if gate.sign_in_configured() else (ZIP, FOLDER, NO_PHOTOS)
    source = st.segmented_control("Photos from", sources, default=ZIP, key=f"cohort-source-{turn}", required=True)
    if source == NO_PHOTOS:
        page.note("The study will be analysed by its clinical columns alone.")
        return NO_PHOTOS
    if source == ZIP:
        return st.file_uploader("Zip file of photos", ["zip"], key=f"cohort-zip-{turn}", max_upload_size=MAX_ZIP_MB)
    text = st.text_input("Path of a folder or zip", key=f"cohort-path-{turn}", placeholder="/data/portraits").strip()
    if not text:
        return None
    path = Path(text).expanduser()
    if path.is_absolute() and (path.is_dir() or path.is_file()):
        return path
    st.error(f"There is no folder or file {plain(text[:200])} on this machine: give its whole path.")
    return None


def _name(settings: Settings | None, turn: int, photos: bool) -> Settings | None:
    """The settings with the study's name and title and, where it has photos, what their codes are made with."""
    left, right = st.columns(2, gap="large")
    name = left.text_input(
        "Name of the study", key=f"cohort-name-{turn}", max_chars=64, placeholder="my-study", help="Its folder's name."
    ).strip()
    title = right.text_input("Title", key=f"cohort-title-{turn}", max_chars=200, placeholder="What the pages call it")
    checkpoint, aligned = None, False
    if photos:
        known = resources.checkpoint_names()
        preferred = session.pick_checkpoint()
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


def _check(seen: Look, settings: Settings, photos: bool) -> Table | None:
    """The table as the study's gate sees it; None where it does not pass. Checked once for each meaning of it."""
    from study.intake.make import check_raw

    settings = replace(settings, name="unnamed", title="Unnamed")  # which change nothing
    key = (id(seen), settings_text(settings), photos)
    kept = st.session_state.get(CHECKED)
    if kept is None or kept[0] != key:
        findings = Findings(resources.MAX_FINDINGS)
        findings.extend(seen.uneven)
        findings.count("error", seen.uneven.left_off)
        try:
            table = check_raw(seen.raw, settings, findings, photos)
        except StudyError as error:
            page.unavailable("This table cannot be used", str(error))
            return None
        kept = (key, table, findings)
        st.session_state[CHECKED] = kept
    table, findings = kept[1], kept[2]
    if findings.counts["error"]:
        st.error(
            "The table has errors. Correct them in your file and choose it again: nothing is repaired here.",
            icon=":material/error:",
        )
    else:
        happened = 0 if table.frame is None else int(table.frame["event"].sum())
        st.success(
            f"{len(table.rows):,} patients, {happened:,} events, in {plain(settings.time_unit)}.",
            icon=":material/check_circle:",
        )
    report_table(findings, "cohort-new-report", "check.csv")
    return None if findings.counts["error"] else table


def _name_problem(settings: Settings | None) -> str:
    from study.intake.make import check_name

    if settings is None:
        return "What the columns mean is not complete yet."
    if not settings.name:
        return "Give the study a name."
    try:
        check_name(settings.name, resources.studies_root())
    except StudyError as error:
        return str(error)
    return ""


def _make(settings: Settings, table: UploadedFile, photos: UploadedFile | Path | str, flag: str) -> None:
    """Keep what was uploaded in the job's own folder and queue the command (runs before the page)."""
    from faces.decoding.archive import PhotoArchive

    queue = resources.queue()
    upload: Path | None = None
    try:
        queue.clear_drafts()
        job, upload = queue.draft()
        given = upload / f"table{Path(table.name).suffix.lower()}"
        given.write_bytes(table.getbuffer())
        (upload / "study.toml").write_text(settings_text(settings), "utf-8")
        words = ["study", "intake", shown(given)]
        if isinstance(photos, Path):
            words.append(shown(photos))
        elif not isinstance(photos, str):
            source = upload / "photos.zip"
            source.write_bytes(photos.getbuffer())
            PhotoArchive(source).close()
            words.append(shown(source))
        words += ["--plan", shown(upload / "study.toml"), "--without-names", *([flag] if flag else [])]
        queue.add(f"Study {settings.name}", [*words, "--root", shown(resources.studies_root())], name=job)
    except (QueueError, FaceError, OSError) as error:
        if upload is not None:
            shutil.rmtree(upload.parent, ignore_errors=True)
        told = f"The upload could not be kept: {error.strerror or error}." if isinstance(error, OSError) else str(error)
        st.session_state[PROBLEM] = told
        return
    st.session_state[MADE] = settings.name
    st.session_state["cohort-turn"] += 1  # empties the widgets, and what they hold in memory
    for key in (READ, CHECKED, OFFERED):
        st.session_state.pop(key, None)
