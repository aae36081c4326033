"""Looking into a model of a comparison: hazard ratios, coefficients, penalty path, proportional hazards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from study.tables.covariates import compared_with
from ui.elements import page
from ui.elements.figures import drawn, plot_palette
from ui.elements.keep_figure import figure_block
from ui.shell import session
from ui.survival.views import choose_model

if TYPE_CHECKING:
    from study.comparison.record import Comparison

SAYS = {
    "hazards": "1 means no difference. “Per SD”: how many times as high the hazard is for a score one standard "
    "deviation higher. Quarters are compared with the lowest. The adjusted rows say what is left once the chosen "
    "covariates are known.",
    "penalty": "to the right the penalty is strong and few parameters are left. The dashed line is the penalty taken. "
    "The C on this curve explains the choice and is no result: the same folds chose it.",
    "schoenfeld": "if the hazard ratio is the same at all times, the line is level. A slope with a small p says that "
    "the effect grows or fades with time; the model's hazard ratio is then an average.",
}


def hazards(result: Comparison) -> None:
    """Hazard ratios of one model's score, alone and beside chosen covariates; coefficients of plain Cox models."""
    from survival.errors import SurvivalError
    from survival.metrics.hazard_ratios import hazard_ratios
    from survival.plots import forest

    left, right = st.columns(2)
    with left:
        name = choose_model(result, "survival-hazards-model")
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
        drawn(forest, table),
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
    name = choose_model(result, "survival-coefficients-model", "Cox model", there)
    own = table[table["candidate"] == name].drop(columns="candidate").reset_index(drop=True)
    figure_block(
        drawn(forest, own.rename(columns={"name": "label"})[["label", "hr", "low", "high"]]),
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


def penalty(result: Comparison) -> None:
    """C and effective parameters along the penalty path of a penalised model."""
    from survival.plots import penalty_figure

    table = result.tables["paths"]
    there = [c.name for c in result.models if c.name in set(table["candidate"])]
    if not there:
        page.note("No penalised model was compared.")
        return
    name = choose_model(result, "survival-penalty-model", names=there)
    own = table[table["candidate"] == name].drop(columns="candidate").reset_index(drop=True)
    chosen = own[own["chosen"]].iloc[0]
    figure_block(
        drawn(penalty_figure, own, float(chosen["alpha"]), palette=plot_palette()),
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
    from survival.cox_regression.schoenfeld import smooth_residuals
    from survival.plots import schoenfeld_figure

    tests, residuals = result.tables["proportionality"], result.tables["schoenfeld"]
    name = choose_model(result, "survival-schoenfeld-model")
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
    except session.SENTENCES as error:
        page.note(str(error))
        return
    p = float(mine[mine["name"] == covariate]["p"].iloc[0])
    figure_block(
        drawn(schoenfeld_figure, own, smooth, covariate, result.time_unit, p, palette=plot_palette()),
        own,
        "schoenfeld",
        f"{result.study}-schoenfeld",
        "Log hazard ratio over time with its smooth",
        SAYS["schoenfeld"],
    )
    everything = mine[mine["name"] == "GLOBAL"]
    if len(everything):
        page.note(f"All covariates together: p = {float(everything['p'].iloc[0]):.3g} (Grambsch and Therneau).")
