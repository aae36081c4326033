"""The views of a comparison: risk groups, calibration, curves over time, decisions."""

from __future__ import annotations

import streamlit as st

from study.comparison.measuring import curves
from study.comparison.record import Comparison
from study.description.delayed_entry import LATE_ENTRY
from study.description.round_times import round_times
from survival.metrics.decision import TREAT_ALL, TREAT_NONE
from survival.plots.kaplan_meier import curves_frame, kaplan_meier_figure
from survival.plots.probability import (
    auc_figure,
    brier_figure,
    calibration_figure,
    calibration_frame,
    calibration_words,
    decision_figure,
)
from ui.elements import blocks
from ui.elements.escaping import plain, trusted
from ui.elements.figures import drawn, plot_palette
from ui.elements.keep_figure import figure_block
from ui.elements.text import plain_time
from ui.survival import comparisons

MOST_LINES = 6
SAYS = {
    "curves": "each line is about a quarter of the patients by predicted risk, with its 95 % band; ticks are patients "
    "whose follow-up ended without the event. The further apart the lines, the better the model separates patients. "
    "Scores and limits come from models that were not fitted to these patients, so the groups differ slightly in size. "
    "Under the axis: patients still followed, censored, and with the event.",
    "calibration": "on the dashed diagonal, predicted and observed risks agree; above it the model predicts too little "
    "risk, below it too much. Diamonds are tenths of the patients. The bars show how the predicted risks are "
    "distributed.",
    "auc": "of two patients, one with the event by time t and one without, the share of pairs in which the first had "
    "the higher risk. 0.5 is guessing.",
    "brier": "the mean squared error of predicted survival at each time, so lower is better. The grey line is a "
    "single Kaplan-Meier curve for all patients.",
    "decision": "the threshold is the risk above which one would act. A model is useful where its line lies above both "
    "acting on everyone and acting on nobody. Net benefit: true cases found per patient, minus needless actions, "
    "weighted by the threshold.",
}


def choose_model(result: Comparison, key: str, label: str = "Model", names: list[str] | None = None) -> str:
    """One model, the best first."""
    called = comparisons.labels(result)
    order = [c.name for c in comparisons.best_first(result) if names is None or c.name in names]
    return str(
        st.selectbox(
            trusted(label),
            order,
            format_func=lambda n: called[n],
            key=f"{key}-{result.study}-{result.name}",  # a choice of one study does not stay in the next
            persist_state="session",
            width=420,
        )
    )


