"""python -m study VERB: intake, example, check, simulate, quality, confirm, embed, fit, cox, compare, choose,
learning-curve, robustness, report, score. Exit codes as in common/command.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from common.command import run_verb
from faces.errors import FaceError
from latent.errors import LatentError
from study.errors import StudyError
from survival.errors import SurvivalError

VERBS = {
    "intake": ("study.intake.make", "make a study from a table and, where there are any, photos"),
    "example": (
        "study.intake.example",
        "make a study of a real cohort that comes with scikit-survival (clinical columns alone)",
    ),
    "check": ("study.scoring.check", "check a study: every problem by row, with what to do"),
    "simulate": ("study.simulation.simulate", "make a study of simulated patients from rendered portraits"),
    "quality": (
        "study.photos.quality",
        "align and measure every photo, with flags and thumbnails (resumes after a stop)",
    ),
    "confirm": (
        "study.photos.confirm",
        "confirm an uncertain detection, or say which face of a photo is the patient's",
    ),
    "embed": ("study.embedding.command", "turn every photo of a study into a W+ code (resumes after a stop)"),
    "fit": ("study.comparison.fit", "fit the photo model and report how well it predicts, out of fold"),
    "cox": ("study.description.clinical_cox", "an unpenalised Cox regression on the clinical columns, with its tests"),
    "compare": (
        "study.comparison.command",
        "compare models on the same folds and keep the result (resumes after a stop)",
    ),
    "report": ("study.report.command", "write all methods and results as one HTML file, with checklist and model card"),
    "choose": (
        "study.comparison.choose",
        "make a compared model the study's model, for Portrait and Health direction",
    ),
    "learning-curve": (
        "study.learning_curve.command",
        "how well the model predicts by the number of patients, and how many a target would take (resumes)",
    ),
    "robustness": (
        "study.robustness.command",
        "how far scores move when only the photo changes: light, blur, crop and more (resumes after a stop)",
    ),
    "score": ("study.scoring.files", "score a photo, or a folder of photos, against a study"),
}
REFUSALS = (StudyError, FaceError, LatentError, SurvivalError)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code. A refusal is one sentence on stderr, never a traceback."""
    return run_verb("study", "Cohorts: from photos and times to a risk.", VERBS, REFUSALS, argv)


if __name__ == "__main__":
    sys.exit(main())
