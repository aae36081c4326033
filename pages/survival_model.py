"""Survival model: models of a study side by side, out of fold, and one of them chosen as the study's model."""

import streamlit as st

from ui.background import study_jobs
from ui.background.missing import require, unavailable
from ui.elements import blocks, message
from ui.elements.escaping import plain
from ui.shell import session, sidebar
from ui.survival import choice, comparisons, inspect, learning, plan, results, robustness, subgroups, views

VIEWS = {
    "Models": None,
    "Risk groups": views.risk_groups,
    "Hazard ratios": inspect.hazards,
    "Calibration": views.calibration,
    "Over time": views.over_time,
    "Decision": views.decision,
    "Penalty": inspect.penalty,
    "Proportional hazards": inspect.proportional,
    "Subgroups": subgroups.subgroups,
    "Robustness": None,
    "Learning curve": None,
    "Details": subgroups.details,
}

sidebar.masthead(
    "How well faces predict survival",
    "Survival model",
    "Models of this study side by side, each evaluated on patients that it was not fitted to: how well a photo "
    "predicts survival, how well age, sex and clinical data do, and what one adds to the other.",
)
opened = require(session.opened_study, "The study cannot be opened")
study_jobs.section(opened.path, (*plan.VERBS, choice.VERB, robustness.VERB, learning.VERB), "survival")
names = comparisons.names(opened)
message.show()
if not opened.usable:
    unavailable("The study has errors", "First correct the errors that the table check on the Cohort page lists.")
    st.stop()
if not names:
    blocks.note("No models of this study have been compared yet.")
    plan.section(opened, open_at_first=True)
    blocks.research_notice(opened.study)
    st.stop()

name = names[0]
if len(names) > 1:
    name = st.selectbox(
        "Comparison", names, key=f"survival-which-{opened.study.name}", persist_state="session", width=300
    )
result = require(lambda: comparisons.comparison(opened, name), "The comparison cannot be shown")
reasons = comparisons.stale(opened, name)
if reasons:
    st.warning(f"The study has changed: {plain(' '.join(reasons))} Compare again.", icon=":material/update:")

results.headline(result)
st.space("small")
view = st.segmented_control(
    "View",
    list(VIEWS),
    default="Models",
    key="survival-view",
    persist_state="session",
    required=True,
    label_visibility="collapsed",
)
blocks.section(view)
if view == "Models":
    base = results.choose_base(result)
    results.models_view(result, base)
    st.space("small")
    choice.section(opened, result, bool(reasons))
elif view == "Robustness":
    robustness.robustness(opened, result)
elif view == "Learning curve":
    learning.learning(opened)
else:
    VIEWS[view](result)
st.space("small")
subgroups.report(opened, result)
plan.section(opened, open_at_first=False)
blocks.research_notice(opened.study)
