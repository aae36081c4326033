"""From a plan to candidates: each model on each feature set that it can take, and the controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from study.comparison.features import AGE_SEX, CLINICAL, PHOTO, STRATA, Cohort, chosen_sets
from study.comparison.measuring.shortcuts import SHORTCUT_SETS
from study.comparison.plan import FEATURE_SETS, IMAGE, NETWORK, PENALISED, USUAL, Plan
from study.comparison.record import CONTROL, MODEL, Judged
from study.disk.store import Study
from study.errors import StudyError
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
    "forest": "random forest",
    "boosting": "gradient boosting",
    "svm": "survival SVM",
    "cnn": "image network",
}


def choosable_models() -> tuple[str, ...]:
    """Names of the registry that a plan can ask for: controls and fusion come by other ways."""
    return tuple(name for name in MODELS if name not in (*CONTROLS, LATE))


def candidates_of(study: Study, plan: Plan, cohort: Cohort) -> tuple[tuple[Judged, ...], tuple[str, ...]]:
    """(candidates, notes): models first, in the order of feature sets, then controls.

    Raises StudyError for a model that cannot be asked for, or where no model fits any feature set.
    """
    for model in plan.models:
        if model != USUAL and model not in choosable_models():
            raise StudyError(f"There is no model called {model!r}: choose of {USUAL}, {', '.join(choosable_models())}.")
    found: dict[str, Judged] = {}
    notes = []
    sets = chosen_sets(study, plan)
    for name in sets:
        for asked in asked_of(name, plan, sets):
            judged = _candidate(FEATURE_SETS[name], asked, plan, cohort)
            if judged is None:
                notes.append(f"{FEATURE_SETS[name].label}: plain Cox regression cannot take a photo and was left out.")
            else:
                found.setdefault(judged.name, judged)
    if not found:
        raise StudyError("None of these models can take any of these feature sets: add ridge Cox.")
    if plan.site == "strata" and not any(c.settings.get("strata") for c in found.values()):
        raise StudyError("Only Cox models can have a baseline a site: choose one, or site pooled.")
    controls = [*_shortcuts(plan), *_controls(plan, cohort, next(iter(found.values())))]
    return (*found.values(), *controls), tuple(notes)


def asked_of(features: str, plan: Plan, sets: Sequence[str]) -> tuple[str, ...]:
    """Models that a plan tries on a feature set, of the sets that it looks at.

    Where the usual models of clinical columns stand beside those of photo and columns, ridge Cox is among the former:
    an unpenalised model that overfits its columns is an easy rival (study.comparison.added_value).
    """
    asked = tuple(m for m in plan.models if takes(features, m, plan))
    joint = any(PHOTO in FEATURE_SETS[s].blocks and CLINICAL in FEATURE_SETS[s].blocks for s in sets)
    rival = (RIDGE,) if features == CLINICAL and joint and USUAL in asked and RIDGE not in asked else ()
    return asked + rival


def takes(features: str, model: str, plan: Plan) -> bool:
    """Whether a plan tries a model on a feature set: the network sees photos and nothing else, and where it alone
    brought them along, nobody else sees them."""
    if model == NETWORK:
        return features == IMAGE
    return features != IMAGE or IMAGE in plan.features


def _candidate(features: FeatureSet, asked: str, plan: Plan, cohort: Cohort) -> Judged | None:
    """None where the model cannot take the features."""
    features = replace(features, label=_label(features, cohort))
    wide = [block for block in features.blocks if _is_wide(cohort.blocks[block])]
    model = (RIDGE if wide else PLAIN) if asked == USUAL else asked
    if model == PLAIN and wide:
        return None
    if features.fusion == "late" and len(features.blocks) > 1:
        members = {block: _member(block, block in wide, model, features, plan) for block in features.blocks}
        settings: dict[str, Any] = {"members": members, "folds": plan.folds, "seed": plan.seed}
        label = f"{features.label}, {_short(model)}"
        return Judged(f"{features.name} / {model}", label, MODEL, features.name, LATE, features.blocks, settings)
    settings, blocks, label = settings_of(model, plan, features.missing), features.blocks, features.label
    label = f"{label}, {_short(model)}"
    if plan.site == "strata" and model in (PLAIN, *PENALISED) and (looked_at := _with_site(cohort, blocks)):
        settings["strata"], label, blocks = "site", f"{label}, stratified by site", looked_at
    return Judged(f"{features.name} / {model}", label, MODEL, features.name, model, blocks, settings)


def _label(features: FeatureSet, cohort: Cohort) -> str:
    """What the set is called; of age and sex only what there is."""
    table = cohort.blocks.get(AGE_SEX)
    if features.name == AGE_SEX and isinstance(table, pd.DataFrame) and table.shape[1] == 1:
        return str(table.columns[0]).capitalize()
    return features.label


def _member(block: str, wide: bool, model: str, features: FeatureSet, plan: Plan) -> dict[str, Any]:
    """A member of a late fusion: few clinical columns need no penalty."""
    own = PLAIN if model in PENALISED and not wide else model
    return {"blocks": block, "model": own, "settings": settings_of(own, plan, features.missing)}


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
    own = [table for table in tables if isinstance(table, pd.DataFrame) and "site" in table]
    if not own:
        return (*blocks, STRATA)
    return blocks if len(blocks) > 1 or own[0].shape[1] > 1 else ()


def _short(model: str) -> str:
    """The registry's label as the end of a sentence."""
    return SHORT.get(model) or model_entry(model).label


def _shortcuts(plan: Plan) -> list[Judged]:
    """Ridge Cox on parts of the photo that should not tell it all."""
    return [
        Judged(
            s.name, f"{s.label}, {_short(RIDGE)}", CONTROL, s.name, RIDGE, s.blocks, settings_of(RIDGE, plan, s.missing)
        )
        for s in SHORTCUT_SETS.values()
        if plan.shortcuts
    ]


def _controls(plan: Plan, cohort: Cohort, first: Judged) -> list[Judged]:
    """Kaplan-Meier, the shuffled outcome and a random direction of the photo."""
    photo = PHOTO in cohort.blocks
    blocks = (PHOTO,) if photo else (CLINICAL,) if CLINICAL in cohort.blocks else first.blocks
    missing = "refuse" if photo else "indicator"
    model = RIDGE if _is_wide(cohort.blocks[blocks[0]]) else PLAIN
    found = [
        Judged(NULL, "Kaplan-Meier, no covariates", CONTROL, "", NULL, blocks, {"missing": missing}),
    ]
    if plan.shuffles:
        own: dict[str, Any] = {"model": model, "settings": settings_of(model, plan, missing)}
        looked_at = "photo" if _is_wide(cohort.blocks[blocks[0]]) else "clinical"
        label = f"Shuffled outcome, {looked_at} (mean of {plan.shuffles})"
        found.append(Judged(SHUFFLED, label, CONTROL, "", SHUFFLED, blocks, own))
    if plan.random_direction and photo:
        settings = {"missing": missing, "seed": plan.seed}
        found.append(Judged(RANDOM, "Random direction of W+", CONTROL, "", RANDOM, (PHOTO,), settings))
    return found
