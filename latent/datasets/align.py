"""Photos through the gate, the detector and the alignment, in worker processes; what is finished goes to the parts."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Set
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path

from threadpoolctl import threadpool_limits

from common.console import ProgressLine
from faces.align import align
from faces.errors import FaceError, NoFaceError
from faces.flags import SEVERAL, Flag, sentences
from faces.landmarks import find_upright
from faces.photo import load_photo
from latent.datasets.parts import AlignedPhoto, Parts
from latent.datasets.sources import PhotoReader, Source
from latent.errors import LatentError

CHUNK = 4  # photos handed to a worker at a time: after Ctrl-C these are waited for
ORPHAN_SECONDS = 2.0
Job = tuple[Path, str | None, int]
Done = tuple[str, AlignedPhoto | str | None]


class Aligner:
    """One photo to its largest face; `known`: digests of photos that need no second look."""

    def __init__(self, known: Set[str], reader: PhotoReader) -> None:
        self.known, self.reader = known, reader

    def __call__(self, job: Job) -> Done:
        """sha256 of the photo's bytes and, unless that is known, the face aligned or the reason against it; for a photo
        that cannot be read the reason and nothing."""
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
    digests: list[str] = []
    refused = 0
    try:
        for digest, outcome in _results(jobs, frozenset(parts.known), workers):
            if outcome is not None:
                parts.add(digest, outcome)
            digests.append(digest)
            refused += "reason" in parts.facts.get(digest, {"reason": digest})
            progress(len(digests), note=f", {refused} refused")
    except BrokenProcessPool as error:
        raise LatentError(
            "A worker process was ended from outside, perhaps for lack of memory: run the same command again, with "
            "fewer --workers; it goes on."
        ) from error
    finally:
        parts.flush()
    return digests


def _results(jobs: list[Job], known: Set[str], workers: int) -> Iterator[Done]:
    """Results in the order of the jobs."""
    if workers <= 1:
        with PhotoReader() as reader:
            yield from map(Aligner(known, reader), jobs)
        return
    pool = ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(known, os.getpid()))
    try:
        yield from pool.map(_align_in_worker, jobs, chunksize=CHUNK)
    finally:
        pool.shutdown(cancel_futures=True)


_worker: Aligner  # of a worker process, and as long-lived


def _start_worker(known: Set[str], parent: int) -> None:
    """Ctrl-C is for the parent, which lets workers finish; a parent that was killed takes its workers along."""
    threadpool_limits(limits=1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    global _worker
    _worker = Aligner(known, PhotoReader())

    def follow() -> None:
        while os.getppid() == parent:
            time.sleep(ORPHAN_SECONDS)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _align_in_worker(job: Job) -> Done:
    return _worker(job)
