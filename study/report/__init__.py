"""The report of a study: one HTML file with all that was done and found, for readers and reviewers."""

from study.report.command import add_arguments, run

__all__ = ["add_arguments", "run"]
