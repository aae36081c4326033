"""From a person's photo to one aligned face: offered, detected or placed by hand, looked at."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from faces import photo
from faces.errors import FaceError
from faces.photo import MAX_BYTES, load_photo
from ui.elements import pictures
from ui.elements.escaping import plain
from ui.elements.page import facts, note
from ui.elements.text import number
from ui.health_direction.controls import UPLOADED
from ui.shell import session

if TYPE_CHECKING:
    from collections.abc import Callable

    from faces.align import AlignedFace
    from faces.landmarks import Face
    from faces.photo import Photo
    from latent.checkpoints import Checkpoint
    from study.disk.store import Study
    from ui.shell.resources import Cohort
    from ui.shell.session import Portrait

SOURCES = ("Upload", "Camera", "Example")
EXTENSIONS = [suffix.removeprefix(".") for suffix in photo.EXTENSIONS]
EXAMPLES_SHOWN = 6
PHOTO_WIDTH = 640  # CSS pixels at most
FOUND, BY_HAND, ALIGNED = "Found face", "Place by hand", "Already aligned"


def choose_photo(portrait: Portrait, cohort: Cohort) -> None:
    """Upload, camera or example; the portrait holds the photo afterwards, or the reason it was refused."""
    st.session_state.setdefault("photo_source", SOURCES[0])
    turn = st.session_state.setdefault("photo_turn", 0)  # a new turn empties the widgets, and what they hold in memory
    source = st.segmented_control("Photo from", SOURCES, key="photo_source", persist_state="session", required=True)
    if source == "Camera":
        st.camera_input(
            "Take a photo",
            key=f"camera-{turn}",
            on_change=_offered,
            args=(f"camera-{turn}", "The camera's photo"),
            width=PHOTO_WIDTH,
        )
    elif source == "Example":
        _examples(portrait, cohort)
    else:
        st.file_uploader(
            "A portrait, facing the camera",
            EXTENSIONS,
            key=f"upload-{turn}",
            on_change=_offered,
            args=(f"upload-{turn}", "The uploaded photo"),
            help=f"JPEG, PNG, WebP, HEIC, AVIF, BMP or TIFF, at most {MAX_BYTES >> 20} MB. It stays in this session's "
            "memory; it is never written to disk, and is forgotten when the tab is closed or the photo removed.",
        )
    if portrait.problem:
        st.error(plain(portrait.problem), icon=":material/image_not_supported:")


def forget() -> None:
    """Drop the photo and all that came of it, also from the upload and camera widgets (runs before a page)."""
    session.portrait().drop()
    session.editing().forget(UPLOADED)
    st.session_state["photo_turn"] += 1


def _offered(key: str, name: str) -> None:
    """A file arrived or was taken away (runs before the page)."""
    portrait, offered = session.portrait(), st.session_state.get(key)
    portrait.drop()
    session.editing().forget(UPLOADED)
    if offered is not None:
        _open(portrait, lambda: load_photo(offered.getvalue(), name))


def _open(portrait: Portrait, load: Callable[[], Photo], patient: str = "") -> None:
    try:
        portrait.take(load(), patient)
        session.editing().forget(UPLOADED)
    except FaceError as error:
        portrait.problem = str(error)


def _examples(portrait: Portrait, cohort: Cohort) -> None:
    patients = list(cohort.study.photos)
    page = st.session_state.setdefault("example_page", 0)
    start = (page * EXAMPLES_SHOWN) % max(len(patients), 1)
    shown = patients[start : start + EXAMPLES_SHOWN]
    kind = "simulated patient" if cohort.study.simulated else "patient"
    for column, patient in zip(st.columns(EXAMPLES_SHOWN, gap="small"), shown, strict=False):
        column.image(_shown(cohort.study.photo_path(patient)), width="stretch", alt=f"Portrait of {kind} {patient}")
        column.button(
            plain(patient), key=f"example-{patient}", width="stretch", on_click=_example, args=(cohort.study, patient)
        )
    st.button("Other patients", icon=":material/refresh:", type="tertiary", on_click=_next_examples)
    if cohort.study.simulated:
        note("Rendered portraits of simulated patients of this study. Nobody in them exists.")


@st.cache_data(show_spinner=False, max_entries=64)
def _shown(path: Path) -> str | np.ndarray:
    """A photo for st.image: the file's path, or its pixels where browsers do not show the format."""
    if path.suffix.lower() not in (".heic", ".heif", ".tif", ".tiff"):
        return str(path)
    try:
        return load_photo(path).pixels
    except FaceError:
        return np.full((64, 64, 3), 128, np.uint8)


