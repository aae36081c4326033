"""What was done, in sentences made from the settings that were used."""

from __future__ import annotations

from common.html import Html
from common.text import count, listed, sentence_case
from study.comparison.record import Comparison
from study.description.delayed_entry import LATE_ENTRY
from study.embedding.reconstruct import reconstruction_words
from study.report.facts import Facts
from study.report.page import bullets, section, subsection
from study.report.words import times
from study.settings import VIEWS
from survival.horizons import MIN_BEYOND, MIN_EVENTS
from survival.metrics.calibration import SLOPE_NAME

NULL = "kaplan-meier"
MODEL_WORDS = {
    "cox": "Cox regression without a penalty (Efron ties)",
    "cox-ridge": "ridge Cox regression (near-ridge elastic net, mixing 0.001)",
    "cox-elastic-net": "elastic-net Cox regression (mixing 0.5)",
    "cox-lasso": "lasso Cox regression",
    "deepsurv": "DeepSurv, a small network trained on the Cox loss, five members averaged, with early stopping "
    "inside the training part",
    "forest": "random survival forest",
    "boosting": "gradient boosting on the Cox loss",
    "svm": "survival support vector machine",
    "late-fusion": "late fusion: a Cox regression on the members' inner out-of-fold scores",
    NULL: "Kaplan-Meier curve of the training patients, the same for all",
    "shuffled": "the same kind of model, fitted to and evaluated on outcomes permuted between patients, folds included",
    "random-direction": "a random direction of the photo's codes, of which only sign and size are fitted",
}


def methods(facts: Facts) -> Html:
    """Section Methods, as run."""
    parts = [subsection("Data", bullets(_data(facts)))]
    if facts.comparison is not None:
        parts += [
            subsection("Validation", bullets(_validation(facts))),
            subsection("Models", bullets(_models(facts))),
            subsection("Measures", bullets(_measures(facts))),
        ]
    if facts.fitted is not None:
        parts.append(subsection(f"The study's model ({facts.model})", bullets(_fitted(facts))))
    return section("methods", "Methods, as run", *parts)


def _data(facts: Facts) -> list[str]:
    study = facts.study
    sentences = [
        f"Times are in {study.time_unit}, from the {'photo' if study.photos else 'start of follow-up'} to the event or "
        f"the end of observation. Survival is reported at {times(facts.horizons.carried, study.time_unit)}: of the "
        f"horizons that the study's settings fixed before any model was fitted "
        f"({times(study.horizons, study.time_unit)}), those that the follow-up supports, with at least {MIN_EVENTS} "
        f"events by then and at least {MIN_BEYOND} patients still under observation.",
        "The table was read without repairs: one row with an impossible time, event, id or covariate, and the study "
        "is refused.",
    ]
    sentences += [f"Source: {study.settings.source}"] if study.settings.source else []
    sentences += [f"To cite: {study.settings.citation}"] if study.settings.citation else []
    if study.simulated:
        recipe = ", ".join(f"{key} {value}" for key, value in study.settings.simulation.items())
        sentences.append(
            f"The patients are simulated with a known hazard ({recipe})." if recipe else "Simulated patients."
        )
    if study.has_latents:
        e = study.embedding
        name = str(e.settings.get("perceptual_name", ""))
        sentences.append(
            f"Each photo was aligned and turned into a W+ code ({e.num_ws} × {e.w_dim} numbers) of the generator "
            f"“{e.checkpoint}” by optimisation (preset {e.preset}{', ' + name if name else ''}). "
            f"{_views(e.views)}For a patient with several photos, the mean over them is used."
        )
        sentences += [words] if (words := reconstruction_words(study)) else []
    return sentences


def _views(views: int) -> str:
    if views == 1:
        return ""
    return f"Of each photo {views} views have a code ({VIEWS[views]}), and the mean of these is used. "


def _validation(facts: Facts) -> list[str]:
    c = facts.comparison
    assert c is not None
    plan = c.plan
    columns = f"Clinical columns: {listed(list(c.covariates))}." if c.covariates else ""
    site = {
        "pooled": "Site is a covariate like any other.",
        "strata": "Cox models, penalised or not, have a separate baseline hazard for each site.",
        "single": f"Only patients of the site {plan.site_name} are included.",
    }[plan.site]
    return [
        f"{count(len(c.patients), 'patient')} with {c.events:,} events took part in the comparison “{c.name}”.",
        f"{plan.repeats} × {plan.folds}-fold cross-validation. Folds are assigned by patient, stratified by event, "
        "and are the same for all models, so that differences are paired.",
        "Nothing is learned from held-out patients: levels, scaling, principal components, penalty and stopping are "
        f"chosen inside each training part; penalties by {plan.folds} inner folds.",
        site,
        "Missing covariates are replaced by the training mean or commonest level, with a missingness indicator. "
        f"{columns}",
        "The generator and its encoder were not trained on these patients by this software; where they were fine-tuned "
        "on photos of this cohort, the out-of-fold performance of photo models would be overstated."
        if facts.study.has_latents
        else "No photos are used.",
    ]


