"""The patient table: the one gate from an untrusted file to checked columns.

The file becomes texts first (`study.tables.read`), each column is checked by itself (`study.tables.column`), and what
is impossible only in combination is checked here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd

from common.text import count
from study.errors import Findings, Sentence, Severity
from study.settings import DATE_COLUMNS, FIXED_BOUNDS, REQUIRED_COLUMNS, TAKEN, Columns, Settings
from study.tables.column import Column, check_ids
from study.tables.formats.raw import FILE_NAME, RawTable, refusal
from study.tables.read import read_table
from study.tables.values import days_of, events_of, numbers_of, words_of

# Longest plausible follow-up, 60 years, in each unit.
LONGEST = {"days": 21_915.0, "weeks": 3_131.0, "months": 720.0, "years": 60.0}
DAYS = {"days": 1.0, "weeks": 7.0, "months": 30.4375, "years": 365.25}  # in a unit of time
Columnwise = Callable[[str], Column]


def parse_patients(data: bytes, settings: Settings, findings: Findings, where: str = FILE_NAME) -> pd.DataFrame:
    """The checked table of a study, one row per patient; see `patients_of`. where: what findings call the file."""
    return patients_of(read_table(data, findings, where), settings, findings, where)


def patients_of(raw: RawTable, settings: Settings, findings: Findings, where: str = FILE_NAME) -> pd.DataFrame:
    """The checked table, one row per patient.

    Columns: patient_id, time (float, in the study's unit), event (bool), photo (text as in the file, "" without such a
    column); then, where the file has them, age, ecog (float, NaN missing), sex, site, stage (text, "" missing), the
    covariates of study.toml (float or text likewise), entry (float), photo_date, baseline_date, end_date and death_date
    (datetime64, NaT missing), competing (bool: a competing event ended the follow-up; event is False there); further
    columns of the file as text, and `row`, the number in the file. Problems go to `findings`; only with no error among
    them is the table fit for use. Raises StudyError where a column that must be there is not.
    """
    columns = settings.columns
    _refuse_absent(raw, settings, where)
    column: Columnwise = cache(partial(Column.of, raw, reading=settings.reading, findings=findings, where=where))
    for words in raw.notes:
        findings.note(where, None, words)
    for name in raw.header:
        column(name).look()
    check_ids(column(columns.patient_id))
    days = _dates(column, columns)
    table = {**_outcome(column, settings, days, raw), **_clinical(column, settings, raw)}
    table |= {key: days[key] for key in DATE_COLUMNS if key in days}
    mapped = {*columns.named().values(), *(c.where for c in settings.covariates)}
    for name in raw.header:
        if name not in mapped:
            table[f"{name}_in_file" if name in table or name in TAKEN else name] = raw.columns[name]
    frame = pd.DataFrame({**table, "row": raw.numbers})
    _remark(frame, settings, findings, where)
    return frame


def _refuse_absent(raw: RawTable, settings: Settings, where: str) -> None:
    """Raises StudyError for columns that must be there and are not, or that would give the follow-up twice."""
    columns = settings.columns
    needed = [getattr(columns, key) for key in REQUIRED_COLUMNS]
    if columns.time_from_dates:
        needed.remove(columns.time)
        if columns.time in raw.columns:
            words = f"the follow-up is in {columns.time}, and dates of its end are named as well."
            raise refusal(words, "Name in study.toml, [columns], either time or end_date and death_date.", 1, where)
        if not columns.start_date:
            words = "the follow-up has a date of its end and none of its start."
            raise refusal(words, "Name baseline_date or photo_date in study.toml, [columns].", 1, where)
    if columns.death_date and columns.event not in raw.columns:
        needed.remove(columns.event)
    needed += [name for key in ("entry", *DATE_COLUMNS) if (name := getattr(columns, key))]
    absent = [name for name in [*needed, *(c.where for c in settings.covariates)] if name not in raw.columns]
    if absent:
        numbered = [name for name in raw.header if name.rpartition(" (")[0] in absent]
        hint = f" (Columns {', '.join(numbered[:4])} exist.)" if numbered else ""
        remedy = "Rename it, or say in study.toml what it is called."
        raise refusal(f"no column {', '.join(absent)}.{hint}", remedy, 1, where)


def _dates(column: Columnwise, columns: Columns) -> dict[str, np.ndarray]:
    """The columns of dates that study.toml names, (n,) datetime64[D] each."""
    start = columns.start_date if columns.time_from_dates else None
    named = {key: name for key in DATE_COLUMNS if (name := getattr(columns, key))}
    return {key: days_of(column(name), required=name == start) for key, name in named.items()}


def _outcome(column: Columnwise, settings: Settings, days: dict[str, np.ndarray], raw: RawTable) -> dict[str, Any]:
    columns, longest = settings.columns, LONGEST[settings.time_unit]
    ids = column(columns.patient_id)
    if columns.event in raw.columns:
        event, competing = events_of(column(columns.event), settings)
    else:
        event, competing = ~np.isnat(days["death_date"]), np.zeros(len(raw.rows), dtype=bool)
        ids.findings.note(ids.where, None, f"a date in {columns.death_date} is the event; without one, censored.")
    if columns.time_from_dates:
        time = _follow_up(ids, settings, days, event)
    else:
        time = numbers_of(column(columns.time), 0.0, longest, True, "Check value and time unit.")
    if competing.any():
        words = "had a competing event: censored at that time (cause-specific hazard)."
        ids.findings.note(ids.where, None, f"{count(int(competing.sum()), 'patient')} {words}")
    table = {"patient_id": ids.cells, "time": time, "event": event}
    return table | ({"competing": competing} if settings.competing_values else {})


def _follow_up(ids: Column, settings: Settings, days: dict[str, np.ndarray], event: np.ndarray) -> np.ndarray:
    """(n,) from the first date to the last, in the study's unit; NaN where one of them is not known."""
    columns, findings, where, rows = settings.columns, ids.findings, ids.where, np.asarray(ids.numbers)
    start = days["baseline_date" if columns.baseline_date else "photo_date"]
    death = days.get("death_date", np.full(len(start), np.datetime64("NaT"), "datetime64[D]"))
    end = np.where(np.isnat(death), days.get("end_date", death), death)
    names = " or ".join(name for name in (columns.death_date, columns.end_date) if name)
    begun = columns.start_date
    length = (end - start).astype("timedelta64[D]")
    finite = ~np.isnat(length)
    whole = np.where(finite, length.astype(np.int64), 0)

    def report(severity: Severity, wrong: np.ndarray, sentence: Sentence) -> None:
        places = np.flatnonzero(wrong)
        findings.add_each(severity, where, rows[places], lambda i: sentence(int(places[i])))

    def not_after(i: int) -> tuple[str, str]:
        order = "is the day of" if whole[i] == 0 else "is before"
        return f"{names} ({end[i]}) {order} {begun} ({start[i]}).", "Correct the dates, or remove the row."

    absent = (f"{names} is missing.", "Fill it in or remove the row.")
    denied, check = f"and {columns.event} says that there was no event.", "Check both: the follow-up ends at that date."
    report("error", np.isnat(end) & ~np.isnat(start), lambda i: absent)
    report("error", finite & (whole <= 0), not_after)
    report("warning", ~np.isnat(death) & ~event, lambda i: (f"{columns.death_date} is {death[i]}, {denied}", check))
    if finite.any():
        findings.note(where, None, f"the follow-up is counted from {begun} to {names}, in {settings.time_unit}.")
    return np.where(finite & (whole > 0), whole / DAYS[settings.time_unit], np.nan)


