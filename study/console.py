"""What the command line prints while it works: one line of progress on a terminal, nothing in a log file."""

from __future__ import annotations

import sys
from collections.abc import Callable


def progress_line(what: str) -> Callable[..., None]:
    """A callback (done, total, seconds_left=None) that rewrites one line on stderr; silent where that is a file."""
    if not sys.stderr.isatty():
        return lambda done, total, seconds_left=None: None

    def show(done: float, total: int, seconds_left: float | None = None) -> None:
        left = "" if seconds_left is None else f", {duration(seconds_left)} left"
        end = "\n" if done >= total else ""
        sys.stderr.write(f"\r\x1b[K{int(done)} of {total} {what}{left}{end}")
        sys.stderr.flush()

    return show


def duration(seconds: float) -> str:
    """'45 s', '3 min', '2.1 h'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
