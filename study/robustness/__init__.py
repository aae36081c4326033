"""How far a score moves when only the photo changes: light, colour, blur, compression, pose of the camera, grain."""

from study.robustness.command import add_arguments, run

__all__ = ["add_arguments", "run"]
