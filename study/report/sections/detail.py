"""Some models in detail: risk quartiles, hazard ratios, calibration, proportional hazards, penalty path."""

from __future__ import annotations

import numpy as np
import pandas as pd

from common.html import Html
from common.text import number, p_value, sentence_case
from study.comparison.measuring.curves import predicted_risk
from study.comparison.record import CandidateResult, Comparison
from study.description.round_times import round_times
from study.report.facts import Facts
from study.report.page import figure, note, paragraph, section, subsection, table
from study.report.sections.cohort import OUTCOME, since
from study.report.words import interval
from study.tables.covariates import compared_with
from survival.cox_regression.schoenfeld import smooth_residuals
from survival.curves import QUARTILE_NAMES, logrank, quartile_curves
from survival.errors import SurvivalError
from survival.metrics.calibration import SLOPE_NAME
from survival.metrics.estimate import Estimate
from survival.plots.intervals import forest
from survival.plots.kaplan_meier import kaplan_meier_figure
from survival.plots.path import penalty_figure
from survival.plots.probability import calibration_figure, calibration_words
from survival.plots.schoenfeld import drawn_every, schoenfeld_figure

SCORE = "score"
TRUTHS = {
    "harrell_face": "Harrell C of the true face hazard (ceiling)",
    "recovered_share": "Share of it recovered, (C − 0.5) / (ceiling − 0.5)",
}
NAMES = {SCORE: "out-of-fold score, alone", "GLOBAL": "all together"}


def detail(facts: Facts) -> Html:
    """Section with the featured models of the comparison, and the study's own model."""
    parts = []
    if (c := facts.comparison) is not None:
        parts += [subsection(judged.label, *_candidate(facts, c, judged)) for judged in c.featured]
    if facts.fitted is not None:
        parts.append(subsection(f"The study's model: {facts.model}", *_fitted(facts)))
    return section("detail", "Models in detail", *parts) if parts else Html("")


def _candidate(facts: Facts, c: Comparison, judged: CandidateResult) -> list[Html]:
    scores, path = c.scores.scores[judged.name], c.rows("paths", candidate=judged.name)
    parts = [
        _quartiles(facts, c.scores.time, c.scores.event, scores.quartile[0], c.scores.entry),
        _forest(c, judged),
        *_calibrations(c, judged),
        *_schoenfeld(c, judged),
        Html("") if path.empty else _path_figure(path, float(path.loc[path["chosen"], "alpha"].iloc[0])),
        _coefficients(c, judged),
    ]
    notes = [note(facts.without_ids(words)) for words in judged.notes]
    return [part for part in (*parts, *notes) if part]


def _quartiles(
    facts: Facts, time: np.ndarray, event: np.ndarray, quartile: np.ndarray, entry: np.ndarray | None
) -> Html:
    if (quartile < 0).any() or len(np.unique(quartile)) < 2:
        return note("The score does not divide the patients into quartiles.")
    curves = {QUARTILE_NAMES[k]: curve for k, curve in quartile_curves(time, event, quartile, entry).items()}
    drawn = kaplan_meier_figure(
        curves,
        facts.unit,
        round_times(float(time.max())),
        logrank(time, event, quartile, entry),
        outcome=OUTCOME,
        since=since(facts),
    )
    words = (
        "Kaplan-Meier curves by out-of-fold risk quartile, cut in the training folds (first repeat); medians with 95 % "
        "CI, ticks for censored patients, under the axis the numbers at risk, censored and with the event so far."
    )
    return figure(drawn, words)


def _forest(c: Comparison, judged: CandidateResult) -> Html:
    rows = c.rows("hazards", candidate=judged.name)
    if rows.empty:
        return Html("")
    heads = ["Alone" if not names else f"Adjusted for {names}" for names in rows["adjusted"]]
    frame = rows[["term", "hr", "low", "high"]].rename(columns={"term": "label"}).assign(group=heads)
    return figure(forest(frame), "Hazard ratios of the out-of-fold score: per standard deviation, and by quartile.")


def _calibrations(c: Comparison, judged: CandidateResult) -> list[Html]:
    parts = []
    for horizon in c.horizons:
        risk = predicted_risk(c, judged.name, horizon)
        groups, curve, table_ = (
            c.rows(name, candidate=judged.name, horizon=horizon)
            for name in ("calibration_groups", "calibration_curves", "calibration")
        )
        if groups.empty:
            continue
        drawn = calibration_figure(groups, None if curve.empty else curve, risk, horizon, c.time_unit)
        mean = float(table_.loc[table_["measure"] == "mean predicted", "value"].iloc[0])
        figures = {
            str(row["measure"]): Estimate(row["value"], row["low"], row["high"], len(risk))
            for row in table_.to_dict("records")
            if np.isfinite(row["low"])
        }
        parts.append(figure(drawn, calibration_words(figures, mean, horizon, c.time_unit)))
    return parts


