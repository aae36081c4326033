"""The report's first paragraphs: what was done and found, for a reader who stops there."""

from __future__ import annotations

import math

from common.text import percent
from study.clinical import LATE_ENTRY
from study.report.facts import Facts
from study.report.page import Html, bullets, paragraph, section, tag, warning
from study.report.words import count, interval, reached, signed, times

RESEARCH = (
    "For research. Nothing here is a medical device, and no figure is a statement about, or a decision on, a person. "
    "An association in a cohort is no cause."
)
SIMULATED = (
    "These patients are simulated: nobody in this study exists, and the figures say nothing about real people. They "
    "show that the method works where the truth is known."
)


def summary(facts: Facts) -> Html:
    """Section with the study's size, the main result, and what to beware of."""
    f, unit = facts.follow, facts.unit
    said = [
        f"{count(f.patients, 'patient')} were analysed; {f.events:,} ({percent(f.events / f.patients)}) had the event. "
        f"Median follow-up (reverse Kaplan-Meier) {reached(f.median, unit)}; median time to the event "
        f"{reached(f.survival, unit)}."
    ]
    said += (
        _models(facts) or _fitted(facts) or ["No model has been fitted or compared yet: this report is of the cohort."]
    )
    first = warning(SIMULATED) if facts.study.simulated else Html("")
    cautions = [facts.without_ids(s) for s in _cautions(facts)]
    return section(
        "summary",
        "Summary",
        first,
        tag("div", bullets(said), class_="summary"),
        *([tag("h3", "To beware of"), bullets(cautions)] if cautions else []),
        paragraph(tag("strong", RESEARCH)),
    )


def _models(facts: Facts) -> list[str]:
    c = facts.comparison
    if c is None or not c.models:
        return []
    best = c.best()
    said = [
        f"{count(len(c.models), 'model')} were judged on patients that they had not seen "
        f"({c.plan.repeats} × {c.plan.folds}-fold nested cross-validation by patient). The best ranks patients with "
        f"Harrell's C {interval(c.figure(best.name))}: {best.label}. C is the share of comparable pairs in which the "
        "patient with the higher predicted risk had the earlier event; 0.5 is guessing, 1 perfect."
    ]
    clinical = [j for j in c.models if j.features == "clinical"]
    photo = [j for j in c.models if "photo" in j.features and "clinical" in j.features]
    if clinical and photo:
        base = max(clinical, key=lambda j: c.figure(j.name).value)
        both = max(photo, key=lambda j: c.figure(j.name).value)
        d = c.difference(both.name, base.name)
        verdict = (
            "the photo adds to what the clinical columns tell"
            if d.low > 0
            else "the photo takes away from it"
            if d.high < 0
            else "whether the photo adds anything is open"
        )
        said.append(f"{both.label} less {base.label}, paired on the same patients: C {signed(d)}; {verdict}.")
    calibration = c.tables["calibration"]
    own = calibration[(calibration["candidate"] == best.name) & (calibration["measure"] == "slope")]
    if not own.empty:
        row = own.iloc[len(own) // 2]
        said.append(
            f"Calibration slope of that model at {row['horizon']:g} {facts.unit}: {interval(row, 2)}; 1 says that "
            "differences in risk are as large as claimed."
        )
    return said


def _fitted(facts: Facts) -> list[str]:
    if facts.fitted is None:
        return []
    return [
        f"The study's photo model ({facts.model}) ranks patients that it has not seen with Harrell's C "
        f"{interval(facts.fitted.oof_c_)}; 0.5 is guessing, 1 perfect."
    ]


def _cautions(facts: Facts) -> list[str]:
    found = [f"Out of date: {reason}" for reason in facts.stale]
    c = facts.comparison
    if c is not None:
        found += list(c.notes)
        found += [f"{j.label} could not be fitted: {j.error}" for j in c.candidates if j.error]
        if c.horizons_left_out and not any("no figure at" in note for note in c.notes):
            found.append(f"There is no figure at {times(c.horizons_left_out, facts.unit)}: follow-up carries none.")
    else:
        found += facts.horizons.sentences(facts.unit)
    if facts.errors is not None:
        found += list(facts.errors.warnings)
    if (told := facts.study.competing_note) and told not in found:
        found.append(told)
    if facts.follow.entry and LATE_ENTRY not in found:
        found.append("Some patients came under observation late (left truncation): each counts from then on.")
    if not math.isfinite(facts.follow.median.value):
        found.append("Median follow-up is not reached: too few patients left without the event for it to be told.")
    return found
