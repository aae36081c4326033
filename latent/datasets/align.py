"""Photos through the gate, the detector and the alignment, in worker processes; what is finished goes to the parts."""

import hashlib
from collections.abc import Iterator, Set
from dataclasses import asdict
from pathlib import Path

from common.console import ProgressLine
from common.pool import Pool, WorkerDied
from faces.align import align
from faces.errors import FaceError, NoFaceError
from faces.flags import SEVERAL, Flag, sentences
from faces.landmarks import find_upright
from faces.photo import load_photo
from latent.datasets.parts import AlignedPhoto, Parts
from latent.datasets.sources import PhotoReader, Source
from latent.errors import LatentError

Job = tuple[Path, str | None, int]
Done = tuple[str, AlignedPhoto | str | None]


class Aligner:
    """One photo to its largest face; `known`: digests of photos that are done. In a worker process it keeps its zips
    open."""

    def __init__(self, known: Set[str]) -> None:
        self.known, self.reader = known, PhotoReader()

    def __call__(self, job: Job) -> Done:
        """sha256 of the photo's bytes and, unless that is known, the face aligned or the reason against it; for a photo
        that cannot be read the reason and None."""
        path, member, size = job
        try:
            data = self.reader.read(path, member)
        except FaceError as error:
            return str(error), None
        digest = hashlib.sha256(data).hexdigest()
        return digest, None if digest in self.known else _align(data, size)


def _align(data: bytes, size: int) -> AlignedPhoto | str:
    """The largest face in a photo's bytes, or why there is none."""
    try:
        photo = load_photo(data)
        upright = find_upright(photo)
        faces = upright.faces
        if not faces:
            raise NoFaceError("No face was found in the photo.")
        if not faces[0].certain:
            raise NoFaceError("It is uncertain whether a face was found: the detector's score is low.")
        face = align(upright.photo, faces[0], size)
    except FaceError as error:
        return str(error)
    measures = {f"quality_{name}": value for name, value in asdict(face.quality).items()}
    flags = list(face.quality.flags)
    if len(faces) > 1:
        sentence = (
            f"{len(faces)} faces were found in the photo and the largest was taken: check that it is the right one."
        )
        flags.append(Flag(SEVERAL, float(len(faces)), sentence))
    facts = {
        "faces_found": len(faces),
        "quarters_turned": upright.quarters,
        **measures,
        "quality_score": faces[0].score,
        "quality_flags": sentences(flags),
        "quality_kinds": "; ".join(flag.kind for flag in flags),
    }
    return AlignedPhoto(face.pixels, facts)


def align_photos(sources: list[Source], parts: Parts, size: int, workers: int = 1) -> list[str]:
    """Aligns what the parts do not have yet. Returns for each photo its sha256, or, for one that could not be read,
    the reason. Raises LatentError where a worker dies; whatever stops it, finished photos are in the parts."""
    jobs: list[Job] = [(source.path, source.member, size) for source in sources]
    progress = ProgressLine("photos", len(jobs))
    digests = [""] * len(jobs)
    refused = 0
    try:
        for number, (place, (digest, outcome)) in enumerate(_results(jobs, frozenset(parts.facts), workers), 1):
            if outcome is not None:
                parts.add(digest, outcome)
            digests[place] = digest
            refused += "reason" in parts.facts.get(digest, {"reason": digest})
            progress(number, note=f", {refused} refused")
    finally:
        parts.flush()
    return digests


def _results(jobs: list[Job], known: Set[str], workers: int) -> Iterator[tuple[int, Done]]:
    """Place of a job and its result, as they are done."""
    if workers <= 1:
        aligner = Aligner(known)
        with aligner.reader:
            yield from enumerate(map(aligner, jobs))
        return
    for place, result in Pool(Aligner, [known] * workers).run(enumerate(jobs)):
        if isinstance(result, WorkerDied):
            raise LatentError(
                f"A photo could not be aligned: {result}. Run the same command again, with fewer --workers; it resumes."
            )
        yield place, result
