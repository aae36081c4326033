"""What a checked patient table says that is legal and still probably wrong, or too little: warnings, never repairs.

Time unit, coding of the event, patients listed twice, codes for missing values among numbers, events for the
parameters of a clinical model, photo dates. All on whole columns: 20,000 patients take a fraction of a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

import numpy as np
import pandas as pd

from common.text import count
from study.errors import Findings
from study.settings import TIME_UNITS, Settings
from study.tables.covariates import FIXED, events_short, parameters_of
from study.tables.missing_codes import numeric_codes
from study.tables.patients import DAYS
from study.tables.values import code_line
from survival.delayed_entry import delayed_start_words
from survival.events_per_parameter import EVENTS_A_PARAMETER
from survival.features.encoding import RARE

SHORT, LONG = 30.0, 20 * 365.25  # days between which the median follow-up of a study lies
FEW_EVENTS = 20  # two outer folds of cross-validation cannot be filled
BY_CHANCE = 0.01  # pairs of people who agree in everything, expected among strangers
SAYS_EVENT = frozenset({"dead", "died", "death", "deceased", "event", "exitus"})
SAYS_CENSORED = frozenset({"alive", "living", "censored", "lost"})
NUMBERS = tuple(c.name for c in FIXED if c.kind == "numeric")
WORDS = tuple(c.name for c in FIXED if c.kind != "numeric")
_RUNS = re.compile(r"\d+|[a-z]+")
Odd = tuple[int | None, str, str]  # row of the file, None for the whole; message; remedy


def plausible(table: pd.DataFrame, settings: Settings, findings: Findings, where: str) -> None:
    """Adds warnings and notes about a table that `patients_of` gave. where: what findings call the file."""
    if findings.counts["error"]:
        return  # a wrong column would be reported twice, and the second time misleadingly
    columns = settings.columns
    absent = [getattr(columns, key) for key in (*NUMBERS, *WORDS) if key not in table]
    if absent and not settings.covariates:
        findings.note(where, None, f"no column {', '.join(absent)}.")
    for row, message, remedy in chain(*(look(table, settings) for look in (_times, _events, _odd_values))):
        findings.warning(where, row, message, remedy)
    _same_people(table, settings, findings, where)
    if "photo_days" in table:
        _photo_dates(table, settings, findings, where)
    _parameters(table, settings, findings, where)


def _times(table: pd.DataFrame, settings: Settings) -> Iterator[Odd]:
    """Unit and horizons against the follow-up that the table shows."""
    time, event, name = table["time"].to_numpy(float), table["event"].to_numpy(bool), settings.columns.time
    # Follow-up is judged by censored patients, where there are enough: deaths cut it short.
    follow_up = float(np.median(time[~event] if (~event).sum() >= max(5, len(time) // 10) else time))
    days = follow_up * DAYS[settings.time_unit]
    if not SHORT <= days <= LONG:
        fits = [u for u in TIME_UNITS if u != settings.time_unit and SHORT <= follow_up * DAYS[u] <= LONG]
        span = f"{days:,.0f} days" if days < SHORT else f"{days / 365.25:,.0f} years"
        hint = f"In {' or '.join(fits)} it would be plausible." if fits else "Look at how it was counted."
        message = f"the median follow-up in {name} is {follow_up:g} {settings.time_unit} ({span}): is that the unit?"
        yield None, message, f"{hint} The unit is time_unit in study.toml."
    end = float(time.max())
    beyond = [f"{t:g}" for t in settings.horizons if t > end]
    if beyond:
        message = f"nobody was followed to {', '.join(beyond)} {settings.time_unit}; the longest follow-up is {end:g}."
        yield None, message, "Choose horizons inside the follow-up, in study.toml, or check the unit."


def _events(table: pd.DataFrame, settings: Settings) -> Iterator[Odd]:
    """Too few events, and signs that the coding is the wrong way round."""
    event, time = table["event"].to_numpy(bool), table["time"].to_numpy(float)
    n, events, name = len(event), int(event.sum()), settings.columns.event
    coding = "Check the coding, [events] in study.toml."
    if events == 0:
        remedy = "No survival model can be fitted; check [events] in study.toml."
        yield None, f"no event among {count(n, 'patient')}.", remedy
    elif events < FEW_EVENTS:
        message = f"only {count(events, 'event')} among {count(n, 'patient')}."
        yield None, message, "Too few for a photo model or cross-validation."
    if events == n:
        yield None, "every patient has an event.", coding
    wrong = [v for v in settings.event_values if v.casefold() in SAYS_CENSORED]
    wrong += [v for v in settings.censored_values if v.casefold() in SAYS_EVENT]
    if wrong:
        yield None, f"{name} {wrong[0]!r} is coded the opposite way to what the word says.", coding
    elif re.search(r"censor|alive", name.casefold()) and set(settings.event_values) == {"1"}:
        yield None, f"column {name} is named after patients without an event: is 1 the event?", coding
    if min(events, n - events) >= FEW_EVENTS:
        with_event, without = float(np.median(time[event])), float(np.median(time[~event]))
        if with_event > 2 * without:
            message = f"patients with the event were followed longer (median {with_event:g}) than those without "
            yield None, f"{message}({without:g} {settings.time_unit}): is the coding the wrong way round?", coding


def _same_people(table: pd.DataFrame, settings: Settings, findings: Findings, where: str) -> None:
    """Ids that differ in signs, letters' case or leading zeros alone; rows that agree in everything but the id."""
    ids, rows = table["patient_id"].tolist(), table["row"].to_numpy()
    first: dict[tuple[object, ...], int] = {}
    again: list[tuple[int, int]] = []
    # Ids of one length that differ in their last digits alone are different whatever the spelling.
    alike = len({len(p) for p in ids}) == len({p.rstrip("0123456789").casefold() for p in ids}) == 1
    for i, patient in enumerate(() if alike else ids):
        runs = tuple(int(r) if r.isdigit() else r for r in _RUNS.findall(patient.casefold()))
        if first.setdefault(runs, i) != i:
            again.append((first[runs], i))

    def same_id(k: int) -> tuple[str, str]:
        one, other = again[k]
        message = f"{ids[other]} may be {ids[one]} of row {rows[one]}, written in another way."
        return message, "If it is one person, keep one row."

    findings.add_each("warning", where, [int(rows[i]) for _, i in again], same_id)
    keys = [k for k in ("time", "event", *NUMBERS, *WORDS, *(c.name for c in settings.covariates)) if k in table]
    keys = [k for k in keys if table[k].nunique() > 1]
    if len(keys) < 5:
        return  # two people may well agree in so few
    same = table.duplicated(keys, keep=False)
    # Two of n people agree by chance in as many pairs as n^2 / 2 times the product of their values' shares.
    shares = [table.loc[same, k].map(table[k].value_counts(normalize=True, dropna=False)) for k in keys]
    same[same] = np.prod(shares, axis=0) * len(table) ** 2 / 2 < BY_CHANCE
    if not same.any():
        return
    originals = table.loc[same].groupby(keys, dropna=False, sort=False)["row"].transform("min")
    copies = table.loc[same, "row"] != originals

    def same_values(k: int) -> tuple[str, str]:
        message = f"time, event and all covariates are those of row {int(originals[copies].iloc[k])}."
        return message, "If it is one person with two ids, keep one row."

    findings.add_each("warning", where, table.loc[same, "row"][copies].to_numpy(), same_values)


