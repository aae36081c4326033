"""What the statistics refuse, each with one sentence for the person at the screen."""


class SurvivalError(Exception):
    """The data cannot carry what was asked of them; the message says what is wrong and what to do."""


class FitCancelled(SurvivalError):
    """The person stopped the fit; nothing was changed."""