def _horizon(result: Comparison, key: str) -> float | None:
    if result.scores.entry is not None:
        blocks.note(LATE_ENTRY)
        return None
    if not result.horizons:
        blocks.note(
            "There are too few events, or the follow-up is too short, for all of the study's times "
            f"({', '.join(plain_time(t) for t in result.horizons_left_out)} {result.time_unit}), so there is nothing "
            "to show here."
        )
        return None
    chosen = st.segmented_control(
        f"At ({plain(result.time_unit)})",
        result.horizons,
        default=result.horizons[len(result.horizons) // 2],
        format_func=plain_time,
        key=key,
        required=True,
    )
    return float(chosen)


def risk_groups(result: Comparison) -> None:
    """Kaplan-Meier curves of the quarters by out-of-fold risk."""
    name = choose_model(result, "survival-curves-model")
    groups = curves.risk_groups(result, name)
    if groups is None:
        blocks.note("This model gives everyone the same risk, so there are no groups.")
        return
    figure = drawn(
        kaplan_meier_figure,
        groups.curves,
        result.time_unit,
        round_times(groups.last),
        groups.test,
        outcome="Free of the event",
        colours=[plot_palette().groups[k] for k in groups.quarters],
        since="Time since photo" if "photo" in " ".join(c.features for c in result.models) else "Time",
    )
    label = result.candidate(name).label
    alt = f"Survival of four groups by the risk of {label}"
    figure_block(figure, curves_frame(groups.curves), "curves", f"{result.study}-risk-groups", alt, SAYS["curves"])
    blocks.note(
        "Medians with 95 % limits are under the axis; “not reached” where more than half are free of the event."
    )


def calibration(result: Comparison) -> None:
    """Predicted against observed risk at one time."""
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        name = choose_model(result, "survival-calibration-model")
    with right:
        horizon = _horizon(result, "survival-calibration-time")
    if horizon is None:
        return
    groups, curve, mean, estimates = comparisons.calibration(result, name, horizon)
    risk = curves.predicted_risk(result, name, horizon)
    figure_block(
        drawn(calibration_figure, groups, curve, risk, horizon, result.time_unit, palette=plot_palette()),
        calibration_frame(groups, curve, horizon).assign(model=result.candidate(name).label),
        "calibration",
        f"{result.study}-calibration-{plain_time(horizon)}",
        f"Observed against predicted risk by {plain_time(horizon)} {result.time_unit}",
        SAYS["calibration"],
    )
    st.markdown(plain(calibration_words(estimates, mean, horizon, result.time_unit)))
    blocks.note("Out of fold, first repeat. Band and intervals: 95 %, bootstrap over patients.")


def over_time(result: Comparison) -> None:
    """AUC and Brier score of chosen models along time."""
    if result.scores.entry is not None:
        blocks.note(LATE_ENTRY)
        return
    chosen = _several(result, "survival-time-models")
    if not chosen:
        return
    called = comparisons.labels(result)
    left, right = st.columns(2, gap="large")
    for column, measure, draw, key in ((left, "AUC", auc_figure, "auc"), (right, "Brier", brier_figure, "brier")):
        rows = comparisons.frame(result, "over_time", measure=measure)
        null = "Kaplan-Meier null" if measure == "Brier" else None
        rows = rows[rows["model"].isin([called[n] for n in chosen] + ([null] if null else []))].reset_index(drop=True)
        with column:
            st.markdown("**AUC(t)**" if measure == "AUC" else "**Brier score**")
            figure_block(
                drawn(draw, rows, result.time_unit, palette=plot_palette()),
                rows,
                key,
                f"{result.study}-{key}-over-time",
                f"{measure} over time",
                SAYS[key],
            )
    blocks.note("Out of fold, mean over the repeats, 95 % bands by bootstrap over patients.")


def _several(result: Comparison, key: str) -> list[str]:
    called = comparisons.labels(result)
    order = [c.name for c in comparisons.best_first(result)]
    return list(
        st.multiselect(
            "Models",
            order,
            default=[c.name for c in result.featured],
            format_func=lambda n: called[n],
            key=f"{key}-{result.study}-{result.name}",
            max_selections=MOST_LINES,
        )
    )


def decision(result: Comparison) -> None:
    """Net benefit of acting on each model's risk."""
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        chosen = _several(result, "survival-decision-models")
    with right:
        horizon = _horizon(result, "survival-decision-time")
    if horizon is None or not chosen:
        return
    called = comparisons.labels(result)
    rows = comparisons.frame(result, "decision", horizon=horizon)
    rows = rows[rows["model"].isin([*(called[n] for n in chosen), TREAT_ALL, TREAT_NONE])].reset_index(drop=True)
    bounds = (round(100 * float(rows["threshold"].min())), round(100 * float(rows["threshold"].max())))
    low, high = st.slider(
        "Thresholds that one would choose in practice (%)",
        *bounds,
        value=bounds,
        key=f"survival-sensible-{result.study}-{plain_time(horizon)}",
    )
    sensible = None if (low, high) == bounds else (low / 100, high / 100)
    figure_block(
        drawn(decision_figure, rows, horizon, result.time_unit, sensible, palette=plot_palette()),
        rows,
        "decision",
        f"{result.study}-decision-{plain_time(horizon)}",
        f"Net benefit by threshold at {plain_time(horizon)} {result.time_unit}",
        SAYS["decision"],
    )
    blocks.note(
        "Out of fold, first repeat, 95 % bands. What acting means, and which thresholds make sense, is for you to "
        "decide."
    )