def _models(facts: Facts) -> list[str]:
    c = facts.comparison
    assert c is not None
    sentences = []
    for judged in c.candidates:
        features = "" if judged.model == NULL else f"; uses {listed(list(judged.blocks))}"
        sentences.append(f"{judged.label}: {MODEL_WORDS.get(judged.model, judged.model)}{features}.")
    path = (
        f"Penalised models: one descending path of {c.plan.penalties} penalties per fold; the penalty "
        + ("of the best" if c.plan.rule == "best" else "one standard error from the best, the strongest,")
        + " cross-validated partial likelihood is taken. Wide features enter as principal components of scaled values; "
        "in early fusion each block gets the same total variance."
    )
    controls = [f"Controls: {count(c.plan.shuffles, 'shuffled outcome')}, averaged."] if c.plan.shuffles else []
    return [*sentences, path, *controls]


def _measures(facts: Facts) -> list[str]:
    c = facts.comparison
    assert c is not None
    return [
        "All estimates are of out-of-fold predictions, means over repeats. Intervals: 95 %, percentile bootstrap over "
        f"patients, {c.plan.samples:,} samples, the same for all models; models are not refitted in them, so they "
        "reflect the uncertainty of the evaluation only.",
        *filter(None, [facts.study.competing_note]),
        *([LATE_ENTRY] if c.scores.entry is not None else _at_times(c, facts.unit)),
        f"{sentence_case(SLOPE_NAME)}: coefficient of a Cox regression of the outcome on the out-of-fold log hazard (1 "
        "is perfect). The calibration slope at a time is a different one: that of the risks predicted for that time.",
        "Risk quartiles of a fold are cut at the quartiles of its training patients' inner out-of-fold scores, so "
        "the four groups are only about equal in size.",
        "Hazard ratios of scores come from unpenalised Cox regressions in which the out-of-fold score is the only "
        "photo covariate. Proportional hazards: score test of Grambsch and Therneau (transform km).",
    ]


def _at_times(c: Comparison, unit: str) -> list[str]:
    """On the measures that exist only if everyone is followed from time 0."""
    return [
        f"Harrell's C; Uno's C up to {c.tau:.3g} {unit}, with inverse probability of censoring weights.",
        "AUC(t) cumulative/dynamic with the same weights; Brier score and its integral (IBS), scaled by the "
        "Kaplan-Meier curve of the training patients (0: no better than it; 1: perfect).",
        f"Calibration at {times(c.horizons, unit)}, first repeat: smooth curve by Cox regression on a restricted cubic "
        "spline of the predicted risk, its mean distance from the diagonal (ICI), slope and intercept by weighted "
        "binomial regression."
        if c.horizons
        else "No horizon of the study has enough events before it and enough patients after it, so calibration is "
        "not reported.",
    ]


def _fitted(facts: Facts) -> list[str]:
    model, report = facts.fitted, facts.fitted_report or {}
    assert model is not None
    who = f"{count(model.n_patients_, 'patient')} with {model.n_events_:,} events"
    comparison, candidate = facts.chosen_from
    if comparison:
        sentences = [
            f"{model.label}: candidate “{candidate}” of the comparison “{comparison}”, fitted to all {who}; its "
            "performance is that of the comparison."
        ]
    else:
        sentences = [
            f"{model.label}, fitted to all {who}; its performance is from {report['repeats']} × {report['folds']}-fold "
            f"nested cross-validation of the same procedure; seed {report['seed']}."
        ]
    if model.path_ is not None:
        sentences.append(
            f"It rests on {count(model.path_.components, 'principal component')} of the scaled codes, with penalty "
            f"{model.path_.alpha:.3g}, chosen by cross-validation. Its baseline hazard is Breslow's on the "
            "out-of-fold scores of that cross-validation."
        )
    return [*sentences, *[facts.without_ids(str(note)) for note in report.get("notes", [])]]
