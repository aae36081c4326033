"""The clinical side of a study: its covariates as a table, as columns of a regression, and an unpenalised Cox model.

Words become a 0/1 column for each level but the reference: the first that study.toml lists, else the first in the
alphabet. A study without photos is analysed by these columns alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from study.errors import StudyError
from study.settings import Covariate, Settings

if TYPE_CHECKING:
    from study.store import Study
    from survival.regression import CoxFit

FIXED = (
    Covariate("age"),
    Covariate("sex", "categorical"),
    Covariate("site", "categorical"),
    Covariate("stage", "categorical"),
    Covariate("ecog"),
)
LATE_ENTRY = (
    "Patients came under observation after time 0 (left truncation): each counts from then on in Cox models, Harrell's "
    "C, Cox slopes, hazard ratios, survival curves and log-rank tests. Uno's C, AUC, Brier scores, calibration and "
    "decision curves at a time need everyone followed from time 0 and are not given; models other than Cox cannot take "
    "entry times in and are not fitted."
)


def entry_of(study: Study, rows: pd.DataFrame) -> np.ndarray | None:
    """(n,) when the patients of some rows of the table came under observation; None where all came at time 0."""
    return rows["entry"].to_numpy(np.float64) if study.left_truncated else None


def covariates_of(table: pd.DataFrame, settings: Settings) -> list[Covariate]:
    """The clinical covariates that the table holds: the fixed ones, then those of study.toml."""
    return [c for c in (*FIXED, *settings.covariates) if c.name in table]


def clinical_table(table: pd.DataFrame, settings: Settings, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Covariates of the rows of a study's table: float with NaN, or ordered categories with NaN where missing.

    names: which ones; None: all that vary. Raises StudyError for one that the study does not have.
    """
    there = {c.name: c for c in covariates_of(table, settings)}
    absent = [name for name in names or () if name not in there]
    if absent:
        raise StudyError(f"The study has no covariate {absent[0][:60]!r}: it has {', '.join(there) or 'none'}.")
    out: dict[str, object] = {}
    for c in (there[name] for name in names) if names is not None else there.values():
        values = table[c.name]
        if c.kind == "numeric":
            column: pd.Series = values.astype(float)
        else:
            known = values[values != ""]
            levels = [v for v in c.levels if (known == v).any()] if c.levels else sorted(known.unique())
            column = pd.Series(pd.Categorical(values, categories=levels), index=table.index)
        if names is not None or column.nunique() > 1:
            out[c.name] = column
    return pd.DataFrame(out, index=table.index)


def parameters_of(table: pd.DataFrame, settings: Settings) -> dict[str, int]:
    """Covariate -> columns that it takes in a regression, of all clinical covariates that vary."""
    clinical = clinical_table(table, settings)
    return {
        str(name): max(len(column.cat.categories) - 1, 1) if isinstance(column.dtype, pd.CategoricalDtype) else 1
        for name, column in clinical.items()
    }


def design(clinical: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """(n, p) numbers and p names from `clinical_table`; a row with a missing value has NaN."""
    columns: list[np.ndarray] = []
    names: list[str] = []
    for name, column in clinical.items():
        if isinstance(column.dtype, pd.CategoricalDtype):
            gone = column.isna().to_numpy()
            for level in column.cat.categories[1:]:
                columns.append(np.where(gone, np.nan, (column == level).to_numpy(float)))
                names.append(f"{name} {level}")
        else:
            columns.append(column.to_numpy(float))
            names.append(str(name))
    return np.column_stack(columns) if columns else np.empty((len(clinical), 0)), names


def compared_with(names: Collection[str], table: pd.DataFrame) -> str:
    """Which levels the coefficients of words ("sex male") are compared with, as one sentence; "" without any.

    names: of the coefficients. table: covariates of the patients. Whoever encoded the levels, the reference is what has
    no coefficient of its own; there are several where rare levels were counted with it.
    """
    told = []
    for name, column in table.items():
        if pd.api.types.is_numeric_dtype(column.dtype):
            continue
        levels = sorted({str(value) for value in column.dropna()} - {""})
        without = [level for level in levels if f"{name} {level}" not in names]
        if len(without) < len(levels):
            told.append(f"{name} {' or '.join(without)}")
    return f"Levels are compared with: {', '.join(told)}." if told else ""


def clinical_cox(
    study: Study, names: Sequence[str] | None = None, strata: str | None = None, ties: str = "efron"
) -> tuple[CoxFit, pd.DataFrame]:
    """Unpenalised Cox regression on clinical covariates of the patients who are not excluded and have all of them.

    names: which covariates; None: all that vary. strata: one that gets a baseline of its own in place of coefficients.
    Entry times are used where the study has them. Returns the fit and the rows of the table that it rests on.
    Raises StudyError, or SurvivalError where the data cannot carry it.
    """
    from survival.regression import cox_regression

    if strata is not None:
        clinical_table(study.included, study.settings, [strata])  # told if there is none
    clinical = clinical_table(study.included, study.settings, names).drop(columns=strata or [], errors="ignore")
    if clinical.shape[1] == 0:
        raise StudyError(
            f"{study.name} has no clinical covariate that varies: declare some in study.toml, [covariates]."
        )
    x, labels = design(clinical)
    whole = np.isfinite(x).all(axis=1)
    if strata is not None:
        whole &= (study.included[strata].astype(str) != "").to_numpy()
    rows = study.included[whole].reset_index(drop=True)
    if rows.empty:
        raise StudyError(f"No patient of {study.name} has all of {', '.join(map(str, clinical))}.")
    entry = entry_of(study, rows)
    group = rows[strata].to_numpy() if strata is not None else None
    fit = cox_regression(x[whole], rows["time"], rows["event"], names=labels, ties=ties, strata=group, entry=entry)
    return fit, rows
