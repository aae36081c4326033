"""The TRIPOD+AI checklist (Collins et al., BMJ 2024;385:e078378), filled in where the software knows the answer.

Item numbers are those of the statement; each is paraphrased briefly.
"""

from __future__ import annotations

from collections.abc import Callable

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


def _source(f: Facts) -> str:
    if f.study.simulated:
        return "Simulated patients with a known hazard (Methods, Data)."
    return f.study.settings.source or AUTHORS


def _sites(f: Facts) -> str:
    if f.comparison is None or "site" not in f.comparison.covariates:
        return "The table has no site."
    return f"Site: {f.comparison.plan.site}; estimates by site under Subgroups."


def _prepared(f: Facts) -> str:
    photos = "; all photos aligned and measured in the same way" if f.study.photos else ""
    return f"Checks by row, no repairs{photos} (Methods, Data)."


def _outcome(f: Facts) -> str:
    return (
        f"Time in {f.unit} to the event named in the table; the event's meaning and how it was found: for the authors."
    )


def _predictors(f: Facts) -> str:
    return f"{'Photo codes: Methods, Data. ' if f.study.has_latents else ''}Clinical columns: for the authors."


def _sets(f: Facts) -> str:
    names = dict.fromkeys(j.features for j in f.comparison.candidates if j.features) if f.comparison else ()
    return f"Feature sets fixed by the plan{': ' + listed(list(names)) if f.comparison else ''}."


def _sample(f: Facts) -> str:
    short = events_short(f.rows, f.study.settings)
    total = sum(parameters_of(f.rows, f.study.settings).values())
    per = f" {f.follow.events / total:.1f} events for each parameter of the clinical columns." if total else ""
    if short:
        per = f" Clinical columns: {short}."
    return (
        f"{count(f.follow.patients, 'patient')}, {f.follow.events:,} events.{per} Whether the size was planned: "
        "for the authors."
    )


def _missing(f: Facts) -> str:
    gone = f.table[f.table["level"] == MISSING]
    if gone.empty:
        return "No covariate of the analysed patients is missing a value."
    counts = listed([f"{r['variable']} ({r['n']})" for r in gone.to_dict("records")])
    return (
        f"Missing: {counts}. Replaced by the training mean or commonest level, with an indicator, learned in the "
        "fold (Methods)."
    )


def _split(f: Facts) -> str:
    if f.comparison is None:
        return "No models were compared."
    plan = f.comparison.plan
    return f"Repeated nested cross-validation by patient, {plan.repeats} × {plan.folds} folds. No external patients."


def _models(f: Facts) -> str:
    if f.comparison is None:
        return "See Methods." if f.fitted is not None else "No model was fitted."
    return f"{count(len(f.comparison.candidates), 'candidate')} with all settings under Methods and Reproducibility."


def _performance(f: Facts) -> str:
    if f.comparison is not None:
        return (
            "Discrimination, overall fit, calibration, net benefit, paired differences, with intervals wherever they "
            "can be computed (Models compared)."
        )
    return "Harrell's and Uno's C and the calibration slope of the study's model." if f.fitted is not None else "None."


def _groups(f: Facts) -> str:
    if f.comparison is None:
        return "No subgroup was analysed."
    groups = dict.fromkeys(f.comparison.tables["subgroups"]["variable"])
    names = listed([name for name in groups if name != ALL])
    return f"Every model by {names} (Subgroups). What follows for fairness: for the authors."


def _evaluated(f: Facts) -> str:
    return "The same patients, held out in turn: they differ only by chance." if f.comparison is not None else AUTHORS


def _flow(f: Facts) -> str:
    return f"{f.steps[0].patients:,} in the table, {f.follow.patients:,} analysed; flow and follow-up under Patients."


def _sizes(f: Facts) -> str:
    if f.comparison is None:
        return f"{count(f.follow.patients, 'patient')}, {f.follow.events:,} events."
    return f"Every model: {count(len(f.comparison.patients), 'patient')}, {f.comparison.events:,} events."


def _full(f: Facts) -> str:
    if f.fitted is None:
        return "No model is stored with the study."
    return f"models/{f.model}: one coefficient for each number of the code, baseline hazard, as files with digests."


def _poor_input(f: Facts) -> str:
    if not f.study.photos:
        return "No photo is needed; a table row with an impossible value is refused."
    return "A photo without a usable face is refused with the reason; poor photos are flagged; exclusions are listed."


def _of_a_model(answer: str | Answer) -> Answer:
    """The answer where a model was fitted or compared; without one it would claim what nobody did."""
    return lambda f: NO_MODEL if f.comparison is None and f.fitted is None else _said(answer, f)


def _said(answer: str | Answer, f: Facts) -> str:
    return answer if isinstance(answer, str) else answer(f)