def follow_up_of(raw: RawTable, settings: Settings) -> np.ndarray:
    """(n,) the follow-up between the dates that the settings name, NaN where it cannot be read."""
    column: Columnwise = partial(Column.of, raw, reading=settings.reading, findings=Findings(0))
    days = _dates(column, settings.columns)
    return _follow_up(column(settings.columns.patient_id), settings, days, np.ones(len(raw.rows), dtype=bool))


def _clinical(column: Columnwise, settings: Settings, raw: RawTable) -> dict[str, Any]:
    columns, cells = settings.columns, raw.columns
    table: dict[str, Any] = {"photo": cells.get(columns.photo, [""] * len(raw.rows))}
    for key in ("age", "ecog"):
        if (name := getattr(columns, key)) in cells:
            table[key] = numbers_of(column(name), *FIXED_BOUNDS[key], False)
    for key in ("sex", "site", "stage"):
        if (name := getattr(columns, key)) in cells:
            table[key] = words_of(column(name))
    for c in settings.covariates:
        source = column(c.where)
        table[c.name] = numbers_of(source, c.low, c.high, False) if c.kind == "numeric" else words_of(source, c.levels)
    if columns.entry:
        longest = LONGEST[settings.time_unit]
        table["entry"] = numbers_of(column(columns.entry), 0.0, longest, True, "Check value and time unit.")
    return table


def _remark(table: pd.DataFrame, settings: Settings, findings: Findings, where: str) -> None:
    """On values that only together are impossible: times of zero, entries at or after the end."""
    columns = settings.columns
    zero = table.loc[table["time"] == 0, "row"].to_numpy()
    findings.add_each("error", where, zero, lambda i: (f"{columns.time} is 0.", "Times are above 0; correct it."))
    if "entry" in table:
        late = table.loc[table["entry"] >= table["time"], ["row", "entry", "time"]].to_numpy()

        def not_before(i: int) -> tuple[str, str]:
            message = f"{columns.entry} ({late[i, 1]:g}) is not before {columns.time} ({late[i, 2]:g})."
            return message, "Correct it: a patient who enters at the end was never observed."

        findings.add_each("error", where, late[:, 0].astype(int), not_before)
    names = {key: getattr(columns, key) for key in ("age", "ecog", "sex", "site", "stage")}
    names |= {c.name: c.where for c in settings.covariates}
    for key, name in ((key, name) for key, name in names.items() if key in table):
        if missing := int((table[key].isna() | (table[key].astype(object) == "")).sum()):
            findings.warning(where, None, f"{name} is missing for {missing} of {count(len(table), 'patient')}.")
