"""A comparison from a plan to its result on disk: gather, cross-validate, measure, explain, write.

Finished folds are kept under `comparisons.parts/`, so that a stopped comparison goes on with the same command and one
with a further model fits only that.
"""

from __future__ import annotations

import platform
import time as clock
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np
import pandas as pd

from common.console import ProgressLine
from study.comparison.candidates import SHUFFLED, candidates_of
from study.comparison.features import Cohort, chosen_sets, gather
from study.comparison.measuring import measure
from study.comparison.measuring.estimate import measured_here
from study.comparison.measuring.explain import explain
from study.comparison.measuring.shuffles import Shuffled, shuffled_control
from study.comparison.plan import Plan
from study.comparison.record import Comparison, Judged, comparison_folder
from study.comparison.standing import provenance
from study.comparison.tables import TABLES, empty, table_of
from study.disk.places import COMPARISON_PARTS as PARTS
from study.disk.store import Study
from study.errors import StudyError
from study.files import replacing_folder
from survival.comparison.crossval import Candidate, cross_validate, draw_folds
from survival.comparison.crossval import Comparison as Scored
from survival.comparison.fold_job import STOPPED
from survival.comparison.subgroups import subgroup_table
from survival.errors import Cancelled, FitCancelled, SurvivalError, stop_if
from survival.metrics.probability import evaluation_times
from survival.outcome import check_outcome

TIMES = 20
SUBGROUP_SAMPLES = 300
PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "scikit-survival")
Told = Callable[[str], None]


@dataclass(frozen=True)
class Tell:
    """How a comparison reports: stage(sentence), and count(done, total, seconds left, what is counted)."""

    stage: Told
    count: Callable[[int, int, float | None, str], None]

    @classmethod
    def on_console(cls) -> Tell:
        """Sentences on stdout, a line of progress for each thing that is counted."""
        lines: dict[str, ProgressLine] = {}

        def count(done: int, total: int, left: float | None, what: str) -> None:
            lines.setdefault(what, ProgressLine(what))(done, total, left)

        return cls(lambda sentence: print(sentence, flush=True), count)


QUIET = Tell(lambda _: None, lambda *_: None)


@dataclass(frozen=True)
class _Watched(Tell):
    """Passes on what is told. all_new: whether every fit was made in this run, and none kept from an earlier one."""

    first: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = self.count

        def watch(done: int, total: int, left: float | None, what: str) -> None:
            self.first.setdefault(what, done)
            count(done, total, left, what)

        object.__setattr__(self, "count", watch)

    @property
    def all_new(self) -> bool:
        return self.first.get("fits") == 0 and self.first.get("control fits", 0) == 0


def compare(
    study: Study,
    plan: Plan | None = None,
    name: str = "main",
    *,
    workers: int = 1,
    tell: Tell = QUIET,
    cancelled: Cancelled = None,
) -> Comparison:
    """Compare models of a study and write the result; what was there under that name is replaced at the end.

    workers : processes of one thread each. cancelled : True stops with FitCancelled; finished folds are kept.
    Raises StudyError, one sentence. A candidate that cannot be fitted is reported in the result and the others go on.
    """
    plan = plan or Plan()
    folder = comparison_folder(study.path, name)
    start = clock.perf_counter()
    try:
        tell.stage("Gathering the features")
        tell = watched = _Watched(tell.stage, tell.count)
        cohort = gather(study, plan, lambda d, n, s: tell.count(d, n, s, "photos described"), cancelled)
        fitting = clock.perf_counter()
        candidates, notes = candidates_of(study, plan, cohort)
        scored = cross_validated(study, plan, cohort, candidates, workers, tell, cancelled)
        shuffled = _shuffled(study, plan, cohort, candidates, scored, workers, tell, cancelled)
        result = _result(study, plan, name, cohort, candidates, scored, shuffled, tell, cancelled)
    except FitCancelled:
        raise
    except SurvivalError as error:
        raise StudyError(f"{study.name}: {error}") from error
    seconds = sum(c.seconds for c in result.candidates) or clock.perf_counter() - start
    result = replace(result, notes=(*cohort.notes, *notes, *result.notes), seconds=seconds)
    with replacing_folder(folder) as new:
        result.save(new)
    if watched.all_new:
        taken = clock.perf_counter() - fitting
        measured_here(plan, chosen_sets(study, plan), len(cohort.patients), workers, taken)
    return result


