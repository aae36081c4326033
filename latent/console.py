"""Progress of a long command on stderr: one line that is rewritten on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections import deque

REDRAW_SECONDS = 0.2
LOG_SECONDS = 30.0
WINDOW_SECONDS = 60.0  # the time left follows the speed of the last minute: what a resumed run skips is fast


def duration(seconds: float) -> str:
    """'45 s', '3 min', '2.1 h'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Progress:
    """Call with the number of things done; says how many of `total` and about how long the rest takes."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total = what, total
        self._seen = deque([(time.monotonic(), 0)])
        self._shown = 0.0 if sys.stderr.isatty() else time.monotonic()

    def __call__(self, done: int, note: str = "") -> None:
        now = time.monotonic()
        if now - self._seen[-1][0] > WINDOW_SECONDS / 60:
            self._seen.append((now, done))
            while len(self._seen) > 2 and now - self._seen[1][0] > WINDOW_SECONDS:  # two are left, however slow it is
                self._seen.popleft()
        terminal = sys.stderr.isatty()
        if done < self.total and now - self._shown < (REDRAW_SECONDS if terminal else LOG_SECONDS):
            return
        self._shown = now
        text = f"{done} of {self.total} {self.what}{note}{self._left(now, done)}"
        ending = "\n" if done >= self.total or not terminal else ""
        sys.stderr.write(f"\r\x1b[K{text}{ending}" if terminal else f"{text}\n")
        sys.stderr.flush()

    def _left(self, now: float, done: int) -> str:
        since, before = self._seen[0]
        if done >= self.total or done <= before:
            return ""
        return f", {duration((now - since) / (done - before) * (self.total - done))} left"
