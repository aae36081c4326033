"""What the command line prints while it works: one line of progress on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

LOG_SECONDS = 5.0  # the Cohort page reads the newest line of the log


def progress_line(what: str) -> Callable[..., None]:
    """A callback (done, total, seconds_left=None) that rewrites one line on stderr, or adds lines where that is a
    file."""
    terminal, written = sys.stderr.isatty(), time.monotonic()

    def show(done: float, total: int, seconds_left: float | None = None) -> None:
        nonlocal written
        left = "" if seconds_left is None else f", {duration(seconds_left)} left"
        if not terminal:
            if time.monotonic() - written >= LOG_SECONDS:
                written = time.monotonic()
                sys.stderr.write(f"{int(done)} of {total} {what}{left}\n")
                sys.stderr.flush()
            return
        end = "\n" if done >= total else ""
        sys.stderr.write(f"\r\x1b[K{int(done)} of {total} {what}{left}{end}")
        sys.stderr.flush()

    return show


class Pace:
    """How fast work goes on this machine, from the start on."""

    def __init__(self) -> None:
        self.started = time.monotonic()

    def seconds_left(self, worked: float, waiting: float) -> float | None:
        """worked: things done since the start, parts of one included; waiting: things to do. None while unknown."""
        if waiting <= 0:
            return 0.0
        return waiting * (time.monotonic() - self.started) / worked if worked > 0 else None


def duration(seconds: float) -> str:
    """'45 s', '3 min', '2.1 h'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
