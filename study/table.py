"""The patient table: the one gate from an untrusted file to checked columns.

The file becomes texts first (`study.tables.read`), each column is judged by itself (`study.tables.column`), and what is
impossible only together is looked for here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from study.errors import Findings
from study.settings import REQUIRED_COLUMNS, Settings
from study.tables.column import Column, check_ids, days_of, events_of, numbers_of, words_of
from study.tables.raw import FILE_NAME, RawTable, refusal
from study.tables.read import read_table

# Longest plausible follow-up, 60 years, in each unit.
LONGEST = {"days": 21_915.0, "weeks": 3_131.0, "months": 720.0, "years": 60.0}


def parse_patients(data: bytes, settings: Settings, findings: Findings, where: str = FILE_NAME) -> pd.DataFrame:
    """The checked table of a study, one row a patient; see `patients_of`. where: what findings call the file."""
    return patients_of(read_table(data, findings, where), settings, findings, where)


def patients_of(raw: RawTable, settings: Settings, findings: Findings, where: str = FILE_NAME) -> pd.DataFrame:
    """The checked table, one row a patient.

    Columns: patient_id, time (float, in the study's unit), event (bool), photo (text as in the file, "" without such a
    column); then, where the file has them, age, ecog (float, NaN missing), sex, site, stage (text, "" missing), the
    covariates of study.toml (float or text likewise), entry (float), photo_date and baseline_date (datetime64, NaT
    missing); further columns of the file as text, and `row`, the number in the file. Problems go to `findings`; only
    with no error among them is the table fit for use. Raises StudyError where a column that must be there is not.
    """
    columns, cells = settings.columns, raw.columns()
    needed = [getattr(columns, key) for key in REQUIRED_COLUMNS]
    needed += [name for key in ("entry", "photo_date", "baseline_date") if (name := getattr(columns, key))]
    absent = [name for name in [*needed, *(c.where for c in settings.covariates)] if name not in cells]
    if absent:
        remedy = "Rename it, or say in study.toml what it is called."
        raise refusal(f"no column {', '.join(absent)}.", remedy, 1, where)

    def column(name: str) -> Column:
        return Column(name, cells[name], raw.numbers, findings, where)

    for words in raw.said:
        findings.note(where, None, words)
    for name in raw.header:
        column(name).look()
    check_ids(column(columns.patient_id))
    table = {**_outcome(column, settings, raw.comma_decimals), **_clinical(column, settings, raw, cells)}
    mapped = {*columns.named().values(), *(c.where for c in settings.covariates)}
    for name in raw.header:
        if name not in mapped:
            table[name if name not in table and name != "row" else f"{name}_in_file"] = cells[name]
    frame = pd.DataFrame({**table, "row": raw.numbers})
    _remark(frame, settings, findings, where)
    return frame


def _outcome(column: Callable[[str], Column], settings: Settings, comma: bool) -> dict[str, Any]:
    columns, longest = settings.columns, LONGEST[settings.time_unit]
    unit = "Check value and time unit."
    return {
        "patient_id": column(columns.patient_id).cells,
        "time": numbers_of(column(columns.time), 0.0, longest, True, comma, unit),
        "event": events_of(column(columns.event), settings),
    }


def _clinical(
    column: Callable[[str], Column], settings: Settings, raw: RawTable, cells: dict[str, list[str]]
) -> dict[str, Any]:
    columns, comma = settings.columns, raw.comma_decimals
    table: dict[str, Any] = {"photo": cells.get(columns.photo, [""] * len(raw.rows))}
    for key, high in (("age", 120.0), ("ecog", 5.0)):
        if (name := getattr(columns, key)) in cells:
            table[key] = numbers_of(column(name), 0.0, high, False, comma)
    for key in ("sex", "site", "stage"):
        if (name := getattr(columns, key)) in cells:
            table[key] = words_of(column(name))
    for c in settings.covariates:
        numeric = c.kind == "numeric"
        own = column(c.where)
        table[c.name] = numbers_of(own, c.low, c.high, False, comma) if numeric else words_of(own, c.levels)
    if columns.entry:
        longest = LONGEST[settings.time_unit]
        table["entry"] = numbers_of(column(columns.entry), 0.0, longest, True, comma, "Check value and time unit.")
    for key in ("photo_date", "baseline_date"):
        if name := getattr(columns, key):
            table[key] = days_of(column(name))
    return table


def _remark(table: pd.DataFrame, settings: Settings, findings: Findings, where: str) -> None:
    """On values that only together are impossible: times of zero, entries at or after the end."""
    columns = settings.columns
    for row in table.loc[table["time"] == 0, "row"]:
        message, remedy = f"{columns.time} is 0.", "Times are above 0; correct it."
        findings.error(where, int(row), message, remedy)
    if "entry" in table:
        late = table["entry"] >= table["time"]
        for row, entry, end in table.loc[late, ["row", "entry", "time"]].itertuples(index=False):
            message = f"{columns.entry} ({entry:g}) is not before {columns.time} ({end:g})."
            findings.error(where, int(row), message, "Correct it: who enters at the end was never observed.")
    for key in ("age", "ecog", "sex", "site", "stage", *(c.name for c in settings.covariates)):
        if key not in table:
            continue
        column = table[key]
        missing = int(column.isna().sum()) if column.dtype.kind == "f" else int((column == "").sum())
        if missing:
            name = next((c.where for c in settings.covariates if c.name == key), getattr(columns, key, key))
            findings.warning(where, None, f"{name} is missing for {missing} of {len(table)} patients.")
