"""From a plan to candidates: each model on each feature set that it accepts, and the controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from study.comparison.features import (
    AGE_SEX,
    CLINICAL,
    MEASURED,
    PHOTO,
    STRATA,
    Cohort,
    chosen_sets,
    measured_enough,
)
from study.comparison.measuring.shortcuts import SHORTCUT_SETS
from study.comparison.plan import DEFAULT, FEATURE_SETS, IMAGE, NETWORK, PENALISED, READOUTS, Plan
from study.comparison.record import CONTROL, MODEL, CandidateResult
from study.disk.store import Study
from study.errors import StudyError
from study.tables.covariates import parameters
from survival.events_per_parameter import enough_events
from survival.features.encoding import Block, FeatureSet
from survival.models.registry import MODELS, model_entry

PLAIN, RIDGE, LATE = "cox", "cox-ridge", "late-fusion"
SHUFFLED, RANDOM, NULL = "shuffled", "random-direction", "kaplan-meier"
CONTROLS = (SHUFFLED, RANDOM, NULL)
SHORT = {
    "cox": "Cox",
    "cox-ridge": "ridge Cox",
    "cox-elastic-net": "elastic-net Cox",
    "cox-lasso": "lasso Cox",
    READOUTS: "Cox on readouts",
    "forest": "random forest",
    "boosting": "gradient boosting",
    "svm": "survival SVM",
    "cnn": "image network",
}


def choosable_models() -> tuple[str, ...]:
    """Names of the registry that a plan can name: controls and fusion are added in other ways."""
    return tuple(name for name in MODELS if name not in (*CONTROLS, LATE))


def candidates_of(study: Study, plan: Plan, cohort: Cohort) -> tuple[tuple[CandidateResult, ...], tuple[str, ...]]:
    """(candidates, notes): models first, in the order of feature sets, then controls.

    Raises StudyError for an unknown model, or where no model accepts any feature set.
    """
    for model in plan.models:
        if model != DEFAULT and model not in choosable_models():
            raise StudyError(
                f"There is no model called {model!r}: choose one of {DEFAULT}, {', '.join(choosable_models())}."
            )
    models: dict[str, CandidateResult] = {}
    notes = []
    sets = chosen_sets(study, plan)
    for name in sets:
        for model in models_for(name, plan, sets):
            candidate = _candidate(FEATURE_SETS[name], model, plan, cohort)
            if candidate is None:
                notes.append(f"{FEATURE_SETS[name].label}: plain Cox regression does not accept a photo; left out.")
            else:
                models.setdefault(candidate.name, candidate)
    if not models:
        raise StudyError("None of these models accepts any of these feature sets: add ridge Cox.")
    if plan.site == "strata" and not any(c.settings.get("strata") for c in models.values()):
        raise StudyError("Only Cox models can have a baseline hazard per site: choose one, or site pooled.")
    controls = [*_shortcuts(plan), *_controls(plan, cohort, next(iter(models.values())))]
    return (*models.values(), *controls), tuple(notes)


def models_for(features: str, plan: Plan, sets: Sequence[str]) -> tuple[str, ...]:
    """Models that a plan tries on one of its feature sets.

    Where default models of the clinical columns are compared with those of photo and columns, ridge Cox is added to the
    former: an unpenalised model that overfits its columns is easy to beat (study.comparison.measuring.added_value).
    """
    models = tuple(m for m in plan.models if accepts(features, m, plan))
    joint = any(PHOTO in FEATURE_SETS[s].blocks and CLINICAL in FEATURE_SETS[s].blocks for s in sets)
    baseline = (RIDGE,) if features == CLINICAL and joint and DEFAULT in models and RIDGE not in models else ()
    return models + baseline


def accepts(features: str, model: str, plan: Plan) -> bool:
    """Whether a plan tries a model on a feature set: the network uses photos and nothing else, and where only the
    network brought them along, no other model uses them; readouts are those of the photo's codes alone."""
    if model in (NETWORK, READOUTS):
        return features == (IMAGE if model == NETWORK else PHOTO)
    return features != IMAGE or IMAGE in plan.features


def _candidate(features: FeatureSet, requested: str, plan: Plan, cohort: Cohort) -> CandidateResult | None:
    """None where the model does not accept the features."""
    features = replace(features, label=_label(features, cohort))
    wide = [block for block in features.blocks if _is_wide(cohort.blocks[block])]
    model = _default(features.blocks, cohort) if requested == DEFAULT else requested
    if model == PLAIN and wide:
        return None
    if features.fusion == "late" and len(features.blocks) > 1:
        members = {block: _member(block, cohort, model, features, plan) for block in features.blocks}
        settings: dict[str, Any] = {"members": members, "folds": plan.folds, "seed": plan.seed}
        label = f"{features.label}, {_short(model)}"
        return CandidateResult(
            f"{features.name} / {model}", label, MODEL, features.name, LATE, features.blocks, settings
        )
    settings, blocks, label = settings_of(model, plan, features.missing), features.blocks, features.label
    blocks = (*blocks, *MEASURED) if model == READOUTS else blocks
    label = f"{label}, {_short(model)}"
    if plan.site == "strata" and model in (PLAIN, *PENALISED) and (with_site := _with_site(cohort, blocks)):
        settings["strata"], label, blocks = "site", f"{label}, stratified by site", with_site
    return CandidateResult(f"{features.name} / {model}", label, MODEL, features.name, model, blocks, settings)


