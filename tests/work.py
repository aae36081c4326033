"""Work and memory, counted: what a test may bound where a clock would measure the machine."""

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any


class TooMuchWork(BaseException):
    """More calls than allowed; no `except Exception` of the code under test may swallow it."""


def calls(work: Callable[[], object], limit: int = 100_000_000) -> int:
    """How many functions, of Python and built in, are called in this thread while `work` runs.

    Raises TooMuchWork once there are more than `limit`, so that endless work ends.
    """
    count = 0

    def seen(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")
        if count > limit:
            raise TooMuchWork(f"more than {limit} calls")

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def peak_bytes(work: Callable[[], object]) -> int:
    """The most memory that Python and numpy hold at once while `work` runs, beyond what they held before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
