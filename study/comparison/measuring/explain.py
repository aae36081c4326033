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
            if candidate.model in (PLAIN, *PENALISED):
                on_stage(f"{'Cox regression' if candidate.model == PLAIN else 'Penalty path'} of {candidate.label}")
                model = make_model(candidate.model, **candidate.settings)
                model = model.fit(blocks, scored.time, scored.event, None, cancelled, scored.entry)
                if isinstance(model, PenalisedCox):
                    effective = model.effective_parameters(blocks, scored.time, scored.event)
                    chosen = np.arange(len(effective)) == model.path_.best
                    table = model.path_.table.assign(effective=effective, chosen=chosen)
                    rows["paths"] += [(candidate.name, *row) for row in table.itertuples(index=False)]
                elif isinstance(model, PlainCox):
                    table = model.fit_.table()
                    rows["coefficients"] += [(candidate.name, *row) for row in table.itertuples(index=False)]
                    _proportional(candidate.name, model.fit_, rows)
            score = scored.scores[candidate.name].log_risk[0]
            if np.ptp(score) > 0:
                alone = cox_regression(score, scored.time, scored.event, names=[SCORE], entry=scored.entry)
                _proportional(candidate.name, alone, rows)
        except FitCancelled:
            raise
        except SurvivalError as problem:
            notes.append(f"{candidate.label}, fitted to all patients: {problem}")
    return {name: table_of(name, each) for name, each in rows.items()}, notes


def _proportional(name: str, fit: CoxFit, rows: dict[str, list[tuple[Any, ...]]]) -> None:
    rows["schoenfeld"] += [(name, *row) for row in scaled_residuals(fit).itertuples(index=False)]
    tests = proportional_hazards_test(fit)
    if len(fit.names) == 1:
        tests = tests[tests["name"] != GLOBAL]
    rows["proportionality"] += [(name, *row) for row in tests.itertuples(index=False)]
