"""Photos worked on side by side, each on one thread of its own.

On a processor, the last digits of a result depend on how many threads share an operation and on how many photos share
a batch. A search carries a difference in the last digit into the second within ten steps (docs/methods.md,
Repeatability), so each photo is a batch of one and has one thread: its code is then the same alone, among others, and
on any number of cores.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Protocol, TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class Each(Protocol):
    """`each(function, items)`: the function's results in the order of the items; an exception of one is raised."""

    def __call__(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]: ...


@contextmanager
def side_by_side(count: int) -> Iterator[Each]:
    """A way to call a function for each of up to `count` items at the same time, on at most as many threads as torch
    has here. Inside such a call torch has one."""
    threads = torch.get_num_threads()
    size = max(1, min(count, threads))
    begun = Barrier(size)

    def begin(_: int) -> None:
        torch.set_num_threads(1)  # of this thread, and of those that begin later
        torch.get_num_threads()  # a thread that computes for the first time takes the number for those that begin
        begun.wait()

    with ThreadPoolExecutor(size, thread_name_prefix="photo") as pool:
        list(pool.map(begin, range(size)))
        torch.set_num_threads(threads)  # again for those that begin later
        yield lambda function, items: list(pool.map(function, items))


def in_turn(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """`Each` on the thread that calls: for a GPU, where all photos are one batch."""
    return [function(item) for item in items]
