"""Foreign weight files become checkpoints here, and nowhere else. Nothing in a file is executed."""

from latent.importing.reader import import_file

__all__ = ["import_file"]
