"""Long work off the page: one background thread a task, polled by the page.

A page never computes for more than an instant itself: it starts a `BackgroundTask`, and a part that refreshes
itself (ui/background/polling) shows its last `Snapshot`. The thread calls nothing of Streamlit; it only writes
snapshots. A task whose page is gone (nobody has polled it for `ABANDONED_AFTER` seconds) is cancelled, so that a closed
tab frees the processor.
"""

from __future__ import annotations

import dataclasses
import logging
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Result = TypeVar("Result")
State = Literal["waiting", "running", "done", "cancelled", "failed"]
ABANDONED_AFTER = 120.0
WAITING_SECONDS = 0.5  # between two looks of a waiting task at whether it was cancelled
TURNS_REMEMBERED = 8  # that the estimate of the wait rests on
INTERNAL = "The calculation stopped because of an internal error. Please try again; the server's log has the details."
logger = logging.getLogger(__name__)


class TaskCancelled(Exception):
    """Raised inside the work by `Reporter.check` once the task was cancelled."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What is known of a task at one instant.

    fraction: 0-1; seconds_left: None while unknown; preview: uint8 (H, W, 3) or None; version: counts
    the previews, so that one is drawn once; losses: name -> values so far;
    error: one sentence for the person at the screen, empty unless state is "failed". seconds_to_wait: until it begins,
    None while unknown and once it has begun.
    """

    state: State = "waiting"
    fraction: float = 0.0
    message: str = ""
    seconds_left: float | None = None
    preview: NDArray[np.uint8] | None = None
    version: int = 0
    losses: dict[str, tuple[float, ...]] = field(default_factory=dict)
    error: str = ""
    seconds_to_wait: float | None = None

    @property
    def active(self) -> bool:
        return self.state in ("waiting", "running")


class Reporter:
    """The thread's side of a task: writes progress, learns of a cancel."""

    def __init__(self, task: BackgroundTask[Any]) -> None:
        self._task, self._begun = task, time.monotonic()

    def __call__(
        self,
        fraction: float,
        message: str,
        seconds_left: float | None = None,
        preview: NDArray[np.uint8] | None = None,
        losses: dict[str, float] | None = None,
    ) -> None:
        """Show progress: `losses` are the newest values, kept as a history; a preview stays until the next."""
        self._task._write(fraction, message, seconds_left, preview, losses)

    def seconds(self) -> float:
        """Time since the work began."""
        return time.monotonic() - self._begun

    def cancelled(self) -> bool:
        """Whether the work should stop now."""
        return self._task.should_stop()

    def give_way(self) -> None:
        """Let the tasks that wait for the same turn go first, where this one was made to give way."""
        if isinstance(self._task._guard, Turn):
            self._task._guard.give_way(self._task, self.cancelled)

    def check(self) -> None:
        """Raise TaskCancelled if the work should stop now."""
        if self.cancelled():
            raise TaskCancelled


class Turn:
    """Something that one task at a time may use, in the order in which they came.

    A task that gives way comes after all that do not, also in the middle of its work, wherever it calls `give_way`.
    Such tasks come one after the other, so that only one of them is ever half done. A task that waits can be cancelled,
    and learns how many are before it. begun: called in the thread of the task whose turn it is.
    """

    def __init__(self, begun: Callable[[], None] = lambda: None) -> None:
        self._begun = begun
        self._changed = threading.Condition()
        self._waiting: list[object] = []  # the first one has the turn; of the others, those that give way come last
        self._yielding: list[object] = []  # those of them that give way
        self._since = 0.0
        self._took: deque[float] = deque(maxlen=TURNS_REMEMBERED)

    @contextmanager
    def taken(self, who: object, cancelled: Callable[[], bool], yields: bool = False) -> Iterator[None]:
        """The turn, once it has come. yields: whether it gives way. Raises TaskCancelled where `cancelled` says so
        before."""
        with self._changed:
            if yields:
                self._yielding.append(who)
                self._waiting.append(who)
            else:
                self._waiting.insert(self._pressing(), who)
        try:
            self._await(who, cancelled)
            yield
            with self._changed:
                if not yields:
                    self._took.append(time.monotonic() - self._since)
        finally:
            with self._changed:
                self._waiting.remove(who)
                if yields:
                    self._yielding.remove(who)
                self._changed.notify_all()

    def give_way(self, who: object, cancelled: Callable[[], bool]) -> None:
        """Called by who has the turn, between two steps: whoever waits and does not give way goes first, then it has
        the turn again. Raises TaskCancelled where `cancelled` says so before."""
        with self._changed:
            if who not in self._yielding or self._pressing() == 1:
                return
            self._waiting.insert(self._pressing() - 1, self._waiting.pop(0))
            self._changed.notify_all()
        self._await(who, cancelled)

    def _pressing(self) -> int:
        """How many come before the first one that waits and gives way; whoever has the turn is one of them."""
        yielding = (i for i, who in enumerate(self._waiting) if i and who in self._yielding)
        return next(yielding, len(self._waiting))

    def _await(self, who: object, cancelled: Callable[[], bool]) -> None:
        with self._changed:
            while self._waiting[0] is not who:
                if cancelled():
                    raise TaskCancelled
                self._changed.wait(WAITING_SECONDS)
            self._since = time.monotonic()
        self._begun()

    def before(self, who: object) -> tuple[int, float | None]:
        """How many come before, the one at work included, and about how many seconds they take; None: not known."""
        with self._changed:
            place = self._waiting.index(who) if who in self._waiting else 0
            if who in self._yielding:
                return place, None
            gives_way = place > 0 and self._waiting[0] in self._yielding  # in a moment
            place -= gives_way
            if not place or not self._took:
                return place, None
            typical = statistics.median(self._took)
            worked = 0.0 if gives_way else time.monotonic() - self._since
            return place, max(typical - worked, 0.0) + (place - 1) * typical


