"""One run over a study's photos, whatever engine works on the blocks: reuses finished codes, keeps new ones, tries
failed blocks again, writes the result."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field

from latent.errors import Cancelled
from study.disk.latents import Embedding
from study.disk.store import Study
from study.embedding.blocks import Block, BlockResult, Engine, blocks_of
from study.embedding.parts import PARTS, FinishedCodes
from study.errors import StudyError
from study.files import write_json

REPORT = "embedding.json"
BACK_OFF = 0.5  # seconds before the first repetition; doubled for each further one
MAX_BACK_OFF = 60.0
OnProgress = Callable[[int, int], None]  # photos finished, photos in all
MAX_FAILED_IN_A_ROW = 12  # blocks, and as many more as there are workers: then it is not the photos


@dataclass
class EmbedReport:
    """total photos of the study; new: inverted in this run; kept: taken over; failures: (patient, file, reason).

    repeated: blocks that failed as a whole and were tried again.
    """

    total: int
    new: int = 0
    kept: int = 0
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    repeated: int = 0
    stopped: bool = False
    seconds: float = 0.0


class EmbeddingRun:
    """photos: (patient, path) in the order of the patient table, several of a patient too, no excluded patient's."""

    def __init__(
        self,
        study: Study,
        record: Embedding,
        finished: FinishedCodes,
        on_progress: OnProgress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        self.study, self.record, self.finished = study, record, finished
        self.on_progress, self.cancelled = on_progress, cancelled
        self.photos = [(patient, str(path)) for patient, path in study.included_files]
        self.digests = [""] * len(self.photos)
        self.report = EmbedReport(total=len(self.photos))
        self.reasons: dict[int, str] = {}
        self.started = time.monotonic()

    def _show_progress(self) -> None:
        if self.on_progress is not None:
            self.on_progress(self.report.kept + self.report.new + len(self.reasons), self.report.total)

    def run(self, engine: Engine, batch: int) -> None:
        """All photos; blocks that fail are tried again after the others, waiting longer each time."""
        self._show_progress()
        blocks: Iterator[Block] = blocks_of(self.photos, batch)
        pause = BACK_OFF
        while again := self._round(engine, blocks):
            self.report.repeated += len(again)
            self._wait(pause)
            pause = min(2 * pause, MAX_BACK_OFF)
            blocks = iter(again)
        self._finish()

    def _round(self, engine: Engine, blocks: Iterator[Block]) -> list[Block]:
        """Every block once; returns what is to be tried again."""
        again: list[Block] = []
        in_a_row = 0
        with closing(engine.run(blocks, self.cancelled)) as results:
            for block, result in results:
                if result.refused:
                    raise StudyError(result.refused)
                in_a_row = in_a_row + 1 if result.error else 0
                if result.error and block.tries == 0 and in_a_row >= MAX_FAILED_IN_A_ROW + engine.workers:
                    raise StudyError(
                        f"{in_a_row} blocks of photos failed one after the other ({result.error}). Use fewer "
                        "--workers or a smaller --batch; finished photos are kept."
                    )
                if not result.error:
                    self._keep(block, result)
                elif tries := block.again():
                    again += tries
                else:
                    words = f"The photo could not be embedded in {block.tries + 1} tries: {result.error}."
                    self.reasons[block.start] = words
                self._show_progress()
        return again

    def _keep(self, block: Block, result: BlockResult) -> None:
        """Keeps what a block returned: its codes, then the counts of its photos."""
        fresh = [o.digest for o in result.outcomes if o.digest and o.digest not in self.finished]
        if result.part:
            self.finished.put(result.part)
        for i, outcome in enumerate(result.outcomes, block.start):
            self.digests[i] = outcome.digest
            if outcome.reason:
                self.reasons[i] = outcome.reason
        self.report.new += len(fresh)
        self.report.kept += sum(bool(o.digest) for o in result.outcomes) - len(fresh)

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self.cancelled is not None and self.cancelled():
                raise Cancelled("The embedding was stopped.")
            time.sleep(min(left, 0.2))

    def _finish(self) -> None:
        """The parts become latents.npy and index.parquet, in the order of patients.csv."""
        for i in sorted(self.reasons):
            patient, path = self.photos[i]
            self.report.failures.append((patient, path.rpartition("/")[2], self.reasons[i]))
        done = [i for i, digest in enumerate(self.digests) if digest]
        if not done:
            raise StudyError(f"No photo of {self.study.name} could be embedded: {self.report.failures[0][2]}")
        self.finished.assemble([self.photos[i] for i in done], [self.digests[i] for i in done])
        names = ("patient_id", "photo", "reason")
        failures = [dict(zip(names, failure, strict=True)) for failure in self.report.failures]
        record = {**asdict(self.record), "photos": self.report.total, "embedded": len(done), "failures": failures}
        record["excluded"] = sorted(self.study.excluded)
        write_json(self.study.path / REPORT, record)
        shutil.rmtree(self.study.path / PARTS, ignore_errors=True)
