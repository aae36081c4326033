"""What the columns of a new study's table mean: proposed from names and contents, confirmed by the person."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from study.settings import REQUIRED_COLUMNS, TIME_UNITS, Columns, Settings
from ui import page
from ui.escaping import plain, trusted

if TYPE_CHECKING:
    from study.intake_guess import Look
    from study.settings import Covariate

NONE, BY_ID = "– not in the table –", "– none, or called as patients –"
LABELS = {
    "patient_id": ("Patient", "One row a patient, a short id without a name in it."),
    "time": ("Time to event or end of follow-up", "Counted from the photo, or from the baseline date."),
    "event": ("Event or censored", ""),
    "photo": ("Photo file", "Its name, or its path in the zip or folder; several with ; between them."),
    "age": ("Age", "In years. Used to adjust, like the ones that follow."),
    "sex": ("Sex", ""),
    "site": ("Tumour site", ""),
    "stage": ("Stage", ""),
    "ecog": ("ECOG performance status", "0 to 5."),
}
RARER = {
    "entry": ("Entry time", "When a patient came under observation, where that was after time 0 (left truncation)."),
    "photo_date": ("Date of the photo", "As 2026-05-31."),
    "baseline_date": ("Baseline date", "From which time counts; with the photo's date it gives their interval."),
}


def meaning(seen: Look, turn: int) -> Settings | None:
    """Columns, covariates, unit, coding and horizons as the person has them; None while something is missing."""
    from study.intake_guess import columns_of, guess_columns, guess_horizons, guess_unit

    proposed = guess_columns(seen.header)
    chosen = _columns(LABELS, seen, proposed, turn)
    with st.expander("Entry times, dates of photos", expanded=any(proposed[key] for key in RARER)):
        chosen |= _columns(RARER, seen, proposed, turn)
    named = [name for name in chosen.values() if name]
    if len(set(named)) < len(named):
        st.error("One column is given two meanings: choose another for one of them.", icon=":material/error:")
        return None
    if any(chosen[key] is None for key in REQUIRED_COLUMNS):
        page.note("Say which columns hold patient, time and event.")
        return None
    covariates = _covariates(seen, named, turn)
    left, middle, right = st.columns(3, gap="large")
    unit = left.selectbox(
        "Unit of the time", TIME_UNITS, index=TIME_UNITS.index(guess_unit(chosen["time"])), key=f"cohort-unit-{turn}"
    )
    event, censored = _coding(seen, str(chosen["event"]), middle, turn)
    usual = ", ".join(f"{t:g}" for t in guess_horizons(unit, seen.numbers(str(chosen["time"]))))
    told = right.text_input(
        f"Report survival at ({plain(unit)})",
        usual,
        key=f"cohort-horizons-{unit}-{usual}-{turn}",  # another table, or time, proposes anew
        help="Fixed before any model is fitted. Proposed are usual times at which at least 10 patients, and a tenth of "
        "all, are still followed: later ones would rest on a few patients.",
    )
    horizons = _numbers(told)
    if not usual:
        page.note("No time is proposed for reporting survival: too few patients are followed beyond any usual one.")
    if not event or not censored or not horizons:
        page.note("Say which values mean an event and which censoring, and give one to twelve times, with commas.")
        return None
    columns: Columns = columns_of(chosen, seen.header)
    settings = Settings("unnamed", "Unnamed", False, unit, horizons, columns, event, censored)
    return replace(settings, covariates=covariates)


def _columns(
    labels: dict[str, tuple[str, str]], seen: Look, proposed: dict[str, str | None], turn: int
) -> dict[str, str | None]:
    """Meaning -> column of these meanings, None where the table has none."""
    chosen: dict[str, str | None] = {}
    grid = st.columns(3, gap="large")
    for place, (key, (label, explanation)) in enumerate(labels.items()):
        empty = [] if key in REQUIRED_COLUMNS else [BY_ID if key == "photo" else NONE]
        options = [*empty, *seen.header]
        guess = proposed[key]
        index = options.index(guess) if guess else (0 if empty else None)
        told = grid[place % 3].selectbox(
            trusted(label), options, index=index, key=f"cohort-column-{key}-{turn}", help=trusted(explanation) or None
        )
        chosen[key] = told if told in seen.header else None
    return chosen


def _covariates(seen: Look, named: list[str], turn: int) -> tuple[Covariate, ...]:
    """Further columns that a model may use: numbers, or words as they stand in the table."""
    from study.intake_guess import guess_covariate

    offered: dict[str, Covariate] = {}
    for column in seen.header:
        taken = [c.name for c in offered.values()]
        if column not in named and (found := guess_covariate(column, seen, taken)) is not None:
            offered[column] = found
    if not offered:
        return ()
    kinds = {"numeric": "numbers", "categorical": "words"}
    chosen = st.multiselect(
        "Further covariates",
        list(offered),
        key=f"cohort-covariates-{turn}-{len(offered)}",
        format_func=lambda column: f"{column} ({kinds[offered[column].kind]})",
        placeholder="Clinical columns that a model may use",
        help="Only what was known at baseline: a column that tells the outcome makes every model look good.",
    )
    return tuple(offered[column] for column in offered if column in chosen)


def _coding(seen: Look, column: str, place: Any, turn: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    from study.intake_guess import guess_coding

    values = seen.values.get(column)
    if not values:
        place.error(f"{plain(column)} has too many different values, or none, to tell an event from censoring.")
        return (), ()
    event, censored = guess_coding(values, column)
    happened = place.multiselect(
        f"Event happened when {plain(column)} is", values, default=list(event), key=f"cohort-event-{column}-{turn}"
    )
    left = [value for value in values if value not in happened]
    lost = place.multiselect(
        f"Censored when {plain(column)} is",
        left,
        default=[value for value in left if value in censored],
        key=f"cohort-censored-{column}-{turn}-{len(left)}",
    )
    return tuple(happened), tuple(lost)


def _numbers(text: str) -> tuple[float, ...]:
    """Positive times from a text with commas, () where it holds anything else or more than twelve."""
    parts = [part for part in re.split(r"[,;\s]+", text.strip()) if part]
    if not 0 < len(parts) <= 12 or not all(re.fullmatch(r"\d{1,6}(\.\d{1,4})?", part) for part in parts):
        return ()
    values = sorted({float(part) for part in parts})
    return tuple(values) if values[0] > 0 else ()
