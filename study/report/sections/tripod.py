"""The TRIPOD+AI checklist (Collins et al., BMJ 2024;385:e078378), filled where the software knows the answer.

Item numbers are those of the statement; each is paraphrased briefly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from common.html import Html, tag
from common.text import count, listed
from study.description.table_one import MISSING
from study.report.facts import Facts
from study.report.page import paragraph, section, table
from study.report.words import times
from study.tables.covariates import events_short, parameters_of
from survival.comparison.subgroups import ALL

AUTHORS = "For the authors."
Answer = Callable[[Facts], str]
NO_MODEL = "No model was fitted or compared yet."


@dataclass(frozen=True)
class Item:
    """number: of the statement. part: of a paper. asks: in short. answer: what the software knows, or None."""

    number: str
    part: str
    asks: str
    answer: Answer | None = None


def _outcome(f: Facts) -> str:
    return (
        f"Time in {f.unit} to the event named in the table; the event's meaning and how it was found: for the authors."
    )


def _missing(f: Facts) -> str:
    gone = f.table[f.table["level"] == MISSING]
    if gone.empty:
        return "No covariate of the analysed patients is missing a value."
    counts = listed([f"{r['variable']} ({r['n']})" for r in gone.to_dict("records")])
    return f"Missing: {counts}. Training mean or commonest level with an indicator, learned in the fold (Methods)."


def _sample(f: Facts) -> str:
    short = events_short(f.rows, f.study.settings)
    total = sum(parameters_of(f.rows, f.study.settings).values())
    per = f" {f.follow.events / total:.1f} events for each parameter of the clinical columns." if total else ""
    if short:
        per = f" Clinical columns: {short}."
    return f"{count(f.follow.patients, 'patient')}, {f.follow.events:,} events.{per} Whether planned: for the authors."


def _split(f: Facts) -> str:
    if f.comparison is None:
        return "No models were compared."
    plan = f.comparison.plan
    return f"Repeated nested cross-validation by patient, {plan.repeats} × {plan.folds} folds. No external patients."


def _of_a_model(answer: Answer) -> Answer:
    """The answer where a model was fitted or compared; without one it would claim what nobody did."""
    return lambda f: answer(f) if f.comparison is not None or f.fitted is not None else NO_MODEL


def _models(f: Facts) -> str:
    if f.comparison is None:
        return "See Methods." if f.fitted is not None else "No model was fitted."
    return f"{count(len(f.comparison.candidates), 'candidate')} with all settings under Methods and Reproducibility."


def _sites(f: Facts) -> str:
    if f.comparison is None or "site" not in f.comparison.covariates:
        return "The table has no site."
    return f"Site: {f.comparison.plan.site}; figures by site under Subgroups."


def _performance(f: Facts) -> str:
    if f.comparison is None:
        return (
            "Harrell's and Uno's C and the calibration slope of the study's model." if f.fitted is not None else "None."
        )
    return (
        "Discrimination, overall fit, calibration, net benefit, paired differences, each with intervals where they can "
        "be had (Models compared)."
    )


def _groups(f: Facts) -> str:
    if f.comparison is None:
        return "No subgroup was analysed."
    groups = dict.fromkeys(f.comparison.tables["subgroups"]["variable"])
    names = listed([name for name in groups if name != ALL])
    return f"Every model by {names} (Subgroups). What follows for fairness: for the authors."


def _poor_input(f: Facts) -> str:
    if not f.study.photos:
        return "No photo is asked for; a row of the table with an impossible value is refused."
    return "A photo without a usable face is refused with the reason; weak photos carry flags; exclusions are listed."


def _prepared(f: Facts) -> str:
    photos = "; photos aligned and measured all in one way" if f.study.photos else ""
    return f"Checks by row, no repairs{photos} (Methods, Data)."


def _predictors(f: Facts) -> str:
    return f"{'Photo codes: Methods, Data. ' if f.study.has_latents else ''}Clinical columns: for the authors."


def _flow(f: Facts) -> str:
    return f"{f.steps[0].patients:,} in the table, {f.follow.patients:,} analysed; flow and follow-up under Patients."


def _evaluated(f: Facts) -> str:
    return "The same patients, held out in turn: no difference but chance." if f.comparison is not None else AUTHORS


ITEMS = (
    Item("1", "Title", "Says that a prediction model is developed or evaluated, in whom, for what outcome"),
    Item("2", "Abstract", "Structured abstract for prediction models"),
    Item("3a", "Introduction", "Health context and why a model is needed"),
    Item("3b", "Introduction", "Whom the model is for, where in care, who would use it"),
    Item("3c", "Introduction", "Known inequalities in health between groups"),
    Item(
        "4",
        "Introduction",
        "Aims, and whether development or evaluation",
        _of_a_model(lambda f: "Development with internal validation."),
    ),
    Item("5a", "Methods", "Sources of the data and why they suit", lambda f: _source(f)),
    Item("5b", "Methods", "Dates of recruitment and of the end of follow-up"),
    Item("6a", "Methods", "Settings and centres", lambda f: _sites(f) + " Settings: for the authors."),
    Item(
        "6b",
        "Methods",
        "Who was eligible",
        lambda f: "Exclusions made here, with reasons: Patients, Flow. The rest: for the authors.",
    ),
    Item("6c", "Methods", "Treatments, and how they were handled"),
    Item(
        "7",
        "Methods",
        "How data were prepared and checked, alike in all groups",
        lambda f: _prepared(f),
    ),
    Item("8a", "Methods", "Outcome, its time, how it was found", _outcome),
    Item("8b", "Methods", "Who judged the outcome, where judgement is needed"),
    Item("8c", "Methods", "Whether they were blind to predictors"),
    Item(
        "9a",
        "Methods",
        "How predictors were chosen beforehand",
        _of_a_model(lambda f: f"Feature sets fixed by the plan{_sets(f)}."),
    ),
    Item(
        "9b",
        "Methods",
        "What each predictor is and when it was measured",
        lambda f: _predictors(f),
    ),
    Item("9c", "Methods", "Who judged predictors, where judgement is needed"),
    Item("10", "Methods", "Sample size and its reasons", _sample),
    Item("11", "Methods", "Missing data", _missing),
    Item("12a", "Methods", "How data were used to develop and to evaluate", _split),
    Item(
        "12b",
        "Methods",
        "How predictors enter the model",
        _of_a_model(lambda f: "Scaled, principal components, levels, all learned in the fold (Methods, Models)."),
    ),
    Item("12c", "Methods", "Type of model, building, tuning, internal validation", _models),
    Item("12d", "Methods", "Differences between clusters", _sites),
    Item("12e", "Methods", "Measures and plots of performance", _performance),
    Item("12f", "Methods", "Updating of the model", lambda f: "None."),
    Item(
        "12g",
        "Methods",
        "How predictions are calculated",
        _of_a_model(lambda f: "From the fold's own fit; for new patients by the study's model file (Reproducibility)."),
    ),
    Item(
        "13",
        "Methods",
        "Class imbalance",
        _of_a_model(lambda f: "Censored times are modelled as such; nothing was re-weighted or re-sampled."),
    ),
    Item("14", "Methods", "Fairness: what was done", _groups),
    Item(
        "15",
        "Methods",
        "What the model puts out, and thresholds",
        _of_a_model(
            lambda f: f"Log hazard ratio and survival at {times(f.horizons.carried, f.unit)}; no threshold is set."
        ),
    ),
    Item("16", "Methods", "Differences between development and evaluation data", _evaluated),
    Item(
        "17",
        "Methods",
        "Ethical approval",
        lambda f: "None is needed for simulated patients." if f.study.simulated else AUTHORS,
    ),
    Item("18a", "Open science", "Funding"),
    Item("18b", "Open science", "Conflicts of interest"),
    Item("18c", "Open science", "Protocol"),
    Item("18d", "Open science", "Registration"),
    Item(
        "18e",
        "Open science",
        "Availability of data",
        lambda f: "Digests of the data are under Reproducibility. Access: for the authors.",
    ),
    Item(
        "18f",
        "Open science",
        "Availability of code",
        lambda f: "This software is GPL-3.0-or-later; commands and versions under Reproducibility.",
    ),
    Item("19", "Patients and public", "Their part in the research"),
    Item("20a", "Results", "Flow of participants, events, follow-up", _flow),
    Item("20b", "Results", "Characteristics, missing values", lambda f: "Table 1."),
    Item("20c", "Results", "Predictors in development and evaluation data compared", _evaluated),
    Item("21", "Results", "Patients and events in each analysis", lambda f: _sizes(f)),
    Item("22", "Results", "The model in full, for others to use", lambda f: _full(f)),
    Item("23a", "Results", "Performance with intervals, in subgroups too", _performance),
    Item("23b", "Results", "Performance between clusters", _sites),
    Item("24", "Results", "Results of updating", lambda f: "None was done."),
    Item("25", "Discussion", "What the results mean, fairness included"),
    Item(
        "26",
        "Discussion",
        "Limits",
        lambda f: "Those that software can see: Summary, To beware of; Model card, Limits. The rest: for the authors.",
    ),
    Item("27a", "Discussion", "How poor or absent input is handled in use", _poor_input),
    Item(
        "27b", "Discussion", "What users must do and know", lambda f: "Not for use in care: Model card, Intended use."
    ),
    Item("27c", "Discussion", "Next steps, other settings"),
)


def _source(f: Facts) -> str:
    if f.study.simulated:
        return "Simulated patients with a known hazard (Methods, Data)."
    return f.study.settings.source or AUTHORS


def _sets(f: Facts) -> str:
    if f.comparison is None:
        return ""
    names = listed(list(dict.fromkeys(j.features for j in f.comparison.candidates if j.features)))
    return f": {names}"


def _sizes(f: Facts) -> str:
    if f.comparison is None:
        return f"{count(f.follow.patients, 'patient')}, {f.follow.events:,} events."
    return f"Every model: {count(len(f.comparison.patients), 'patient')}, {f.comparison.events:,} events."


def _full(f: Facts) -> str:
    if f.fitted is None:
        return "No model is kept with the study."
    return f"models/{f.model}: one coefficient for each number of the code, baseline hazard, as files with digests."


def checklist(facts: Facts) -> Html:
    """Section TRIPOD+AI."""
    rows = []
    for item in ITEMS:
        answer = item.answer(facts) if item.answer is not None else AUTHORS
        answered = answer != AUTHORS
        rows.append((item.number, item.part, item.asks, answer if answered else tag("em", answer)))
    done = sum(not isinstance(row[3], Html) for row in rows)
    return section(
        "tripod",
        "TRIPOD+AI checklist",
        paragraph(
            f"Of {len(rows)} items the software has something to say on {done}; the others, and what needs judgement, "
            "are for the authors. The items are paraphrased: see the statement (Collins et al., BMJ "
            "2024;385:e078378) for what each asks in full."
        ),
        table(("Item", "Part", "Asks", "Answer"), rows, numbers=9),
    )
