"""From a person's photo to one aligned face: offered, detected or placed by hand, looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from faces import photo
from faces.errors import FaceError
from faces.photo import MAX_BYTES, load_photo
from ui import pictures, state
from ui.escaping import plain
from ui.page import facts, note
from ui.text import number
from ui.wish import UPLOADED

if TYPE_CHECKING:
    from collections.abc import Callable

    from faces.align import AlignedFace
    from faces.landmarks import Face
    from faces.photo import Photo
    from ui.resources import Cohort
    from ui.state import Portrait

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
            "A portrait, looking this way",
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
    state.portrait().drop()
    state.editing().forget(UPLOADED)
    st.session_state["photo_turn"] += 1


def _offered(key: str, name: str) -> None:
    """A file arrived or was taken away (runs before the page)."""
    portrait, offered = state.portrait(), st.session_state.get(key)
    portrait.drop()
    state.editing().forget(UPLOADED)
    if offered is not None:
        _open(portrait, lambda: load_photo(offered.getvalue(), name))


def _open(portrait: Portrait, load: Callable[[], Photo], patient: str = "") -> None:
    try:
        portrait.take(load(), patient)
        state.editing().forget(UPLOADED)
    except FaceError as error:
        portrait.problem = str(error)


def _examples(portrait: Portrait, cohort: Cohort) -> None:
    patients = list(cohort.study.photos)
    page = st.session_state.setdefault("example_page", 0)
    start = (page * EXAMPLES_SHOWN) % max(len(patients), 1)
    shown = patients[start : start + EXAMPLES_SHOWN]
    kind = "simulated patient" if cohort.study.simulated else "patient"
    for column, patient in zip(st.columns(EXAMPLES_SHOWN, gap="small"), shown, strict=False):
        column.image(str(cohort.study.photo_path(patient)), width="stretch", alt=f"Portrait of {kind} {patient}")
        column.button(
            plain(patient), key=f"example-{patient}", width="stretch", on_click=_example, args=(cohort.study, patient)
        )
    st.button("Other patients", icon=":material/refresh:", type="tertiary", on_click=_next_examples)
    if cohort.study.simulated:
        note("Rendered portraits of simulated patients of this study. Nobody in them exists.")


def _next_examples() -> None:
    st.session_state["example_page"] += 1


def _example(study: object, patient: str) -> None:
    _open(state.portrait(), lambda: load_photo(study.photo_path(patient)), patient)  # type: ignore[attr-defined]


def choose_face(portrait: Portrait) -> None:
    """The photo with its faces beside the aligned face that will be inverted."""
    from faces.landmarks import detect_faces

    photo = portrait.photo
    if photo is None:
        return
    if portrait.faces is None:
        with st.spinner("Looking for faces"):
            portrait.faces = detect_faces(photo)
    left, right = st.columns([5, 4], gap="large")
    with left:
        options = (FOUND, BY_HAND, ALIGNED) if portrait.faces else (BY_HAND, ALIGNED)
        if not portrait.faces:
            st.warning(
                "No face was found in this photo. Place the square on the face by hand.",
                icon=":material/frame_person_off:",
            )
        mode = st.segmented_control(
            "Crop",
            options,
            default=options[0],
            required=True,
            key=f"crop-{photo.sha256[:12]}",
            help="The generator expects the square that its training photos were cut to. Choose “Already aligned” only "
            "for a photo that is that square.",
        )
        cut = {FOUND: _found, BY_HAND: _by_hand, ALIGNED: _whole}[mode or options[0]]
        try:
            cut(portrait)
        except FaceError as error:
            portrait.aligned = None
            st.error(plain(error))
    with right:
        if portrait.aligned is not None:
            _aligned_face(portrait.aligned)


def _keep(portrait: Portrait, crop: tuple[object, ...], make: Callable[[], AlignedFace]) -> AlignedFace:
    """Cut only when the crop changed: results belong to one aligned face."""
    if portrait.aligned is None or portrait.crop != crop:
        portrait.aligned, portrait.crop = make(), crop
    return portrait.aligned


def _found(portrait: Portrait) -> None:
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
    _keep(portrait, (FOUND, chosen), lambda: align(photo, faces[chosen]))
    numbered = pictures.number_faces(photo.pixels, [face.box for face in faces], chosen)
    st.image(numbered, width=PHOTO_WIDTH, alt=f"The photo with {len(faces)} numbered faces, number {chosen + 1} chosen")


def _face_label(index: int, face: Face) -> str:
    return f"{index + 1} ({face.box[2] - face.box[0]:.0f} px)"


def _by_hand(portrait: Portrait) -> None:
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
    face = _keep(portrait, (BY_HAND, x, y, side, angle), lambda: align_by_hand(photo, (x, y), side, angle))
    st.image(
        pictures.outline_square(photo.pixels, face.quad),
        width=PHOTO_WIDTH,
        alt="The photo with the square to be cut out",
    )
    note("Eyes level, a little above the middle; the square about twice as wide as the face.")


def _whole(portrait: Portrait) -> None:
    from faces.align import already_aligned

    photo = portrait.photo
    assert photo is not None
    face = _keep(portrait, (ALIGNED,), lambda: already_aligned(photo))
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
