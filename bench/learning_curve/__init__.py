"""`python -m bench learning_curve`: how well a model of codes recovers a known hazard, by the number of patients.

Simulated patients whose faces have codes: each cohort is a random part of them with outcomes drawn again (the recipe of
`study simulate`), cross-validated in five folds as `study fit` does. C and the recovered share, (C - 0.5) / (C of the
true face hazard - 0.5), are out of fold: the mean over the cohorts, the limits between which 95 % of single cohorts lie
(mean -+ 1.96 standard deviations), and the standard error of the mean. Slope: Cox slope of the outcome on the scores.

Options: `--study demo` or `--latents FILE.npy --factors FILE.csv` (rows in one order), and for `cox-readouts`
`--measured FILE.npz` (colour and descriptor); `--sizes 150,300,600 --cohorts 10 --models cox-ridge --seed 0 --workers 1
--cache FOLDER`. Large cohorts of few people are nearly the same people.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from bench.learning_curve.cohorts import FOLDS, one_cohort, people, row_of
from bench.parts.common import print_table
from common.command import Parser, file_argument, folder_argument
from common.console import ProgressLine
from study.errors import StudyError


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m bench learning_curve", description=__doc__.partition("\n")[0])
    parser.add_argument("--study")
    parser.add_argument("--latents", type=file_argument)
    parser.add_argument("--factors", type=file_argument)
    parser.add_argument("--measured", type=file_argument)
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
    sizes = [int(word) for word in asked.sizes.split(",") if word.strip().isdigit()]
    models = [word.strip() for word in asked.models.split(",") if word.strip()]
    blocks, table = people(asked, models)
    if not sizes or max(sizes) > len(table) or asked.cohorts < 2:
        raise StudyError(f"Give sizes up to {len(table)}, the number of people, and at least 2 cohorts.")
    progress = ProgressLine("cohorts", len(sizes) * asked.cohorts)
    found: dict[str, dict[int, list[dict[str, float]]]] = {name: {n: [] for n in sizes} for name in models}
    for i, (n, r) in enumerate((n, r) for n in sizes for r in range(asked.cohorts)):
        for name, values in one_cohort(blocks, table, n, models, (asked.seed, r), asked.workers, asked.cache).items():
            found[name][n].append(values)
        progress(i + 1)
    tables = {name: [row_of(n, cohorts) for n, cohorts in by_size.items()] for name, by_size in found.items()}
    for name, rows in tables.items():
        print_table(rows, name)
    others = {f"with {name}": rows for name, rows in list(tables.items())[1:]}
    return {"people": len(table), "cohorts": asked.cohorts, "folds": FOLDS, "rows": tables[models[0]], **others}
