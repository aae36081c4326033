"""Errors of this package. Each carries one sentence for the person at the screen."""


class LatentError(Exception):
    """Something in `latent` could not be done; the message says what was wrong and what to do."""


class CheckpointError(LatentError):
    """A folder under checkpoints/ is missing, incomplete, changed or does not fit the networks."""


class ImportRefused(LatentError):
    """A foreign weight file was refused; nothing was written."""


class Cancelled(LatentError):
    """The person, or the program on their behalf, asked a long computation to stop."""


class InversionError(LatentError):
    """A photo could not be turned into a W+ code."""


class PivotalError(LatentError):
    """A generator could not be tuned to a photo, or a tuned one was used where it may not be."""


class FinetuneError(LatentError):
    """A training run could not start or resume; the run folder keeps its last good state."""
