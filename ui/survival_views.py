"""The views of a comparison: risk groups, hazard ratios, calibration, curves over time, decisions, penalty, checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from study.clinical import LATE_ENTRY, compared_with
from ui import page, state
from ui import survival_files as files
from ui.figures import plot_palette, round_times
from ui.keep_figure import figure_block
from ui.text import plain_time

if TYPE_CHECKING:
    from study.comparison.record import Comparison

MOST_LINES = 6
SAYS = {
    "curves": "each line is about a quarter of the patients by predicted risk, with its 95 % band; ticks are patients "
    "who left alive or whose follow-up ended. The further apart the lines, the better the model separates. Scores "
    "and limits come from models that never saw these patients, so the groups are not quite of one size. Under "
    "the axis: who is still followed, who left, who had the event.",
    "hazards": "1 means no difference. “Per SD”: how many times as high the hazard is for a score one standard "
    "deviation higher. Quarters are compared with the lowest. The adjusted rows say what is left once the chosen "
    "covariates are known.",
    "calibration": "on the dashed diagonal, predicted and observed risks agree; above it the model promises too little "
    "risk, below it too much. Diamonds are tenths of the patients. The bars show how many patients have which "
    "predicted risk.",
    "auc": "of two patients, one with the event by time t and one without, the share of pairs in which the first had "
    "the higher risk. 0.5 is guessing.",
    "brier": "the mean squared error of predicted survival at each time, so lower is better. The grey line is what a "
    "Kaplan-Meier curve without any covariate reaches.",
    "decision": "the threshold is the risk above which one would act. A model is worth acting on where its line lies "
    "above both acting on everyone and acting on nobody. Net benefit is in true cases found per patient, after paying "
    "for needless acts at the rate that the threshold implies.",
    "penalty": "to the right the penalty is strong and few parameters are left. The dashed line is the penalty taken. "
    "The C on this curve explains the choice and is no result: the same folds chose it.",
    "schoenfeld": "if the hazard ratio is the same at all times, the line is level. A slope with a small p says that "
    "the effect grows or fades with time; the model's hazard ratio is then an average.",
}


def _choose(result: Comparison, key: str, label: str = "Model", names: list[str] | None = None) -> str:
    """One model, the best first."""
    called = files.labels(result)
    order = [c.name for c in files.best_first(result) if names is None or c.name in names]
    return str(st.selectbox(label, order, format_func=lambda n: called[n], key=key, persist_state="session", width=420))


def _horizon(result: Comparison, key: str) -> float | None:
    if result.scores.entry is not None:
        page.note(LATE_ENTRY)
        return None
    if not result.horizons:
        page.note(
            f"None of the study's times ({', '.join(plain_time(t) for t in result.horizons_left_out)} "
            f"{result.time_unit}) is carried by the follow-up, so there is nothing to show here."
        )
        return None
    chosen = st.segmented_control(
        f"At ({result.time_unit})",
        result.horizons,
        default=result.horizons[len(result.horizons) // 2],
        format_func=plain_time,
        key=key,
        required=True,
    )
    return float(chosen)


def risk_groups(result: Comparison) -> None:
    """Kaplan-Meier curves of the quarters by out-of-fold risk."""
    from survival.curves import QUARTILE_NAMES, logrank, quartile_curves
    from survival.plots import curves_frame, kaplan_meier_figure

    name = _choose(result, "survival-curves-model")
    scores = result.scores.scores[name]
    quarter = scores.quartile[0]
    known = quarter >= 0
    if len(np.unique(quarter[known])) < 2:
        page.note("This model gives everyone the same risk, so there are no groups.")
        return
    time, event = result.scores.time[known], result.scores.event[known]
    entry = None if result.scores.entry is None else result.scores.entry[known]
    curves = quartile_curves(time, event, quarter[known], entry)
    named = {QUARTILE_NAMES[k]: curve for k, curve in curves.items()}
    figure = kaplan_meier_figure(
        named,
        result.time_unit,
        round_times(float(time.max())),
        logrank(time, event, quarter[known], entry),
        outcome="Free of the event",
        colours=[plot_palette().groups[k] for k in curves],
        since="Time since photo" if "photo" in " ".join(c.features for c in result.models) else "Time",
    )
    label = result.candidate(name).label
    said = f"Survival of four groups by the risk of {label}"
    figure_block(figure, curves_frame(named), "curves", f"{result.study}-risk-groups", said, SAYS["curves"])
    page.note(
        "Medians with 95 % limits stand under the axis; “not reached” where more than half are free of the event."
    )


def hazards(result: Comparison) -> None:
    """Hazard ratios of one model's score, alone and beside chosen covariates; coefficients of plain Cox models."""
    from survival.errors import SurvivalError
    from survival.hazard_ratios import hazard_ratios
    from survival.plots import forest

    left, right = st.columns(2)
    with left:
        name = _choose(result, "survival-hazards-model")
    chosen = right.multiselect(
        "Adjusted for",
        result.covariates,
        default=[c for c in ("age", "sex") if c in result.covariates],
        key=f"survival-adjust-{result.study}",
    )
    scores, label = result.scores.scores[name], result.candidate(name).label
    adjust = result.patients[list(chosen)] if chosen else None
    try:
        table, notes = hazard_ratios(
            scores.log_risk[0],
            scores.quartile[0],
            result.scores.time,
            result.scores.event,
            adjust,
            result.scores.entry,
        )
    except SurvivalError as error:
        page.note(str(error))
        return
    figure_block(
        forest(table),
        table.assign(model=label),
        "forest",
        f"{result.study}-hazard-ratios",
        f"Hazard ratios of the score of {label}",
        SAYS["hazards"],
    )
    for sentence in notes:
        page.note(sentence)
    page.note("Unpenalised Cox regression on the out-of-fold score (first repeat), Efron ties; p and limits by Wald.")
    _coefficients(result)


