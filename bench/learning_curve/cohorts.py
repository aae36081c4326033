"""Simulated cohorts drawn from people with codes, and what a model of the codes recovers in each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from study.comparison.features import MEASURED, PHOTO, gather
from study.comparison.plan import READOUTS, Plan
from study.disk.store import Study
from study.errors import StudyError
from study.simulation.simulate import read_factors
from survival.comparison.crossval import Candidate, cross_validate, draw_folds
from survival.features.encoding import Features, take_rows
from survival.metrics.calibration import calibration_slope
from survival.metrics.concordance import harrell_c
from survival.outcome import check_outcome
from survival.simulate import simulate_cohort

FOLDS, WITHIN = 5, 1.96
MEASURES = ("c", "share", "slope", "events")


def people(arguments: argparse.Namespace, models: Sequence[str]) -> tuple[Features, pd.DataFrame]:
    """Blocks of features, n rows, and the factor table of the same people. Raises StudyError."""
    if arguments.study:
        study = Study.open(arguments.study)
        if study.truth is None or "face_log_hazard" not in study.truth:
            raise StudyError(f"{study.name} has no truth table, so the hazard of its faces is unknown.")
        cohort = gather(study, Plan((PHOTO,), tuple(models)))
        return cohort.blocks, study.truth.set_index("patient_id").loc[cohort.patients["patient_id"]].reset_index()
    if not (arguments.latents and arguments.factors):
        raise StudyError("Give --study, or --latents and --factors.")
    try:
        blocks: Features = {PHOTO: np.load(arguments.latents, allow_pickle=False).astype(np.float32)}
        if arguments.measured:
            with np.load(arguments.measured, allow_pickle=False) as stored:
                blocks |= {name: stored[name] for name in MEASURED}
    except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
        raise StudyError(f"The codes (.npy) or measurements (.npz) cannot be read: {error}") from error
    table = read_factors(arguments.factors)
    if any(len(block) != len(table) for block in blocks.values()):
        raise StudyError(f"{arguments.latents.name} must hold one code for each of the {len(table)} rows.")
    return blocks, table


def one_cohort(
    blocks: Features,
    table: pd.DataFrame,
    patients: int,
    models: Sequence[str],
    seed: tuple[int, int],
    workers: int = 1,
    cache: Path | None = None,
) -> dict[str, dict[str, float]]:
    """MEASURES of each model on `patients` of the people, drawn by the seed, with outcomes drawn by it."""
    rng = np.random.default_rng([*seed, patients])
    rows = np.sort(rng.permutation(len(table))[:patients])
    face = table["face_log_hazard"].to_numpy(np.float64)[rows]
    years, sex = table["age_years"].to_numpy()[rows], table["sex"].to_numpy()[rows]
    drawn, _ = simulate_cohort(face, years, sex, seed=int(rng.integers(2**31)))
    time, event = drawn["time_months"].to_numpy(np.float64), drawn["event"].to_numpy(bool)
    fold = draw_folds(check_outcome(time, event), FOLDS, 1, seed[0])
    used = {name: (PHOTO, *MEASURED) if name == READOUTS else (PHOTO,) for name in models}
    candidates = [Candidate(name, name, of_model) for name, of_model in used.items()]
    at = np.array([float(np.median(time[event]))])
    scored = cross_validate(candidates, take_rows(blocks, rows), time, event, at, fold, workers=workers, cache=cache)
    if scored.failed:
        raise StudyError(f"With {patients} patients: {next(iter(scored.failed.values()))}")
    top, out = harrell_c(time, event, face), {}
    for name, scores in scored.scores.items():
        risk = scores.log_risk[0]
        c, slope = harrell_c(time, event, risk), calibration_slope(time, event, risk).value
        out[name] = dict(zip(MEASURES, (c, (c - 0.5) / (top - 0.5), slope, float(event.sum())), strict=True))
    return out


def row_of(patients: int, cohorts: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Means over cohorts, limits of 95 % of single ones, standard error of the mean share."""
    values = {name: np.array([cohort[name] for cohort in cohorts]) for name in MEASURES}
    row: dict[str, Any] = {"patients": patients, "events": round(float(values["events"].mean()))}
    for name in ("c", "share"):
        mean, sd = float(values[name].mean()), float(values[name].std(ddof=1))
        row |= {name: mean, f"{name} low": mean - WITHIN * sd, f"{name} high": mean + WITHIN * sd}
    se = float(values["share"].std(ddof=1)) / np.sqrt(len(cohorts))
    return row | {"share se": se, "slope": float(np.median(values["slope"]))}
