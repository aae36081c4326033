"""Makes a compared model the study's model: `python -m study choose STUDY CANDIDATE`, or a saved one, `--model`.

It is fitted to all patients, saved, and named in `models/chosen.json`, so that Portrait and Health direction use it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from common.command import path_argument
from common.console import stop_requested
from study.comparison.features import PHOTO, gather, of_codes_alone
from study.comparison.plan import IMAGE
from study.comparison.provenance import stale_reasons
from study.comparison.record import MODEL, CandidateResult, Comparison, read_comparison
from study.comparison.run import QUIET, Reporter, Work, study_errors
from study.comparison.saved_model import save_model
from study.disk.models import CHOSEN_FILE, DEFAULT_MODEL, MODELS
from study.disk.store import Study
from study.errors import StudyError
from study.files import write_json
from study.settings import SAFE_NAME
from survival.errors import Cancelled, FitCancelled
from survival.models.registry import why_not_saved


def why_not_chosen(candidate: CandidateResult) -> str:
    """Why a candidate cannot be the study's model, in one sentence; "" where it can."""
    if candidate.error:
        return f"Not fitted: {candidate.error}"
    if candidate.role != MODEL:
        return "A control serves for comparison only."
    if IMAGE in candidate.blocks:
        return "It uses pixels, and Portrait and Health direction use codes: choose a model of the photo's code."
    if not of_codes_alone(candidate.model, candidate.blocks):
        return (
            "It needs more than a photo's code (clinical values or a face descriptor), which the Portrait page does "
            "not have for a new face: choose a model of the photo alone."
        )
    return why_not_saved(candidate.model, candidate.settings)


def name_of(candidate: CandidateResult) -> str:
    """Folder under models/ for a candidate: 'photo / cox-ridge' is photo-cox-ridge."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in candidate.name.replace(" / ", "-"))[:64]


def choose(
    study: Study,
    comparison: Comparison,
    candidate: str,
    reporter: Reporter = QUIET,
    cancelled: Cancelled = None,
) -> str:
    """Fit a candidate to all patients of the comparison, save it under models/ and make it the study's model.

    Its estimates are those of the comparison. Returns its name. Raises StudyError for a candidate that cannot
    be chosen or a comparison that is out of date; FitCancelled; nothing is changed then.
    """
    chosen = comparison.candidate(candidate)
    if why := why_not_chosen(chosen):
        raise StudyError(f"{chosen.label} cannot be the study's model. {why}")
    if reasons := stale_reasons(study, comparison):
        raise StudyError(f"The comparison is out of date: {' '.join(reasons)} Compare again first.")
    if np.ptp(comparison.scores.scores[chosen.name].log_risk[0]) == 0:
        raise StudyError(f"{chosen.label} gives everyone the same risk, so it cannot be the study's model.")
    work, name = Work(study, comparison.plan, reporter=reporter, cancelled=cancelled), name_of(chosen)
    with study_errors(chosen.label):
        cohort = gather(study, replace(work.plan, features=(PHOTO,), models=(chosen.model,), shortcuts=False))
        reporter.stage("Fitting to all patients")
        save_model(work, name, cohort, chosen, comparison.scores, comparison.versions, comparison.name)
    use(study, name)
    return name


def use(study: Study, name: str) -> None:
    """Make a saved model the study's model. Raises StudyError where it cannot be read."""
    if not SAFE_NAME.fullmatch(name):
        raise StudyError(f"{name[:64]!r} cannot be a model's name.")
    if study.model(name).blocks != (PHOTO,):
        raise StudyError(f"Model {name!r} needs more than a photo, so it cannot be used on a new face.")
    path = study.path / MODELS / CHOSEN_FILE
    if name == DEFAULT_MODEL:
        path.unlink(missing_ok=True)
    else:
        write_json(path, {"model": name})


def add_arguments(parser: Any) -> None:
    parser.add_argument("study", type=path_argument)
    parser.add_argument("candidate", nargs="?", help='of a comparison, such as "photo / cox-ridge"')
    parser.add_argument("--comparison", default="main", help="whose candidate it is (default main)")
    parser.add_argument("--model", default=None, help="a saved model, by its folder under models/, such as photo")


def run(args: Any) -> int:
    study = Study.open(args.study)
    if args.model is not None:
        use(study, args.model)
        print(f"{args.model} is the model of {study.name} now.")
        return 0
    comparison = read_comparison(study.path, args.comparison)
    if args.candidate is None:
        lines = [f"{c.name:<36}{why_not_chosen(c) or 'can be chosen'}" for c in comparison.candidates]
        raise StudyError("Name a candidate:\n" + "\n".join(lines))
    try:
        name = choose(study, comparison, args.candidate, Reporter.on_console(), stop_requested())
    except FitCancelled as error:
        print(f"{error}", flush=True)
        return 130
    report = study.report(name)
    harrell = report["harrell"]
    print(
        f"{report['label']} is the model of {study.name} now (models/{name}): Harrell C {harrell['value']:.3f} out of "
        f"fold over {report['patients']} patients."
    )
    return 0
