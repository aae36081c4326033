"""`python -m study cox`: an unpenalised Cox regression on a study's clinical columns, with its tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from common.command import path_argument
from common.text import count
from study.description.delayed_entry import late_notes
from study.disk.store import Study
from study.errors import StudyError
from study.tables.covariates import clinical_table, compared_with, design
from survival.cox_regression.proportional import GLOBAL, proportional_hazards_test
from survival.cox_regression.regression import TIES, CoxFit, cox_regression
from survival.curves import Curve, kaplan_meier
from survival.errors import SurvivalError
from survival.metrics.concordance import harrell_c

NOT_OUT_OF_FOLD = (
    "C is computed on the patients that the model was fitted to, so it is too high; `study compare` "
    "gives it out of fold."
)


@dataclass(frozen=True, eq=False)
class ClinicalModel:
    """A fitted regression, the rows it rests on, tests of proportional hazards, Harrell's C on these rows (nan: no pair
    of patients can be compared) and their Kaplan-Meier curve. left_out: patients without all covariates. warnings:
    sentences on what the data do not support."""

    fit: CoxFit
    rows: pd.DataFrame
    proportional: pd.DataFrame
    concordance: float
    curve: Curve
    left_out: int
    warnings: tuple[str, ...] = ()


def clinical_cox(
    study: Study, names: Sequence[str] | None = None, strata: str | None = None, ties: str = "efron"
) -> tuple[CoxFit, pd.DataFrame]:
    """Unpenalised Cox regression on clinical covariates of the patients who are not excluded and have all of them.

    names: which covariates; None: all that vary. strata: one whose levels get separate baselines, not coefficients.
    Entry times are used where the study has them. Returns the fit and the rows of the table that it is based on.
    Raises StudyError, or SurvivalError where the data do not support it.
    """
    if strata is not None:
        clinical_table(study.included, study.settings, [strata])  # refuses an unknown one
    clinical = clinical_table(study.included, study.settings, names).drop(columns=strata or [], errors="ignore")
    if clinical.shape[1] == 0:
        none = f"{study.name} has no clinical covariate that varies: declare some in study.toml, [covariates]."
        raise StudyError(none)
    whole = clinical.notna().all(axis=1).to_numpy()
    if strata is not None:
        whole &= (study.included[strata].astype(str) != "").to_numpy()
    rows = study.included[whole].reset_index(drop=True)
    if rows.empty:
        raise StudyError(f"No patient of {study.name} has all of {', '.join(map(str, clinical))}.")
    x, labels = design(clinical[whole])
    entry = study.entry_of(rows)
    group = rows[strata].to_numpy() if strata is not None else None
    fit = cox_regression(x, rows["time"], rows["event"], names=labels, ties=ties, strata=group, entry=entry)
    return fit, rows


def clinical_model(
    study: Study, names: list[str] | None = None, strata: str | None = None, ties: str = "efron"
) -> ClinicalModel:
    """Fits and tests. Raises StudyError with one sentence where the data do not support it."""
    try:
        fit, rows = clinical_cox(study, names, strata, ties)
    except SurvivalError as error:
        raise StudyError(f"{study.name}: {error}") from error
    entry = study.entry_of(rows)
    curve = kaplan_meier(rows["time"], rows["event"], entry)
    warnings = late_notes(study, rows)[1:]
    try:
        c = harrell_c(rows["time"], rows["event"], fit.linear_predictor(), entry)
    except SurvivalError as error:
        c = float("nan")
        warnings.append(f"C cannot be computed: {error}")
    try:
        tested = proportional_hazards_test(fit)
    except SurvivalError as error:
        tested = pd.DataFrame(columns=["name", "chisq", "df", "p"])
        warnings.append(str(error))
    left_out = len(study.included) - len(rows)
    return ClinicalModel(fit, rows, tested, c, curve, left_out, tuple(warnings))


def model_text(study: Study, model: ClinicalModel) -> str:
    """The model as tables for a terminal."""
    fit, unit = model.fit, study.time_unit
    size = f"{count(fit.n, 'patient')}, {count(fit.events, 'event')}"
    lines = [f"Cox regression of {study.name}: {size}, {fit.ties} ties."]
    if model.left_out:
        lines.append(f"{count(model.left_out, 'patient')} left out: a covariate is missing.")
    if fit.delayed_entry:
        lines.append("Entry times are taken into account (delayed entry).")
    median = model.curve.median()
    value, low, high = ("not reached" if v != v else f"{v:g}" for v in (median.value, median.low, median.high))
    lines.append(f"Median survival in {unit}: {value} (95 % CI {low} to {high}).")
    if sentence := study.competing_note:
        lines.append(sentence)
    lines += ["", f"  {'covariate':<34}{'HR':>8}   {'95 % CI':<19}{'z':>7}{'p':>10}{'p of PH':>10}"]
    changing = dict(zip(model.proportional["name"], model.proportional["p"], strict=True))
    for row in fit.table().to_dict("records"):
        interval = f"{row['low']:.3f} to {row['high']:.3f}"
        lines.append(
            f"  {str(row['name'])[:33]:<34}{row['hr']:>8.3f}   {interval:<19}{row['z']:>7.2f}{_p(row['p']):>10}"
            f"{_p(changing.get(row['name'])):>10}"
        )
    if sentence := compared_with(fit.names, clinical_table(model.rows, study.settings)):
        lines.append(f"  {sentence}")
    lines.append("")
    for test in fit.tests().to_dict("records"):
        lines.append(f"  {test['test']:<20}chi-square {test['chisq']:8.2f} on {test['df']} df, p {_p(test['p'], '= ')}")
    if GLOBAL in changing:
        lines.append(f"  proportional hazards, all together: p {_p(changing[GLOBAL], '= ')}")
    likelihood = f"  log-likelihood {fit.log_likelihood:.4f} (null {fit.null:.4f})"
    if math.isnan(model.concordance):
        return "\n".join([*lines, likelihood, *model.warnings])
    lines.append(f"{likelihood}; Harrell C {model.concordance:.3f}")
    return "\n".join([*lines, *model.warnings, NOT_OUT_OF_FOLD])


def _p(value: float | None, equals: str = "") -> str:
    if value is None:
        return "-"
    return f"{equals}{value:.2g}" if value >= 1e-16 else f"{'< ' if equals else '<'}1e-16"


def add_arguments(parser: Any) -> None:
    parser.add_argument("study", type=path_argument)
    parser.add_argument("--covariates", nargs="+", metavar="NAME", help="which (default: all that vary)")
    parser.add_argument("--strata", metavar="NAME", help="a covariate whose levels get separate baseline hazards")
    parser.add_argument("--ties", choices=TIES, default="efron")


def run(args: Any) -> int:
    study = Study.open(args.study)
    print(model_text(study, clinical_model(study, args.covariates, args.strata, args.ties)))
    return 0
