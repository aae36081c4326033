"""Every photo of a study to a W+ code, once, with the study's preset; it can be stopped and go on.

Photos are aligned and inverted in batches; each finished batch is one part file, written atomically under
`embedding.parts/`. When all photos are through, the parts become latents.npy and index.parquet, and are removed. A
part or an older code is taken over only if photo, checkpoint, preset, settings and alignment are the same, so a stop,
at any instant, loses at most one batch and never mixes.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from faces.errors import FaceError
from latent.checkpoints import Checkpoint
from latent.errors import Cancelled, InversionError, LatentError
from latent.inversion import PRESETS, Inversion, InversionSettings, Progress
from latent.perceptual import load_perceptual
from study.errors import StudyError
from study.files import replacing, sha256_of, write_json
from study.latents import INDEX_COLUMNS, Embedding, has_latents, read_latents, write_latents
from study.prepare import invert_faces, prepare
from study.store import Study

PARTS = "embedding.parts"
REPORT = "embedding.json"
BATCH = 8


@dataclass(frozen=True)
class EmbedProgress:
    """done: photos finished, fractions of a batch included; image: the newest reconstruction, uint8 (S, S, 3)."""

    done: float
    total: int
    failed: int
    seconds_left: float | None
    image: NDArray[np.uint8] | None = None


@dataclass
class EmbedReport:
    """total photos of the study; new: inverted in this run; kept: taken over; failures: (patient, file, reason)."""

    total: int
    new: int = 0
    kept: int = 0
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    stopped: bool = False
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class _Code:
    row: dict[str, Any]
    ws: NDArray[np.float32]


def study_preset(study: Study) -> InversionSettings:
    """The inversion settings that all codes of this study are made with."""
    return PRESETS[study.settings.preset]


def encoder_sha256(checkpoint: Checkpoint) -> str:
    """Digest of the encoder's weights, "" without one: where the search starts shapes the code it finds."""
    return str(checkpoint.config.get("files", {}).get("encoder.safetensors", {}).get("sha256", ""))


def _record(study: Study, checkpoint: Checkpoint) -> Embedding:
    # The perceptual distance is the one this machine has, and shapes the codes: it belongs to the record.
    extra = {
        "aligned": study.settings.aligned,
        "perceptual_name": load_perceptual(checkpoint.device).name,
        "encoder_sha256": encoder_sha256(checkpoint),
    }
    settings = {**study_preset(study).as_dict(), **extra}
    shape = (checkpoint.num_ws, checkpoint.w_dim)
    return Embedding(checkpoint.name, checkpoint.sha256, study.settings.preset, *shape, settings=settings)


def _fingerprint(record: Embedding) -> str:
    return sha256(
        json.dumps({**asdict(record), "checkpoint": "", "latents_sha256": ""}, sort_keys=True).encode()
    ).hexdigest()


def index_row(patient: str, photo: Path, digest: str, inversion: Inversion, flags: tuple[str, ...]) -> dict[str, Any]:
    """One row of index.parquet."""
    m = inversion.metrics
    values = (patient, photo.stem, digest, inversion.checkpoint_sha256, str(m["perceptual_name"]), "\n".join(flags))
    numbers = (*(float(m[key]) for key in ("perceptual", "psnr", "ssim", "identity")), float(inversion.seconds))
    return dict(zip(INDEX_COLUMNS, (*values, *numbers), strict=True))


def _write_part(folder: Path, fingerprint: str, codes: list[_Code]) -> None:
    rows = np.frombuffer(json.dumps([c.row for c in codes]).encode(), np.uint8)
    name = sha256(b"".join(c.row["photo_sha256"].encode() for c in codes)).hexdigest()[:16]
    with replacing(folder / f"{name}.npz") as temporary, temporary.open("wb") as file:
        np.savez(file, ws=np.stack([c.ws for c in codes]), rows=rows, fingerprint=np.array(fingerprint))


def _read_parts(folder: Path, fingerprint: str) -> Iterator[_Code]:
    """Codes of earlier runs; parts that are damaged or of other settings are passed over (and redone)."""
    for path in sorted(folder.glob("*.npz")):
        try:
            with np.load(path, allow_pickle=False) as part:
                if str(part["fingerprint"]) != fingerprint:
                    continue
                rows, ws = json.loads(part["rows"].tobytes()), part["ws"]
            yield from (_Code(row, w) for row, w in zip(rows, ws, strict=True))
        except (OSError, ValueError, KeyError, EOFError):
            continue


def _earlier(study: Study, record: Embedding) -> dict[str, _Code]:
    """photo sha256 -> code of an earlier run that this run would make again just the same."""
    codes: dict[str, _Code] = {}
    fingerprint = _fingerprint(record)
    if has_latents(study.path):
        try:
            (ws, index), old = read_latents(study.path)
            if _fingerprint(old) == fingerprint:
                rows = index.to_dict("records")
                codes = {row["photo_sha256"]: _Code(dict(row), w) for row, w in zip(rows, ws, strict=True)}
        except StudyError:
            codes = {}  # damaged: made anew
    return codes | {c.row["photo_sha256"]: c for c in _read_parts(study.path / PARTS, fingerprint)}


