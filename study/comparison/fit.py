"""Fits a study's photo model and reports, out of fold, how well it predicts: `python -m study fit STUDY`.

A comparison of one candidate, with the same folds, repeats and cached parts as `study compare`.
"""

from __future__ import annotations

from typing import Any

from common.command import path_argument
from study.comparison.candidates import candidates_of
from study.comparison.features import PHOTO, gather
from study.comparison.plan import DEFAULT, Plan
from study.comparison.run import QUIET, Reporter, Work, cross_validated, on_console, study_errors, versions
from study.comparison.saved_model import save_model
from study.description.inversion_error import ErrorSurvival, error_text
from study.disk.models import DEFAULT_MODEL
from study.disk.store import Study
from study.errors import StudyError
from study.files import check_writable
from study.settings import SAFE_NAME
from survival.errors import Cancelled, FitCancelled
from survival.metrics.calibration import SLOPE_NAME

PENALTIES = (DEFAULT, "readouts", "ridge", "elastic-net", "lasso")  # readouts: ridge, on readouts of the codes


def fit_plan(penalty: str = DEFAULT, **changes: Any) -> Plan:
    """A comparison of one penalised Cox model of the codes, without controls. changes: of Plan. Raises StudyError."""
    if penalty not in PENALTIES:
        raise StudyError(f"There is no penalty called {penalty!r}: choose one of {', '.join(PENALTIES)}.")
    settings: dict[str, Any] = {"shuffles": 0, "random_direction": False, **changes}
    return Plan((PHOTO,), (DEFAULT if penalty == DEFAULT else f"cox-{penalty}",), **settings)


def fit(
    study: Study,
    name: str = DEFAULT_MODEL,
    plan: Plan | None = None,
    *,
    workers: int = 1,
    reporter: Reporter = QUIET,
    cancelled: Cancelled = None,
) -> dict[str, Any]:
    """Cross-validates a Cox model of the codes of all patients with photo and code, fits it to all of them, and writes
    models/NAME/ (see save_model). Returns the report.

    plan: of fit_plan; None: its defaults. Raises StudyError, or FitCancelled when stopped; the earlier model then stays
    as it was, and finished folds are kept.
    """
    work = Work(study, plan or fit_plan(), workers, reporter, cancelled)
    check_writable(study.model_folder(name))
    study.latents()  # refused here, with the command that makes them, where there are none
    with study_errors(study.name):
        cohort = gather(study, work.plan)
        candidate = candidates_of(study, work.plan, cohort)[0][0]
        scored = cross_validated(work, cohort, (candidate,))
        reporter.stage("Fitting to all patients")
        return save_model(work, name, cohort, candidate, scored, versions())


def _line(label: str, estimate: dict[str, float | None]) -> str:
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    if value is None:
        return f"  {label:<42}{'-':>7}"
    limits = "" if low is None or high is None else f"   {low:.3f} to {high:.3f}"
    return f"  {label:<42}{value:>7.3f}{limits}"


def report_text(report: dict[str, Any]) -> str:
    """The report as a table for a terminal."""
    left_out = report["patients_in_table"] - report["patients"]
    excluded = len(report["excluded"])
    why = "no photo or code" + (f", or one of {excluded} excluded" if excluded else "")
    lines = [
        f"Model {report['model']!r} of {report['study']}: {report['patients']} patients, {report['events']} events"
        + (f" ({left_out} left out: {why})." if left_out else "."),
        f"{report['label']} on {report['components']} components, penalty {report['alpha']:.3g}; "
        f"{report['repeats']} x {report['folds']}-fold nested cross-validation by patient.",
        "",
        f"  {'out of fold':<42}{'value':>7}   95 % CI",
        _line("Harrell C", report["harrell"]),
        *([_line(f"Uno C (to {report['uno_tau']:.3g} {report['time_unit']})", report["uno"])] if report["uno"] else []),
        _line(SLOPE_NAME, report["calibration_slope"]),
    ]
    if truth := report["truth"]:
        lines.append(_line("Harrell C of the true face log-hazard", truth["harrell_face"]))
        lines.append(_line("share of it recovered, (C-.5)/(C_true-.5)", truth["recovered_share"]))
        lines.append(f"  {'correlation with the true face log-hazard':<42}{truth['correlation_with_face']:>7.3f}")
    if report["fold_cosine"] is not None:
        lines.append(f"  {'cosine between the folds directions':<42}{report['fold_cosine']:>7.3f}")
    lines += [f"Note: {note}" for note in report["notes"]]
    return "\n".join([*lines, "", error_text(ErrorSurvival.from_dict(report["inversion_and_survival"]))])


def add_arguments(parser: Any) -> None:
    parser.add_argument("study", type=path_argument)
    parser.add_argument("--name", default=DEFAULT_MODEL, help=f"folder under models/ (default {DEFAULT_MODEL})")
    parser.add_argument("--penalty", choices=PENALTIES, default=DEFAULT)
    parser.add_argument("--folds", type=int, default=Plan.folds)
    parser.add_argument("--repeats", type=int, default=Plan.repeats, help=f"of the folds (default {Plan.repeats})")
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--workers", type=int, default=0, help="processes (default: one per core that is left)")


def run(args: Any) -> int:
    if not SAFE_NAME.fullmatch(args.name):
        raise StudyError(f"--name {args.name[:64]!r}: use letters, digits, - and _.")
    console = on_console(args)
    plan = fit_plan(args.penalty, folds=args.folds, repeats=args.repeats, seed=args.seed)
    study = Study.open(args.study)
    try:
        report = fit(study, args.name, plan, **console)
    except FitCancelled as error:
        print(f"\n{error} Run the same command again to resume.", flush=True)
        return 130
    print(report_text(report))
    return 0
