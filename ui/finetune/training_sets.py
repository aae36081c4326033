"""Which photos a face model is trained on: an existing set, or a new one from photos."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from faces.align import resize
from faces.decoding.archive import PhotoArchive
from jobs.queue import command_path
from latent.datasets.build import read_images
from latent.errors import LatentError
from ui.background.start import add_with_upload, local_path
from ui.elements import blocks, message, pictures
from ui.elements.escaping import plain
from ui.elements.text import percent
from ui.finetune import runs
from ui.finetune.runs import TrainingSet
from ui.portrait.photo import UPLOADS
from ui.shell import gate, resources, session

EXISTING, NEW = "Existing set", "New photos"
ZIP, PHOTOS, FOLDER = "Zip file", "Photos", "Folder on this machine"
SIDES = (64, 128, 256, 512, 1024)
MAX_ZIP_MB = 1024
REFUSED_LISTED = 200  # photos that are listed by name
SHOWN_FACES, THUMBNAIL = 32, 96
MADE = "finetune-set-made"  # a set that is being made: chosen once it is finished
PEOPLE = {
    "Not known": None,
    "One person per photo": "photo",
    "First folder": "folder",
    "Beginning of the file name": "name",
}
KEEP_OUT = (0.0, 0.05, 0.1, 0.2, 0.3)


def choose() -> TrainingSet | None:
    """The chosen set with what is in it, or the form for a new one (None)."""
    sets = runs.training_sets()
    names = [existing.name for existing in sets]
    if st.session_state.get(MADE) in names:
        st.session_state["finetune-set"] = st.session_state.pop(MADE)
        st.session_state["finetune-source"] = EXISTING
    st.session_state.setdefault("finetune-source", EXISTING if sets else NEW)
    source = st.segmented_control(
        "Train on", (EXISTING, NEW), key="finetune-source", persist_state="session", required=True
    )
    if source == NEW:
        _new_set(names)
        return None
    if not sets:
        blocks.note("There is no training set yet. Make one from new photos.")
        return None
    if st.session_state.get("finetune-set") not in names:
        st.session_state["finetune-set"] = names[0]
    left, right = st.columns([4, 5], gap="large")
    with left:
        name = st.selectbox("Training set", names, key="finetune-set", persist_state="session")
        chosen = sets[names.index(name)]
        _facts(chosen)
        _delete(chosen)
    with right:
        _faces(chosen)
    return chosen


def _facts(chosen: TrainingSet) -> None:
    facts, held = chosen.facts, chosen.held_out()
    rows: list[tuple[str, str] | tuple[str, str, str]] = [
        ("Faces", f"{chosen.kept:,}", f"of {facts['photos']:,} photos; {facts['refused']:,} refused"),
        ("Side", f"{chosen.size} px"),
    ]
    if held:
        train, out = held["train"], held["held_out"]
        words = f"{out['photos']:,} photos of {out['patients']:,} people held out, to evaluate the result"
        rows.append(("To train on", f"{train['photos']:,} photos of {train['patients']:,} people", words))
    else:
        words = "nobody is held out, so the result is evaluated on faces that it was trained on"
        rows.append(("To train on", f"{chosen.kept:,}", words))
    if facts.get("flagged"):
        rows.append(("Flagged", f"{facts['flagged']:,}", "blurred, dark, turned or small, but kept"))
    blocks.facts(rows)
    if reasons := chosen.reasons():
        with st.expander(f"Refused photos ({facts['refused']:,})"):
            blocks.facts([(f"{count:,}", _sentence(reason)) for reason, count in reasons.items()])
            if listed := chosen.refused(REFUSED_LISTED):
                blocks.facts([(name, _sentence(reason)) for name, reason in listed])
            if facts["refused"] > len(listed):
                blocks.note(f"The first {len(listed):,}; all are in {command_path(chosen.folder / 'refused.csv')}.")


def _sentence(reason: str) -> str:
    return reason[:1].upper() + reason[1:].rstrip(".") + "."


def _faces(chosen: TrainingSet) -> None:
    stamp = (chosen.folder / "dataset.json").stat().st_mtime
    try:
        uris = _thumbnails(str(chosen.folder), stamp)
    except (LatentError, OSError, ValueError):
        st.warning(
            f"The pictures of {plain(chosen.name)} cannot be read. Delete the set and make it again.",
            icon=":material/broken_image:",
        )
        return
    blocks.gallery(uris, f"Face of the set {chosen.name}")
    blocks.note(f"{len(uris)} of {chosen.kept:,} faces, evenly spread, as the face model will see them.")


@st.cache_data(show_spinner=False, max_entries=8)
def _thumbnails(folder: str, stamp: float) -> list[str]:
    images = np.load(Path(folder) / "images.npy", mmap_mode="r", allow_pickle=False)
    rows = np.unique(np.linspace(0, len(images) - 1, min(SHOWN_FACES, len(images))).astype(int))
    faces = read_images(Path(folder), images.shape[1], rows)
    return [pictures.data_uri(face if len(face) <= THUMBNAIL else resize(face, THUMBNAIL)) for face in faces]


def _delete(chosen: TrainingSet) -> None:
    with st.popover("Delete this set", icon=":material/delete:", type="tertiary"):
        blocks.note(f"Deletes the aligned faces under {command_path(chosen.folder)}, not the original photos.")
        needed = any(job.active and command_path(chosen.folder) in job.command for job in resources.queue().jobs()[0])
        st.button(
            "Delete for good",
            key="finetune-set-delete",
            on_click=_deleted,
            args=(chosen,),
            disabled=needed,
            help="A waiting or running job needs it." if needed else None,
        )


def _deleted(chosen: TrainingSet) -> None:
    with message.left_by(LatentError):
        runs.delete_folder(chosen.folder, runs.sets_root())
        _thumbnails.clear()  # so that the faces do not stay in memory


def _new_set(taken: Sequence[str]) -> None:
    st.session_state.setdefault("finetune-photos-from", ZIP)
    turn = st.session_state.setdefault("finetune-turn", 0)
    left, right = st.columns(2, gap="large")
    with left:
        # A path would let people who signed in from elsewhere read this machine.
        sources = (ZIP, PHOTOS) if gate.sign_in_configured() else (ZIP, PHOTOS, FOLDER)
        source = st.segmented_control(
            "Photos from", sources, key="finetune-photos-from", persist_state="session", required=True
        )
        given = _offer(source or ZIP, turn)
    with right:
        name = st.text_input("Name of the set", key=f"finetune-set-name-{turn}", max_chars=64, placeholder="my-photos")
        size = st.selectbox(
            "Side of the aligned faces (px)",
            SIDES,
            index=_default_side(),
            key="finetune-side",
            help="The face model's resolution or a multiple of it: larger faces are scaled down for training.",
        )
    options = _people_and_quality()
    allowed = st.checkbox(
        "I may use these photos to train a face model: the people in them agreed, or their licence allows it.",
        key=f"finetune-allowed-{turn}",
    )
    problem = _name_problem(name, taken)
    # Not a callback: its arguments would be those of the last run, without a name typed just before the click.
    if (
        st.button(
            "Make the training set",
            key="finetune-make",
            type="primary",
            icon=":material/face_retouching_natural:",
            disabled=bool(problem) or not allowed or not given,
        )
        and given
        and allowed
        and not problem
    ):
        _make(name, int(size), given, options)
        st.rerun()
    blocks.note(
        problem
        if name and problem
        else "In each photo the face is detected, checked and aligned as on the Portrait page, in the background."
    )


def _default_side() -> int:
    """Place in SIDES of what the start checkpoint needs, at least 128 px, so that larger ones can use the set later."""
    name = st.session_state.get("finetune-start") or session.pick_checkpoint()
    try:
        side = runs.start_from(name).resolution if name else 0
    except LatentError:
        side = 0
    return next((i for i, offered in enumerate(SIDES) if offered >= max(side, 128)), len(SIDES) - 1)


def _offer(source: str, turn: int) -> list[UploadedFile] | Path | None:
    if source == FOLDER:
        text = st.text_input("Path of a folder or zip", key=f"finetune-path-{turn}", placeholder="/data/portraits")
        blocks.note("The photos stay where they are; only the aligned faces are stored.")
        return local_path(text.strip())
    several = source == PHOTOS
    offered = st.file_uploader(
        "Photos" if several else "Zip file of photos",
        UPLOADS if several else ["zip"],
        accept_multiple_files=several,
        max_upload_size=None if several else MAX_ZIP_MB,
        key=f"finetune-upload-{source}-{turn}",
    )
    blocks.note(
        "The upload is stored in a folder that only you can read, and deleted when the set is made or the job removed. "
        "Only the aligned faces stay."
    )
    uploads = offered if isinstance(offered, list) else [offered]
    return [file for file in uploads if file is not None] or None


def _people_and_quality() -> list[str]:
    with st.expander("People and quality"):
        left, middle, right = st.columns(3, gap="large")
        who = left.selectbox(
            "Who is in which photo",
            list(PEOPLE),
            key="finetune-people",
            help="People are held out of training with all of their photos.",
        )
        share = middle.selectbox(
            "Share of people to hold out",
            KEEP_OUT,
            key="finetune-keep-out",
            format_func=lambda value: percent(value) if value else "nobody",
            disabled=PEOPLE[who] is None,
            help="The result can only be evaluated fairly on people that it was not trained on.",
        )
        strict = right.checkbox(
            "Without flagged photos",
            key="finetune-no-flags",
            help="Leaves out photos that are blurred, dark, turned or small. Otherwise they are kept and flagged.",
            wrap=True,
        )
    options = []
    if (how := PEOPLE[who]) is not None:
        options += ["--patient-from", how]
        options += ["--hold-out", f"{share:g}"] if share else []
    return options + (["--no-flags"] if strict else [])


def _name_problem(name: str, taken: Sequence[str]) -> str:
    if not runs.NAME.fullmatch(name):
        return "Give the set a name: letters, digits, dots, dashes and underscores, starting with a letter or digit."
    if name in taken or (runs.sets_root() / name).exists():
        return f"A set named {name} already exists: choose another name, or delete that one."
    return ""


def _make(name: str, size: int, given: list[UploadedFile] | Path, options: list[str]) -> None:
    """Store the upload and queue the command."""

    def store(upload: Path) -> list[str]:
        source = given if isinstance(given, Path) else _store(given, upload)
        out = runs.sets_root() / name
        out.parent.mkdir(parents=True, exist_ok=True)
        return ["latent", "dataset", command_path(source), "--out", command_path(out), "--size", str(size), *options]

    if add_with_upload(f"Training set {name}", store):
        st.session_state[MADE] = name
        st.session_state["finetune-turn"] += 1  # empties the widgets, and what they hold in memory


def _store(given: list[UploadedFile], folder: Path) -> Path:
    """Write an upload into a folder; the path for the command. Raises FaceError for a zip that is refused."""
    names: set[str] = set()
    for file in given:
        stem, ending = os.path.splitext(re.sub(r"[^A-Za-z0-9._-]", "_", Path(file.name).name)[-120:].lstrip("."))
        name, number = f"{stem or 'photo'}{ending.lower()}", 1
        while name in names:  # photos of several folders may share a name
            number += 1
            name = f"{stem}-{number}{ending.lower()}"
        names.add(name)
        with (folder / name).open("wb") as target:
            target.write(file.getbuffer())
        if ending.lower() == ".zip":
            PhotoArchive(folder / name).close()
            return folder / name
    return folder