class _Job:
    """One run over a study's photos."""

    def __init__(
        self,
        study: Study,
        checkpoint: Checkpoint,
        on_progress: Callable[[EmbedProgress], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        self.study, self.checkpoint, self.on_progress, self.cancelled = study, checkpoint, on_progress, cancelled
        self.record = _record(study, checkpoint)
        self.fingerprint = _fingerprint(self.record)
        self.report = EmbedReport(total=len(study.photos))
        self.codes: dict[str, _Code] = {}
        self.started = time.monotonic()

    def tell(self, extra: float = 0.0, image: NDArray[np.uint8] | None = None) -> None:
        if self.on_progress is None:
            return
        report = self.report
        worked = report.new + len(report.failures) + extra
        left = report.total - report.kept - worked
        rate = worked / max(time.monotonic() - self.started, 1e-6)
        seconds_left = left / rate if worked > 0 else None
        done = report.kept + worked
        self.on_progress(EmbedProgress(done, report.total, len(report.failures), seconds_left, image))

    def take_over(self) -> list[tuple[str, Path, str]]:
        """Fills in the codes that exist; returns (patient, photo, sha256) of those to do."""
        earlier = _earlier(self.study, self.record)
        todo = []
        for patient, photo in self.study.photos.items():
            digest = sha256_of(photo)
            if digest in earlier:
                row = {**earlier[digest].row, "patient_id": patient, "photo_id": photo.stem}
                self.codes[patient] = _Code(row, earlier[digest].ws)
                self.report.kept += 1
            else:
                todo.append((patient, photo, digest))
        return todo

    def do(self, batch: list[tuple[str, Path, str]]) -> None:
        """Aligns and inverts a batch and writes its part; photos without a usable face go to the failures."""
        ready, faces = [], []
        for patient, photo, digest in batch:
            if self.cancelled and self.cancelled():
                raise Cancelled("The embedding was stopped.")
            try:
                faces.append(prepare(photo, self.study.settings.aligned))
                ready.append((patient, photo, digest))
            except FaceError as error:
                self.report.failures.append((patient, photo.name, str(error)))
        if not ready:
            return

        def on_step(progress: Progress) -> None:
            self.tell(len(ready) * progress.step / max(progress.steps, 1), progress.image)

        results = invert_faces(self.checkpoint, faces, study_preset(self.study), on_step, self.cancelled)
        codes = []
        for (patient, photo, digest), face, inversion in zip(ready, faces, results, strict=True):
            if isinstance(inversion, InversionError):
                self.report.failures.append((patient, photo.name, str(inversion)))
                continue
            row = index_row(patient, photo, digest, inversion, face.quality.flags)
            codes.append(_Code(row, np.asarray(inversion.ws, np.float32)))
        if codes:
            _write_part(self.study.path / PARTS, self.fingerprint, codes)
        self.codes.update({code.row["patient_id"]: code for code in codes})
        self.report.new += len(codes)

    def finish(self) -> None:
        """The parts become latents.npy and index.parquet, in the order of patients.csv."""
        order = [p for p in self.study.photos if p in self.codes]
        if not order:
            raise StudyError(f"No photo of {self.study.name} could be embedded: {self.report.failures[0][2]}")
        ws = np.stack([self.codes[p].ws for p in order])
        index = pd.DataFrame([self.codes[p].row for p in order], columns=list(INDEX_COLUMNS))
        write_latents(self.study.path, ws, index, self.record)
        names = ("patient_id", "photo", "reason")
        failures = [dict(zip(names, failure, strict=True)) for failure in self.report.failures]
        record = {**asdict(self.record), "photos": self.report.total, "embedded": len(order), "failures": failures}
        write_json(self.study.path / REPORT, record)
        shutil.rmtree(self.study.path / PARTS, ignore_errors=True)


def embed(
    study: Study,
    checkpoint: Checkpoint,
    batch: int = BATCH,
    on_progress: Callable[[EmbedProgress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> EmbedReport:
    """Embeds all photos of a study; returns what was done. `stopped` is True after a cancel: run again to go on.

    Raises StudyError when the study has no photo or none could be used, or the inversion refuses.
    """
    if not study.photos:
        raise StudyError(f"No patient of {study.name} has a photo, so there is nothing to embed.")
    job = _Job(study, checkpoint, on_progress, cancelled)
    try:
        todo = job.take_over()
        job.tell()
        for start in range(0, len(todo), batch):
            job.do(todo[start : start + batch])
            job.tell()
        job.finish()
    except Cancelled:
        job.report.stopped = True
    except LatentError as error:
        raise StudyError(str(error)) from error
    job.report.seconds = time.monotonic() - job.started
    return job.report


def add_arguments(parser: Any) -> None:
    parser.add_argument("study")
    parser.add_argument(
        "--checkpoint", default=None, help="folder or name under checkpoints/ (default: as in study.toml)"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=BATCH, help="photos inverted together")


def run(args: Any) -> int:
    from study.console import duration, progress_line
    from study.prepare import study_checkpoint

    study = Study.open(args.study)
    if args.batch < 1:
        raise StudyError("--batch must be 1 or more.")
    checkpoint = study_checkpoint(study, args.checkpoint, args.device)
    show = progress_line("photos")
    report = embed(study, checkpoint, args.batch, lambda p: show(p.done, p.total, p.seconds_left))
    print(f"{report.new} photos embedded, {report.kept} were there, {len(report.failures)} refused; ", end="")
    print(f"{duration(report.seconds)}.")
    for patient, photo, reason in report.failures[:20]:
        print(f"  {patient} ({photo}): {reason}")
    return 0
