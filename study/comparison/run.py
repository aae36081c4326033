"""A comparison from a plan to its result on disk: gather, cross-validate, measure, explain, write.

Finished folds are kept under `comparisons.parts/`, so that a stopped comparison resumes with the same command and one
with a further model fits only that.
"""

from __future__ import annotations

import platform
import time as clock
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from common.console import ProgressLine, stop_requested
from common.text import count
from common.threads import pool_size
from study.comparison.candidates import SHUFFLED, candidates_of
from study.comparison.features import Cohort, chosen_sets, gather
from study.comparison.measuring import measure
from study.comparison.measuring.duration import measured_here
from study.comparison.measuring.explain import explain
from study.comparison.measuring.shuffles import Shuffled, shuffled_control
from study.comparison.plan import Plan
from study.comparison.provenance import provenance
from study.comparison.record import MODEL, CandidateResult, Comparison, comparison_folder
from study.comparison.tables import TABLES, table_of
from study.disk.places import COMPARISON_PARTS as PARTS
from study.disk.store import Study
from study.errors import StudyError
from study.files import replacing_folder
from survival.comparison.crossval import Candidate, CrossValidation, cross_validate, draw_folds_and_times
from survival.comparison.evaluate import evaluate
from survival.comparison.fold_job import STOPPED
from survival.comparison.subgroups import subgroup_table
from survival.errors import Cancelled, FitCancelled, SurvivalError, stop_if
from survival.outcome import check_outcome

TIMES = 20
SUBGROUP_SAMPLES = 300
PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "scikit-survival")
FITS, CONTROL_FITS = "fits", "control fits"


@dataclass(frozen=True)
class Reporter:
    """How a comparison reports: stage(sentence), and count(done, total, seconds left, what is counted)."""

    stage: Callable[[str], None]
    count: Callable[[int, int, float | None, str], None]

    @classmethod
    def on_console(cls) -> Reporter:
        """Sentences on stdout, a line of progress for each thing that is counted."""
        lines: dict[str, ProgressLine] = {}

        def show(done: int, total: int, left: float | None, what: str) -> None:
            lines.setdefault(what, ProgressLine(what))(done, total, left)

        return cls(lambda sentence: print(sentence, flush=True), show)


QUIET = Reporter(lambda _: None, lambda *_: None)


@dataclass(frozen=True)
class Work:
    """What the steps of one comparison share. workers : processes of one thread each. cancelled : True stops with
    FitCancelled; finished folds are kept. begun : what is counted -> how many were done at the start."""

    study: Study
    plan: Plan
    workers: int = 1
    reporter: Reporter = QUIET
    cancelled: Cancelled = None
    begun: dict[str, int] = field(default_factory=dict)

    def counter(self, what: str) -> Callable[..., None]:
        """A callback (done, total, seconds left where known) for one thing that is counted."""

        def progress(done: int, total: int, left: float | None = None) -> None:
            self.begun.setdefault(what, done)
            self.reporter.count(done, total, left, what)

        return progress

    @property
    def cache(self) -> Path:
        return self.study.path / PARTS


def on_console(options: Any) -> dict[str, Any]:
    """workers, reporter and cancelled of a command with --workers. Raises StudyError for fewer than none."""
    if options.workers < 0:
        raise StudyError("Give at least 1 worker.")
    workers = pool_size(options.workers)
    return {"workers": workers, "reporter": Reporter.on_console(), "cancelled": stop_requested()}


@contextmanager
def study_errors(name: str) -> Iterator[None]:
    """What the statistics refuse inside is a StudyError about `name`; FitCancelled passes through."""
    try:
        yield
    except FitCancelled:
        raise
    except SurvivalError as error:
        raise StudyError(f"{name}: {error}") from error


def compare(
    study: Study,
    plan: Plan | None = None,
    name: str = "main",
    *,
    workers: int = 1,
    reporter: Reporter = QUIET,
    cancelled: Cancelled = None,
) -> Comparison:
    """Compare models of a study and write the result; an existing result of this name is replaced at the end.

    Raises StudyError, one sentence, or FitCancelled. A candidate that cannot be fitted is reported in the result, and
    the others continue.
    """
    work = Work(study, plan or Plan(), workers, reporter, cancelled)
    folder = comparison_folder(study.path, name)
    start = clock.perf_counter()
    with study_errors(study.name):
        reporter.stage("Gathering the features")
        cohort = gather(study, work.plan, work.counter("photos described"), cancelled)
        fitting = clock.perf_counter()
        candidates, notes = candidates_of(study, work.plan, cohort)
        scored = cross_validated(work, cohort, candidates)
        shuffled = _shuffled(work, cohort, candidates, scored)
        result = _result(work, name, cohort, candidates, scored, shuffled)
    seconds = sum(c.seconds for c in result.candidates) or clock.perf_counter() - start
    result = replace(result, notes=(*cohort.notes, *notes, *result.notes), seconds=seconds)
    with replacing_folder(folder) as new:
        result.save(new)
    if work.begun.get(FITS) == 0 and work.begun.get(CONTROL_FITS, 0) == 0:  # nothing was cached
        sets, taken = chosen_sets(study, work.plan), clock.perf_counter() - fitting
        measured_here(work.plan, sets, len(cohort.patients), workers, taken)
    return result