def _coefficients(result: Comparison) -> None:
    from survival.plots import forest

    table = result.tables["coefficients"]
    there = [c.name for c in result.models if c.name in set(table["candidate"])]
    if not there:
        return
    st.space("small")
    st.markdown("**Coefficients of the plain Cox models**")
    name = _choose(result, "survival-coefficients-model", "Cox model", there)
    own = table[table["candidate"] == name].drop(columns="candidate").reset_index(drop=True)
    figure_block(
        forest(own.rename(columns={"name": "label"})[["label", "hr", "low", "high"]]),
        own,
        "coefficients",
        f"{result.study}-coefficients",
        "Hazard ratios of each covariate",
        "the hazard ratio of each covariate while the others stay the same: of a number for one unit more, of a level "
        "against the one without a row. Fitted to all patients: what goes along with risk here, not how well it "
        "predicts.",
    )
    if told := compared_with(set(own["name"]), result.patients[list(result.covariates)]):
        page.note(told)


def calibration(result: Comparison) -> None:
    """Predicted against observed risk at one time."""
    from survival.plots import calibration_figure, calibration_frame, calibration_words

    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        name = _choose(result, "survival-calibration-model")
    with right:
        horizon = _horizon(result, "survival-calibration-time")
    if horizon is None:
        return
    found = files.calibration(result, name, horizon)
    place = int(np.argmin(np.abs(result.scores.times - horizon)))
    risk = 1 - result.scores.scores[name].survival[0, :, place]
    figure_block(
        calibration_figure(found.groups, found.curve, risk, horizon, result.time_unit, palette=plot_palette()),
        calibration_frame(found.groups, found.curve, horizon).assign(model=result.candidate(name).label),
        "calibration",
        f"{result.study}-calibration-{plain_time(horizon)}",
        f"Observed against predicted risk by {plain_time(horizon)} {result.time_unit}",
        SAYS["calibration"],
    )
    st.markdown(calibration_words(found.figures, found.mean_predicted, horizon, result.time_unit))
    page.note("Out of fold, first repeat. Band and intervals: 95 %, bootstrap over patients.")


def over_time(result: Comparison) -> None:
    """AUC and Brier score of chosen models along time."""
    from survival.plots import auc_figure, brier_figure

    if result.scores.entry is not None:
        page.note(LATE_ENTRY)
        return
    chosen = _several(result, "survival-time-models")
    if not chosen:
        return
    called = files.labels(result)
    left, right = st.columns(2, gap="large")
    for column, measure, draw, key in (
        (left, "AUC", auc_figure, "auc"),
        (right, "Brier", brier_figure, "brier"),
    ):
        own = files.frame(result, "over_time", measure=measure)
        null = "Kaplan-Meier null" if measure == "Brier" else None
        rows = own[own["model"].isin([called[n] for n in chosen] + ([null] if null else []))].reset_index(drop=True)
        with column:
            st.markdown("**AUC(t)**" if measure == "AUC" else "**Brier score**")
            figure_block(
                draw(rows, result.time_unit, palette=plot_palette()),
                rows,
                key,
                f"{result.study}-{key}-over-time",
                f"{measure} over time",
                SAYS[key],
            )
    page.note("Out of fold, mean over the repeats, 95 % bands by bootstrap over patients.")


def _several(result: Comparison, key: str) -> list[str]:
    called = files.labels(result)
    order = [c.name for c in files.best_first(result)]
    return list(
        st.multiselect(
            "Models",
            order,
            default=_usual_three(result, order),
            format_func=lambda n: called[n],
            key=f"{key}-{result.study}-{result.name}",
            max_selections=MOST_LINES,
        )
    )


