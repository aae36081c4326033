"""What the statistics refuse, each with one sentence for the person at the screen."""

from __future__ import annotations

from collections.abc import Callable

Cancelled = Callable[[], bool] | None  # asked now and then; True stops the work


class SurvivalError(Exception):
    """The data do not support what was asked of them; the message says what is wrong and what to do."""


class FitCancelled(SurvivalError):
    """The person stopped the fit; nothing was changed."""


def stop_if(cancelled: Cancelled, message: str = "The fit was stopped; nothing was changed.") -> None:
    """Raises FitCancelled where the person has asked to stop."""
    if cancelled is not None and cancelled():
        raise FitCancelled(message)
