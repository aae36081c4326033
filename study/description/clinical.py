"""The clinical side of a study: an unpenalised Cox model of its covariates, and what late entries mean for it.

A study without photos is analysed by these columns alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from study.errors import StudyError
from study.tables.covariates import clinical_table, design
from survival.delayed_entry import delayed_start_words

if TYPE_CHECKING:
    from study.disk.store import Study
    from survival.cox_regression.regression import CoxFit

LATE_ENTRY = (
    "Patients came under observation after time 0 (left truncation): each counts from then on in Cox models, Harrell's "
    "C, calibration slopes (Cox), hazard ratios, survival curves and log-rank tests. Uno's C, AUC, Brier scores, "
    "calibration and decision curves at a time need everyone followed from time 0 and are not given; models other than "
    "Cox cannot take entry times in and are not fitted."
)


def entry_of(study: Study, rows: pd.DataFrame) -> np.ndarray | None:
    """(n,) when the patients of some rows of the table came under observation; None where all came at time 0."""
    return rows["entry"].to_numpy(np.float64) if study.left_truncated else None


def late_notes(study: Study, rows: pd.DataFrame, sentence: str = LATE_ENTRY) -> list[str]:
    """What to say of an analysis of these rows where patients came under observation late; [] where none did.

    sentence: how entry times count in the analysis. Further ones say where a survival curve cannot begin at 0.
    """
    entry = entry_of(study, rows)
    if entry is None:
        return []
    words = delayed_start_words(rows["time"].to_numpy(np.float64), rows["event"].to_numpy(bool), entry, study.time_unit)
    return [sentence, *([words] if words else [])]


def clinical_cox(
    study: Study, names: Sequence[str] | None = None, strata: str | None = None, ties: str = "efron"
) -> tuple[CoxFit, pd.DataFrame]:
    """Unpenalised Cox regression on clinical covariates of the patients who are not excluded and have all of them.

    names: which covariates; None: all that vary. strata: one that gets a baseline of its own in place of coefficients.
    Entry times are used where the study has them. Returns the fit and the rows of the table that it rests on.
    Raises StudyError, or SurvivalError where the data cannot carry it.
    """
    from survival.cox_regression.regression import cox_regression

    if strata is not None:
        clinical_table(study.included, study.settings, [strata])  # told if there is none
    clinical = clinical_table(study.included, study.settings, names).drop(columns=strata or [], errors="ignore")
    if clinical.shape[1] == 0:
        raise StudyError(
            f"{study.name} has no clinical covariate that varies: declare some in study.toml, [covariates]."
        )
    whole = clinical.notna().all(axis=1).to_numpy()
    if strata is not None:
        whole &= (study.included[strata].astype(str) != "").to_numpy()
    rows = study.included[whole].reset_index(drop=True)
    if rows.empty:
        raise StudyError(f"No patient of {study.name} has all of {', '.join(map(str, clinical))}.")
    x, labels = design(clinical[whole])
    entry = entry_of(study, rows)
    group = rows[strata].to_numpy() if strata is not None else None
    fit = cox_regression(x, rows["time"], rows["event"], names=labels, ties=ties, strata=group, entry=entry)
    return fit, rows
