"""The aligned photos of a study, found by content: each photo is decoded, searched and aligned once, for all that look
at it (quality control, embedding, descriptors, pixels and their controls, robustness).

`aligned/` in the study's folder holds one part per photo under the SHA-256 of the photo's bytes, the number of the face
in it and how photos are aligned: the square at 256 px, its corners, the landmarks of all faces, measures, flags, the
fingerprint of the picture and, once asked for, its descriptors; about 100 KB a photo, 2 GB for 20,000. The folder may
be deleted at any time. Where it cannot be written, a sentence on stderr says so, and every photo
is aligned again when it is next needed.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.part_store import JSON, Arrays, Layout, PartStore, array_json, json_array
from faces.align import AlignedFace, align, already_aligned, cut, middle_square, resize, whole_square
from faces.errors import FaceError, NoFaceError, PhotoError
from faces.flags import flags_text, read_flags
from faces.landmarks import Face, Upright, find_upright, turn
from faces.photo import Photo, load_photo
from faces.pose import Pose
from faces.quality import Quality
from faces.regions import region_map
from study.disk.face_choices import Choice, read_choices
from study.disk.near_copies import fingerprint
from study.disk.places import ALIGNED as FOLDER
from study.disk.store import Study
from study.files import sha256_of
from study.photos.prepare import ALIGNED_SIZE, pick, with_choice

ALIGNMENT = 3  # raise it when the search for faces or the alignment changes
BLOCK = 64  # photos between two reports of progress
DESCRIPTOR = 128
NO_FACE, NO_PHOTO = "no face", "no photo"
MEASURES = tuple(f.name for f in fields(Quality) if f.name != "flags")
NAME = "<photo>"  # stands for the name of the file in a sentence that is kept
FARTHEST = 1e5  # px that a landmark may lie from the picture
_LAYOUT: Layout = {
    "facts": JSON,
    "steps": ("|u1", (ALIGNED_SIZE, ALIGNED_SIZE, 3)),
    "quad": ("<f8", (None, 2)),
    "landmarks": ("<f4", (None, 2)),
    "boxes": ("<f8", (None, 5)),  # and scores
    "points": ("<f4", (None, 68, 2)),
    "descriptor": ("<f4", (None, DESCRIPTOR)),
    "face_descriptors": ("<f4", (None, DESCRIPTOR)),
}
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class StoredPhoto:
    """What is kept of one photo.

    picture: uint8 (256, 256, 3), the aligned face, or, without one, the middle of the photo. face: aligned, with the
    flags of the picture alone; None where `problem` is NO_FACE or NO_PHOTO and `reason` a sentence, NAME in place of
    the file's name. found: all faces of the photo after `quarters` turns, the largest first; none where photos are
    aligned already. descriptor: (1, 128) of the aligned face, face_descriptors: (len(found), 128) of dlib's chip of
    each; None until asked for.
    """

    picture: NDArray[np.uint8]
    fingerprint: bytes
    face: AlignedFace | None = None
    problem: str = ""
    reason: str = ""
    quarters: int = 0
    found: tuple[Face, ...] = ()
    descriptor: NDArray[np.float32] | None = None
    face_descriptors: NDArray[np.float32] | None = None

    def sentence(self, path: Path) -> str:
        """Why the photo in this file cannot be used; "" where it can."""
        return self.reason.replace(NAME, path.name)


class AlignedStore:
    """The aligned photos of one study.

    folder: of the study. aligned: photos are FFHQ squares already. choices: of faces, by the SHA-256 of the photo.
    """

    def __init__(self, folder: Path, aligned: bool, choices: Mapping[str, Choice] | None = None) -> None:
        self.aligned, self.choices, self._refused = aligned, choices or {}, False
        self._parts = PartStore(folder / FOLDER, max_bytes=2**24)
        self._decoded: tuple[str, Photo] | None = None  # the newest photo alone, whose pixels may be asked for next

    @classmethod
    def of(cls, study: Study) -> AlignedStore:
        """The store of a study, with the faces that are chosen today. Raises StudyError where their list is damaged."""
        return cls(study.path, study.settings.aligned, read_choices(study.path))

    def face(self, path: Path, size: int = ALIGNED_SIZE, digest: str = "") -> AlignedFace:
        """What `study.photos.prepare.prepare` gives for this photo of the study, under the same errors.

        size: px; pixels of another size than ALIGNED_SIZE are cut from the photo again, without a search. digest: of
        the file, where it is known.
        """
        digest = digest or sha256_of(path)
        stored = self.photo(path, digest)
        if stored.face is None:
            kind = NoFaceError if stored.problem == NO_FACE else PhotoError
            raise kind(stored.sentence(path))
        face = with_choice(stored.face, len(stored.found), stored.quarters, self.choices.get(digest))
        if size == ALIGNED_SIZE:
            return face
        photo = self.decoded(path, digest)
        if self.aligned:
            return face.at(whole_square(photo, size))
        return face.at(cut(turn(photo, stored.quarters), face.quad, size))

    def photo(self, path: Path, digest: str = "") -> StoredPhoto:
        """What is known of a photo; of one that is new it is found out, and kept. A file that cannot be opened as a
        photo is not kept: what it lacks may be a decoder. Raises StudyError where the file cannot be read."""
        digest = digest or sha256_of(path)
        number = self._number(digest)
        stored = self._read(digest, number)
        if stored is None:
            stored = self._align(path, digest, number)
            if stored.problem != NO_PHOTO:
                self._keep(digest, number, stored)
        return stored

    def blocks(
        self,
        photos: Sequence[Path],
        on_progress: OnProgress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[tuple[int, list[tuple[str, StoredPhoto]]]]:
        """(number of the first, (SHA-256, photo) of each) of these files in order, BLOCK at a time.

        on_progress: called with photos done and photos in all. cancelled: True stops with FitCancelled; what
        is aligned is kept.
        """
        from survival.errors import FitCancelled

        for start in range(0, len(photos), BLOCK):
            if cancelled is not None and cancelled():
                raise FitCancelled("The alignment of the photos was stopped; finished photos are kept.")
            block = [(sha256_of(path), path) for path in photos[start : start + BLOCK]]
            yield start, [(digest, self.photo(path, digest)) for digest, path in block]
            if on_progress is not None:
                on_progress(start + len(block), len(photos))

    def decoded(self, path: Path, digest: str = "") -> Photo:
        """The whole photo, decoded again unless it is the newest one. Raises PhotoError."""
        digest = digest or sha256_of(path)
        if self._decoded is None or self._decoded[0] != digest:
            self._decoded = None
            self._decoded = (digest, load_photo(path, NAME))
        return Photo(self._decoded[1].pixels, path.name)

    def face_descriptors(self, path: Path) -> NDArray[np.float32]:
        """(faces, 128): descriptors of all faces in a photo, the largest first; (0, 128) where there is none."""
        from faces.encoder import chip, descriptors

        digest = sha256_of(path)
        stored = self.photo(path, digest)
        if stored.face_descriptors is not None or not stored.found:
            return np.zeros((0, DESCRIPTOR), np.float32) if stored.face_descriptors is None else stored.face_descriptors
        upright = turn(self.decoded(path, digest), stored.quarters)
        rows = descriptors(np.stack([chip(upright, face) for face in stored.found]))
        self._keep(digest, self._number(digest), replace(stored, face_descriptors=rows))
        return rows

    def keep_descriptor(self, digest: str, stored: StoredPhoto, descriptor: NDArray[np.float32]) -> None:
        """Adds the descriptor (128,) of the aligned face to what is kept of a photo."""
        self._keep(digest, self._number(digest), replace(stored, descriptor=descriptor[None]))

    def _number(self, digest: str) -> int:
        choice = self.choices.get(digest)
        return choice.face if choice is not None else 1

    def _key(self, digest: str, number: int) -> str:
        mark = f"{ALIGNMENT} {ALIGNED_SIZE} {'aligned' if self.aligned else 'detected'} {digest} {number}"
        return hashlib.sha256(mark.encode()).hexdigest()[:40]

    def _read(self, digest: str, number: int) -> StoredPhoto | None:
        arrays = self._parts.get(self._key(digest, number), _LAYOUT)
        return None if arrays is None else _from_arrays(arrays)

    def _keep(self, digest: str, number: int, stored: StoredPhoto) -> None:
        try:
            self._parts.put(self._key(digest, number), _to_arrays(stored), level=1)
        except OSError as error:
            if not self._refused:
                self._refused = True
                reason = error.strerror or error
                print(f"Aligned photos cannot be kept in {FOLDER}/ ({reason}); work continues.", file=sys.stderr)

    def _align(self, path: Path, digest: str, number: int) -> StoredPhoto:
        """Face `number` of the photo; a search that was made for another number is not repeated."""
        nothing = np.zeros((ALIGNED_SIZE, ALIGNED_SIZE, 3), np.uint8)
        try:
            photo = self.decoded(path, digest)
        except FaceError as error:
            return StoredPhoto(nothing, b"", problem=NO_PHOTO, reason=str(error))
        photo = Photo(photo.pixels, NAME)
        whole = StoredPhoto(resize(middle_square(photo.pixels), ALIGNED_SIZE), fingerprint(photo.pixels))
        if number != 1 and not self.aligned and (other := self._read(digest, 1)) is not None:
            upright = Upright(turn(photo, other.quarters), list(other.found), other.quarters)
        else:
            upright = Upright(photo, []) if self.aligned else find_upright(photo)
        whole = replace(whole, quarters=upright.quarters, found=tuple(upright.faces))
        try:
            if self.aligned:
                face = already_aligned(photo, ALIGNED_SIZE)
            else:
                face = align(upright.photo, pick(upright.faces, number, photo.source), ALIGNED_SIZE)
        except FaceError as error:
            problem = NO_FACE if isinstance(error, NoFaceError) else NO_PHOTO
            return replace(whole, problem=problem, reason=str(error))
        return replace(whole, picture=face.pixels, face=face)


def _to_arrays(stored: StoredPhoto) -> Arrays:
    """As `_LAYOUT`. Pixels are kept as steps from the left neighbour, modulo 256, which pack a third smaller."""
    steps = stored.picture.copy()
    steps[:, 1:] -= stored.picture[:, :-1]
    face, found = stored.face, stored.found
    facts: dict[str, Any] = {
        "fingerprint": stored.fingerprint.hex(),
        "problem": stored.problem,
        "reason": stored.reason,
        "quarters": stored.quarters,
        "poses": [astuple(f.pose) for f in found],
    }
    if face is not None:
        facts |= {
            "measures": [float(getattr(face.quality, name)) for name in MEASURES],
            "flags": flags_text(face.quality.flags),
            "score": face.score,
            "placed": face.placed,
        }
    none = np.zeros((0, DESCRIPTOR), np.float32)
    landmarks = None if face is None else face.landmarks
    return {
        "facts": json_array(facts),
        "steps": steps,
        "quad": np.zeros((0, 2)) if face is None else face.quad,
        "landmarks": np.zeros((0, 2), np.float32) if landmarks is None else landmarks,
        "boxes": np.array([(*f.box, f.score) for f in found], np.float64).reshape(-1, 5),
        "points": np.stack([f.landmarks for f in found]) if found else np.zeros((0, 68, 2), np.float32),
        "descriptor": none if stored.descriptor is None else stored.descriptor,
        "face_descriptors": none if stored.face_descriptors is None else stored.face_descriptors,
    }


def _from_arrays(arrays: Arrays) -> StoredPhoto | None:
    """None where the arrays do not describe a photo."""
    try:
        facts = array_json(arrays["facts"])
        boxes, points = arrays["boxes"], arrays["points"]
        if len(boxes) != len(points) or max(np.abs(p).max(initial=0) for p in (points, arrays["landmarks"])) > FARTHEST:
            return None
        picture = np.cumsum(arrays["steps"], axis=1, dtype=np.uint8)
        problem = str(facts["problem"])
        face = _face(arrays, facts, picture) if not problem else None
        found = (
            Face((left, top, right, bottom), score, landmarks, Pose(*map(float, pose)))
            for (left, top, right, bottom, score), landmarks, pose in zip(
                boxes.tolist(), points, facts["poses"], strict=True
            )
        )
        return StoredPhoto(
            picture,
            bytes.fromhex(facts["fingerprint"]),
            face,
            problem,
            str(facts["reason"]),
            int(facts["quarters"]) % 4,
            tuple(found),
            arrays["descriptor"] if len(arrays["descriptor"]) == 1 else None,
            arrays["face_descriptors"] if len(arrays["face_descriptors"]) == len(boxes) > 0 else None,
        )
    except (ValueError, KeyError, TypeError):
        return None


def _face(arrays: Arrays, facts: Mapping[str, Any], picture: NDArray[np.uint8]) -> AlignedFace:
    quality = Quality(
        **{name: float(value) for name, value in zip(MEASURES, facts["measures"], strict=True)},
        flags=read_flags(str(facts["flags"])),
    )
    score = None if facts["score"] is None else float(facts["score"])
    landmarks: NDArray[np.float32] | None = arrays["landmarks"] if len(arrays["landmarks"]) else None
    if arrays["quad"].shape != (4, 2) or (landmarks is not None and landmarks.shape != (68, 2)):
        raise ValueError("not a square, or not the landmarks of a face")
    regions = None if landmarks is None else region_map(landmarks, ALIGNED_SIZE)
    return AlignedFace(picture, arrays["quad"], landmarks, regions, quality, score, bool(facts["placed"]))