class BackgroundTask(Generic[Result]):
    """One piece of background work.

    work(report) runs in a thread of its own, inside `guard` (a Turn where the work needs the generator for itself).
    yields: whether it gives way to others there, for work that nobody waits for.
    readable: exceptions whose text is a sentence for people; any other is logged and shown as `INTERNAL`.
    stopped: exceptions by which the work says it was cancelled.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Reporter], Result],
        guard: AbstractContextManager[object] | Turn | None = None,
        readable: tuple[type[Exception], ...] = (),
        stopped: tuple[type[Exception], ...] = (),
        yields: bool = False,
    ) -> None:
        self.name = name
        self.shown: tuple[int, bytes] | None = None  # version and file of the preview on the page; goes with the task
        self.result: Result | None = None
        self._work, self._guard = work, guard if guard is not None else nullcontext()
        self._readable, self._yields = readable, yields
        self._stopped: tuple[type[Exception], ...] = (TaskCancelled, *stopped)
        self._snapshot = Snapshot(message="Waiting for its turn")
        self._lock = threading.Lock()
        self._cancel = threading.Event()
        self._polled = self._started = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"task {name}", daemon=True)

    def start(self) -> BackgroundTask[Result]:
        """Begin; returns self."""
        self._thread.start()
        return self

    def cancel(self) -> None:
        """Ask the work to stop; it does so at its next step."""
        self._cancel.set()

    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._cancel.is_set()

    def abandoned(self) -> bool:
        """Whether it ended only because nobody polled it."""
        return self._snapshot.state == "cancelled" and not self.stopping()

    def seconds(self) -> float:
        """Time since it was made."""
        return time.monotonic() - self._started

    def should_stop(self) -> bool:
        """True once cancelled, or once nobody has polled it for `ABANDONED_AFTER` seconds."""
        return self._cancel.is_set() or time.monotonic() - self._polled > ABANDONED_AFTER

    def snapshot(self) -> Snapshot:
        """The latest state; also marks the task as polled."""
        self._polled = time.monotonic()
        with self._lock:
            seen = self._snapshot
        if seen.state == "waiting" and isinstance(self._guard, Turn):
            place, seconds = self._guard.before(self)
            if place:
                return dataclasses.replace(seen, message=f"Waiting: {place} ahead of you", seconds_to_wait=seconds)
        return seen

    def wait(self, timeout: float | None = None) -> Snapshot:
        """Block until the work has ended (for tests and scripts, not for pages)."""
        self._thread.join(timeout)
        return self.snapshot()

    def _write(
        self,
        fraction: float,
        message: str,
        seconds_left: float | None,
        preview: NDArray[np.uint8] | None,
        losses: dict[str, float] | None,
    ) -> None:
        with self._lock:
            old = self._snapshot
            history = dict(old.losses)
            for name, value in (losses or {}).items():
                history[name] = (*history.get(name, ()), float(value))
            self._snapshot = Snapshot(
                state="running",
                fraction=min(max(float(fraction), 0.0), 1.0),
                message=message,
                seconds_left=seconds_left,
                preview=old.preview if preview is None else preview,
                version=old.version + (preview is not None),
                losses=history,
            )

    def _end(self, **changes: object) -> None:
        with self._lock:
            self._snapshot = dataclasses.replace(self._snapshot, seconds_left=None, **changes)  # type: ignore[arg-type]

    def _run(self) -> None:
        guard = self._guard
        try:
            with guard.taken(self, self.should_stop, self._yields) if isinstance(guard, Turn) else guard:
                report = Reporter(self)
                report.check()
                report(0.0, "Starting")
                self.result = self._work(report)
            self._end(state="done", fraction=1.0, message="Done")
        except self._stopped:
            self._end(state="cancelled", message="Cancelled")
        except self._readable as error:
            self._end(state="failed", message="Stopped", error=str(error))
        except Exception:
            # The log gets the traceback but never the photo: previews and pixels are not part of it.
            logger.exception("Task %r failed", self.name)
            self._end(state="failed", message="Stopped", error=INTERNAL)