# Part of a paper -> (number in the statement, what it asks in short, what the software knows).
ITEMS: dict[str, tuple[tuple[str, str, str | Answer], ...]] = {
    "Title": (("1", "Says that a prediction model is developed or evaluated, in whom, for what outcome", AUTHORS),),
    "Abstract": (("2", "Structured abstract for prediction models", AUTHORS),),
    "Introduction": (
        ("3a", "Health context and why a model is needed", AUTHORS),
        ("3b", "Target population, place in the care pathway, intended users", AUTHORS),
        ("3c", "Known inequalities in health between groups", AUTHORS),
        ("4", "Aims, and whether development or evaluation", _of_a_model("Development with internal validation.")),
    ),
    "Methods": (
        ("5a", "Sources of the data and why they are suitable", _source),
        ("5b", "Dates of recruitment and of the end of follow-up", AUTHORS),
        ("6a", "Settings and centres", lambda f: _sites(f) + " Settings: for the authors."),
        ("6b", "Who was eligible", "Exclusions made here, with reasons: Patients, Flow. The rest: for the authors."),
        ("6c", "Treatments, and how they were handled", AUTHORS),
        ("7", "How data were prepared and checked, alike in all groups", _prepared),
        ("8a", "Outcome, its time, how it was found", _outcome),
        ("8b", "Who judged the outcome, where judgement is needed", AUTHORS),
        ("8c", "Whether they were blind to predictors", AUTHORS),
        ("9a", "How predictors were chosen beforehand", _of_a_model(_sets)),
        ("9b", "What each predictor is and when it was measured", _predictors),
        ("9c", "Who judged predictors, where judgement is needed", AUTHORS),
        ("10", "Sample size and its reasons", _sample),
        ("11", "Missing data", _missing),
        ("12a", "How data were used to develop and to evaluate", _split),
        (
            "12b",
            "How predictors enter the model",
            _of_a_model("Scaled, principal components, levels, all learned in the fold (Methods, Models)."),
        ),
        ("12c", "Type of model, building, tuning, internal validation", _models),
        ("12d", "Differences between clusters", _sites),
        ("12e", "Measures and plots of performance", _performance),
        ("12f", "Updating of the model", "None."),
        (
            "12g",
            "How predictions are calculated",
            _of_a_model("From the fold's own fit; for new patients by the study's model file (Reproducibility)."),
        ),
        (
            "13",
            "Class imbalance",
            _of_a_model("Censored times are modelled as such; nothing was re-weighted or re-sampled."),
        ),
        ("14", "Fairness: what was done", _groups),
        (
            "15",
            "Output of the model, and thresholds",
            _of_a_model(
                lambda f: f"Log hazard ratio and survival at {times(f.horizons.carried, f.unit)}; no threshold is set."
            ),
        ),
        ("16", "Differences between development and evaluation data", _evaluated),
        (
            "17",
            "Ethical approval",
            lambda f: "None is needed for simulated patients." if f.study.simulated else AUTHORS,
        ),
    ),
    "Open science": (
        ("18a", "Funding", AUTHORS),
        ("18b", "Conflicts of interest", AUTHORS),
        ("18c", "Protocol", AUTHORS),
        ("18d", "Registration", AUTHORS),
        ("18e", "Availability of data", "Digests of the data are under Reproducibility. Access: for the authors."),
        (
            "18f",
            "Availability of code",
            "This software is GPL-3.0-or-later; commands and versions under Reproducibility.",
        ),
    ),
    "Patients and public": (("19", "Their part in the research", AUTHORS),),
    "Results": (
        ("20a", "Flow of participants, events, follow-up", _flow),
        ("20b", "Characteristics, missing values", "Table 1."),
        ("20c", "Predictors in development and evaluation data compared", _evaluated),
        ("21", "Patients and events in each analysis", _sizes),
        ("22", "The model in full, for others to use", _full),
        ("23a", "Performance with intervals, in subgroups too", _performance),
        ("23b", "Performance between clusters", _sites),
        ("24", "Results of updating", "None was done."),
    ),
    "Discussion": (
        ("25", "What the results mean, fairness included", AUTHORS),
        (
            "26",
            "Limits",
            "Those that software can see: Summary, Cautions; Model card, Limits. The rest: for the authors.",
        ),
        ("27a", "How poor or absent input is handled in use", _poor_input),
        ("27b", "What users must do and know", "Not for use in care: Model card, Intended use."),
        ("27c", "Next steps, other settings", AUTHORS),
    ),
}


def checklist(facts: Facts) -> Html:
    """Section TRIPOD+AI."""
    answers = [(no, part, asks, _said(a, facts)) for part, items in ITEMS.items() for no, asks, a in items]
    rows = [(*item, tag("em", answer) if answer == AUTHORS else answer) for *item, answer in answers]
    done = sum(answer != AUTHORS for *_, answer in answers)
    return section(
        "tripod",
        "TRIPOD+AI checklist",
        paragraph(
            f"The software answers {done} of {len(rows)} items at least in part; the others, and whatever needs "
            "judgement, are for the authors. The items are paraphrased: see the statement (Collins et al., BMJ "
            "2024;385:e078378) for what each asks in full."
        ),
        table(("Item", "Part", "Asks", "Answer"), rows, numbers=9),
    )