def _usual_three(result: Comparison, order: list[str]) -> list[str]:
    """The best one, a photo alone, clinical data alone."""
    wanted = [order[0]]
    for features in ("photo", "clinical"):
        wanted += [n for n in order if result.candidate(n).features == features][:1]
    return list(dict.fromkeys(wanted))


def decision(result: Comparison) -> None:
    """Net benefit of acting on each model's risk."""
    from survival.decision import TREAT_ALL, TREAT_NONE
    from survival.plots import decision_figure

    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        chosen = _several(result, "survival-decision-models")
    with right:
        horizon = _horizon(result, "survival-decision-time")
    if horizon is None or not chosen:
        return
    called = files.labels(result)
    own = files.frame(result, "decision", horizon=horizon)
    rows = own[own["model"].isin([*(called[n] for n in chosen), TREAT_ALL, TREAT_NONE])].reset_index(drop=True)
    bounds = (round(100 * float(rows["threshold"].min())), round(100 * float(rows["threshold"].max())))
    low, high = st.slider(
        "Thresholds that one would choose in practice (%)",
        *bounds,
        value=bounds,
        key=f"survival-sensible-{result.study}-{plain_time(horizon)}",
    )
    sensible = None if (low, high) == bounds else (low / 100, high / 100)
    figure_block(
        decision_figure(rows, horizon, result.time_unit, sensible, palette=plot_palette()),
        rows,
        "decision",
        f"{result.study}-decision-{plain_time(horizon)}",
        f"Net benefit by threshold at {plain_time(horizon)} {result.time_unit}",
        SAYS["decision"],
    )
    page.note(
        "Out of fold, first repeat, 95 % bands. What acting means, and which thresholds make sense, is not ours to say."
    )


def penalty(result: Comparison) -> None:
    """C and effective parameters along the penalty path of a penalised model."""
    from survival.plots import penalty_figure

    table = result.tables["paths"]
    there = [c.name for c in result.models if c.name in set(table["candidate"])]
    if not there:
        page.note("No penalised model was compared.")
        return
    name = _choose(result, "survival-penalty-model", names=there)
    own = table[table["candidate"] == name].drop(columns="candidate").reset_index(drop=True)
    chosen = own[own["chosen"]].iloc[0]
    figure_block(
        penalty_figure(own, float(chosen["alpha"]), palette=plot_palette()),
        own,
        "penalty",
        f"{result.study}-penalty-path",
        "C out of fold and effective parameters along the penalty",
        SAYS["penalty"],
    )
    page.note(
        f"Taken: penalty {chosen['alpha']:.3g} with {chosen['effective']:.0f} effective parameters for "
        f"{result.events:,} events. It is taken by cross-validated partial likelihood, which asks for risks of the "
        "right size as well as the right order, so it need not lie where C is highest. Fitted to all patients; the "
        "model's own figures are out of fold, under Models."
    )


def proportional(result: Comparison) -> None:
    """Scaled Schoenfeld residuals of a score, and of the covariates of a plain Cox model."""
    from survival.plots import schoenfeld_figure
    from survival.schoenfeld import smooth_residuals

    tests, residuals = result.tables["proportionality"], result.tables["schoenfeld"]
    name = _choose(result, "survival-schoenfeld-model")
    mine = tests[tests["candidate"] == name]
    names = [str(n) for n in mine["name"] if n != "GLOBAL"]
    if not names:
        page.note("This model could not be tested.")
        return
    covariate = str(
        st.selectbox(
            "Of",
            sorted(names, key=lambda n: n != "score"),
            format_func=lambda n: "the model's out-of-fold score" if n == "score" else n,
            key=f"survival-schoenfeld-{name}",
            width=420,
        )
    )
    own = residuals[residuals["candidate"] == name].drop(columns="candidate")
    own = own[own["name"] == covariate].reset_index(drop=True)
    try:
        smooth = smooth_residuals(own)
    except state.SENTENCES as error:
        page.note(str(error))
        return
    p = float(mine[mine["name"] == covariate]["p"].iloc[0])
    figure_block(
        schoenfeld_figure(own, smooth, covariate, result.time_unit, p, palette=plot_palette()),
        own,
        "schoenfeld",
        f"{result.study}-schoenfeld",
        "Log hazard ratio over time with its smooth",
        SAYS["schoenfeld"],
    )
    everything = mine[mine["name"] == "GLOBAL"]
    if len(everything):
        page.note(f"All covariates together: p = {float(everything['p'].iloc[0]):.3g} (Grambsch and Therneau).")


def all_tests(result: Comparison) -> pd.DataFrame:
    """Every test of proportional hazards, for download."""
    return files.frame(result, "proportionality")