def cross_validated(work: Work, cohort: Cohort, candidates: tuple[CandidateResult, ...]) -> CrossValidation:
    """Out-of-fold scores of all candidates but the shuffled control, from cached folds where there are some."""
    study, plan = work.study, work.plan
    time, event = cohort.patients["time"].to_numpy(np.float64), cohort.patients["event"].to_numpy(bool)
    fold, steady = draw_folds_and_times(check_outcome(time, event), plan.folds, plan.repeats, plan.seed, TIMES)
    horizons = measure.usable_horizons(study.horizons, time, event, fold, cohort.entry is not None)
    at = np.unique(np.concatenate([steady, horizons.carried]))
    if plan.site == "strata":
        at = measure.within_every_site(at, cohort.patients["site"], time, event, fold)
    to_fit = [Candidate(c.name, c.model, c.blocks, c.settings) for c in candidates if c.name != SHUFFLED]
    work.reporter.stage(f"Fitting {count(len(to_fit), 'candidate')} to {plan.repeats} x {plan.folds} folds")
    return cross_validate(
        to_fit,
        cohort.blocks,
        time,
        event,
        at,
        fold,
        entry=cohort.entry,
        cache=work.cache,
        workers=work.workers,
        on_progress=work.counter(FITS),
        cancelled=work.cancelled,
    )


def _shuffled(
    work: Work, cohort: Cohort, candidates: tuple[CandidateResult, ...], scored: CrossValidation
) -> Shuffled | None:
    """The control with permuted outcomes, where the plan asks for it."""
    control = next((c for c in candidates if c.name == SHUFFLED), None)
    if control is None:
        return None
    work.reporter.stage(f"Control: permuted outcomes, {count(work.plan.shuffles, 'time')}")
    return shuffled_control(
        control,
        cohort.blocks,
        scored,
        measure.horizons_of(work.study, scored).carried,
        work.plan,
        cache=work.cache,
        workers=work.workers,
        on_progress=work.counter(CONTROL_FITS),
        cancelled=work.cancelled,
    )


def _result(
    work: Work,
    name: str,
    cohort: Cohort,
    candidates: tuple[CandidateResult, ...],
    scored: CrossValidation,
    shuffled: Shuffled | None,
) -> Comparison:
    study, plan, cancelled = work.study, work.plan, work.cancelled
    models = [c for c in candidates if c.role == MODEL]
    if not any(c.name in scored.scores for c in models):
        raise StudyError(f"No model could be fitted: {next(iter(scored.failed.values()))}")
    at_horizons = measure.horizons_of(study, scored)
    horizons = at_horizons.carried
    clinical = cohort.patients[list(cohort.covariates)]
    work.reporter.stage("Measuring, with bootstrap intervals")
    at = horizons or (float(scored.times[-1]),)
    evaluation = evaluate(scored, at, samples=plan.samples, seed=plan.seed)
    if shuffled is not None and shuffled.measures:
        evaluation.measures[SHUFFLED] = shuffled.measures
    stop_if(cancelled, STOPPED)
    tables = {**{t: table_of(t) for t in TABLES}, **measure.estimate_tables(evaluation)}
    tables |= measure.calibration_tables(evaluation)
    work.reporter.stage("Curves over time and thresholds")
    tables |= measure.curve_tables(scored, evaluation, horizons, models, plan)
    tables["added_value"] = measure.added_table(scored, models)
    tables["hazards"] = measure.hazard_table(scored, models, clinical)
    if shuffled is not None:
        tables["shuffles"] = shuffled.each
    tables["truth"] = measure.truth_table(study, scored, models, cohort.patients, plan)
    stop_if(cancelled, STOPPED)
    work.reporter.stage("Subgroups")
    grouped = subgroup_table(
        scored,
        clinical,
        horizons,
        names=[c.name for c in models],
        whole=evaluation,
        samples=min(plan.samples, SUBGROUP_SAMPLES),
        seed=plan.seed,
        on_progress=lambda done, total: work.reporter.count(done, total, None, "subgroups"),
        cancelled=cancelled,
    )
    tables["subgroups"] = table_of("subgroups", list(grouped.itertuples(index=False)))
    explained, notes = explain(models, cohort, scored, work.reporter.stage, cancelled)
    return Comparison(
        name=name,
        study=study.name,
        title=study.settings.title,
        simulated=study.simulated,
        time_unit=study.time_unit,
        horizons=horizons,
        horizons_left_out=tuple(t for t, _ in at_horizons.left_out),
        plan=plan,
        candidates=tuple(_with_work(c, scored, shuffled) for c in candidates),
        patients=cohort.patients.astype({"patient_id": str, "time": float, "event": bool}).reset_index(drop=True),
        covariates=cohort.covariates,
        scores=scored,
        tables=tables | explained,
        tau=evaluation.tau,
        provenance=provenance(study, plan, cohort),
        versions=versions(),
        made=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        seconds=0.0,
        notes=(*at_horizons.sentences(study.time_unit), *notes),
    )


def _with_work(candidate: CandidateResult, scored: CrossValidation, shuffled: Shuffled | None) -> CandidateResult:
    if candidate.name == SHUFFLED and shuffled is not None:
        return replace(candidate, seconds=shuffled.seconds, error=shuffled.error)
    if candidate.name in scored.failed:
        return replace(candidate, error=scored.failed[candidate.name])
    scores = scored.scores[candidate.name]
    return replace(candidate, notes=scores.notes, seconds=scores.seconds)


def versions() -> dict[str, str]:
    """Of Python and the packages that the numbers depend on."""
    return {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}}
