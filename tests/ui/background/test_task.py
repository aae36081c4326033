"""Background jobs: progress, results, sentences for errors, cancel; nothing of Streamlit in the thread."""

import logging
import threading
import time
from functools import partial

import numpy as np
import pytest

from ui.background import task as jobs
from ui.background.task import BackgroundTask, Reporter


class Readable(Exception):
    pass


class Stopped(Exception):
    pass


def test_a_job_reports_and_returns() -> None:
    picture = np.zeros((2, 2, 3), np.uint8)

    def work(report: Reporter) -> str:
        for step in range(4):
            report(step / 3, f"step {step}", 3.0 - step, picture if step == 1 else None, {"loss": 1.0 / (step + 1)})
        return "result"

    job: BackgroundTask[str] = BackgroundTask("good", work).start()
    seen = job.wait(10)
    assert (seen.state, seen.fraction, job.result) == ("done", 1.0, "result")
    assert seen.losses == {"loss": (1.0, 0.5, 1 / 3, 0.25)}
    assert seen.preview is picture, "a preview stays until the next"
    assert seen.seconds_left is None
    assert not seen.active


def test_progress_is_seen_while_it_runs() -> None:
    reported, go_on = threading.Event(), threading.Event()

    def work(report: Reporter) -> None:
        report(2.0, "half way", 7.0)
        reported.set()
        go_on.wait(60)

    job: BackgroundTask[None] = BackgroundTask("slow", work).start()
    assert reported.wait(60)
    seen = job.snapshot()
    assert (seen.state, seen.fraction, seen.seconds_left) == ("running", 1.0, 7.0)
    assert seen.active
    go_on.set()
    assert job.wait(10).state == "done"


def test_known_errors_are_told_in_their_own_words() -> None:
    def work(report: Reporter) -> None:
        raise Readable("The photo shows no face: choose another.")

    seen = BackgroundTask("bad", work, readable=(Readable,)).start().wait(10)
    assert (seen.state, seen.error) == ("failed", "The photo shows no face: choose another.")


def test_unknown_errors_go_to_the_log_and_not_to_the_page(caplog: pytest.LogCaptureFixture) -> None:
    def work(report: Reporter) -> None:
        raise RuntimeError("shape mismatch in layer 7")

    with caplog.at_level(logging.ERROR):
        seen = BackgroundTask("broken", work, readable=(Readable,)).start().wait(10)
    assert seen.error == jobs.INTERNAL
    assert "layer 7" not in seen.error
    assert "layer 7" in caplog.text


def test_cancel_stops_the_work_at_its_next_step() -> None:
    began = threading.Event()

    def work(report: Reporter) -> None:
        while True:
            report.check()
            began.set()
            time.sleep(0.005)

    job: BackgroundTask[None] = BackgroundTask("endless", work).start()
    assert began.wait(60)
    job.cancel()
    assert job.wait(10).state == "cancelled"
    assert job.stopping()
    assert not job.abandoned()
    assert job.result is None


def test_the_librarys_own_cancel_counts_as_one() -> None:
    def work(report: Reporter) -> None:
        raise Stopped

    assert BackgroundTask("library", work, stopped=(Stopped,)).start().wait(10).state == "cancelled"


def test_a_job_cancelled_while_waiting_for_its_turn_never_begins() -> None:
    lock = threading.Lock()
    begun = []
    with lock:
        job: BackgroundTask[None] = BackgroundTask("queued", lambda report: begun.append(1), guard=lock).start()
        assert job.snapshot().state == "waiting"
        job.cancel()
    assert job.wait(10).state == "cancelled"
    assert not begun
    assert lock.acquire(timeout=1), "the lock is free again"


def test_a_job_nobody_looks_at_stops_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "ABANDONED_AFTER", 0.05)

    def work(report: Reporter) -> None:
        while True:
            report.check()
            time.sleep(0.01)

    job: BackgroundTask[None] = BackgroundTask("left", work).start()
    assert job.wait(60).state == "cancelled"
    assert job.abandoned()


def test_the_thread_knows_nothing_of_streamlit() -> None:
    assert "streamlit" not in vars(jobs)
    assert not any("streamlit" in str(getattr(value, "__module__", "")) for value in vars(jobs).values())


