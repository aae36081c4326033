"""Progress of a long command on stderr: one line that is rewritten on a terminal, a line now and then in a log."""

from __future__ import annotations

import signal
import sys
import time
from collections import deque
from collections.abc import Callable

from common.text import duration

REDRAW_SECONDS = 0.2
LOG_SECONDS = 5.0  # pages show the newest line of a job's log
WINDOW_SECONDS = 60.0  # the time left follows the speed of the last minute: what a resumed run skips is fast


class ProgressLine:
    """Call with the number of things done; writes how many of `total` and about how long the rest takes.

    what : the things, in the plural. total : may also be given with each call.
    """

    def __init__(self, what: str, total: int = 0) -> None:
        self.what, self.total = what, total
        self._seen: deque[tuple[float, float]] = deque([(time.monotonic(), 0)])
        self._written, self._begun = 0.0 if sys.stderr.isatty() else time.monotonic(), False

    def __call__(
        self, done: float, total: int | None = None, seconds_left: float | None = None, note: str = ""
    ) -> None:
        """done : things, parts of one included. seconds_left : where the work knows better than the last minute's
        speed. note : follows the count."""
        self.total = self.total if total is None else total
        now, terminal = time.monotonic(), sys.stderr.isatty()
        self._remember(now, done)
        ended = done >= self.total and (terminal or self._begun)  # in a log, a short command stays quiet
        if not ended and now - self._written < (REDRAW_SECONDS if terminal else LOG_SECONDS):
            return
        self._written, self._begun = now, True
        since, before = self._seen[0]
        left = seconds_left
        if left is None and done > before:
            left = (now - since) / (done - before) * (self.total - done)
        remaining = "" if left is None or done >= self.total else f", {duration(left)} left"
        text = f"{int(done)} of {self.total} {self.what}{note}{remaining}"
        ending = "\n" if done >= self.total or not terminal else ""
        sys.stderr.write(f"\r\x1b[K{text}{ending}" if terminal else f"{text}\n")
        sys.stderr.flush()

    def _remember(self, now: float, done: float) -> None:
        if now - self._seen[-1][0] > WINDOW_SECONDS / 60:
            self._seen.append((now, done))
            while len(self._seen) > 2 and now - self._seen[1][0] > WINDOW_SECONDS:  # two remain, however slow it is
                self._seen.popleft()


def stop_requested() -> Callable[[], bool]:
    """From now on SIGTERM does not end this process; the function says whether it came, so that finished work is
    written before the command ends."""
    signals: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: signals.append(number))
    return lambda: bool(signals)