def _next_examples() -> None:
    st.session_state["example_page"] += 1


def _example(study: Study, patient: str) -> None:
    from study.disk.face_choices import confirmation

    _open(session.portrait(), lambda: load_photo(study.photo_path(patient)), patient)
    session.portrait().confirmed = confirmation(study, patient)


def choose_face(portrait: Portrait, cohort: Cohort, checkpoint: Checkpoint) -> None:
    """The photo with its faces beside the aligned face that will be inverted."""
    from faces.landmarks import find_upright
    from study.photos.prepare import sideways, target_size

    photo = portrait.photo
    if photo is None:
        return
    if portrait.faces is None:
        with st.spinner("Looking for faces"):
            upright = find_upright(photo)
            portrait.photo, portrait.faces = upright.photo, upright.faces
            photo = upright.photo
            portrait.note = sideways(upright.quarters) if upright.quarters else ""
    if portrait.note:
        st.info(plain(portrait.note), icon=":material/screen_rotation:")
    aligned, size = cohort.study.settings.aligned, target_size(checkpoint)
    left, right = st.columns([5, 4], gap="large")
    with left:
        options = (FOUND, BY_HAND, ALIGNED) if portrait.faces else (BY_HAND, ALIGNED)
        if aligned:
            options = (ALIGNED, *(option for option in options if option != ALIGNED))
        elif not portrait.faces:
            st.warning(
                "No face was found in this photo. Place the square on the face by hand.",
                icon=":material/frame_person_off:",
            )
        mode = st.segmented_control(
            "Crop",
            options,
            format_func=plain,
            default=options[0],
            required=True,
            key=f"crop-{photo.sha256[:12]}",
            help="The generator expects the square that its training photos were cut to. Choose “Already aligned” only "
            "for a photo that is that square.",
        )
        if (mode == ALIGNED) != aligned:
            st.warning(_mismatch(aligned), icon=":material/crop:")
        cut = {FOUND: _found, BY_HAND: _by_hand, ALIGNED: _whole}[mode or options[0]]
        try:
            cut(portrait, size)
        except FaceError as error:
            portrait.aligned = None
            st.error(plain(error))
    with right:
        if portrait.aligned is not None:
            _aligned_face(portrait.aligned)
            _confirm(portrait)


def _mismatch(aligned: bool) -> str:
    """What is said of a crop that is not like those of the cohort's codes."""
    if aligned:
        return (
            "The cohort's photos came as aligned squares and were embedded as they are. A square that is cut here may "
            "be framed in another way, which moves the score: offer the photo aligned like the cohort's if you can."
        )
    return (
        "The cohort's faces were found and cut here. A photo that is taken as it is may be framed in another way, "
        "which moves the score."
    )


def confirmed(portrait: Portrait) -> bool:
    """Whether the square may be scored: the detector is certain of it, or the person confirmed it in words."""
    from study.scoring.face_evidence import doubt

    return portrait.aligned is not None and (not doubt(portrait.aligned) or bool(portrait.confirmed.strip()))


def _confirm(portrait: Portrait) -> None:
    """Where the detector is not certain of a face: the warning, and a place for the person's words."""
    from study.scoring.face_evidence import MAX_WORDS, doubt

    assert portrait.aligned is not None
    warning = doubt(portrait.aligned)
    if not warning:
        return
    st.warning(plain(warning), title="Is this a face?", icon=":material/frame_person_off:")
    tag = sha256(np.ascontiguousarray(portrait.aligned.pixels).tobytes()).hexdigest()[:12]
    words = st.text_input(
        "Say in your words what the square shows, to score it all the same",
        value=portrait.confirmed,
        key=f"confirmed-{tag}",
        max_chars=MAX_WORDS,
        placeholder="for example: a face in profile, eyes and mouth are visible",
        help="Your words are kept with the score. Without them, what may not be a face is not scored.",
    )
    portrait.confirmed = (words or "").strip()


