"""A study from a table and photos: what the columns mean is proposed and confirmed, then a job makes it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from faces.decoding.archive import PhotoArchive
from jobs.queue import command_path
from study.errors import Findings, StudyError
from study.intake.example import EXAMPLES, write_example
from study.intake.guess import Look, look
from study.intake.make import Table, check_name, check_raw
from study.settings import FILE_NAME, VIEWS, Settings, settings_text
from study.tables.formats.raw import MAX_BYTES
from study.tables.read import EXTENSIONS
from ui.background.missing import unavailable
from ui.background.start import add_with_upload, local_path
from ui.cohort.checks import report_table
from ui.cohort.columns import meaning
from ui.cohort.match import OFFERED, photos_of
from ui.elements import blocks, message
from ui.elements.escaping import plain
from ui.shell import gate, resources, session

MAX_ZIP_MB = 1024
ZIP, FOLDER, NO_PHOTOS = "Zip file", "Folder on this machine", "No photos"
TABLE, EXAMPLE = "Your own table", "An example of real patients"
SOURCES = (TABLE, EXAMPLE)
READ, CHECKED = "cohort-read", "cohort-checked"  # in the session's state: the table, and what the check found
MADE = "cohort-made"  # name of a study that is being made, for a message once it is finished


def form() -> None:
    """Table, meaning, photos, name; and the button that has the study made. Or an example of real patients."""
    _made()
    turn = st.session_state.setdefault("cohort-turn", 0)
    source = st.segmented_control("Make it from", SOURCES, default=SOURCES[0], key="cohort-from", required=True)
    if source == EXAMPLE:
        _example()
        return
    blocks.section("1. Table")
    table = st.file_uploader(
        "Table of patients (CSV, Excel or Parquet)",
        list(EXTENSIONS),
        key=f"cohort-csv-{turn}",
        max_upload_size=MAX_BYTES >> 20,
    )
    if table is None:
        blocks.note(
            "One row per patient: id, time, event or censored, and columns for the photo and clinical data if you "
            "have them. Excel and cBioPortal files, REDCap exports and follow-up as two dates are recognised; you "
            "are asked about anything that the table leaves open."
        )
        return
    try:
        seen = _look(table)
    except StudyError as error:
        unavailable("This table cannot be used", str(error))
        return
    st.dataframe(pd.DataFrame(seen.first, columns=seen.header), hide_index=True, width="stretch")
    blocks.note(
        f"The first {len(seen.first)} of {seen.patients:,} rows, {len(seen.header)} columns. {' '.join(seen.notes)}"
    )
    blocks.section("2. What the columns mean")
    blocks.note("Proposed from names and contents. Check every one: nothing later will reveal a mistake here.")
    settings = meaning(seen, turn)
    blocks.section("3. Photos and name")
    photos = _photos(turn)
    settings = _name(settings, turn, photos != NO_PHOTOS)
    blocks.section("4. Check")
    checked = None if settings is None else _check(seen, settings, photos != NO_PHOTOS)
    flag: str | None = ""
    if checked is not None and photos is not None and not isinstance(photos, str):
        flag = photos_of(checked, photos, turn)
    ready = checked is not None and flag is not None
    included, kind = ("", "-table") if photos == NO_PHOTOS else (", photos included", "")
    allowed = st.checkbox(
        f"I may use these data for this purpose{included}: the people agreed, or the law allows it.",
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
        else "Every photo is checked like an upload on the Portrait page and stored under its patient's id"
    )
    blocks.note(
        problem or f"{stored} in the study's folder on this machine. The study appears once all of it is ready."
    )


def _look(table: UploadedFile) -> Look:
    """The contents of the uploaded table, read once: it stays in this session's memory alone."""
    kept = st.session_state.get(READ)
    digest = hashlib.sha256(table.getbuffer()).hexdigest()
    if kept is None or kept[0] != digest:
        kept = (digest, look(table.getvalue()))
        st.session_state[READ] = kept
        st.session_state.pop(CHECKED, None)
    seen: Look = kept[1]
    return seen


def _made() -> None:
    name = st.session_state.get(MADE)
    if name is None or name not in resources.study_names():
        return
    st.success(f"The study **{plain(name)}** is ready.", icon=":material/check_circle:")
    if st.button("Choose it in the sidebar", key="cohort-choose", type="primary"):
        session.choose("study", st.session_state.pop(MADE))
        st.rerun()


def _example() -> None:
    """A real cohort that comes with scikit-survival, as a study of clinical columns alone."""
    taken = {name.casefold() for name in resources.study_names()}
    name = st.selectbox(
        "Real patients, clinical columns only",
        list(EXAMPLES),
        key="cohort-example",
        format_func=lambda key: f"{EXAMPLES[key].title} ({key})",
    )
    blocks.note(f"{EXAMPLES[name].about} {EXAMPLES[name].citation}. Comes with scikit-survival; no download.")
    exists = name.casefold() in taken
    st.button(
        "Make the study",
        key="cohort-make-example",
        type="primary",
        icon=":material/create_new_folder:",
        on_click=_make_example,
        args=(name,),
        disabled=exists,
    )
    if exists:
        blocks.note(f"A study named {name} already exists: choose it in the sidebar.")