def _odd_values(table: pd.DataFrame, settings: Settings) -> Iterator[Odd]:
    """Numbers that look like a code for a missing value: the same one several times, far from all others."""
    numeric = [(key, getattr(settings.columns, key)) for key in NUMBERS]
    numeric += [(c.name, c.where) for c in settings.covariates if c.kind == "numeric"]
    for key, name in ((key, name) for key, name in numeric if key in table and name not in settings.reading.missing):
        values = table[key].to_numpy(float)
        different, counts = np.unique(values[np.isfinite(values)], return_counts=True)
        for code, number in numeric_codes(different, counts):
            more = f", here and in {count(number - 1, 'more row')}" if number > 1 else ""
            message = f"{name} is {code:g}{more}: a code for a missing value?"
            remedy = f"If so: {code_line(name, [f'{code:g}'])} If it is a value: an empty list there."
            yield int(table["row"].iloc[np.flatnonzero(values == code)[0]]), message, remedy
    words = [(key, getattr(settings.columns, key)) for key in WORDS]
    words += [(c.name, c.where) for c in settings.covariates if c.kind != "numeric"]
    for key, name in ((key, name) for key, name in words if key in table):
        frequent = table.loc[table[key] != "", key].value_counts()
        if (frequent < RARE).sum() > len(frequent) / 2 and len(frequent) > 20:
            row = int(table["row"].iloc[0])
            yield row, f"{name} has {len(frequent)} different words, most of them rare.", "Group them, or leave it out."


def _photo_dates(table: pd.DataFrame, settings: Settings, findings: Findings, where: str) -> None:
    """Photos taken after the follow-up ended, and when they were taken, where baseline and photo dates are known."""
    days, end = table["photo_days"].to_numpy(float), table["time"].to_numpy(float) * DAYS[settings.time_unit]
    late = np.flatnonzero(days > end)

    def after(k: int) -> tuple[str, str]:
        taken, ended = days[late[k]], end[late[k]]
        message = f"the photo was taken {taken:.0f} days after baseline, and the follow-up ended after {ended:.0f}."
        return message, "Check the dates, or exclude the patient."

    findings.add_each("warning", where, table["row"].to_numpy()[late], after)
    known = days[~np.isnan(days)]
    low, middle, high = np.percentile(known, [25, 50, 75])
    quartiles = f"median {middle:+.0f} days (quartiles {low:+.0f} to {high:+.0f})"
    message = f"photo to baseline: {quartiles}, {count(len(known), 'photo')}."
    past = int((known > 0).sum())
    remedy = f"{count(past, 'photo')} taken after baseline: time must be counted from the photo." if past else ""
    findings.note(where, None, message, remedy)


def _parameters(table: pd.DataFrame, settings: Settings, findings: Findings, where: str) -> None:
    """Events for each parameter of the regression on all clinical columns, and what the events would support."""
    events, parameters = int(table["event"].sum()), parameters_of(table, settings)
    if short := events_short(table, settings):
        carried: list[str] = []
        left = events // EVENTS_A_PARAMETER
        for name, columns in sorted(parameters.items(), key=lambda item: item[1]):
            if columns <= left:
                carried.append(name)
                left -= columns
        possible = f"They support {', '.join(carried) or 'no unpenalised covariate'}"
        remedy = f"{possible}; use fewer covariates or a penalised model."
        findings.warning(where, None, f"clinical columns: {short}.", remedy)
    if "entry" in table and (late := int((table["entry"] > 0).sum())):
        message = f"{count(late, 'patient')} came under observation after time 0 (delayed entry)."
        findings.note(
            where, None, message, "Kaplan-Meier curves and Cox models take this into account; other models cannot."
        )
        time, event, entry = (table[name].to_numpy() for name in ("time", "event", "entry"))
        if words := delayed_start_words(time, event.astype(bool), entry, settings.time_unit):
            findings.warning(
                where, None, words, "Check the entry times, or leave out those who entered before the others."
            )