def _keep(portrait: Portrait, crop: tuple[object, ...], make: Callable[[], AlignedFace]) -> AlignedFace:
    """Cut only when the crop changed: results belong to one aligned face."""
    if portrait.aligned is None or portrait.crop != crop:
        if portrait.crop:  # words were about another square
            portrait.confirmed = ""
        portrait.aligned, portrait.crop = make(), crop
    return portrait.aligned


def _found(portrait: Portrait, size: int) -> None:
    from faces.align import align

    photo, faces = portrait.photo, portrait.faces or []
    assert photo is not None
    chosen = 0
    if len(faces) > 1:
        labels = [_face_label(i, face) for i, face in enumerate(faces)]
        label = st.segmented_control(
            f"{len(faces)} faces were found",
            labels,
            format_func=plain,
            default=labels[0],
            required=True,
            key=f"face-{photo.sha256[:12]}",
            help="Numbered by size, the largest first.",
        )
        chosen = labels.index(label or labels[0])
    _keep(portrait, (FOUND, chosen, size), lambda: align(photo, faces[chosen], size))
    numbered = pictures.number_faces(photo.pixels, [face.box for face in faces], chosen)
    st.image(numbered, width=PHOTO_WIDTH, alt=f"The photo with {len(faces)} numbered faces, number {chosen + 1} chosen")


def _face_label(index: int, face: Face) -> str:
    return f"{index + 1} ({face.box[2] - face.box[0]:.0f} px)"


def _by_hand(portrait: Portrait, size: int) -> None:
    from faces.align import align_by_hand

    photo = portrait.photo
    assert photo is not None
    height, width = photo.pixels.shape[:2]
    tag = photo.sha256[:12]
    across, down = st.columns(2)
    x = across.slider("Centre, from the left (px)", 0, width - 1, width // 2, key=f"x-{tag}")
    y = down.slider("Centre, from the top (px)", 0, height - 1, height // 2, key=f"y-{tag}")
    longest = max(height, width)
    side = across.slider("Side of the square (px)", 16, 2 * longest, round(0.8 * min(height, width)), key=f"side-{tag}")
    angle = down.slider("Turn, clockwise (degrees)", -180, 180, 0, key=f"angle-{tag}")
    crop = (BY_HAND, x, y, side, angle, size)
    face = _keep(portrait, crop, lambda: align_by_hand(photo, (x, y), side, angle, size))
    st.image(
        pictures.outline_square(photo.pixels, face.quad),
        width=PHOTO_WIDTH,
        alt="The photo with the square to be cut out",
    )
    note("Eyes level, a little above the middle; the square about twice as wide as the face.")


def _whole(portrait: Portrait, size: int) -> None:
    from faces.align import already_aligned

    photo = portrait.photo
    assert photo is not None
    face = _keep(portrait, (ALIGNED, size), lambda: already_aligned(photo, size))
    st.image(pictures.outline_square(photo.pixels, face.quad), width=PHOTO_WIDTH, alt="The photo, taken as it is")


def _aligned_face(face: AlignedFace) -> None:
    st.image(face.pixels, width=PHOTO_WIDTH, alt="The aligned face")
    note("The aligned face: what the code will be searched for.")
    quality = face.quality
    pose = "not measured" if np.isnan(quality.yaw) else f"{number(quality.yaw, 0)}° / {number(quality.pitch, 0)}°"
    facts([("Size in the photo", f"{quality.face_px:.0f} px a side"), ("Turned / raised", pose)])
    if quality.flags:
        st.warning(
            "\n".join(f"- {plain(flag)}" for flag in quality.flags), title="Look at the photo", icon=":material/flag:"
        )
    else:
        note("Sharpness, exposure, pose and size raise no flag.")
