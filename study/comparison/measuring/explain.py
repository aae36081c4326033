"""What only a fit to all patients can show: penalty paths with effective parameters, Cox tables, Schoenfeld residuals.

These fits are in-sample and do not measure performance: the page and the report say so next to them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from study.comparison.candidates import PLAIN
from study.comparison.features import Cohort
from study.comparison.plan import PENALISED
from study.comparison.record import CandidateResult
from study.comparison.tables import table_of
from survival.comparison.crossval import CrossValidation
from survival.cox_regression.proportional import GLOBAL, proportional_hazards_test
from survival.cox_regression.regression import CoxFit, cox_regression
from survival.cox_regression.schoenfeld import scaled_residuals
from survival.errors import Cancelled, FitCancelled, SurvivalError
from survival.features.encoding import Features
from survival.models import make_model
from survival.models.cox import PenalisedCox, PlainCox

SCORE = "score"


def explain(
    candidates: Sequence[CandidateResult],
    cohort: Cohort,
    scored: CrossValidation,
    on_stage: Callable[[str], None],
    cancelled: Cancelled,
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """(tables paths, coefficients, proportionality and schoenfeld; notes). on_stage: called with what is being done.

    Raises FitCancelled. A model that cannot be fitted to all patients is a note.
    """
    rows: dict[str, list[tuple[Any, ...]]] = {
        name: [] for name in ("paths", "coefficients", "proportionality", "schoenfeld")
    }
    notes = []
    for candidate in candidates:
        if candidate.name not in scored.scores:
            continue
        blocks = {block: cohort.blocks[block] for block in candidate.blocks}
        try:
            if candidate.model in PENALISED:
                on_stage(f"Penalty path of {candidate.label}")
                rows["paths"] += [(candidate.name, *row) for row in _path(candidate, blocks, scored, cancelled)]
            elif candidate.model == PLAIN:
                on_stage(f"Cox regression of {candidate.label}")
                fit = _plain(candidate, blocks, scored)
                table = fit.table()
                rows["coefficients"] += [(candidate.name, *row) for row in table.itertuples(index=False)]
                _proportional(candidate.name, fit, rows)
            score = scored.scores[candidate.name].log_risk[0]
            if np.ptp(score) > 0:
                alone = cox_regression(score, scored.time, scored.event, names=[SCORE], entry=scored.entry)
                _proportional(candidate.name, alone, rows)
        except FitCancelled:
            raise
        except SurvivalError as problem:
            notes.append(f"{candidate.label}, fitted to all patients: {problem}")
    return {name: table_of(name, each) for name, each in rows.items()}, notes


def _path(
    candidate: CandidateResult, blocks: Features, scored: CrossValidation, cancelled: Cancelled
) -> list[tuple[Any, ...]]:
    model = make_model(candidate.model, **candidate.settings).fit(
        blocks, scored.time, scored.event, None, cancelled, scored.entry
    )
    assert isinstance(model, PenalisedCox)
    effective = model.effective_parameters(blocks, scored.time, scored.event)
    table = model.path_.table.assign(effective=effective, chosen=np.arange(len(effective)) == model.path_.best)
    return list(table.itertuples(index=False, name=None))


def _plain(candidate: CandidateResult, blocks: Features, scored: CrossValidation) -> CoxFit:
    model = make_model(candidate.model, **candidate.settings).fit(blocks, scored.time, scored.event, entry=scored.entry)
    assert isinstance(model, PlainCox)
    return model.fit_


def _proportional(name: str, fit: CoxFit, rows: dict[str, list[tuple[Any, ...]]]) -> None:
    rows["schoenfeld"] += [(name, *row) for row in scaled_residuals(fit).itertuples(index=False)]
    tests = proportional_hazards_test(fit)
    if len(fit.names) == 1:
        tests = tests[tests["name"] != GLOBAL]
    rows["proportionality"] += [(name, *row) for row in tests.itertuples(index=False)]
