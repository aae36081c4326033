"""Waiting for another process or thread. A wait ends when something happens; how long it took is never tested."""

import time
from collections.abc import Callable

PATIENCE = 240.0  # s; for a crowded machine


def wait_until(happened: Callable[[], object], otherwise: Callable[[], object] = lambda: "it did not happen") -> None:
    """Return once `happened()` is true; fail with what `otherwise()` gives after PATIENCE."""
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, otherwise()
        time.sleep(0.02)
