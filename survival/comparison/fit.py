"""From a cross-validated candidate to a model in use: fitted to all patients, with the estimates from its folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from survival.comparison.crossval import Candidate, CrossValidation, cross_validate, draw_folds_and_times
from survival.comparison.evaluate import HARRELL, UNO, concordances
from survival.errors import Cancelled, SurvivalError
from survival.features.encoding import Features, as_features
from survival.metrics.bootstrap import mean_of, sample_weights
from survival.metrics.calibration import calibration_slope
from survival.metrics.estimate import unknown
from survival.models.fitted import FittedModel
from survival.models.registry import make_model
from survival.outcome import check_outcome
from survival.uncertainty.bootstrap import REFITS, bootstrap_refits
from survival.uncertainty.photo import Repeats, photo_spread


def fit_model(
    model: str,
    X: Any,
    time: Any,
    event: Any,
    *,
    entry: Any = None,
    settings: dict[str, Any] | None = None,
    folds: int = 5,
    repeats: int = 3,
    seed: int = 0,
    samples: int = 1000,
    refits: int = REFITS,
    on_progress: Callable[[int, int, float | None], None] | None = None,
    cancelled: Cancelled = None,
) -> FittedModel:
    """Cross-validate one model of the registry and fit it to all n patients.

    X : an array (n, ...), a table, or named blocks. time, event : (n,). entry : (n,) delayed entry, None: all at 0.
    settings : of the model. folds, repeats, seed : of the cross-validation. samples : of the bootstrap of the measures.
    refits : kept with the model, 0: none. on_progress : of the cross-validation.
    Raises SurvivalError where the data do not support it; FitCancelled.
    """
    features, outcome = as_features(X), check_outcome(time, event)
    fold, at = draw_folds_and_times(outcome, folds, repeats, seed)
    candidate = Candidate(model, model, tuple(features), settings or {})
    scored = cross_validate(
        [candidate], features, time, event, at, fold, entry=entry, on_progress=on_progress, cancelled=cancelled
    )
    names = [str(i + 1) for i in range(len(outcome))]
    return fit_to_all(
        candidate, features, scored, names, samples=samples, seed=seed, refits=refits, cancelled=cancelled
    )


def fit_to_all(
    candidate: Candidate,
    features: Features,
    scored: CrossValidation,
    patients: Sequence[str],
    *,
    label: str = "",
    samples: int = 1000,
    seed: int = 0,
    refits: int = REFITS,
    same_person: Repeats | None = None,
    cache: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    cancelled: Cancelled = None,
) -> FittedModel:
    """A candidate of a comparison fitted to all its patients; the estimates are those of the comparison.

    patients : (m,) ids. label : for people; "": the candidate's name. samples, seed : of the bootstrap, as they were in
    the comparison. refits : to bootstrap samples, kept with the model; on_progress : called with refits done and in
    all. same_person : photos, or views of photos, for the spread of one person's scores. cache : of the comparison's
    jobs. C is the mean over the repeats; scores of patients, quartiles, calibration slope and the cosine of the folds'
    gradients are of the first repeat.
    Raises SurvivalError for a candidate that failed or a model that cannot be saved; FitCancelled.
    """
    if candidate.name not in scored.scores:
        raise SurvivalError(scored.failed.get(candidate.name, f"There is no candidate called {candidate.name!r}."))
    scores, blocks = scored.scores[candidate.name], {name: features[name] for name in candidate.blocks}
    model = make_model(candidate.model, **candidate.settings)
    model.fit(blocks, scored.time, scored.event, None, cancelled, scored.entry)
    kept = bootstrap_refits(
        model,
        blocks,
        scored.time,
        scored.event,
        scores.log_risk[0],
        scored.entry,
        refits=refits,
        seed=seed,
        on_progress=on_progress,
        cancelled=cancelled,
    )
    hazard = model.hazard()
    weight, tau = sample_weights(len(scored.time), samples, seed), float(scored.times[-1])
    repeats = [concordances(scored, risk, tau, weight) for risk in scores.log_risk]
    c = {measure: mean_of([repeat[measure] for repeat in repeats]).estimate() for measure in repeats[0]}
    columns = {
        "patient": [str(name) for name in patients],
        "time": scored.time,
        "event": scored.event,
        "log_hr": scores.log_risk[0],
        "fold": scored.fold[0],
        "quartile": scores.quartile[0],
    }
    slope = calibration_slope(scored.time, scored.event, scores.log_risk[0], scored.entry)
    return FittedModel(
        hazard,
        label or candidate.name,
        pd.DataFrame(columns if scored.entry is None else {**columns, "entry": scored.entry}),
        {"oof_c_": c[HARRELL], "oof_uno_": c.get(UNO, unknown(len(scored.time))), "calibration_slope_": slope},
        tau,
        _fold_cosine(candidate, blocks, scored, cache, cancelled),
        model.path_,
        tuple(model.notes_),
        kept,
        None if kept is None or same_person is None else photo_spread(same_person, hazard.encoding, kept),
    )


def _fold_cosine(
    candidate: Candidate, blocks: Features, scored: CrossValidation, cache: Path | None, cancelled: Cancelled
) -> float:
    """Of the first repeat. Scores read from disk come without it: then from the comparison's finished jobs, or, where
    these are gone, from the same folds again."""
    cosine = scored.scores[candidate.name].fold_cosine
    if np.isfinite(cosine):
        return cosine
    outcome = (scored.time, scored.event, scored.times, scored.fold[:1])
    again = cross_validate([candidate], blocks, *outcome, entry=scored.entry, cache=cache, cancelled=cancelled)
    return again.scores[candidate.name].fold_cosine if candidate.name in again.scores else float("nan")
