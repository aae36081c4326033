"""The queue of jobs, with real processes: a small package named latent stands where the jobs run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.queue import ID, LOG, PROJECT, RECORD, UPLOAD, Queue
from jobs.record import Job, QueueError, born, checked
from jobs.runner import Runner
from tests.waiting import wait_until

WORK = """
import os, pathlib, signal, sys, time
verb, *words = sys.argv[1:]
here = pathlib.Path.cwd()
busy = here / "busy"
busy.touch(exist_ok=False)  # two jobs at once: the second fails
with (here / "order").open("a") as file:
    file.write(words[0] + "\\n")
print("working on", words[0])
if verb == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if verb == "polite":
    signal.signal(signal.SIGTERM, lambda *a: (busy.unlink(), print("stopped as asked"), sys.exit(0)))
(here / f"started-{words[0]}").touch()
while verb in ("wait", "deaf", "polite") and not (here / f"finish-{words[0]}").exists():
    time.sleep(0.02)
busy.unlink()
if verb == "stops":  # as a run does whose folder has got a file `stop`
    sys.exit(130)
if verb == "fail":
    sys.exit("The set holds no photo: give another one.")
"""


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    home = tmp_path / "home"
    (home / "latent").mkdir(parents=True)
    (home / "latent" / "__init__.py").touch()
    (home / "latent" / "__main__.py").write_text(WORK)
    return Queue(tmp_path / "queue", home)


def add(queue: Queue, verb: str, name: str, grace: float = 20.0) -> Job:
    return queue.add(f"job {name}", ["latent", verb, name], grace=grace, start=False)


def state(queue: Queue, job: Job) -> str:
    return queue.read(job.id).state


def finish(queue: Queue, name: str) -> None:
    (queue.home / f"finish-{name}").touch()


def began(queue: Queue, name: str) -> Callable[[], bool]:
    return (queue.home / f"started-{name}").exists


def order(queue: Queue) -> list[str]:
    return (queue.home / "order").read_text().split()


def idle(queue: Queue) -> None:
    wait_until(lambda: not queue.runner_lives())


def test_jobs_run_one_at_a_time_in_their_order(queue: Queue) -> None:
    jobs = [add(queue, "quick", name) for name in "abc"]
    queue.to_front(jobs[2].id)
    assert [job.title for job in queue.jobs()[0]] == ["job c", "job a", "job b"]
    queue.start_runner()
    queue.start_runner()  # two runners: one does nothing
    wait_until(lambda: all(state(queue, job) == "done" for job in jobs))
    idle(queue)
    assert order(queue) == ["c", "a", "b"]
    assert [queue.read(job.id).exit_code for job in jobs] == [0, 0, 0]
    assert "working on a" in queue.tail(jobs[0].id)
    assert "python -m latent quick a" in queue.tail(jobs[0].id)


def test_a_job_outlives_whoever_queued_it(queue: Queue) -> None:
    code = (
        "import sys; from pathlib import Path; from jobs.queue import Queue\n"
        "Queue(Path(sys.argv[1]), Path(sys.argv[2])).add('orphan', ['latent', 'wait', 'a'])\n"
    )
    subprocess.run([sys.executable, "-c", code, str(queue.root), str(queue.home)], cwd=PROJECT, check=True)
    wait_until(began(queue, "a"))
    [job] = queue.jobs()[0]
    assert job.state == "running"
    assert job.alive()
    assert os.getsid(job.pid or 0) == job.pid, "a session of its own: closing the terminal does not reach it"
    finish(queue, "a")
    wait_until(lambda: state(queue, job) == "done")
    idle(queue)


@pytest.mark.slow
def test_a_stop_is_a_question_first_and_force_after_the_grace(queue: Queue) -> None:
    polite, deaf, waiting = add(queue, "polite", "p"), add(queue, "deaf", "d", grace=0.1), add(queue, "quick", "w")
    queue.start_runner()
    wait_until(began(queue, "p"))
    queue.stop(waiting.id)
    assert state(queue, waiting) == "stopped"
    with pytest.raises(QueueError, match="stop it first"):
        queue.remove(polite.id)
    queue.stop(polite.id)
    wait_until(lambda: state(queue, polite) == "stopped")
    assert queue.tail(polite.id).endswith("stopped as asked")
    wait_until(began(queue, "d"))
    queue.stop(deaf.id)
    wait_until(lambda: state(queue, deaf) == "stopped")
    assert queue.read(deaf.id).exit_code == -signal.SIGKILL
    idle(queue)
    assert order(queue) == ["p", "d"], "a job stopped before its turn never starts"


def test_a_job_that_stopped_by_itself_is_stopped_and_can_be_resumed(queue: Queue) -> None:
    job = add(queue, "stops", "s")
    queue.start_runner()
    wait_until(lambda: state(queue, job) == "stopped")
    assert queue.read(job.id).exit_code == 130
    idle(queue)
    queue.resume(job.id)
    wait_until(lambda: order(queue) == ["s", "s"])
    wait_until(lambda: state(queue, job) == "stopped")
    idle(queue)


def test_what_failed_says_why_and_can_be_resumed(queue: Queue) -> None:
    job = add(queue, "fail", "f")
    queue.start_runner()
    wait_until(lambda: state(queue, job) == "failed")
    assert queue.tail(job.id).splitlines()[-1] == "The set holds no photo: give another one."
    idle(queue)
    queue.resume(job.id)
    wait_until(lambda: order(queue) == ["f", "f"])
    wait_until(lambda: state(queue, job) == "failed")
    idle(queue)
    assert queue.tail(job.id).count("python -m latent fail f") == 2, "one log over all attempts"


def test_a_job_whose_runner_was_killed_runs_on_and_is_taken_over(queue: Queue) -> None:
    first, second = add(queue, "wait", "a"), add(queue, "quick", "b")
    queue.start_runner()
    wait_until(began(queue, "a"))
    wait_until(lambda: queue.read(first.id).pid)
    os.kill(queue.read(first.id).runner or 0, signal.SIGKILL)
    idle(queue)
    assert state(queue, first) == "running"
    queue.start_runner()
    wait_until(queue.runner_lives)
    assert state(queue, second) == "waiting", "still one at a time"
    finish(queue, "a")
    wait_until(lambda: state(queue, second) == "done")
    assert state(queue, first) == "interrupted", "nobody saw how it ended"
    idle(queue)


def test_a_taken_over_job_can_be_stopped(queue: Queue) -> None:
    job = add(queue, "polite", "a")
    queue.start_runner()
    wait_until(began(queue, "a"))
    wait_until(lambda: queue.read(job.id).pid)
    os.kill(queue.read(job.id).runner or 0, signal.SIGKILL)
    idle(queue)
    queue.stop(job.id)
    wait_until(lambda: state(queue, job) == "stopped")
    idle(queue)


def test_an_interrupted_job_is_recognised_and_resumed(queue: Queue) -> None:
    job = add(queue, "quick", "a")
    with queue.turn():  # as a machine leaves it that went down: numbers that now belong to other processes
        queue.change(job.id, state="running", pid=os.getpid(), born="before", runner=os.getpid(), runner_born="before")
    assert state(queue, job) == "interrupted"
    queue.wake()
    idle(queue)
    assert state(queue, job) == "interrupted", "nothing starts again by itself"
    queue.resume(job.id)
    wait_until(lambda: state(queue, job) == "done")
    idle(queue)


def test_waiting_jobs_wake_a_runner(queue: Queue) -> None:
    job = add(queue, "quick", "a")
    queue.wake()
    wait_until(lambda: state(queue, job) == "done")
    idle(queue)
    queue.remove(job.id)
    assert queue.jobs() == ([], [])


def test_uploads_go_when_the_job_is_done_or_removed(queue: Queue) -> None:
    kept, gone = queue.draft(), queue.draft()
    for _, upload in (kept, gone):
        (upload / "photos.zip").write_bytes(b"faces")
    queue.add("fails", ["latent", "fail", "k"], name=kept[0], start=False)
    queue.add("works", ["latent", "quick", "g"], name=gone[0], start=False)
    queue.start_runner()
    wait_until(lambda: queue.read(gone[0]).state == "done")
    idle(queue)
    assert (kept[1] / "photos.zip").exists(), "a job that failed can be resumed"
    assert not gone[1].exists()
    queue.remove(kept[0])
    assert not kept[1].parent.exists()
    left, upload = queue.draft()
    os.utime(upload.parent, (0, 0))
    queue.clear_drafts()
    assert not (queue.root / left).exists(), "an upload that never became a job"


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[]",
        "[" * 30_000,
        "{}",
        json.dumps({"title": "x", "command": ["os", "system"]}),
        json.dumps({"title": "x", "command": ["latent.evil", "x"]}),
        json.dumps({"title": "x", "command": "latent; rm -rf /"}),
        json.dumps({"title": "x", "command": ["latent", "a\0b"]}),
        json.dumps({"title": "x\n", "command": ["latent", "x"]}),
        json.dumps({"title": "x", "command": ["latent", "x"], "pid": -1}),
        json.dumps({"title": "x", "command": ["latent", "x"], "state": "exploded"}),
        json.dumps({"title": "x", "command": ["latent", "x"], "rank": "first"}),
        '{"title": "x", "command": ["latent", "x"], "rank": NaN}',
        json.dumps({"title": "x", "command": ["latent", "x"], "shell": True}),
        json.dumps({"title": "x", "command": ["latent", *["x"] * 300]}),
        json.dumps({"title": "x" * 100_000, "command": ["latent", "x"]}),
    ],
)
def test_a_hostile_record_is_left_out_in_a_sentence_and_the_others_run(queue: Queue, text: str) -> None:
    name = queue.draft()[0]
    record = queue.root / name / RECORD
    record.write_text(text)
    good = add(queue, "quick", "a")
    jobs, problems = queue.jobs()
    assert [job.id for job in jobs] == [good.id]
    assert len(problems) == 1
    assert name in problems[0]
    assert "\n" not in problems[0]
    Runner(queue).run()
    assert state(queue, good) == "done"
    assert record.read_text() == text, "it is left as it was"


def test_links_are_no_jobs(queue: Queue, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / RECORD).write_text(json.dumps({"title": "x", "command": ["latent", "quick", "x"]}))
    queue.root.mkdir()
    (queue.root / "17956284691687-abcdef").symlink_to(outside)
    jobs, problems = queue.jobs()
    assert jobs == []
    assert "link" in problems[0]
    with pytest.raises(QueueError):
        queue.remove("17956284691687-abcdef")
    with pytest.raises(QueueError):
        queue.folder("../outside")
    assert (outside / RECORD).exists()


FIELDS = st.sampled_from(["title", "command", "state", "pid", "rank", "born", "x"])
WORDS = st.text("ab\0\n", max_size=4)
VALUES = st.none() | WORDS | st.integers() | st.floats() | st.lists(WORDS | st.just("latent"), max_size=3)


@given(st.dictionaries(FIELDS, VALUES))
def test_any_record_is_a_job_of_this_project_or_a_sentence(record: dict[str, object]) -> None:
    try:
        job = checked(record, "17956284691687-abcdef")
    except QueueError as error:
        told = str(error)
    else:
        assert job.command[0] in ("latent", "study")
        return
    assert told.startswith("Job 17956284691687-abcdef was left out: ")


def test_a_log_is_shown_without_control_characters(queue: Queue) -> None:
    job = add(queue, "quick", "a")
    log = queue.root / job.id / LOG
    log.write_bytes(b"x" * 100_000 + b"\nfirst\n1 of 9\r2 of 9\x1b[K\n\x1b[31mred\x07\xff\n")
    assert queue.tail(job.id, 2) == "2 of 9\nred\ufffd"
    assert queue.tail(job.id).startswith("first"), "a line that was cut is left out"


def test_processes_are_told_apart() -> None:
    assert born(os.getpid()) == born(os.getpid())
    assert born(os.getpid()) != born(1), "the first process began before"
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    wait_until(lambda: born(child.pid) is None)  # ended, not collected yet
    child.wait()
    assert born(child.pid) is None


def test_the_queue_needs_no_streamlit_and_nothing_heavy() -> None:
    code = "import sys, jobs.runner; print([m for m in ('streamlit', 'torch', 'numpy', 'pandas') if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_names_of_jobs_sort_by_time(queue: Queue) -> None:
    names = [queue.draft()[0] for _ in range(3)]
    assert all(ID.fullmatch(name) for name in names)
    assert (queue.root / names[0] / UPLOAD).stat().st_mode & 0o077 == 0, "uploads are for their owner alone"
