"""`python -m study embed`: every photo of a study to a W+ code, once, with the study's preset; a stopped run resumes.

Photos are aligned and inverted in blocks; each finished block is one part file, written atomically under
`embedding.parts/`. When all photos are through, the parts become latents.npy and index.parquet, and are removed. A
part or an older code is taken over only if photo, checkpoint, preset, settings, alignment and number of views are the
same, so a stop, at any instant, loses at most the running blocks and never mixes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from common.command import path_argument
from latent.checkpoints import Checkpoint
from latent.errors import Cancelled, LatentError
from study.disk.latents import LATENTS, Embedding, read_index
from study.disk.places import CHECKPOINT_HELP
from study.disk.store import Study
from study.embedding.blocks import Engine, MakeWorker, digest_table
from study.embedding.local import DEVICES, InProcess, Processes, choose_devices
from study.embedding.parts import FinishedCodes
from study.embedding.record import record_of, study_preset
from study.embedding.run import EmbeddingRun, EmbedReport, OnProgress
from study.embedding.worker import BlockWorker, worker_spec
from study.errors import StudyError
from study.files import check_writable
from study.photos.aligned_store import AlignedStore
from study.photos.confirm import choose_nearest

BATCH = 8
VIEW_BYTES = 2 * 18 * 512 * 2  # of a view of a photo at most: in its part, and in latents.npy
ENGINES = ("local", "ray")


def _finish(run: EmbeddingRun, engine: Engine, batch: int) -> EmbedReport:
    try:
        run.run(engine, batch)
    except Cancelled:
        run.report.stopped = True
    except LatentError as error:
        raise StudyError(str(error)) from error
    run.report.seconds = time.monotonic() - run.started
    return run.report


def study_record(study: Study, checkpoint: Checkpoint) -> Embedding:
    """What would shape the codes of this study now. Raises StudyError where there is nothing to embed."""
    if not study.included_photos:
        which = "that is not excluded" if study.photos else "with a photo"
        raise StudyError(f"{study.name} has no patient {which}, so there is nothing to embed.")
    try:
        s = study.settings
        return record_of(checkpoint, study_preset(study), s.preset, s.aligned, s.views)
    except LatentError as error:
        raise StudyError(str(error)) from error


def embed(
    study: Study,
    checkpoint: Checkpoint,
    batch: int = BATCH,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> EmbedReport:
    """Embeds all photos of a study in this process; returns what was done. `stopped` is True after a cancel: run
    again to resume.

    Raises StudyError when the study has no photo or none could be used, or the inversion refuses.
    """
    record = study_record(study, checkpoint)
    choose_nearest(study)
    finished = FinishedCodes(study.path, record)
    run = EmbeddingRun(study, record, finished, on_progress, cancelled)
    worker = BlockWorker(checkpoint, record, AlignedStore.of(study), digest_table(finished.digests()), cancelled)
    return _finish(run, InProcess(worker), batch)


def embed_with(
    study: Study,
    checkpoint: Checkpoint,
    make_engine: Callable[[MakeWorker], Engine],
    batch: int = BATCH,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> EmbedReport:
    """As `embed`, by the workers of an engine, which load the checkpoint from its folder themselves."""
    record = study_record(study, checkpoint)
    choose_nearest(study)
    finished = FinishedCodes(study.path, record)
    with worker_spec(study, checkpoint.path, record, finished) as make_worker:
        engine = make_engine(make_worker)
        try:
            return _finish(EmbeddingRun(study, record, finished, on_progress, cancelled), engine, batch)
        finally:
            engine.close()


def engine_for(options: Any, photos: int) -> Callable[[MakeWorker], Engine]:
    """How to make the engine that the command line asks for; photos: how many there are at most to do.

    Raises StudyError for workers or a device that cannot be.
    """
    for name in ("batch", "workers", "threads"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise StudyError(f"--{name} must be 1 or more.")
    if options.engine == "ray":
        from study.embedding.ray_engine import RayEngine

        settings = (options.device, options.workers, options.threads, options.address)
        return lambda make_worker: RayEngine(make_worker, *settings)
    devices = choose_devices(options.device, options.workers, options.threads)
    blocks = -(-photos // options.batch)
    return lambda make_worker: Processes(make_worker, devices[: max(blocks, 1)], options.threads)


def add_arguments(parser: Any) -> None:
    parser.add_argument("study", type=path_argument)
    parser.add_argument("--checkpoint", type=path_argument, help=CHECKPOINT_HELP)
    parser.add_argument("--engine", choices=ENGINES, default="local", help="local: this machine; ray: a Ray cluster")
    parser.add_argument("--device", default="auto", help=f"{DEVICES} (default auto: cuda where there is one)")
    parser.add_argument(
        "--batch", type=int, default=BATCH, help="photos inverted together, all their views; one part file"
    )
    parser.add_argument("--workers", type=int, default=None, help="default: one per GPU, or one per group of cores")
    parser.add_argument("--threads", type=int, default=1, help="cores a worker on the CPU uses (default 1)")
    parser.add_argument("--address", default=None, help="ray: HOST:PORT, or auto (default: a new one here)")


def run(args: Any) -> int:
    from common.console import ProgressLine
    from common.text import count, duration
    from study.description.inversion_error import error_and_survival, error_text
    from study.photos.prepare import study_checkpoint

    study = Study.open(args.study)
    check_writable(study.path / LATENTS, len(study.included_files) * study.settings.views * VIEW_BYTES)
    if study.has_latents and (then := study.embedding.views) != (now := study.settings.views):
        print(f"The codes rest on {count(then, 'view')} of each photo, study.toml says {now}: all are embedded again.")
    make_engine = engine_for(args, len(study.included_files))
    checkpoint = study_checkpoint(study, args.checkpoint)
    report = embed_with(study, checkpoint, make_engine, args.batch, ProgressLine("photos"))
    embedded, seconds = count(report.new, "photo"), duration(report.seconds)
    print(f"{embedded} embedded, {report.kept} already had a code, {len(report.failures)} refused; {seconds}.")
    for patient, photo, reason in report.failures[:20]:
        print(f"  {patient} ({photo}): {reason}")
    print(error_text(error_and_survival(study, index=read_index(study.path)[0])))
    return 0
