"""Looking into a model of a comparison: hazard ratios, coefficients, penalty path, proportional hazards."""

from __future__ import annotations

import streamlit as st

from study.comparison.features import only_of_photos
from study.comparison.record import Comparison
from study.tables.covariates import compared_with
from survival.cox_regression.schoenfeld import smooth_residuals
from survival.errors import SurvivalError
from survival.metrics.hazard_ratios import hazard_ratios
from survival.plots.intervals import forest
from survival.plots.path import penalty_figure
from survival.plots.schoenfeld import schoenfeld_figure
from ui.elements import blocks
from ui.elements.figures import drawn, plot_palette
from ui.elements.keep_figure import figure_block
from ui.shell import session
from ui.survival.views import choose_model

SAYS = {
    "hazards": "1 means no difference. “Per SD”: how many times as high the hazard is for a score one standard "
    "deviation higher. Quarters are compared with the lowest. The adjusted rows show what is left once the chosen "
    "covariates are known.",
    "penalty": "to the right the penalty is strong and few parameters are left. The dashed line is the selected "
    "penalty. The C on this curve explains the choice; it is not a result, because the same data chose the penalty.",
    "schoenfeld": "if the hazard ratio is the same at all times, the line is level. A slope with a small p value "
    "suggests that the effect grows or fades with time; the model's hazard ratio is then an average.",
}


ADJUST = (
    "Only the score of a photo model is adjusted. A score that contains clinical columns, adjusted for the same "
    "columns, says nothing about the patients."
)


def hazards(result: Comparison) -> None:
    """Hazard ratios of one model's score, alone and adjusted; coefficients of unpenalised Cox models."""
    left, right = st.columns(2)
    with left:
        name = choose_model(result, "survival-hazards-model")
    of_photo = only_of_photos(result.candidate(name).blocks)
    chosen = right.multiselect(
        "Adjusted for",
        result.covariates if of_photo else [],
        default=[c for c in ("age", "sex") if c in result.covariates and of_photo],
        key=f"survival-adjust-{result.study}-{of_photo}",
        disabled=not of_photo,
        placeholder="Choose covariates" if of_photo else "Not for a model of clinical columns",
        help=ADJUST,
    )
    scores, label = result.scores.scores[name], result.candidate(name).label
    adjust = result.patients[list(chosen)] if chosen else None
    try:
        outcome = (result.scores.time, result.scores.event, adjust, result.scores.entry)
        table, notes = hazard_ratios(scores.log_risk[0], scores.quartile[0], *outcome)
    except SurvivalError as error:
        blocks.note(str(error))
        return
    figure_block(
        drawn(forest, table),
        table.assign(model=label),
        "forest",
        f"{result.study}-hazard-ratios",
        f"Hazard ratios of the score of {label}",
        SAYS["hazards"],
    )
    for sentence in notes:
        blocks.note(sentence)
    blocks.note(
        "Unpenalised Cox regression on the out-of-fold score (first repeat), Efron ties; p values and limits by Wald."
    )
    _coefficients(result)


def _coefficients(result: Comparison) -> None:
    table = result.tables["coefficients"]
    names = [c.name for c in result.models if c.name in set(table["candidate"])]
    if not names:
        return
    st.space("small")
    st.markdown("**Coefficients of the unpenalised Cox models**")
    name = choose_model(result, "survival-coefficients-model", "Cox model", names)
    rows = table[table["candidate"] == name].drop(columns="candidate").reset_index(drop=True)
    figure_block(
        drawn(forest, rows.rename(columns={"name": "label"})[["label", "hr", "low", "high"]]),
        rows,
        "coefficients",
        f"{result.study}-coefficients",
        "Hazard ratios of each covariate",
        "the hazard ratio of each covariate while the others stay the same: for a number per unit, for a category "
        "compared with the one that has no row. Fitted to all patients: this shows association, not how well the model "
        "predicts.",
    )
    if references := compared_with(set(rows["name"]), result.patients[list(result.covariates)]):
        blocks.note(references)


def penalty(result: Comparison) -> None:
    """C and effective parameters along the penalty path of a penalised model."""
    table = result.tables["paths"]
    names = [c.name for c in result.models if c.name in set(table["candidate"])]
    if not names:
        blocks.note("No penalised model was compared.")
        return
    name = choose_model(result, "survival-penalty-model", names=names)
    rows = table[table["candidate"] == name].drop(columns="candidate").reset_index(drop=True)
    chosen = rows[rows["chosen"]].iloc[0]
    figure_block(
        drawn(penalty_figure, rows, float(chosen["alpha"]), palette=plot_palette()),
        rows,
        "penalty",
        f"{result.study}-penalty-path",
        "C out of fold and effective parameters along the penalty",
        SAYS["penalty"],
    )
    blocks.note(
        f"Selected penalty: {chosen['alpha']:.3g}, with {chosen['effective']:.0f} effective parameters for "
        f"{result.events:,} events. It is selected by cross-validated partial likelihood, which rewards risks of the "
        "right size as well as the right order, so it need not be where C is highest. Fitted to all patients; how well "
        "the model predicts is under Models."
    )


def proportional(result: Comparison) -> None:
    """Scaled Schoenfeld residuals of a score, and of the covariates of a plain Cox model."""
    tests, residuals = result.tables["proportionality"], result.tables["schoenfeld"]
    name = choose_model(result, "survival-schoenfeld-model")
    tests = tests[tests["candidate"] == name]
    names = [str(n) for n in tests["name"] if n != "GLOBAL"]
    if not names:
        blocks.note("This model could not be tested.")
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
    rows = residuals[residuals["candidate"] == name].drop(columns="candidate")
    rows = rows[rows["name"] == covariate].reset_index(drop=True)
    try:
        smooth = smooth_residuals(rows)
    except session.SENTENCES as error:
        blocks.note(str(error))
        return
    p = float(tests[tests["name"] == covariate]["p"].iloc[0])
    figure_block(
        drawn(schoenfeld_figure, rows, smooth, covariate, result.time_unit, p, palette=plot_palette()),
        rows,
        "schoenfeld",
        f"{result.study}-schoenfeld",
        "Log hazard ratio over time with its smooth",
        SAYS["schoenfeld"],
    )
    everything = tests[tests["name"] == "GLOBAL"]
    if len(everything):
        blocks.note(f"All covariates together: p = {float(everything['p'].iloc[0]):.3g} (Grambsch and Therneau).")
