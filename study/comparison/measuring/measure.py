"""From out-of-fold scores to the tables of a comparison: every measure, in pairs, over time, by threshold.

Nothing here fits a candidate again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pandas as pd

from study.comparison.candidates import NULL, SHUFFLED
from study.comparison.features import of_codes_alone, only_of_photos
from study.comparison.plan import Plan
from study.comparison.record import CandidateResult
from study.comparison.tables import table_of
from study.disk.store import Study
from study.errors import StudyError
from survival.comparison.crossval import CrossValidation
from survival.comparison.evaluate import HARRELL, IBS, SCALED_IBS, UNO, Evaluation, added_value
from survival.comparison.over_time import auc_over_time, brier_over_time, decision_over_thresholds
from survival.curves import QUARTILE_NAMES
from survival.errors import SurvivalError
from survival.horizons import FROM_START, Horizons, carried_horizons
from survival.metrics.bootstrap import Resampled, mean_of, sample_weights
from survival.metrics.calibration import COX_SLOPE
from survival.metrics.concordance import harrell_resampled, recovered_share
from survival.metrics.hazard_ratios import PER_SD, hazard_ratios

NOT_EVERY_SITE = "not every site with a separate baseline hazard is followed that long"
CURVE_SAMPLES = 200
THRESHOLDS = 40
TRUTHS = {"face_log_hazard": "C of the true face hazard", "log_hazard": "C of the true hazard"}
SHARE = "share recovered"


def usable_horizons(
    horizons: Sequence[float], time: np.ndarray, event: np.ndarray, fold: np.ndarray, delayed_entry: bool = False
) -> Horizons:
    """Those that follow-up supports in all patients and reaches in every training part.

    delayed_entry: there is no estimate at any time then, whatever the follow-up.
    """
    if delayed_entry:
        return Horizons((), tuple((float(t), FROM_START) for t in horizons))
    return carried_horizons(horizons, time, event, fold=fold)


def horizons_of(study: Study, scored: CrossValidation) -> Horizons:
    """usable_horizons of the study, among the times that were predicted for."""
    usable = usable_horizons(study.horizons, scored.time, scored.event, scored.fold, scored.entry is not None)
    predicted = tuple(t for t in usable.carried if np.isclose(scored.times, t).any())
    unpredicted = tuple((t, NOT_EVERY_SITE) for t in usable.carried if t not in predicted)
    return Horizons(predicted, tuple(sorted((*usable.left_out, *unpredicted))))


def within_every_site(
    times: np.ndarray, site: pd.Series, time: np.ndarray, event: np.ndarray, fold: np.ndarray
) -> np.ndarray:
    """The times up to which every training part follows every site, whose baseline hazard ends there.

    Raises StudyError where there is no such time, or a training part has no event in a site.
    """
    last = np.inf
    for name in site.dropna().unique():
        in_site = (site == name).to_numpy()
        for labels in fold:
            for k in np.unique(labels):
                rows = in_site & (labels != k)
                if not event[rows].any():
                    raise StudyError(
                        f"Site {str(name)[:60]} has too few events for a separate baseline hazard: compare with "
                        "sites pooled, or exclude its patients."
                    )
                last = min(last, float(time[rows].max()))
    if (times <= last).sum() < 2:
        raise StudyError(
            f"A site is followed for {last:g} at most, too short for separate baseline hazards: compare with sites "
            "pooled."
        )
    return times[times <= last]


def estimate_tables(evaluation: Evaluation) -> dict[str, pd.DataFrame]:
    """figures (every estimate) and differences."""
    rows = [tuple(row) for row in evaluation.table().itertuples(index=False)]
    rows += [(name, COX_SLOPE, s.value, s.low, s.high, s.n) for name, s in evaluation.slopes.items()]
    paired = [HARRELL, UNO, IBS, SCALED_IBS, *(f"AUC({t:g})" for t in evaluation.horizons)]
    pairs: list[tuple[Any, ...]] = []
    # the control with permuted outcomes cannot be paired
    for name, other in combinations([n for n in evaluation.measures if n != SHUFFLED], 2):
        for measure in paired:
            one, two = evaluation.measures[name], evaluation.measures[other]
            if measure in one and measure in two:
                pairs.append((name, other, measure, *_limits(one[measure] - two[measure])))
    return {"figures": table_of("figures", rows), "differences": table_of("differences", pairs)}


def _limits(figure: Resampled) -> tuple[float, float, float]:
    return astuple(figure.estimate())[:3]


def added_table(scored: CrossValidation, models: Sequence[CandidateResult]) -> pd.DataFrame:
    """Likelihood-ratio test of each model's out-of-fold score, adjusted for each other's; none for copies."""
    rows = []
    for base, added in permutations([c.name for c in models if c.name in scored.scores], 2):
        try:
            test = added_value(scored, base, added)
        except SurvivalError:
            continue  # two equal scores have no joint fit
        rows.append((base, added, test.statistic, test.df, test.p))
    return table_of("added_value", rows)


def calibration_tables(evaluation: Evaluation) -> dict[str, pd.DataFrame]:
    """calibration, calibration_curves, calibration_groups."""
    figures, curves, groups = [], [], []
    for name, each in evaluation.calibrations.items():
        if name == NULL:
            continue  # one prediction for all has no curve
        for c in each:
            place = (name, c.horizon)
            figures.append((*place, "mean predicted", c.mean_predicted, float("nan"), float("nan")))
            figures += [(*place, measure, e.value, e.low, e.high) for measure, e in c.estimates().items()]
            groups += [(*place, *row) for row in c.groups.itertuples(index=False)]
            if c.curve is not None:
                curves += [(*place, *row) for row in c.curve.itertuples(index=False)]
    return {
        "calibration": table_of("calibration", figures),
        "calibration_curves": table_of("calibration_curves", curves),
        "calibration_groups": table_of("calibration_groups", groups),
    }


def curve_tables(
    scored: CrossValidation,
    evaluation: Evaluation,
    horizons: tuple[float, ...],
    models: Sequence[CandidateResult],
    plan: Plan,
) -> dict[str, Any]:
    """over_time (every candidate with scores) and decision (models). Bands are of fewer bootstrap samples; where a
    horizon has an estimate already, the curve passes through that one."""
    if scored.entry is not None:
        return {name: table_of(name) for name in ("over_time", "decision")}
    samples = min(plan.samples, CURVE_SAMPLES)
    at_horizons = {(r.model, r.measure): (r.value, r.low, r.high) for r in evaluation.table().itertuples(index=False)}
    rows = []
    for measure, frame in (
        ("AUC", auc_over_time(scored, samples=samples, seed=plan.seed)),
        ("Brier", brier_over_time(scored, [n for n in scored.scores if n != NULL], samples=samples, seed=plan.seed)),
    ):
        for r in frame.itertuples(index=False):
            estimate = at_horizons.get((r.model, f"{measure}({r.time:g})"), (r.value, r.low, r.high))
            rows.append((r.model, measure, r.time, *estimate))
    names = [c.name for c in models if c.name in scored.scores]
    decisions: list[tuple[Any, ...]] = []
    for horizon in horizons if names else ():
        at = thresholds_of(scored, names, horizon)
        frame = decision_over_thresholds(scored, horizon, names, at, samples, plan.seed)
        decisions += [
            (r.model, horizon, r.threshold, r.net_benefit, r.low, r.high) for r in frame.itertuples(index=False)
        ]
    return {"over_time": table_of("over_time", rows), "decision": table_of("decision", decisions)}


def thresholds_of(scored: CrossValidation, names: Sequence[str], horizon: float) -> np.ndarray:
    """Thresholds between the 2nd and 98th percentile of the risks that the models predict by the horizon."""
    place = int(np.argmin(np.abs(scored.times - horizon)))
    risk = np.concatenate([1 - scored.scores[name].survival[0, :, place] for name in names])
    low, high = np.percentile(risk, (2, 98))
    return np.linspace(max(0.01, float(low)), min(0.99, max(float(high), float(low) + 0.01)), THRESHOLDS)


def hazard_table(scored: CrossValidation, models: Sequence[CandidateResult], clinical: pd.DataFrame) -> pd.DataFrame:
    """Hazard ratios of each score, alone and, where the model used no clinical column, adjusted for age and sex, and
    for all clinical columns."""
    rows: list[tuple[Any, ...]] = []
    person = [name for name in ("age", "sex") if name in clinical]
    for candidate in models:
        if candidate.name not in scored.scores:
            continue
        scores = scored.scores[candidate.name]
        adjustments: list[list[str]] = [[]]
        if only_of_photos(candidate.blocks):
            adjustments += [
                names for names in (person, [str(c) for c in clinical.columns]) if names and names not in adjustments
            ]
        for names in adjustments:
            try:
                ratios, _ = hazard_ratios(
                    scores.log_risk[0],
                    scores.quartile[0],
                    scored.time,
                    scored.event,
                    clinical[names] if names else None,
                    scored.entry,
                )
            except SurvivalError:
                continue
            # with covariates the table also repeats the score alone, under another heading
            part = ratios[ratios["group"] != "Alone"] if names else ratios
            rows += [
                (candidate.name, ", ".join(names), label, *ratio, *_counts(scores, str(label), scored))
                for label, *ratio in part[["label", "hr", "low", "high", "p"]].itertuples(index=False)
            ]
    return table_of("hazards", rows)


def _counts(scores: Any, label: str, scored: CrossValidation) -> tuple[int, int]:
    if label == PER_SD:
        return len(scored.time), int(scored.event.sum())
    rows = scores.quartile[0] == QUARTILE_NAMES.index(label)
    return int(rows.sum()), int(scored.event[rows].sum())


def truth_table(
    study: Study, scored: CrossValidation, models: Sequence[CandidateResult], patients: pd.DataFrame, plan: Plan
) -> pd.DataFrame:
    """C of a perfect model, and the share of it that photo models recover; only of simulated studies."""
    if study.truth is None:
        return table_of("truth")
    truth = study.truth.set_index("patient_id").loc[patients["patient_id"]]
    weight = sample_weights(len(patients), plan.samples, plan.seed)
    rows: list[tuple[Any, ...]] = []
    ceiling: Resampled | None = None

    def harrell(risk: np.ndarray) -> Resampled:
        return harrell_resampled(scored.time, scored.event, risk, weight, scored.entry)

    for column, measure in TRUTHS.items():
        if column in truth:
            c = harrell(truth[column].to_numpy(np.float64))
            ceiling = c if column == "face_log_hazard" else ceiling
            rows.append(("", measure, *_limits(c)))
    for candidate in models:
        if ceiling is None or candidate.name not in scored.scores:
            continue
        if not of_codes_alone(candidate.model, candidate.blocks):
            continue
        c = mean_of([harrell(risk) for risk in scored.scores[candidate.name].log_risk])
        rows.append((candidate.name, SHARE, *_limits(recovered_share(c, ceiling))))
    return table_of("truth", rows)


def face_hazard(study: Study, patients: pd.Series) -> np.ndarray | None:
    """(m,) true log-hazard of the patients' faces, None for a study that is not simulated. Raises StudyError where
    truth.csv lacks it."""
    if study.truth is None:
        return None
    if "face_log_hazard" not in study.truth:
        raise StudyError("truth.csv has no column face_log_hazard.", ("simulate", study.name))
    return study.truth.set_index("patient_id").loc[patients, "face_log_hazard"].to_numpy(np.float64)
