"""Survival model: models of a study side by side, out of fold, and one of them chosen as the study's model."""

import streamlit as st

from ui.background import study_jobs
from ui.cohort import opened as cohort_files
from ui.elements import page
from ui.elements.escaping import plain
from ui.survival import choice, inspect, plan, results, views
from ui.survival import opened as files
from ui.survival import robustness as survival_robustness
from ui.survival import subgroups as survival_subgroups

VIEWS = {
    "Models": None,
    "Risk groups": views.risk_groups,
    "Hazard ratios": inspect.hazards,
    "Calibration": views.calibration,
    "Over time": views.over_time,
    "Decision": views.decision,
    "Penalty": inspect.penalty,
    "Proportional hazards": inspect.proportional,
    "Subgroups": survival_subgroups.subgroups,
    "Robustness": None,
    "Details": survival_subgroups.details,
}

page.masthead(
    "What the figures rest on",
    "Survival model",
    "Models of this study side by side, each judged on patients it has never seen: what a photo tells, what age, sex "
    "and clinical data tell, and what one adds to the other.",
)
found = page.require(cohort_files.opened, "The study cannot be opened")
study_jobs.section(found.words, (*plan.VERBS, choice.VERB, survival_robustness.VERB), "survival")
names = files.names(found)
cohort_files.problem()
if not found.usable:
    page.unavailable("The study has errors", "Correct what the Cohort page's table check lists as errors first.")
    st.stop()
if not names:
    page.note("No models of this study have been compared yet.")
    plan.section(found, open_at_first=True)
    page.research_notice(found.study)
    st.stop()

name = names[0]
if len(names) > 1:
    name = st.selectbox(
        "Comparison", names, key=f"survival-which-{found.study.name}", persist_state="session", width=300
    )
result = page.require(lambda: files.comparison(found, name), "The comparison cannot be shown")
reasons = files.stale(found, name)
if reasons:
    st.warning(f"The study changed since: {plain(' '.join(reasons))} Compare again.", icon=":material/update:")

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
page.section(view)
if view == "Models":
    base = results.choose_base(result)
    results.models_view(result, base)
    st.space("small")
    choice.section(found, result, bool(reasons))
elif view == "Robustness":
    survival_robustness.robustness(found, result)
else:
    VIEWS[view](result)
st.space("small")
survival_subgroups.report(found, result)
plan.section(found, open_at_first=False)
page.research_notice(found.study)