def cross_validated(
    study: Study,
    plan: Plan,
    cohort: Cohort,
    candidates: tuple[Judged, ...],
    workers: int,
    tell: Tell,
    cancelled: Cancelled,
) -> Scored:
    """Out-of-fold scores of all candidates, from cached folds where there are some."""
    time, event = cohort.patients["time"].to_numpy(np.float64), cohort.patients["event"].to_numpy(bool)
    fold = draw_folds(check_outcome(time, event), plan.folds, plan.repeats, plan.seed)
    times = evaluation_times(time, event, fold, TIMES)
    horizons = measure.usable_horizons(study.horizons, time, event, fold, cohort.entry is not None)
    at = np.unique(np.concatenate([times, horizons.carried]))
    if plan.site == "strata":
        at = measure.within_every_site(at, cohort.patients["site"], time, event, fold)
    asked = [Candidate(c.name, c.model, c.blocks, c.settings) for c in candidates if c.name != SHUFFLED]
    tell.stage(f"Fitting {len(asked)} candidates to {plan.repeats} x {plan.folds} folds")
    return cross_validate(
        asked,
        cohort.blocks,
        time,
        event,
        at,
        fold,
        entry=cohort.entry,
        cache=study.path / PARTS,
        workers=workers,
        on_progress=lambda done, total, left: tell.count(done, total, left, "fits"),
        cancelled=cancelled,
    )


def _shuffled(
    study: Study,
    plan: Plan,
    cohort: Cohort,
    candidates: tuple[Judged, ...],
    scored: Scored,
    workers: int,
    tell: Tell,
    cancelled: Cancelled,
) -> Shuffled | None:
    """The control with a shuffled outcome, where the plan asks for it."""
    control = next((c for c in candidates if c.name == SHUFFLED), None)
    if control is None:
        return None
    tell.stage(f"Control: the outcome dealt to other patients, {plan.shuffles} times")
    return shuffled_control(
        control,
        cohort.blocks,
        scored,
        measure.horizons_of(study, scored).carried,
        plan,
        cache=study.path / PARTS,
        workers=workers,
        on_progress=lambda done, total, left: tell.count(done, total, left, "control fits"),
        cancelled=cancelled,
    )


def _result(
    study: Study,
    plan: Plan,
    name: str,
    cohort: Cohort,
    candidates: tuple[Judged, ...],
    scored: Scored,
    shuffled: Shuffled | None,
    tell: Tell,
    cancelled: Cancelled,
) -> Comparison:
    models = measure.models_of(candidates)
    if not any(c.name in scored.scores for c in models):
        raise StudyError(f"No model could be fitted: {next(iter(scored.failed.values()))}")
    at_horizons = measure.horizons_of(study, scored)
    horizons = at_horizons.carried
    clinical = cohort.patients[list(cohort.covariates)]
    tell.stage("Measuring, with bootstrap intervals")
    evaluation = measure.figures_of(scored, horizons, shuffled, plan)
    stop_if(cancelled, STOPPED)
    tables = {**{t: empty(t) for t in TABLES}, **measure.figure_tables(evaluation)}
    tables |= measure.calibration_tables(evaluation)
    tell.stage("Curves over time and thresholds")
    tables |= measure.curve_tables(scored, evaluation, horizons, models, plan)
    tables["added_value"] = measure.added_table(scored, models)
    tables["hazards"] = measure.hazard_table(scored, models, clinical)
    if shuffled is not None:
        tables["shuffles"] = shuffled.each
    tables["truth"] = measure.truth_table(study, scored, models, cohort.patients, plan)
    stop_if(cancelled, STOPPED)
    tell.stage("Subgroups")
    grouped = subgroup_table(
        scored,
        clinical,
        horizons,
        names=[c.name for c in models],
        whole=evaluation,
        samples=min(plan.samples, SUBGROUP_SAMPLES),
        seed=plan.seed,
        on_progress=lambda done, total: tell.count(done, total, None, "subgroups"),
        cancelled=cancelled,
    )
    tables["subgroups"] = table_of("subgroups", list(grouped.itertuples(index=False)))
    found, notes = explain(models, cohort, scored, tell.stage, cancelled)
    return Comparison(
        name=name,
        study=study.name,
        title=study.title,
        simulated=study.simulated,
        time_unit=study.time_unit,
        horizons=horizons,
        horizons_left_out=tuple(t for t, _ in at_horizons.left_out),
        plan=plan,
        candidates=tuple(_with_work(c, scored, shuffled) for c in candidates),
        patients=_patients(cohort.patients),
        covariates=cohort.covariates,
        scores=scored,
        tables=tables | found,
        tau=evaluation.tau,
        provenance=provenance(study, plan, cohort),
        versions=versions(),
        made=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        seconds=0.0,
        notes=(*at_horizons.sentences(study.time_unit), *notes),
    )


def _with_work(judged: Judged, scored: Scored, shuffled: Shuffled | None) -> Judged:
    if judged.name == SHUFFLED and shuffled is not None:
        return replace(judged, seconds=shuffled.seconds, error=shuffled.error)
    if judged.name in scored.failed:
        return replace(judged, error=scored.failed[judged.name])
    own = scored.scores[judged.name]
    return replace(judged, notes=own.notes, seconds=own.seconds)


def _patients(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype({"patient_id": str, "time": float, "event": bool}).reset_index(drop=True)


def versions() -> dict[str, str]:
    """Of Python and the packages that the numbers depend on."""
    return {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}}
