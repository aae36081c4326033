"""Who was studied: flow of patients, Table 1, follow-up, survival of all."""

from __future__ import annotations

import numpy as np

from common.html import Html
from common.text import count, percent
from study.description.round_times import round_times
from study.description.table_one import MISSING, SHARES, table_one_rows
from study.report.facts import Facts
from study.report.page import bullets, figure, note, section, subsection, table
from study.report.page import facts as fact_list
from study.report.words import interval, reached
from survival.curves import kaplan_meier
from survival.plots.flow import flow_figure
from survival.plots.kaplan_meier import kaplan_meier_figure

OUTCOME = "Free of the event"


def since(facts: Facts) -> str:
    return "Time since photo" if facts.study.photos else "Time"


def cohort(facts: Facts) -> Html:
    """Section Patients."""
    words = (
        "Sicker people are more likely to wear devices that cover the face, and the detector is less certain of "
        "turned, bearded or very thin faces. The outcome of these patients compared with that of all others:"
    )
    lost = [note(words), bullets([group.sentence(facts.unit) for group in facts.lost])]
    steps = [(s.name, s.patients, [(facts.without_ids(r), n) for r, n in s.lost]) for s in facts.steps]
    return section(
        "patients",
        "Patients",
        subsection("Flow", figure(flow_figure(steps), "From the table to the analysis, and why patients left.")),
        *([subsection("Photos lost or flagged", *lost)] if facts.lost else []),
        subsection("Characteristics", _table_one(facts)),
        subsection("Follow-up and events", _follow_up(facts), _survival(facts)),
    )


def _table_one(facts: Facts) -> Html:
    labels = {c.name: c.label for c in facts.study.settings.covariates if c.label}
    rows, before = [], None
    for variable, level, description in table_one_rows(facts.table):
        shown = labels.get(variable, variable) if variable != before else ""
        rows.append((shown, level, description))
        before = variable
    whole = not (facts.table["level"] == MISSING).any()
    words = f"{SHARES} No values are missing." if whole else SHARES
    n = facts.follow.patients
    caption = f"Table 1. Characteristics of the {count(n, 'patient')} analysed."
    return Html(table(("Variable", "Level", f"All (n = {n:,})"), rows, caption, numbers=2) + note(words))


def _follow_up(facts: Facts) -> Html:
    f, unit = facts.follow, facts.unit
    competing = facts.study.competing_note
    listed = fact_list(
        [
            ("Patients", f"{f.patients:,}"),
            ("Events", f"{f.events:,} ({percent(f.events / f.patients, 1)})"),
            ("Censored", f"{f.censored:,} ({percent(f.censored / f.patients, 1)})"),
            ("Median follow-up", f"{reached(f.median, unit)}, by reverse Kaplan-Meier"),
            ("Longest time", f"{f.longest:g} {unit}"),
            ("Median time to the event", reached(f.survival, unit)),
            ("Event rate", f"{interval(f.rate, 2)} per 100 patient-{unit}, exact Poisson 95 % CI"),
        ]
    )
    return Html(listed + note(competing)) if competing else listed


def _survival(facts: Facts) -> Html:
    rows = facts.rows
    time, event = rows["time"].to_numpy(np.float64), rows["event"].to_numpy(bool)
    start = {"entry": rows["entry"].fillna(0).to_numpy(np.float64)} if facts.follow.entry else {}
    curve = kaplan_meier(time, event, **start)
    drawn = kaplan_meier_figure(
        {"All patients": curve}, facts.unit, round_times(float(time.max())), outcome=OUTCOME, since=since(facts)
    )
    return figure(drawn, "Kaplan-Meier curve of all patients with its 95 % band; ticks are censored patients.")
