"""Engines: nothing lost or doubled whatever is killed, the same codes from each, bad photos alone reported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import study.embedding.run as run_module
from common import threads
from common.text import count
from latent.checkpoints import Checkpoint
from latent.errors import Cancelled
from study.disk.latents import Embedding, read_latents
from study.disk.store import Study
from study.embedding.blocks import Block, BlockResult, Engine, PhotoOutcome, blocks_of, digest_table, is_in
from study.embedding.command import add_arguments, embed, embed_with, engine_for
from study.embedding.local import Processes, choose_devices
from study.embedding.parts import PARTS, FinishedCodes
from study.embedding.record import fingerprint, record_of, study_preset
from study.embedding.run import EmbeddingRun
from study.embedding.worker import WorkerSpec, worker_spec
from study.errors import StudyError
from tests.study.conftest import patient_table, write_study
from tests.study.embedding.engine_workers import SHAPE, Fake
from tests.waiting import wait_until

RAYS_OWN_WARNINGS = pytest.mark.filterwarnings("ignore")
ROOT = Path(__file__).parents[3]
RECORD = Embedding("tiny", "c" * 64, "balanced", *SHAPE)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "BACK_OFF", 0.01)


@pytest.fixture
def nine(tmp_path: Path) -> Study:
    return Study.open(write_study(tmp_path / "s", patient_table(9), photos=9, aligned=True))


def job_of(study: Study, **options: object) -> EmbeddingRun:
    return EmbeddingRun(study, RECORD, FinishedCodes(study.path, RECORD), **options)  # type: ignore[arg-type]


def fake(**troubles: object) -> Fake:
    return Fake(fingerprint(RECORD), **troubles)  # type: ignore[arg-type]


def read(study: Study) -> tuple[np.ndarray, pd.DataFrame]:
    latents, _ = read_latents(study.path)
    return np.asarray(latents.ws), latents.index


def codes_by_name(study: Study) -> dict[str, float]:
    ws, index = read(study)
    return dict(zip(index["patient_id"], ws[:, 0, 0].tolist(), strict=True))


@given(st.integers(1, 40), st.sets(st.integers(0, 39)))
def test_halving_isolates_whoever_fails(n: int, bad: set[int]) -> None:
    """Law: every good photo is done once, every bad one is given up alone, in a bounded number of tries."""
    waiting = list(blocks_of([(str(i), str(i)) for i in range(n)], 8))
    done: list[int] = []
    given_up: list[int] = []
    tries = 0
    while waiting:
        block = waiting.pop(0)
        tries += 1
        members = [int(patient) for patient, _ in block.photos]
        if not bad & set(members):
            done += members
        elif again := block.again():
            waiting += again
        else:
            given_up += members
    bad &= set(range(n))
    assert sorted(done) == sorted(set(range(n)) - bad)
    assert sorted(given_up) == sorted(bad)
    assert tries <= -(-n // 8) + 9 * len(bad)


@given(st.text(max_size=30), st.text(max_size=30), st.binary(max_size=20), st.integers(0, 10**9))
def test_a_result_goes_over_the_wire(reason: str, error: str, part: bytes, start: int) -> None:
    result = BlockResult(start, (PhotoOutcome("ab" * 32), PhotoOutcome(reason=reason)), part, error, reason)
    assert BlockResult.parse(result.header(), part) == result


@given(st.sets(st.binary(min_size=32, max_size=32), max_size=20), st.binary(min_size=32, max_size=32))
def test_table_of_digests(members: set[bytes], other: bytes) -> None:
    table = digest_table([m.hex() for m in members])
    assert all(is_in(table, m.hex()) for m in members)
    assert is_in(table, other.hex()) == (other in members)


@pytest.mark.slow
def test_processes_do_every_photo_once(nine: Study) -> None:
    job = job_of(nine)
    job.run(Processes(fake(), ["cpu", "cpu"]), 2)
    assert (job.report.new, job.report.kept, job.report.failures, job.report.repeated) == (9, 0, [], 0)
    assert codes_by_name(nine) == {f"P{i:04d}": float(i) for i in range(1, 10)}
    assert not (nine.path / PARTS).exists()
    assert len(job_of(nine).finished.digests()) == 9


@pytest.mark.slow
def test_a_worker_that_is_killed_once_costs_nothing(nine: Study, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    job = job_of(nine)
    job.run(Processes(fake(deadly=("P0004", "P0007"), once=str(marks)), ["cpu", "cpu"]), 3)
    assert len(list(marks.iterdir())) == 2
    assert (job.report.new, job.report.failures, job.report.repeated) == (9, [], 2)
    assert codes_by_name(nine) == {f"P{i:04d}": float(i) for i in range(1, 10)}


@pytest.mark.slow
def test_a_photo_that_always_kills_is_isolated(nine: Study) -> None:
    job = job_of(nine)
    job.run(Processes(fake(deadly=("P0005",), broken=("P0008",)), ["cpu"]), 4)
    assert [(patient, photo) for patient, photo, _ in job.report.failures] == [
        ("P0005", "P0005.jpg"),
        ("P0008", "P0008.jpg"),
    ]
    assert "signal 9" in job.report.failures[0][2]
    assert "MemoryError" in job.report.failures[1][2]
    assert job.report.new == 7
    assert set(codes_by_name(nine)) == {f"P{i:04d}" for i in (1, 2, 3, 4, 6, 7, 9)}


@pytest.mark.slow
def test_workers_that_never_work_end_the_run(tmp_path: Path) -> None:
    study = Study.open(write_study(tmp_path / "s", patient_table(30), photos=30, aligned=True))
    names = tuple(f"P{i:04d}" for i in range(31))
    with pytest.raises(StudyError, match="blocks of photos failed one after the other"):
        job_of(study).run(Processes(fake(broken=names), ["cpu"]), 1)
    with pytest.raises(StudyError, match="does not see the folder"):
        job_of(study).run(Processes(fake(refuses="node7 does not see the folder."), ["cpu"]), 1)


def test_cancelled_between_blocks(nine: Study) -> None:
    """What is finished by then is kept, and the next run goes on from there."""
    done: list[int] = []
    job = job_of(nine, on_progress=lambda photos, _: done.append(photos), cancelled=lambda: len(done) > 2)
    with pytest.raises(Cancelled):
        job.run(Processes(fake(), ["cpu"]), 2)
    kept = len(FinishedCodes(nine.path, RECORD).digests())
    assert 2 <= kept < 9
    second = job_of(nine)
    second.run(Processes(fake(), ["cpu"]), 2)
    assert codes_by_name(nine) == {f"P{i:04d}": float(i) for i in range(1, 10)}


def real_study(folder: Path, n: int) -> Study:
    settings = {"aligned": True, "preset": "fast", "checkpoint": "tiny"}
    return Study.open(write_study(folder, patient_table(n), photos=n, **settings))


def command(study: Study, checkpoint: Checkpoint) -> list[str]:
    options = ["--checkpoint", str(checkpoint.path), "--workers", "1", "--batch", "1", "--device", "cpu"]
    return [sys.executable, "-m", "study", "embed", str(study.path), *options]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_driver_killed_in_the_middle(tmp_path: Path, make_checkpoint: Callable[[], Checkpoint]) -> None:
    """SIGKILL to the command itself: its workers go too, and the same command ends with the codes of one clean run."""
    checkpoint = make_checkpoint()
    study = real_study(tmp_path / "s", 6)
    driver = subprocess.Popen(command(study, checkpoint), cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: list((study.path / PARTS).rglob("*.npz")) or driver.poll() is not None)
        assert driver.poll() is None, "the command ended before it could be killed"
        children = Path(f"/proc/{driver.pid}/task/{driver.pid}/children").read_text().split()
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    wait_until(lambda: not any(alive(int(child)) for child in children))
    assert not study.has_latents
    kept = len(list((study.path / PARTS).rglob("*.npz")))
    assert kept >= 1
    done = subprocess.run(command(study, checkpoint), cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"{count(6 - kept, 'photo')} embedded, {kept} already had a code, 0 refused" in done.stdout
    clean = real_study(tmp_path / "clean", 6)
    embed(clean, checkpoint, batch=1)
    mine, index = read(study)
    theirs, other = read(clean)
    np.testing.assert_allclose(mine, theirs, atol=1e-5)
    assert list(index["patient_id"]) == list(other["patient_id"])
    assert not [p for p in study.path.rglob("*") if p.name.endswith(".tmp") or PARTS in p.parts]


@pytest.mark.slow
def test_real_workers_in_processes(tmp_path: Path, make_checkpoint: Callable[[], Checkpoint]) -> None:
    """Local engine and in-process run: the same codes; one damaged photo is a reason, not a crash."""
    checkpoint = make_checkpoint()
    study, other = real_study(tmp_path / "s", 4), real_study(tmp_path / "t", 4)
    study.photo_path("P0002").write_bytes(b"no photo")
    other.photo_path("P0002").write_bytes(b"no photo")
    report = embed_with(study, checkpoint, lambda make: Processes(make, ["cpu"]), batch=2)
    embed(other, checkpoint, batch=2)
    assert [failure[0] for failure in report.failures] == ["P0002"]
    mine, theirs = read(study)[0], read(other)[0]
    np.testing.assert_allclose(mine, theirs, atol=1e-5)
    assert len(mine) == 3


def test_a_machine_that_would_give_other_codes_is_refused(
    tmp_path: Path, make_checkpoint: Callable[[], Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, study = make_checkpoint(), real_study(tmp_path / "s", 2)
    record = record_of(checkpoint, study_preset(study), "fast", True)
    monkeypatch.setattr("study.embedding.worker.SHARED_DISK_SECONDS", 0.1)
    with worker_spec(study, checkpoint.path, record, FinishedCodes(study.path, record)) as spec:
        assert spec("cpu").store.aligned
        other = replace(record, settings={**record.settings, "perceptual_name": "another"})
        with pytest.raises(StudyError, match="would make codes that do not fit"):
            WorkerSpec(spec.study, spec.checkpoint, other, spec.known)("cpu")
        with pytest.raises(StudyError, match="does not see the study's folder"):
            WorkerSpec("/nowhere", spec.checkpoint, record, spec.known)("cpu")
    assert not list((study.path / PARTS).glob("known-*"))


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(threads, "_mine", None)
    monkeypatch.setattr(threads, "_file", None)
    monkeypatch.setattr(threads, "_held", dict)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert choose_devices("auto", None, 1) == ["cpu"] * 8
    assert choose_devices("cpu", None, 3) == ["cpu"] * 2
    assert choose_devices("cpu", 5, 1) == ["cpu"] * 5
    with pytest.raises(StudyError, match="There is no cuda"):
        choose_devices("cuda", None, 1)
    with pytest.raises(StudyError, match="is not known"):
        choose_devices("tpu", None, 1)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert choose_devices("auto", None, 1) == ["cuda:0", "cuda:1"]
    assert choose_devices("cuda", 3, 1) == ["cuda:0", "cuda:1", "cuda:0"]
    assert choose_devices("cuda:1", None, 1) == ["cuda:1"]
    with pytest.raises(StudyError, match="There is no cuda:2"):
        choose_devices("cuda:2", None, 1)


@pytest.mark.parametrize("option", ["--workers", "--threads", "--batch"])
def test_options_below_one(option: str) -> None:
    parser = ArgumentParser()
    add_arguments(parser)
    with pytest.raises(StudyError, match=f"{option} must be 1 or more"):
        engine_for(parser.parse_args(["s", option, "0"]), 10)


def test_without_ray_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, nine: Study) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    parser = ArgumentParser()
    add_arguments(parser)
    with pytest.raises(StudyError, match=r"requirements-scale\.txt"):
        engine_for(parser.parse_args(["s", "--engine", "ray"]), 10)(fake())


@pytest.fixture(scope="module")
def cluster() -> Iterator[Callable[..., Engine]]:
    """Makes Ray engines of a cluster of two cores in this process."""
    pytest.importorskip("ray", reason="Ray is not installed (requirements-scale.txt)")
    from study.embedding.ray_engine import RayEngine

    engines: list[RayEngine] = []

    def make(make_worker: object, **options: object) -> Engine:
        engines.append(RayEngine(make_worker, "cpu", **options))  # type: ignore[arg-type]
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


@RAYS_OWN_WARNINGS
@pytest.mark.slow
def test_ray_isolates_a_photo_that_kills(nine: Study, cluster: Callable[..., Engine]) -> None:
    job = job_of(nine)
    engine = cluster(fake(deadly=("P0005",)), workers=1)
    try:
        job.run(engine, 3)
    finally:
        engine.close()
    assert [failure[0] for failure in job.report.failures] == ["P0005"]
    assert "lost" in job.report.failures[0][2]
    assert set(codes_by_name(nine)) == {f"P{i:04d}" for i in (1, 2, 3, 4, 6, 7, 8, 9)}


@RAYS_OWN_WARNINGS
@pytest.mark.slow
def test_ray_gives_the_codes_of_the_local_engine(
    tmp_path: Path, make_checkpoint: Callable[[], Checkpoint], cluster: Callable[..., Engine]
) -> None:
    checkpoint = make_checkpoint()
    study, other = real_study(tmp_path / "s", 4), real_study(tmp_path / "t", 4)
    report = embed_with(study, checkpoint, lambda make: cluster(make, workers=1), batch=2)
    embed(other, checkpoint, batch=2)
    assert (report.new, report.failures) == (4, [])
    np.testing.assert_allclose(read(study)[0], read(other)[0], atol=1e-5)
    again = embed_with(Study.open(study.path), checkpoint, lambda make: cluster(make, workers=1), batch=2)
    assert (again.new, again.kept) == (0, 4)


@RAYS_OWN_WARNINGS
def test_a_refusal_on_a_node_is_a_sentence(nine: Study, cluster: Callable[..., Engine]) -> None:
    engine = cluster(fake(refuses="node7 does not see the study's folder."), workers=1)
    try:
        with pytest.raises(StudyError, match="node7 does not see"):
            job_of(nine).run(engine, 3)
    finally:
        engine.close()


def test_block_halves_are_whole() -> None:
    block = Block(10, tuple((str(i), str(i)) for i in range(5)), tries=1)
    first, second = block.again()
    assert first.photos + second.photos == block.photos
    assert (first.start, second.start) == (10, 12)
