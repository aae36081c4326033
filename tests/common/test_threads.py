"""How many threads a process takes beside others of the project."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import threads

ROOT = Path(__file__).resolve().parents[2]
OTHER = "import sys; from common import threads; print(threads.hold('it', {}).threads, flush=True); sys.stdin.read()"


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Eight cores, nobody on record, nothing fixed; what a test changes in the environment is put back."""
    for name in (*threads.LIBRARIES, *threads.WAITING):
        monkeypatch.setenv(name, "")  # so that it is put back, also where the code sets it
        monkeypatch.delenv(name)
    monkeypatch.setenv(threads.FOLDER, str(tmp_path / "record"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(threads, "QUOTA", tmp_path / "no-quota")
    monkeypatch.setattr(threads, "_mine", None)
    monkeypatch.setattr(threads, "_file", None)
    yield
    if threads._file is not None:
        threads._file.close()


class Other:
    """Another process of the project that holds so many threads."""

    def __init__(self, count: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OTHER.format(count)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ},
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == str(count).encode()

    def __enter__(self) -> Other:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def test_alone_it_takes_every_core_and_tells_the_libraries() -> None:
    share = threads.hold("A test")
    assert (share.threads, share.cores, share.sentence) == (8, 8, "A test uses 8 threads of 8 cores.")
    assert {os.environ[name] for name in threads.LIBRARIES} == {"8"}
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_beside_others_it_takes_what_they_leave() -> None:
    with Other(1), Other(4):
        share = threads.hold("A test")
    assert share.threads == 3
    assert share.sentence == "A test uses 3 threads of 8 cores: other processes of this project hold 5."


def test_it_never_gets_none() -> None:
    with Other(6), Other(6):
        assert threads.left() == 1
        assert threads.hold("A test").threads == 1


@pytest.mark.parametrize("ending", ["kill", "terminate"])
def test_whoever_is_gone_holds_nothing(ending: str, tmp_path: Path) -> None:
    with Other(5) as other:
        assert threads.left() == 3
        getattr(other.process, ending)()
        other.process.wait()
        assert threads.left() == 8
    assert not list((tmp_path / "record").glob("*.share"))


def test_a_server_leaves_its_libraries_alone_and_computes_with_what_is_left() -> None:
    threads.hold("The app", 1)
    assert "OMP_NUM_THREADS" not in os.environ
    assert threads.to_compute() == 7, "its page keeps a core"
    with Other(4):
        assert threads.to_compute() == 3
    assert threads.to_compute() == 7


def test_a_fixed_number_is_kept_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    share = threads.hold("A test")
    assert (share.threads, os.environ["OMP_NUM_THREADS"]) == (5, "5")
    assert "OPENBLAS_NUM_THREADS" not in os.environ
    assert share.sentence.endswith("OMP_NUM_THREADS is set.")
    assert threads.to_compute() == 5
    assert threads.left() == 3


def test_a_chosen_way_of_waiting_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    threads.hold("A test")
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_a_pool_has_the_cores_of_its_process_and_goes_on_record_for_them() -> None:
    with Other(2):
        threads.hold("A test")
        assert threads.pool_size() == 6
        assert threads.pool_size(threads=4) == 1
        assert threads.left() == 2, "four of a worker, two of the other process"
        assert threads.pool_size(3) == 3, "a number that was asked for"
        assert threads.left() == 3


def test_a_pool_of_single_threads_has_every_core_although_the_number_of_threads_is_fixed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads.hold("A test")
    assert threads.pool_size() == 8


@pytest.mark.parametrize(("quota", "cores"), [("150000 100000", 2), ("max 100000", 8), ("9900000 100000", 8), ("", 8)])
def test_a_containers_quota_counts(quota: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(threads, "QUOTA", tmp_path / "cpu.max")
    assert threads.cores() == cores


@pytest.mark.parametrize("text", ["", "0", "-2", "many", "2.5"])
def test_what_is_no_number_of_threads_fixes_nothing(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert threads.fixed() is None


def test_nested_levels_of_openmp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")
    assert threads.fixed() == 4


@pytest.mark.parametrize("obstacle", ["file", "link"])
def test_without_a_record_nothing_is_counted(obstacle: str, tmp_path: Path) -> None:
    place = tmp_path / "record"
    if obstacle == "file":
        place.write_text("in the way")
    else:
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    assert threads.hold("A test").threads == 8
    assert threads.left() == 8
    assert not (tmp_path / "elsewhere").exists() or not list((tmp_path / "elsewhere").iterdir())


def test_damaged_records_count_as_one_thread(tmp_path: Path) -> None:
    with Other(5) as other:
        (tmp_path / "record" / f"{other.process.pid}.share").write_text("many")
        assert threads.left() == 7


def test_the_environment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with threads.environment(threads.worker_environment(2)):
        assert (os.environ["OMP_NUM_THREADS"], os.environ["OMP_WAIT_POLICY"]) == ("2", "PASSIVE")
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "OMP_WAIT_POLICY" not in os.environ


def test_the_log_has_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    threads.announce("A test")
    threads.announce("A test")
    assert capsys.readouterr().err == "A test uses 8 threads of 8 cores.\n"


def test_the_log_says_nothing_of_a_fixed_number(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    threads.announce("A test")
    assert capsys.readouterr().err == ""


@given(st.integers(1, 64), st.lists(st.integers(1, 16), max_size=5), st.integers(1, 8))
def test_shares_add_up_to_the_cores_or_everyone_has_one(total: int, others: list[int], each: int) -> None:
    """Whoever comes takes no more than is left, a pool no more than its process."""
    patch = pytest.MonkeyPatch()
    record: dict[str, Any] = {str(i): share for i, share in enumerate(others)}
    try:
        patch.setattr(threads, "cores", lambda: total)
        patch.setattr(threads, "_held", lambda: record)
        left = threads.left()
        assert left >= 1
        assert left == 1 or left + sum(others) <= total
        size = threads.pool_size(threads=each)
        assert size == 1 or size * each <= left
    finally:
        patch.undo()


def test_a_command_line_is_on_record_before_its_work_is_imported(tmp_path: Path) -> None:
    """Seen from a process that has loaded nothing: the variables stand when the verb's module is imported."""
    (tmp_path / "verb.py").write_text(
        "import os, sys\n"
        "assert 'torch' not in sys.modules\n"
        "seen = os.environ['OMP_WAIT_POLICY'], os.environ['OMP_NUM_THREADS']\n"
        "def add_arguments(parser): pass\n"
        "def run(options): print(*seen); return 0\n"
    )
    code = "from common.command import run_verb; run_verb('room', None, {'do': ('verb', '')}, (), ['do'])"
    paths = os.pathsep.join([str(ROOT), str(tmp_path)])
    with Other(threads.cores()):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout.split() == ["PASSIVE", "1"]
    assert done.stderr.startswith("python -m room do uses 1 thread of ")