def test_jobs_take_turns_in_order_and_know_how_many_are_before() -> None:
    turn, order, go_on = jobs.Turn(), list[int](), threading.Event()

    def work(number: int) -> None:
        go_on.wait(60)
        order.append(number)

    made: list[BackgroundTask[None]] = []
    for number in range(4):
        made.append(BackgroundTask(f"job {number}", lambda report, n=number: work(n), turn).start())
        while made[-1] not in turn._waiting:
            time.sleep(0.001)
    assert [turn.before(job)[0] for job in made] == [0, 1, 2, 3]
    assert [job.snapshot().message for job in made[1:]] == [f"Waiting: {n} ahead of you" for n in (1, 2, 3)]
    assert made[3].snapshot().seconds_to_wait is None, "nobody knows yet how long one takes"
    made[2].cancel()
    assert made[2].wait(10).state == "cancelled", "a job that waits can be cancelled"
    assert made[3].snapshot().message == "Waiting: 2 ahead of you"
    go_on.set()
    assert [job.wait(10).state for job in made] == ["done", "done", "cancelled", "done"]
    assert order == [0, 1, 3]
    assert turn.before(made[3]) == (0, None)


def test_the_wait_is_estimated_by_what_turns_took(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(jobs.time, "monotonic", lambda: now[0])
    turn = jobs.Turn()
    for seconds in (10.0, 14.0, 60.0):
        with turn.taken(object(), lambda: False):
            now[0] += seconds
    first, second, third = object(), object(), object()
    with turn.taken(first, lambda: False):
        turn._waiting += [second, third]
        now[0] += 4.0
        assert turn.before(first) == (0, None)
        assert turn.before(second) == (1, 10.0)
        assert turn.before(third) == (2, 24.0)
        now[0] += 100.0
        assert turn.before(second) == (1, 0.0), "it takes longer than usual: no negative wait"
        turn._waiting.remove(second)
        turn._waiting.remove(third)


def test_a_turn_goes_on_after_work_that_failed() -> None:
    turn = jobs.Turn()

    def work(report: Reporter) -> None:
        raise Readable("no")

    assert BackgroundTask("bad", work, turn, readable=(Readable,)).start().wait(10).state == "failed"
    assert BackgroundTask("good", lambda report: None, turn).start().wait(10).state == "done"


def test_work_that_nobody_waits_for_gives_way_at_each_step() -> None:
    turn, order, go_on = jobs.Turn(), list[str](), threading.Event()

    def background(report: Reporter) -> None:
        for step in range(3):
            order.append(f"step {step}")
            if step == 1:
                go_on.wait(60)
            report.give_way()

    job: BackgroundTask[None] = BackgroundTask("tuning", background, turn, yields=True).start()
    while "step 1" not in order:
        time.sleep(0.001)
    score: BackgroundTask[None] = BackgroundTask("score", lambda report: order.append("score"), turn).start()
    while score not in turn._waiting:
        time.sleep(0.001)
    go_on.set()
    assert (score.wait(10).state, job.wait(10).state) == ("done", "done")
    assert order == ["step 0", "step 1", "score", "step 2"]


def test_work_that_gave_way_can_be_cancelled_while_others_have_the_turn() -> None:
    turn, began, go_on = jobs.Turn(), threading.Event(), threading.Event()

    def background(report: Reporter) -> None:
        while True:
            report.check()
            began.set()
            report.give_way()

    job: BackgroundTask[None] = BackgroundTask("tuning", background, turn, yields=True).start()
    assert began.wait(60)
    score: BackgroundTask[bool] = BackgroundTask("score", lambda report: go_on.wait(60), turn).start()
    while turn._waiting != [score, job]:
        time.sleep(0.001)
    job.cancel()
    assert job.wait(10).state == "cancelled"
    go_on.set()
    assert score.wait(10).state == "done"
    assert not turn._waiting


def test_those_who_give_way_come_last_and_one_after_the_other() -> None:
    turn, order, go_on = jobs.Turn(), list[str](), threading.Event()

    def background(report: Reporter, name: str) -> None:
        for step in range(2):
            order.append(f"{name} {step}")
            go_on.wait(60)
            report.give_way()

    made: list[BackgroundTask[None]] = []
    for name in ("tuning A", "tuning B", "score", "strip"):
        yields = name.startswith("tuning")
        work = partial(background, name=name) if yields else lambda report, name=name: order.append(name)
        made.append(BackgroundTask(name, work, turn, yields=yields).start())
        while made[-1] not in turn._waiting:
            time.sleep(0.001)
    assert [turn.before(job)[0] for job in made] == [0, 3, 0, 1], "who is about to give way is not counted"
    go_on.set()
    assert {job.wait(10).state for job in made} == {"done"}
    assert order == ["tuning A 0", "score", "strip", "tuning A 1", "tuning B 0", "tuning B 1"]
    assert not turn._waiting
    assert not turn._yielding
    assert len(turn._took) == 2, "a wait is estimated by those who do not give way"
