"""The clinical covariates of a study, and how they become numbers: one encoder for all.

Words become a 0/1 column for each level but the reference. Levels are in the order of study.toml where it declares
them, else in that of the alphabet (stage I before II); the reference is the first
(`survival.features.encoding.fit_encoding`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from study.errors import StudyError
from study.settings import Covariate, Settings
from survival.events_per_parameter import enough_events, too_few_words
from survival.features.encoding import RARE, fit_encoding

FIXED = (Covariate("age"), *(Covariate(name, "categorical") for name in ("sex", "site", "stage")), Covariate("ecog"))


def clinical_table(table: pd.DataFrame, settings: Settings, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Covariates of the rows of a study's table: float with NaN, or ordered categories with NaN where missing.

    names: which ones; None: all that vary. Raises StudyError for one that the study does not have.
    """
    available = {c.name: c for c in (*FIXED, *settings.covariates) if c.name in table}
    absent = [name for name in names or () if name not in available]
    if absent:
        raise StudyError(f"The study has no covariate {absent[0][:60]!r}: it has {', '.join(available) or 'none'}.")
    out: dict[str, object] = {}
    for c in (available[name] for name in names) if names is not None else available.values():
        values = table[c.name]
        if c.kind == "numeric":
            column: pd.Series = values.astype(float)
        else:
            present = values[values != ""]
            levels = [v for v in c.levels if (present == v).any()] if c.levels else sorted(present.unique())
            column = pd.Series(pd.Categorical(values, categories=levels), index=table.index)
        if names is not None or column.nunique() > 1:
            out[c.name] = column
    return pd.DataFrame(out, index=table.index)


def clinical_words(table: pd.DataFrame, settings: Settings, names: Sequence[str]) -> pd.DataFrame:
    """These covariates, rows renumbered: numbers (nan missing) and words (None missing)."""
    return as_words(clinical_table(table, settings, names).reset_index(drop=True))


def as_words(columns: pd.DataFrame) -> pd.DataFrame:
    """Categories as plain words, None where missing."""
    words = {
        str(name): np.array([None if pd.isna(v) else str(v) for v in column], dtype=object)
        for name, column in columns.items()
        if isinstance(column.dtype, pd.CategoricalDtype)
    }
    return columns.assign(**words)


def parameters_of(table: pd.DataFrame, settings: Settings) -> dict[str, int]:
    """Covariate -> columns that it takes in a regression, of all clinical covariates that vary."""
    return parameters(clinical_table(table, settings))


def parameters(columns: pd.DataFrame) -> dict[str, int]:
    """Covariate -> columns that it takes in a regression, of columns as `clinical_table` gives them."""
    kinds = ((str(name), column.dtype) for name, column in columns.items())
    return {n: max(len(k.categories) - 1, 1) if isinstance(k, pd.CategoricalDtype) else 1 for n, k in kinds}


def events_short(table: pd.DataFrame, settings: Settings) -> str:
    """'45 events for 11 parameters (...)' where an unpenalised model of all covariates has too few, else ""."""
    events, total = int(table["event"].sum()), sum(parameters_of(table, settings).values())
    return too_few_words(events, total) if total and events and not enough_events(events, total) else ""


def design(clinical: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """(n, p) numbers and p names from `clinical_table` rows without a missing value; every level has its column.

    Raises SurvivalError where a value is missing or nothing varies.
    """
    encoding = fit_encoding(clinical, "refuse", rare=1)
    return encoding.transform(clinical), list(encoding.names)


def adjustment(table: pd.DataFrame, settings: Settings) -> tuple[pd.DataFrame, list[str]]:
    """(columns to adjust for, covariates behind them) of all clinical covariates that vary in these rows.

    A missing value counts as the mean or the commonest level, with an indicator; rare levels are put together with the
    commonest. Columns that are the same for all are left out.
    """
    clinical = clinical_table(table, settings)
    if not clinical.shape[1]:
        return pd.DataFrame(index=table.index), []
    encoding = fit_encoding(clinical, "indicator")
    columns = pd.DataFrame(encoding.transform(clinical), index=table.index, columns=list(encoding.names))
    return columns.loc[:, columns.nunique() > 1], [str(name) for name in clinical]


def compared_with(names: Collection[str], table: pd.DataFrame) -> str:
    """Which levels the coefficients of words ("sex male") are compared with, as one sentence; "" without any.

    names: of the coefficients. table: covariates of the patients. The reference has no coefficient; nor have
    rare levels, which count as the commonest.
    """
    parts = []
    for name, column in table.items():
        if pd.api.types.is_numeric_dtype(column.dtype):
            continue
        counts = column.dropna().astype(str).value_counts().drop("", errors="ignore")
        counts = counts[counts > 0]
        without = sorted(level for level in counts.index if f"{name} {level}" not in names)
        if len(without) == len(counts):
            continue
        common = [level for level in without if counts[level] >= RARE] or without
        rare = [level for level in without if level != common[0]]
        merged = f" ({', '.join(rare)}: rare, counted with {counts.index[0]})" if rare else ""
        parts.append(f"{name} {common[0]}{merged}")
    return f"Levels are compared with: {', '.join(parts)}." if parts else ""