def _make_example(name: str) -> None:
    """Write the example's study (runs before the page; takes a second at most)."""
    with message.left_by(StudyError):
        write_example(name, resources.studies_root())
        st.session_state[MADE] = name


def _photos(turn: int) -> UploadedFile | Path | str | None:
    """What the photos come from; NO_PHOTOS, or None while nothing is chosen."""
    # A path would let people who signed in from elsewhere read this machine.
    sources = (ZIP, NO_PHOTOS) if gate.sign_in_configured() else (ZIP, FOLDER, NO_PHOTOS)
    source = st.segmented_control("Photos from", sources, default=ZIP, key=f"cohort-source-{turn}", required=True)
    if source == NO_PHOTOS:
        blocks.note("The study will be analysed by its clinical columns only.")
        return NO_PHOTOS
    if source == ZIP:
        return st.file_uploader("Zip file of photos", ["zip"], key=f"cohort-zip-{turn}", max_upload_size=MAX_ZIP_MB)
    text = st.text_input("Path of a folder or zip", key=f"cohort-path-{turn}", placeholder="/data/portraits").strip()
    return local_path(text)


def _name(settings: Settings | None, turn: int, photos: bool) -> Settings | None:
    """The settings with the study's name and title and, where it has photos, what they are embedded with."""
    left, right = st.columns(2, gap="large")
    name = left.text_input(
        "Name of the study", key=f"cohort-name-{turn}", max_chars=64, placeholder="my-study", help="Its folder's name."
    ).strip()
    title = right.text_input("Title", key=f"cohort-title-{turn}", max_chars=200, placeholder="As the pages show it")
    checkpoint, aligned, views = None, False, Settings.views
    if photos:
        names = resources.checkpoint_names()
        preferred = session.pick_checkpoint()
        checkpoint = left.selectbox(
            "Face model for the photos",
            names,
            index=names.index(preferred) if preferred in names else None,
            key=f"cohort-checkpoint-{turn}",
        )
        aligned = right.checkbox(
            "The photos are already aligned squares",
            key=f"cohort-aligned-{turn}",
            help="Only for photos that were cropped like the face model's training photos: no face is then searched "
            "for.",
        )
        views = left.selectbox(
            "Views of each photo",
            list(VIEWS),
            index=list(VIEWS).index(Settings.views),
            format_func=lambda count: f"{count}: {VIEWS[count]}",
            key=f"cohort-views-{turn}",
            help="Each view gets a face code, and the mean over the views is what models see: a risk then hangs less "
            "on the photo, and not at all on which way round it is. Embedding takes time and disk in proportion.",
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
        views=views,
        simulated=simulated,
    )


def _check(seen: Look, settings: Settings, photos: bool) -> Table | None:
    """The table as the study's gate sees it; None where it does not pass. Checked once for each meaning of it."""
    settings = replace(settings, name="unnamed", title="Unnamed")  # which change nothing
    key = (id(seen), settings_text(settings), photos)
    kept = st.session_state.get(CHECKED)
    if kept is None or kept[0] != key:
        findings = Findings(resources.MAX_FINDINGS)
        findings.extend(seen.uneven)
        findings.counts["error"] += seen.uneven.left_off
        try:
            table = check_raw(seen.raw, settings, findings, photos)
        except StudyError as error:
            unavailable("This table cannot be used", str(error))
            return None
        kept = (key, table, findings)
        st.session_state[CHECKED] = kept
    table, findings = kept[1], kept[2]
    if findings.counts["error"]:
        st.error(
            "The table has errors. Correct them in your file and upload it again: nothing is repaired here.",
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
    if settings is None:
        return "First say what all the columns mean (part 2)."
    if not settings.name:
        return "Give the study a name."
    try:
        check_name(settings.name, resources.studies_root())
    except StudyError as error:
        return str(error)
    return ""


def _make(settings: Settings, table: UploadedFile, photos: UploadedFile | Path | str, flag: str) -> None:
    """Store what was uploaded in the job's own folder and queue the command (runs before the page)."""

    def store(upload: Path) -> list[str]:
        given, plan = upload / f"table{Path(table.name).suffix.lower()}", upload / FILE_NAME
        given.write_bytes(table.getbuffer())
        plan.write_text(settings_text(settings), "utf-8")
        words = ["study", "intake", command_path(given)]
        if isinstance(photos, Path):
            words.append(command_path(photos))
        elif not isinstance(photos, str):
            source = upload / "photos.zip"
            source.write_bytes(photos.getbuffer())
            PhotoArchive(source).close()
            words.append(command_path(source))
        words += ["--plan", command_path(plan), "--without-names", *([flag] if flag else [])]
        return [*words, "--root", command_path(resources.studies_root())]

    if not add_with_upload(f"Study {settings.name}", store):
        return
    st.session_state[MADE] = settings.name
    st.session_state["cohort-turn"] += 1  # empties the widgets, and what they hold in memory
    for key in (READ, CHECKED, OFFERED):
        st.session_state.pop(key, None)
