"""Who was studied and for how long: Table 1 and follow-up.

Numbers: median, quartiles, range. Words: how many and what share of the patients whose value is known. Follow-up is the
median of the reverse Kaplan-Meier curve, in which censoring is the event (Schemper and Smith 1996): the median of the
observed times alone would call a cohort of early deaths badly followed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from common.text import percent
from study.disk.store import Study
from study.errors import StudyError
from study.tables.covariates import clinical_words
from survival.curves import kaplan_meier
from survival.metrics.estimate import Estimate
from survival.tails import poisson_limits

COLUMNS = ["variable", "level", "n", "share", "share_of", "median", "q1", "q3", "least", "most"]
MISSING = "missing"
KNOWN, EVERYONE = "patients with a known value", "all patients"
SHARES = "Percentages of levels are shares of the patients whose value is known; those of missing values, of all."
MOST_LEVELS = 30
FEW_VALUES = 6  # grades such as ECOG are listed one by one
PER = 100  # patient-times of the event rate


@dataclass(frozen=True)
class FollowUp:
    """patients, events, censored. median: follow-up by reverse Kaplan-Meier; survival: median time to the event (nan:
    not reached). longest: observed time. patient_time: sum of observed times; rate: events per 100 of it, with its
    exact Poisson interval (Garwood 1936). entry: whether some patients came under observation late.
    """

    patients: int
    events: int
    censored: int
    median: Estimate
    survival: Estimate
    longest: float
    patient_time: float
    rate: Estimate
    unit: str
    entry: bool


def analysed_rows(study: Study) -> pd.DataFrame:
    """Rows of the patient table that an analysis takes: not excluded, and, where the study has codes, with one."""
    return study.analysed()[1] if study.has_latents else study.included


def table_one(study: Study, rows: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row a number, or a level of a word: COLUMNS; n: patients of the level, or with a known number.

    rows: of study.patients, None: analysed_rows. share: of the patients with a known value, and, of the level
    "missing", of all; share_of says which.
    """
    rows = analysed_rows(study) if rows is None else rows
    if rows.empty:
        raise StudyError(f"No patient of {study.name} is left in the analysis.")
    clinical = clinical_words(rows, study.settings, study.covariates)
    out: list[tuple[object, ...]] = []
    for name in clinical.columns:
        column = clinical[name]
        known, gone = column.dropna(), int(column.isna().sum())
        if column.dtype.kind == "f" and known.nunique() > FEW_VALUES:
            q1, median, q3 = np.percentile(known, (25, 50, 75))
            out.append((name, "", len(known), np.nan, "", median, q1, q3, known.min(), known.max()))
        else:
            words = known.map(lambda v: f"{v:g}") if column.dtype.kind == "f" else known.astype(str)
            out += [_level(name, level, n, len(known), KNOWN) for level, n in _counts(words)]
        if gone:
            out.append(_level(name, MISSING, gone, len(column), EVERYONE))
    return pd.DataFrame(out, columns=COLUMNS)


def _counts(words: pd.Series) -> list[tuple[str, int]]:
    """Levels in their own order, numbers by size; rare ones of a long list put together."""
    counts = words.value_counts()
    if len(counts) > MOST_LEVELS:
        rest = int(counts.iloc[MOST_LEVELS - 1 :].sum())
        return [*((str(k), int(v)) for k, v in counts.iloc[: MOST_LEVELS - 1].items()), ("others", rest)]
    try:
        order = sorted(counts.index, key=float)
    except ValueError:
        order = sorted(counts.index)
    return [(str(level), int(counts[level])) for level in order]


def _level(name: str, level: str, n: int, of: int, share_of: str) -> tuple[object, ...]:
    return (name, level, n, n / of if of else np.nan, share_of, *[np.nan] * 5)


def follow_up(study: Study, rows: pd.DataFrame | None = None) -> FollowUp:
    """Follow-up of the analysed patients, or of some rows of study.patients."""
    rows = analysed_rows(study) if rows is None else rows
    if rows.empty:
        raise StudyError(f"No patient of {study.name} is left in the analysis.")
    time, event = rows["time"].to_numpy(np.float64), rows["event"].to_numpy(bool)
    entry = rows["entry"].fillna(0).to_numpy(np.float64) if "entry" in rows else np.zeros(len(rows))
    late = bool((entry > 0).any())
    start = {"entry": entry} if late else {}
    total = float(time.sum() - entry.sum())
    events = int(event.sum())
    low, high = (PER * limit / total for limit in poisson_limits(events))
    return FollowUp(
        patients=len(rows),
        events=events,
        censored=len(rows) - events,
        median=kaplan_meier(time, ~event, **start).median(),
        survival=kaplan_meier(time, event, **start).median(),
        longest=float(time.max()),
        patient_time=total,
        rate=Estimate(PER * events / total, low, high, len(rows)),
        unit=study.time_unit,
        entry=late,
    )


def table_one_rows(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    """(variable, level, words) for people: "63 (54 to 71)", "307 (51.2 %)"."""
    out = []
    for row in table.to_dict("records"):
        if np.isfinite(row["median"]):
            level = "median (quartiles); range"
            words = f"{row['median']:.4g} ({row['q1']:.4g} to {row['q3']:.4g}); {row['least']:.4g} to {row['most']:.4g}"
        else:
            level, words = str(row["level"]), f"{row['n']} ({percent(row['share'], 1)})"
        out.append((str(row["variable"]), level, words))
    return out
