"""`python -m bench learning_curve`: how well a model of codes recovers a known hazard, by the number of patients.

Simulated patients whose faces have codes: each cohort is a random part of them with outcomes drawn again (the recipe of
`study simulate`), cross-validated in five folds as `study fit` does. C and the recovered share, (C - 0.5) / (C of the
true face hazard - 0.5), are out of fold: the mean over the cohorts, the limits between which 95 % of single cohorts lie
(mean -+ 1.96 standard deviations), and the standard error of the mean. Slope: Cox slope of the outcome on the scores.

Options: `--study demo` or `--latents FILE.npy --factors FILE.csv` (rows in one order); `--sizes 150,300,600 --cohorts
10 --models cox-ridge --seed 0 --workers 1 --cache FOLDER`. Large cohorts of few people are nearly the same people.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.parts.common import print_table
from common.command import Parser, file_argument, folder_argument
from common.console import ProgressLine
from study.disk.store import Study
from study.errors import StudyError
from study.simulation.simulate import read_factors
from survival.comparison.crossval import Candidate, cross_validate, draw_folds
from survival.metrics.calibration import calibration_slope
from survival.metrics.concordance import harrell_c
from survival.outcome import check_outcome
from survival.simulate import simulate_cohort

FOLDS, WITHIN = 5, 1.96
MEASURES = ("c", "share", "slope", "events")


def people(arguments: argparse.Namespace) -> tuple[NDArray[np.float32], pd.DataFrame]:
    """Codes (n, num_ws, w_dim) and the factor table of the same people. Raises StudyError."""
    if arguments.study:
        study = Study.open(arguments.study)
        codes, table = study.analysed()
        if study.truth is None or "face_log_hazard" not in study.truth:
            raise StudyError(f"{study.name} has no truth table, so the hazard of its faces is unknown.")
        return codes, study.truth.set_index("patient_id").loc[table["patient_id"]].reset_index()
    if not (arguments.latents and arguments.factors):
        raise StudyError("Give --study, or --latents and --factors.")
    try:
        codes = np.load(arguments.latents, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise StudyError(f"{arguments.latents.name} cannot be read as codes (.npy): {error}") from error
    table = read_factors(arguments.factors)
    if codes.ndim != 3 or len(codes) != len(table):
        raise StudyError(f"{arguments.latents.name} must hold one code for each of the {len(table)} rows.")
    return codes.astype(np.float32), table


def one_cohort(
    codes: NDArray[np.float32],
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
    candidates = [Candidate(name, name, ("photo",)) for name in models]
    at = np.array([float(np.median(time[event]))])
    blocks = {"photo": codes[rows]}
    scored = cross_validate(candidates, blocks, time, event, at, fold, workers=workers, cache=cache)
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


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m bench learning_curve", description=__doc__.partition("\n")[0])
    parser.add_argument("--study")
    parser.add_argument("--latents", type=file_argument)
    parser.add_argument("--factors", type=file_argument)
    parser.add_argument("--sizes", default="150,300,600")
    parser.add_argument("--cohorts", type=int, default=10)
    parser.add_argument("--models", default="cox-ridge")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--cache", type=folder_argument)
    return parser.parse_args(list(arguments))


def run(arguments: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the record: rows of the first model, and those of all."""
    asked = parse(arguments)
    codes, table = people(asked)
    sizes = [int(word) for word in asked.sizes.split(",") if word.strip().isdigit()]
    models = [word.strip() for word in asked.models.split(",") if word.strip()]
    if not sizes or max(sizes) > len(table) or asked.cohorts < 2:
        raise StudyError(f"Give sizes up to {len(table)}, the number of people, and at least 2 cohorts.")
    progress = ProgressLine("cohorts", len(sizes) * asked.cohorts)
    found: dict[str, dict[int, list[dict[str, float]]]] = {name: {n: [] for n in sizes} for name in models}
    for i, (n, r) in enumerate((n, r) for n in sizes for r in range(asked.cohorts)):
        for name, values in one_cohort(codes, table, n, models, (asked.seed, r), asked.workers, asked.cache).items():
            found[name][n].append(values)
        progress(i + 1)
    tables = {name: [row_of(n, cohorts) for n, cohorts in by_size.items()] for name, by_size in found.items()}
    for name, rows in tables.items():
        print_table(rows, name)
    others = {f"with {name}": rows for name, rows in list(tables.items())[1:]}
    return {"people": len(table), "cohorts": asked.cohorts, "folds": FOLDS, "rows": tables[models[0]], **others}
