"""A learning curve from a study to its result on disk: gather, fit at every size, write.

Finished fits are kept with those of comparisons under `comparisons.parts/`, so that a stopped run resumes with the same
command.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from common.text import count
from study.comparison.candidates import candidates_of
from study.comparison.features import PHOTO, available_sets, gather, of_codes_alone
from study.comparison.measuring.measure import face_hazard
from study.comparison.plan import DEFAULT, Plan
from study.comparison.provenance import provenance
from study.comparison.run import QUIET, Reporter, Work, study_errors
from study.disk.store import Study
from study.errors import StudyError
from study.learning_curve.record import (
    COLUMNS,
    CURVE,
    REPEATS,
    SHARE,
    C,
    LearningCurveResult,
    Target,
    write_learning_curve,
)
from survival.comparison.crossval import Candidate, draw_folds
from survival.comparison.learning_curve import BEYOND, LearningCurve, PowerLaw, learning_curve
from survival.errors import Cancelled
from survival.outcome import check_outcome

SHARE_TARGET = 0.85
STEP = 0.05  # the target of C, where none is given, is the next multiple
GRID = 60
FITS = "fits"


def curve_plan(study: Study, features: str = "", model: str = DEFAULT, **changes: int) -> Plan:
    """One model on one feature set, by default the photo's, or the study's first where it has no codes. changes: folds,
    repeats, seed, samples. Raises StudyError."""
    if not features:
        sets = available_sets(study)
        if not sets:
            raise StudyError(f"{study.name} has neither photos with codes nor clinical columns to predict from.")
        features = PHOTO if PHOTO in sets else sets[-1]
    settings: dict[str, Any] = {"repeats": REPEATS, **changes}
    return Plan((features,), (model,), shuffles=0, random_direction=False, **settings)


def learn(
    study: Study,
    plan: Plan,
    sizes: Sequence[int] = (),
    targets: Sequence[tuple[str, float]] = (),
    *,
    workers: int = 1,
    reporter: Reporter = QUIET,
    cancelled: Cancelled = None,
) -> LearningCurveResult:
    """Fit the plan's model to parts of the cohort and write the curve into the study.

    sizes : numbers of patients, () for six from 20 events to all. targets : (C or SHARE, value), () for a share of 0.85
    of a simulated study and the next 0.05 of C. Raises StudyError, or FitCancelled; finished fits are kept.
    """
    work = Work(study, plan, workers, reporter, cancelled)
    with study_errors(study.name):
        reporter.stage("Gathering the features")
        cohort = gather(study, plan, work.counter("photos described"), cancelled)
        chosen = candidates_of(study, plan, cohort)[0][0]
        time, event = cohort.patients["time"].to_numpy(np.float64), cohort.patients["event"].to_numpy(bool)
        fold = draw_folds(check_outcome(time, event), plan.folds, plan.repeats, plan.seed)
        reporter.stage(f"Fitting {chosen.label} to parts of {count(len(time), 'patient')}")
        of_face = of_codes_alone(chosen.model, chosen.blocks)
        curve = learning_curve(
            Candidate(chosen.name, chosen.model, chosen.blocks, chosen.settings),
            cohort.blocks,
            time,
            event,
            fold,
            sizes,
            truth=face_hazard(study, cohort.patients["patient_id"]) if of_face else None,
            entry=cohort.entry,
            samples=plan.samples,
            seed=plan.seed,
            cache=work.cache,
            workers=workers,
            on_progress=work.counter(FITS),
            cancelled=cancelled,
        )
        beyond = BEYOND * len(time)
        result = LearningCurveResult(
            study=study.name,
            simulated=study.simulated,
            label=chosen.label,
            patients=len(time),
            events=int(event.sum()),
            beyond=beyond,
            points=_points(curve),
            curve=_drawn(curve, beyond),
            targets=_targets(curve, targets),
            ceiling=float("nan") if curve.ceiling is None else curve.ceiling.value,
            notes=(*cohort.notes, *curve.notes),
            plan=plan,
            covariates=cohort.covariates,
            provenance=provenance(study, plan, cohort),
            made=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
    write_learning_curve(study, result)
    return result


def _points(curve: LearningCurve) -> pd.DataFrame:
    rows = []
    for size in curve.sizes:
        c, share = size.harrell, size.share
        rows.append((C, size.patients, size.events, c.value, c.low, c.high, size.spread))
        if share is not None:
            rows.append((SHARE, size.patients, size.events, share.value, share.low, share.high, float("nan")))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _laws(curve: LearningCurve) -> dict[str, PowerLaw]:
    return {C: curve.harrell} | ({SHARE: curve.share} if curve.share is not None else {})


def _drawn(curve: LearningCurve, beyond: int) -> pd.DataFrame:
    at = np.unique(np.round(np.geomspace(curve.sizes[0].patients, beyond, GRID)))
    tables = [
        pd.DataFrame(dict(zip(CURVE, (measure, at, *law.at(at)), strict=True))) for measure, law in _laws(curve).items()
    ]
    return pd.concat(tables, ignore_index=True)


def _targets(curve: LearningCurve, asked: Sequence[tuple[str, float]]) -> tuple[Target, ...]:
    laws = _laws(curve)
    if not asked:
        here = curve.sizes[-1].harrell.value
        asked = [(C, round(STEP * (np.floor(here / STEP + 0.1) + 1), 2))]
        asked += [(SHARE, SHARE_TARGET)] if SHARE in laws else []
    for measure, _ in asked:
        if measure not in laws:
            raise StudyError(
                "The recovered share is known only for photo models of a simulated study: give a target of C."
            )
    return tuple(Target(measure, float(value), *laws[measure].needed(value)) for measure, value in asked)