def _default(blocks: Sequence[str], cohort: Cohort) -> str:
    """Plain Cox for columns with ten events a parameter (Peduzzi et al. 1995); readouts for codes alone where the faces
    were measured; ridge Cox for more."""
    if tuple(blocks) == (PHOTO,) and measured_enough(cohort.blocks):
        return READOUTS
    tables = [cohort.blocks[block] for block in blocks]
    columns = sum(sum(parameters(t).values()) for t in tables if isinstance(t, pd.DataFrame))
    plain = not any(_is_wide(t) for t in tables) and enough_events(int(cohort.patients["event"].sum()), columns)
    return PLAIN if plain else RIDGE


def _label(features: FeatureSet, cohort: Cohort) -> str:
    """Its label; of age and sex only what the study has."""
    table = cohort.blocks.get(AGE_SEX)
    if features.name == AGE_SEX and isinstance(table, pd.DataFrame) and table.shape[1] == 1:
        return str(table.columns[0]).capitalize()
    return features.label


def _member(block: str, cohort: Cohort, model: str, features: FeatureSet, plan: Plan) -> dict[str, Any]:
    """A member of a late fusion: few clinical columns need no penalty."""
    member = _default((block,), cohort) if model in PENALISED and not _is_wide(cohort.blocks[block]) else model
    return {"blocks": block, "model": member, "settings": settings_of(member, plan, features.missing)}


def settings_of(model: str, plan: Plan, missing: str) -> dict[str, Any]:
    """Settings of a model of the registry under a plan."""
    settings: dict[str, Any] = {"missing": missing, "seed": plan.seed}
    if model in PENALISED:
        settings |= {"n_alphas": plan.penalties, "rule": plan.rule, "folds": plan.folds}
    return settings


def _is_wide(block: Block) -> bool:
    return not isinstance(block, pd.DataFrame)


def _with_site(cohort: Cohort, blocks: tuple[str, ...]) -> tuple[str, ...]:
    """The blocks with the site among them, to stratify by; () where nothing else would be left."""
    tables = [cohort.blocks[block] for block in blocks]
    with_site = [table for table in tables if isinstance(table, pd.DataFrame) and "site" in table]
    if not with_site:
        return (*blocks, STRATA)
    return blocks if len(blocks) > 1 or with_site[0].shape[1] > 1 else ()


def _short(model: str) -> str:
    """The registry's label as the end of a sentence."""
    return SHORT.get(model) or model_entry(model).label


def _shortcuts(plan: Plan) -> list[CandidateResult]:
    """Ridge Cox on parts of the photo that should not predict as well as the face."""
    return [
        CandidateResult(
            s.name, f"{s.label}, {_short(RIDGE)}", CONTROL, s.name, RIDGE, s.blocks, settings_of(RIDGE, plan, s.missing)
        )
        for s in SHORTCUT_SETS.values()
        if plan.shortcuts
    ]


def _controls(plan: Plan, cohort: Cohort, first: CandidateResult) -> list[CandidateResult]:
    """Kaplan-Meier, permuted outcomes and a random direction of the photo."""
    photo = PHOTO in cohort.blocks
    blocks = (PHOTO,) if photo else (CLINICAL,) if CLINICAL in cohort.blocks else first.blocks
    missing = "refuse" if photo else "indicator"
    model = _default(blocks, cohort)
    controls = [
        CandidateResult(NULL, "Kaplan-Meier, no covariates", CONTROL, "", NULL, blocks, {"missing": missing}),
    ]
    if plan.shuffles:
        inner: dict[str, Any] = {"model": model, "settings": settings_of(model, plan, missing)}
        used = "photo" if _is_wide(cohort.blocks[blocks[0]]) else "clinical"
        label = f"Permuted outcomes, {used} (mean of {plan.shuffles})"
        permuted = (*blocks, *MEASURED) if model == READOUTS else blocks
        controls.append(CandidateResult(SHUFFLED, label, CONTROL, "", SHUFFLED, permuted, inner))
    if plan.random_direction and photo:
        settings = {"missing": missing, "seed": plan.seed}
        controls.append(CandidateResult(RANDOM, "Random direction of W+", CONTROL, "", RANDOM, (PHOTO,), settings))
    return controls