def _schoenfeld(c: Comparison, judged: CandidateResult) -> list[Html]:
    tests, residuals = (c.rows(name, candidate=judged.name) for name in ("proportionality", "schoenfeld"))
    if tests.empty or residuals.empty:
        return []
    rows = [
        (NAMES.get(name, name), number(chisq, 2), df, p_value(p))
        for name, chisq, df, p in tests[["name", "chisq", "df", "p"]].itertuples(index=False)
    ]
    parts = [
        table(
            ("Covariate", "χ²", "df", "p"),
            rows,
            "Test of proportional hazards; a small p value is evidence against them.",
        )
    ]
    score_rows = residuals[residuals["name"] == SCORE]
    try:
        smooth = smooth_residuals(score_rows)
    except SurvivalError:
        return parts
    p = float(tests.loc[tests["name"] == SCORE, "p"].iloc[0])
    every = drawn_every(len(score_rows))
    dots = "one dot per event" if every == 1 else f"one dot per {every} events"
    words = (
        f"Scaled Schoenfeld residuals of the out-of-fold score ({dots}) with a smooth curve and its 95 % band: the "
        f"log hazard ratio over time. Dashed: the constant log hazard ratio of the fit. Test: {p_value(p, named=True)}."
    )
    return [*parts, figure(schoenfeld_figure(score_rows, smooth, SCORE, c.time_unit), words)]


def _path_figure(path: pd.DataFrame, chosen: float) -> Html:
    words = (
        "Penalty path of the fit to all patients: mean C over folds, and effective parameters. The C at the chosen "
        "penalty is not a result, because the same folds chose it; results come from the nested cross-validation."
    )
    return figure(penalty_figure(path, chosen), words)


def _coefficients(c: Comparison, judged: CandidateResult) -> Html:
    coefficients = c.rows("coefficients", candidate=judged.name)
    if coefficients.empty:
        return Html("")
    rows = [
        (
            r["name"],
            number(r["coef"]),
            f"{number(r['hr'], 2)} ({number(r['low'], 2)} to {number(r['high'], 2)})",
            p_value(r["p"]),
        )
        for r in coefficients.to_dict("records")
    ]
    caption = "Coefficients of the Cox regression fitted to all patients (in-sample; not a measure of performance)."
    references = compared_with(set(coefficients["name"]), c.patients[list(c.covariates)])
    return Html(
        table(("Covariate", "Coefficient", "Hazard ratio (95 % CI)", "p"), rows, caption)
        + (note(references) if references else Html(""))
    )


def _fitted(facts: Facts) -> list[Html]:
    model = facts.fitted
    assert model is not None
    rows = model.cohort_
    truth = (facts.fitted_report or {}).get("truth") or {}
    figures: list[tuple[str, str]] = [
        ("Harrell C", interval(model.oof_c_)),
        (f"Uno C (to {model.uno_tau_:.3g} {facts.unit})", interval(model.oof_uno_)),
        (sentence_case(SLOPE_NAME), interval(model.calibration_slope_, 2)),
        ("Mean cosine between the folds' directions", number(model.fold_cosine_, 2)),
    ]
    figures += [(label, interval(truth[key])) for key, label in TRUTHS.items() if key in truth]
    shown = [judged.name for judged in facts.featured]
    from_comparison = bool(facts.chosen_from[0])
    parts = [
        paragraph(
            f"{model.label}. This model scores new photos and gives the health direction. Its estimates are from "
            + ("the comparison that it was chosen from." if from_comparison else "its nested cross-validation.")
        ),
        table(("Out of fold", "Value (95 % CI)"), figures),
    ]
    if not from_comparison or facts.chosen_from[1] not in shown:
        quartile = rows["quartile"].to_numpy()
        late = rows["entry"].to_numpy() if "entry" in rows else None
        parts.append(_quartiles(facts, rows["time"].to_numpy(), rows["event"].to_numpy(bool), quartile, late))
    shown_above = from_comparison or any(judged.features == "photo" for judged in facts.featured)
    if model.path_ is not None and not shown_above:
        parts.append(_path_figure(model.path_.table, model.path_.alpha))
    return parts
