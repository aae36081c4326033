"""From a person's photo to one aligned face: uploaded, detected or placed by hand, checked."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import streamlit as st

from common.text import number
from faces.align import AlignedFace, align, align_by_hand, already_aligned
from faces.errors import FaceError
from faces.landmarks import find_upright
from faces.photo import EXTENSIONS, MAX_BYTES, Photo, load_photo
from study.disk.face_choices import confirmation
from study.disk.store import Study
from study.photos.prepare import sideways, target_size
from study.scoring.face_evidence import MAX_WORDS, doubt
from study.scoring.scorer import Scorer
from ui.elements import pictures
from ui.elements.blocks import facts, note
from ui.elements.escaping import plain
from ui.health_direction.state import UPLOADED, editing
from ui.portrait.state import PortraitState, portrait

SOURCES = ("Upload", "Camera", "Example")
UPLOADS = [suffix.removeprefix(".") for suffix in EXTENSIONS]
EXAMPLES_SHOWN = 6
PHOTO_WIDTH = 640  # CSS pixels at most
DETECTED, BY_HAND, ALIGNED = "Detected face", "Place by hand", "Already aligned"

# warnings about a crop that is not like those of the study's photos
ALIGNED_STUDY = (
    "The study's photos came as aligned squares and were used as they are. A square that is cut here may be framed "
    "differently, which changes the score: use a photo that was aligned like the study's if you can."
)
CUT_STUDY = (
    "The study's faces were detected and cut here. A photo that is used as it is may be framed differently, which "
    "changes the score."
)


def choose_photo(portrait: PortraitState, scorer: Scorer) -> None:
    """Upload, camera or example; the state holds the photo afterwards, or the reason it was refused."""
    st.session_state.setdefault("photo_source", SOURCES[0])
    turn = st.session_state.setdefault("photo_turn", 0)  # a new turn empties the widgets, and what they hold in memory
    source = st.segmented_control("Photo from", SOURCES, key="photo_source", persist_state="session", required=True)
    if source == "Camera":
        st.camera_input(
            "Take a photo",
            key=f"camera-{turn}",
            on_change=_uploaded,
            args=(f"camera-{turn}", "The camera's photo"),
            width=PHOTO_WIDTH,
        )
    elif source == "Example":
        _examples(scorer)
    else:
        st.file_uploader(
            "A portrait, facing the camera",
            UPLOADS,
            key=f"upload-{turn}",
            on_change=_uploaded,
            args=(f"upload-{turn}", "The uploaded photo"),
            help=f"JPEG, PNG, WebP, HEIC, AVIF, BMP or TIFF, at most {MAX_BYTES >> 20} MB. It stays in this session's "
            "memory; it is never written to disk, and is forgotten when the tab is closed or the photo removed.",
        )
    if portrait.problem:
        st.error(plain(portrait.problem), icon=":material/image_not_supported:")


def forget() -> None:
    """Forget the photo and all that came of it, also in the upload and camera widgets (runs before a page)."""
    portrait().forget()
    editing().forget(UPLOADED)
    st.session_state["photo_turn"] += 1


def _uploaded(key: str, name: str) -> None:
    """A file arrived or was taken away (runs before the page)."""
    portrait().forget()
    editing().forget(UPLOADED)
    if (upload := st.session_state.get(key)) is not None:
        _open(lambda: load_photo(upload.getvalue(), name))


def _open(load: Callable[[], Photo], patient: str = "") -> None:
    try:
        portrait().take(load(), patient)
        editing().forget(UPLOADED)
    except FaceError as error:
        portrait().problem = str(error)


def _examples(scorer: Scorer) -> None:
    patients = list(scorer.study.photos)
    page = st.session_state.setdefault("example_page", 0)
    start = (page * EXAMPLES_SHOWN) % max(len(patients), 1)
    shown = patients[start : start + EXAMPLES_SHOWN]
    kind = "simulated patient" if scorer.study.simulated else "patient"
    for column, patient in zip(st.columns(EXAMPLES_SHOWN, gap="small"), shown, strict=False):
        column.image(_shown(scorer.study.photo_path(patient)), width="stretch", alt=f"Portrait of {kind} {patient}")
        column.button(
            plain(patient), key=f"example-{patient}", width="stretch", on_click=_example, args=(scorer.study, patient)
        )
    st.button("Other patients", icon=":material/refresh:", type="tertiary", on_click=_next_examples)
    if scorer.study.simulated:
        note("Computer-generated portraits of simulated patients. These people do not exist.")


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
    _open(lambda: load_photo(study.photo_path(patient)), patient)
    portrait().confirmed = confirmation(study, patient)


def choose_face(portrait: PortraitState, scorer: Scorer) -> None:
    """The photo with its faces next to the aligned face that will be inverted."""
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
    aligned, size = scorer.study.settings.aligned, target_size(scorer.checkpoint)
    left, right = st.columns([5, 4], gap="large")
    with left:
        options: tuple[str, ...] = (DETECTED, BY_HAND, ALIGNED) if portrait.faces else (BY_HAND, ALIGNED)
        if aligned:
            options = (ALIGNED, *(option for option in options if option != ALIGNED))
        elif not portrait.faces:
            st.warning(
                "No face was detected in this photo. Place the square on the face by hand.",
                icon=":material/frame_person_off:",
            )
        mode = st.segmented_control(
            "Crop",
            options,
            format_func=plain,
            default=options[0],
            required=True,
            key=f"crop-{photo.sha256[:12]}",
            help="The face model expects a square around the face, cropped like the photos that it was trained on. "
            "Choose “Already aligned” only for a photo that has already been cropped this way.",
        )
        if (mode == ALIGNED) != aligned:
            st.warning(ALIGNED_STUDY if aligned else CUT_STUDY, icon=":material/crop:")
        cut = {DETECTED: _detected, BY_HAND: _by_hand, ALIGNED: _whole}[mode or options[0]]
        try:
            cut(portrait, size)
        except FaceError as error:
            portrait.aligned = None
            st.error(plain(error))
    with right:
        if portrait.aligned is not None:
            _aligned_face(portrait.aligned)
            _confirm(portrait)


def confirmed(portrait: PortraitState) -> bool:
    """Whether the square may be scored: the detector is certain of it, or the person confirmed it in words."""
    return portrait.aligned is not None and (not doubt(portrait.aligned) or bool(portrait.confirmed.strip()))


def _confirm(portrait: PortraitState) -> None:
    """Where the detector is not certain of a face: the warning, and a place for the person's words."""
    assert portrait.aligned is not None
    if not (warning := doubt(portrait.aligned)):
        return
    st.warning(plain(warning), title="Is this a face?", icon=":material/frame_person_off:")
    tag = sha256(np.ascontiguousarray(portrait.aligned.pixels).tobytes()).hexdigest()[:12]
    words = st.text_input(
        "To score it anyway, describe what the square shows",
        value=portrait.confirmed,
        key=f"confirmed-{tag}",
        max_chars=MAX_WORDS,
        placeholder="for example: a face in profile, eyes and mouth are visible",
        help="Your description is stored with the score. Without it, a picture that may not be a face is not scored.",
    )
    portrait.confirmed = (words or "").strip()


