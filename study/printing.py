"""What commands print of a result that a study holds."""

from __future__ import annotations

from collections.abc import Iterable

from study.disk.store import Study


def print_stored(text: str, stale: Iterable[str]) -> None:
    """A result of an earlier run, and why it is out of date."""
    print(text)
    for reason in stale:
        print(f"Out of date: {reason}")


def print_new(study: Study, text: str) -> None:
    """A result that was just made."""
    print(text)
    if study.simulated:
        print(f"{study.name} is a simulated study: the results say nothing about real people.")
