"""The model card: what the models are for, from what, how good, and what they are not."""

from __future__ import annotations

from common.html import Html
from common.text import count
from study.report.facts import Facts
from study.report.page import bullets, section, subsection
from study.report.page import facts as fact_list
from study.report.words import interval
from survival.metrics.calibration import SLOPE_NAME

INTENDED = (
    "Research on what photos of faces reveal about survival in a cohort, and on how to evaluate such models.",
    "Not for decisions about a person: not for diagnosis, prognosis, triage, treatment, insurance or employment.",
    "Not for faces of people who have not agreed to it.",
)
LIMITS = (
    "An association in one cohort; no cause, and no promise that it holds elsewhere: there was no external validation.",
    "A face shows age, sex, ancestry and circumstances; a model of it can inherit the inequalities behind them.",
    "A code describes a face only as far as the generator can draw it. What it cannot draw, and how hard a photo was "
    "to reconstruct, may act as a hidden covariate (Robustness and shortcuts).",
    "The score of one person is uncertain beyond what a confidence interval of C says; two photos of one "
    "person differ. Portrait and `study score` give every score a 90 % interval for the photo and the model.",
)
PRIVACY = (
    "This report contains no patient's name, id or photo. Steps of curves and single dots are events of unnamed "
    "patients.",
    "Software: GPL-3.0-or-later.",
)
PHOTO_LICENCES = (
    "The weights of a generator keep their own licence (see its config.json).",
    "The 68-point landmark model that aligns photos was trained on data for non-commercial research.",
)


def card(facts: Facts) -> Html:
    """Section Model card."""
    study, f = facts.study, facts.follow
    alone = ("Research on survival in a cohort, and on how to evaluate models of it.", INTENDED[1])
    kind = "simulated; none of them exists" if study.simulated else "as the study's table has them"
    data = f"{count(f.patients, 'patient')} ({kind}), {f.events:,} events; who they are: Patients."
    simulated = ["The patients are simulated: no result here applies to real ones."] if study.simulated else []
    limits = [*simulated, *(LIMITS if study.has_latents else LIMITS[:1])]
    return section(
        "card",
        "Model card",
        subsection("Intended use", bullets(INTENDED if study.photos else alone)),
        subsection("Model", fact_list(_model(facts))),
        subsection("Training data", bullets([data])),
        subsection("Performance", bullets(_performance(facts))),
        subsection("Limits", bullets(limits)),
        subsection("Privacy and licence", bullets(PRIVACY + (PHOTO_LICENCES if study.photos else ()))),
    )


def _model(facts: Facts) -> list[tuple[object, object]]:
    rows: list[tuple[object, object]] = []
    if facts.fitted is not None:
        rows += [
            ("Study's model", f"{facts.fitted.label} (models/{facts.model})"),
            ("Output", "log hazard ratio relative to the cohort's median, survival curve, percentile among the cohort"),
        ]
    if facts.comparison is not None and facts.comparison.models:
        rows.append(("Best in the comparison", facts.comparison.best().label))
    if facts.study.has_latents:
        e = facts.study.embedding
        rows += [("Generator", e.checkpoint), ("Checkpoint SHA-256", e.checkpoint_sha256)]
        if encoder := str(e.settings.get("encoder_sha256", "")):
            rows.append(("Encoder SHA-256", encoder))
    return rows or [("Model", "none has been fitted")]


def _performance(facts: Facts) -> list[str]:
    c = facts.comparison
    lines = []
    if c is not None:
        lines = [f"{j.label}: Harrell's C {interval(c.estimate(j.name))} out of fold." for j in c.featured]
    if facts.fitted is not None:
        m = facts.fitted
        lines.append(
            f"Study's model {facts.model}, nested cross-validation: C {interval(m.oof_c_)}, {SLOPE_NAME} "
            f"{interval(m.calibration_slope_, 2)}."
        )
    return lines or ["No model has been fitted."]