def _keep(portrait: PortraitState, crop: tuple[object, ...], make: Callable[[], AlignedFace]) -> AlignedFace:
    """Cut only when the crop changed: results belong to one aligned face."""
    if portrait.aligned is None or portrait.crop != crop:
        if portrait.crop:  # words were about another square
            portrait.confirmed = ""
        portrait.aligned, portrait.crop = make(), crop
    return portrait.aligned


def _detected(portrait: PortraitState, size: int) -> None:
    photo, faces = portrait.photo, portrait.faces or []
    assert photo is not None
    chosen = 0
    if len(faces) > 1:
        labels = [f"{i} ({face.box[2] - face.box[0]:.0f} px)" for i, face in enumerate(faces, start=1)]
        label = st.segmented_control(
            f"{len(faces)} faces were detected",
            labels,
            format_func=plain,
            default=labels[0],
            required=True,
            key=f"face-{photo.sha256[:12]}",
            help="Numbered by size, the largest first.",
        )
        chosen = labels.index(label or labels[0])
    _keep(portrait, (DETECTED, chosen, size), lambda: align(photo, faces[chosen], size))
    numbered = pictures.number_faces(photo.pixels, [face.box for face in faces], chosen)
    st.image(numbered, width=PHOTO_WIDTH, alt=f"The photo with {len(faces)} numbered faces, number {chosen + 1} chosen")


def _by_hand(portrait: PortraitState, size: int) -> None:
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
    outlined = pictures.outline_square(photo.pixels, face.quad)
    st.image(outlined, width=PHOTO_WIDTH, alt="The photo with the square to be cut out")
    note("Eyes level, slightly above the middle; the square about twice as wide as the face.")


def _whole(portrait: PortraitState, size: int) -> None:
    photo = portrait.photo
    assert photo is not None
    face = _keep(portrait, (ALIGNED, size), lambda: already_aligned(photo, size))
    st.image(pictures.outline_square(photo.pixels, face.quad), width=PHOTO_WIDTH, alt="The photo, used as it is")


def _aligned_face(face: AlignedFace) -> None:
    st.image(face.pixels, width=PHOTO_WIDTH, alt="The aligned face")
    note("The aligned face, from which the score is computed.")
    quality = face.quality
    pose = "not measured" if np.isnan(quality.yaw) else f"{number(quality.yaw, 0)}° / {number(quality.pitch, 0)}°"
    facts([("Size in the photo", f"{quality.face_px:.0f} px per side"), ("Turned / raised", pose)])
    if quality.flags:
        st.warning(
            "\n".join(f"- {plain(flag)}" for flag in quality.flags), title="Check the photo", icon=":material/flag:"
        )
    else:
        note("Sharpness, exposure, pose and size are fine.")
