"""What only a fit to all patients can show: penalty paths with effective parameters, Cox tables, Schoenfeld residuals.

These fits are in-sample and no measure of worth: the page and the report say so beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from study.comparison.candidates import PLAIN
from study.comparison.features import Cohort
from study.comparison.plan import PENALISED
from study.comparison.record import Judged
from study.comparison.tables import table_of
from survival.comparison.crossval import Comparison as Scored
from survival.cox_regression.proportional import GLOBAL, proportional_hazards_test
from survival.cox_regression.regression import CoxFit, cox_regression
from survival.cox_regression.schoenfeld import scaled_residuals
from survival.errors import FitCancelled, SurvivalError
from survival.features.encoding import Features
from survival.models import make_model
from survival.models.cox import PenalisedCox, PlainCox

SCORE = "score"
Told = Callable[[str], None]
Cancelled = Callable[[], bool] | None


def explain(
    candidates: Sequence[Judged], cohort: Cohort, scored: Scored, told: Told, cancelled: Cancelled
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """(tables paths, coefficients, proportionality and schoenfeld; notes). told: called with what is being done.

    Raises FitCancelled. A model that cannot be fitted to all patients is a note.
    """
    rows: dict[str, list[tuple[Any, ...]]] = {
        name: [] for name in ("paths", "coefficients", "proportionality", "schoenfeld")
    }
    notes = []
    for judged in candidates:
        if judged.name not in scored.scores:
            continue
        own = {block: cohort.blocks[block] for block in judged.blocks}
        try:
            if judged.model in PENALISED:
                told(f"Penalty path of {judged.label}")
                rows["paths"] += [(judged.name, *row) for row in _path(judged, own, scored, cancelled)]
            elif judged.model == PLAIN:
                told(f"Cox regression of {judged.label}")
                fit = _plain(judged, own, scored)
                table = fit.table()
                rows["coefficients"] += [(judged.name, *row) for row in table.itertuples(index=False)]
                _proportional(judged.name, fit, rows)
            score = scored.scores[judged.name].log_risk[0]
            if np.ptp(score) > 0:
                alone = cox_regression(score, scored.time, scored.event, names=[SCORE], entry=scored.entry)
                _proportional(judged.name, alone, rows)
        except FitCancelled:
            raise
        except SurvivalError as problem:
            notes.append(f"{judged.label}, fitted to all patients: {problem}")
    return {name: table_of(name, found) for name, found in rows.items()}, notes


def _path(judged: Judged, own: Features, scored: Scored, cancelled: Cancelled) -> list[tuple[Any, ...]]:
    model = make_model(judged.model, **judged.settings).fit(
        own, scored.time, scored.event, None, cancelled, scored.entry
    )
    assert isinstance(model, PenalisedCox)
    effective = model.effective_parameters(own, scored.time, scored.event)
    table = model.path_.table.assign(effective=effective, chosen=np.arange(len(effective)) == model.path_.best)
    return list(table.itertuples(index=False, name=None))


def _plain(judged: Judged, own: Features, scored: Scored) -> CoxFit:
    model = make_model(judged.model, **judged.settings).fit(own, scored.time, scored.event, entry=scored.entry)
    assert isinstance(model, PlainCox)
    return model.fit_


def _proportional(name: str, fit: CoxFit, rows: dict[str, list[tuple[Any, ...]]]) -> None:
    rows["schoenfeld"] += [(name, *row) for row in scaled_residuals(fit).itertuples(index=False)]
    tests = proportional_hazards_test(fit)
    if len(fit.names) == 1:
        tests = tests[tests["name"] != GLOBAL]
    rows["proportionality"] += [(name, *row) for row in tests.itertuples(index=False)]
