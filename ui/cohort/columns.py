"""What the columns of a new study's table mean: proposed from names and contents, confirmed by the person."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import streamlit as st

from study.intake.guess import (
    Look,
    columns_of,
    guess_coding,
    guess_columns,
    guess_covariate,
    guess_horizons,
    guess_unit,
)
from study.settings import REQUIRED_COLUMNS, TIME_UNITS, Covariate, Settings
from ui.cohort.questions import ask
from ui.elements import blocks
from ui.elements.escaping import plain, trusted

NONE, BY_ID = "– not in the table –", "– none, or named like the patients –"
FROM_DATES, BY_DEATH = "– between two dates –", "– a date of death –"
LABELS = {
    "patient_id": ("Patient", "One row per patient; a short id that contains no name."),
    "time": ("Time to event or end of follow-up", "Counted from the photo, or from the baseline date."),
    "event": ("Event or censored", ""),
    "photo": ("Photo file", "Its file name, or its path in the zip or folder; separate several with semicolons."),
    "age": ("Age", "In years. Models can be adjusted for it, as for the columns below."),
    "sex": ("Sex", ""),
    "site": ("Tumour site", ""),
    "stage": ("Stage", ""),
    "ecog": ("ECOG performance status", "0 to 5."),
}
RARER = {
    "entry": ("Entry time", "When a patient entered the study, if that was after time 0 (delayed entry)."),
    "photo_date": ("Date of the photo", "Its interval to the baseline date is reported."),
    "baseline_date": (
        "Baseline date",
        "The date from which time is counted, such as the date of diagnosis. If there is none, the date of the photo.",
    ),
    "end_date": ("Date of the last contact", "If the table has no time: the follow-up ends here."),
    "death_date": ("Date of death", "If there is one, the follow-up ends there."),
}
COMPETING = (
    "A competing event (death from another cause, for example) ends the follow-up as censoring does: hazards are then "
    "cause-specific, and 1 minus Kaplan-Meier overstates the share with the event. Every page and the report say so."
)


def meaning(seen: Look, turn: int) -> Settings | None:
    """Columns, covariates, unit, coding and horizons as the person chose them; None while something is missing."""
    proposed = guess_columns(seen.header, seen)
    chosen = _columns(LABELS, seen, proposed, turn)
    dates = chosen["time"] is None and bool(seen.dated)
    with st.expander("Dates, entry times", expanded=dates or any(proposed[key] for key in RARER)):
        chosen |= _columns(RARER, seen, proposed, turn)
    named = [name for name in chosen.values() if name]
    if len(set(named)) < len(named):
        st.error("One column has two meanings: choose another for one of them.", icon=":material/error:")
        return None
    if missing := _missing(chosen):
        blocks.note(missing)
        return None
    if chosen["time"] is not None:
        chosen |= dict.fromkeys(("end_date", "death_date") if chosen["event"] else ("end_date",))
    settings = Settings("unnamed", "Unnamed", columns=columns_of(chosen, seen.header))
    settings = replace(settings, covariates=_covariates(seen, named, turn))
    settings, complete = ask(seen, settings, turn)
    coded = _outcome(seen, settings, chosen["time"], turn)
    return coded if complete else None


def _missing(chosen: dict[str, str | None]) -> str:
    """What is still to be chosen, a sentence; "" for nothing."""
    if chosen["patient_id"] is None or (chosen["event"] is None and chosen["death_date"] is None):
        return "Choose the columns for patient, time and event."
    if chosen["time"] is not None:
        return "" if chosen["event"] is not None else "The table has a time: choose the column with the event."
    if chosen["end_date"] is None and chosen["death_date"] is None:
        return "Choose the column with the time, or the two dates that it lies between."
    if chosen["baseline_date"] is None and chosen["photo_date"] is None:
        return "Choose the date from which time is counted: the baseline date, or the date of the photo."
    if chosen["event"] is None and chosen["end_date"] is None:
        return "Choose the column that says when patients who are alive were last seen: the date of the last contact."
    return ""


def _outcome(seen: Look, settings: Settings, time: str | None, turn: int) -> Settings | None:
    """The settings with unit, coding and times of reporting; None while one of them is missing."""
    left, middle, right = st.columns(3, gap="large")
    unit = left.selectbox(
        "Unit of the time", TIME_UNITS, index=TIME_UNITS.index(guess_unit(time)), key=f"cohort-unit-{turn}"
    )
    settings = replace(settings, time_unit=unit)
    if settings.columns.event in seen.header:
        coding = _coding(seen, settings.columns.event, middle, turn)
    else:
        middle.caption("Event: a date of death. Censored: none.")
        coding = (settings.event_values, settings.censored_values, ())
    default = ", ".join(f"{t:g}" for t in guess_horizons(unit, seen.follow_up(settings)))
    answer = right.text_input(
        f"Report survival at ({plain(unit)})",
        default,
        key=f"cohort-horizons-{unit}-{default}-{turn}",  # another table, or time, has other defaults
        help="Choose before any model is fitted. Proposed are common times at which at least 10 patients, and a tenth "
        "of all, are still followed: later ones would rest on a few patients.",
    )
    horizons = _numbers(answer)
    if not default:
        blocks.note("No time is proposed for reporting survival: too few patients are followed for long enough.")
    if coding is None or not horizons:
        blocks.note(
            "Choose for every value whether it means an event, a censoring or a competing event, and give one to "
            "twelve times, separated by commas."
        )
        return None
    event, censored, competing = coding
    return replace(
        settings, horizons=horizons, event_values=event, censored_values=censored, competing_values=competing
    )


def _columns(
    labels: dict[str, tuple[str, str]], seen: Look, proposed: dict[str, str | None], turn: int
) -> dict[str, str | None]:
    """Meaning -> column of these meanings, None where the table has none."""
    chosen: dict[str, str | None] = {}
    grid = st.columns(3, gap="large")
    for place, (key, (label, explanation)) in enumerate(labels.items()):
        if key in ("time", "event"):  # the choices that are not a column of the table
            empty = [FROM_DATES if key == "time" else BY_DEATH] if seen.dated else []
        else:
            empty = [] if key in REQUIRED_COLUMNS else [BY_ID if key == "photo" else NONE]
        options = [*empty, *seen.header]
        guess = proposed[key]
        index = options.index(guess) if guess else (0 if empty else None)
        answer = grid[place % 3].selectbox(
            trusted(label), options, index=index, key=f"cohort-column-{key}-{turn}", help=trusted(explanation) or None
        )
        chosen[key] = answer if answer in seen.header else None
    return chosen


def _covariates(seen: Look, named: list[str], turn: int) -> tuple[Covariate, ...]:
    """Further columns that a model may use: numbers, or words as they stand in the table."""
    offered: dict[str, Covariate] = {}
    for column in seen.header:
        taken = [c.name for c in offered.values()]
        if column not in named and (covariate := guess_covariate(column, seen, taken)) is not None:
            offered[column] = covariate
    if not offered:
        return ()
    kinds = {"numeric": "numbers", "categorical": "words"}
    chosen = st.multiselect(
        "Further covariates",
        list(offered),
        key=f"cohort-covariates-{turn}-{len(offered)}",
        format_func=lambda column: f"{column} ({kinds[offered[column].kind]})",
        placeholder="Clinical columns that a model may use",
        help="Only what was known at baseline: a column that reveals the outcome makes every model look good.",
    )
    return tuple(offered[column] for column in offered if column in chosen)


def _coding(
    seen: Look, column: str, place: Any, turn: int
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]] | None:
    """Values of an event, of a censoring, of a competing event; None while one is missing."""
    values = seen.values.get(column)
    if not values:
        place.error(f"{plain(column)} has too many different values, or none, to distinguish an event from censoring.")
        return None
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
    rest = [value for value in left if value not in lost]
    other: list[str] = []
    if rest and lost:
        other = place.multiselect(
            f"Competing event when {plain(column)} is", rest, key=f"cohort-competing-{column}-{turn}", help=COMPETING
        )
        blocks.note(
            COMPETING if other else f"{column} can also be {', '.join(rest)}. Is that a competing event? {COMPETING}"
        )
    complete = bool(happened and lost) and len(other) == len(rest)
    return (tuple(happened), tuple(lost), tuple(other)) if complete else None


def _numbers(text: str) -> tuple[float, ...]:
    """Positive times from a text with commas, () where it holds anything else or more than twelve."""
    parts = [part for part in re.split(r"[,;\s]+", text.strip()) if part]
    if not 0 < len(parts) <= 12 or not all(re.fullmatch(r"\d{1,6}(\.\d{1,4})?", part) for part in parts):
        return ()
    values = sorted({float(part) for part in parts})
    return tuple(values) if values[0] > 0 else ()
