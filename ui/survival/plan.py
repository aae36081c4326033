"""The form of a comparison: feature sets, models, sites, folds; how long it will take; and what starts it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from common.text import duration
from common.threads import left
from study.comparison.candidates import choosable_models
from study.comparison.command import arguments_of
from study.comparison.features import available_sets, chosen_sets, patients_of, unavailable_sets
from study.comparison.measuring.duration import seconds_here
from study.comparison.plan import DEFAULT, DEFAULT_SETS, FEATURE_SETS, IMAGE, NETWORK, Plan
from study.comparison.record import comparison_folder
from study.description.delayed_entry import LATE_ENTRY
from study.errors import StudyError
from survival.comparison.crossval import draw_folds_and_times
from survival.models.registry import MODELS
from survival.outcome import check_outcome
from ui.background.missing import unavailable
from ui.background.start import start_button
from ui.elements import blocks
from ui.elements.escaping import plain
from ui.shell import session
from ui.shell.resources import OpenedStudy

VERBS = {"compare": "Model comparison of {}"}
SITES = {
    "pooled": "One baseline hazard, site as a covariate",
    "strata": "A separate baseline hazard for each site",
    "single": "One site only",
}
SITE_HELP = (
    "Separate baselines (stratified Cox) are available for Cox models, penalised or not, but not for late fusion; "
    "the scores then rank patients within a site. One site only: all other patients are left out of the comparison."
)
RULE_HELP = (
    "Best: the penalty that predicts held-out patients best. Simplest within one standard error: the strongest penalty "
    "that is not clearly worse."
)

SHORTCUT_HELP = (
    "The same ridge Cox model on parts of the photo at 32 px. If the background alone predicts survival, photos of "
    "sick and healthy people were taken differently, and the photo model may use that instead of the face."
)


def section(opened: OpenedStudy, open_at_first: bool) -> None:
    """The form with its button; `python -m study compare` does the work."""
    with st.expander("Plan a comparison", expanded=open_at_first, icon=":material/tune:"):
        available = available_sets(opened.study)
        if not available:
            unavailable("There is nothing to compare", next(iter(unavailable_sets(opened.study).values())))
            return
        st.markdown("**What the models use**")
        sets = st.pills(
            "Feature sets",
            available,
            selection_mode="multi",
            default=list(available),
            format_func=lambda name: plain(FEATURE_SETS[name].label),
            key=f"survival-sets-{opened.study.name}",
            label_visibility="collapsed",
        )
        for name, why in unavailable_sets(opened.study).items():
            if name in DEFAULT_SETS:
                blocks.note(f"Not available: {FEATURE_SETS[name].label}. {why}")
        if opened.study.left_truncated:
            blocks.note(LATE_ENTRY)
        models, shortcuts = _models(opened)
        site, site_name = _site(opened)
        settings, name = _settings()
        features = tuple(n for n in available if n in sets)
        plan = None
        try:
            if not features:
                raise StudyError("Choose at least one feature set.")
            named = () if len(features) == len(available) else features
            plan = Plan(named, models, **settings, site=site, site_name=site_name, shortcuts=shortcuts)
            comparison_folder(opened.study.path, name)
            patients = patients_of(opened.study, plan, with_photos=False)[1]
            outcome = check_outcome(patients["time"], patients["event"])
            draw_folds_and_times(outcome, plan.folds, plan.repeats, plan.seed)
        except session.SENTENCES as error:
            plan = None
            st.warning(plain(error), icon=":material/report:")
        else:
            _estimate(opened, plan)
        chosen = [] if plan is None else arguments_of(plan)
        start_button(
            VERBS["compare"].format(opened.study.name),
            ["study", "compare", opened.path, *(["--name", name] if name != "main" else []), *chosen],
            "Compare",
            "survival-start",
            disabled=plan is None or not opened.usable,
            explanation="Runs in the background, also when you leave the page or close the app. Finished folds are "
            "kept: if you add a model later, only that one is fitted.",
        )


def _models(opened: OpenedStudy) -> tuple[tuple[str, ...], bool]:
    """(models, whether shortcut controls are run with them)."""
    st.markdown("**Models, each fitted to every set that it can use**")
    photos = IMAGE not in unavailable_sets(opened.study)
    names = [name for name in choosable_models() if photos or name != NETWORK]
    named = {DEFAULT: "The default models", **{name: MODELS[name].label for name in names}}
    chosen = st.pills(
        "Models",
        list(named),
        selection_mode="multi",
        default=[DEFAULT],
        format_func=lambda name: plain(named[name]),
        key=f"survival-models-{opened.study.name}",
        label_visibility="collapsed",
    )
    blocks.note(
        "Default: for the photo alone a Cox model on readouts of its code, where enough faces can be measured; "
        "otherwise ridge Cox models with a photo or with fewer than ten events for each parameter, and unpenalised Cox "
        "models for the rest. These controls always run as well: one survival curve for all (Kaplan-Meier), "
        "permuted outcomes"
        + (", a random direction of the face code" * photos)
        + "."
        + (" The image network learns from the aligned photos themselves and takes by far the longest." * photos)
    )
    shortcuts = photos and st.checkbox(
        "Shortcut controls: how well do background, face, blurred and whole photo predict as plain pixels?",
        key=f"survival-shortcuts-{opened.study.name}",
        help=SHORTCUT_HELP,
    )
    return tuple(chosen), bool(shortcuts)


def _site(opened: OpenedStudy) -> tuple[str, str]:
    if "site" not in opened.study.covariates:
        return "pooled", ""
    left, right = st.columns(2)
    site = left.selectbox("Sites", list(SITES), format_func=lambda s: SITES[s], key="survival-site", help=SITE_HELP)
    if site != "single":
        return site, ""
    values = sorted({str(v) for v in opened.study.patients["site"] if v})
    return site, str(right.selectbox("Which site", values, key=f"survival-site-name-{opened.study.name}"))


def _settings() -> tuple[dict[str, Any], str]:
    """Settings of the plan, and the name of the result."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        repeats = st.number_input(
            "Repeats",
            1,
            20,
            Plan.repeats,
            key="survival-repeats",
            width=130,
            help="How many times the patients are split into folds; results are averaged over the splits.",
        )
        folds = st.number_input("Folds", 3, 10, Plan.folds, key="survival-folds", width=130)
        penalties = st.number_input("Penalties tried", 10, 100, Plan.penalties, 10, key="survival-penalties", width=180)
        rule = st.selectbox(
            "Selected penalty",
            ("best", "1se"),
            format_func=lambda r: "Best" if r == "best" else "Simplest within one standard error",
            key="survival-rule",
            width=280,
            help=RULE_HELP,
        )
        shuffles = st.number_input("Permuted outcomes", 0, 20, Plan.shuffles, key="survival-shuffles", width=160)
        seed = st.number_input("Seed", 0, 2**31 - 1, Plan.seed, key="survival-seed", width=130)
        name = st.text_input(
            "Name of the result",
            "main",
            max_chars=64,
            key="survival-name",
            width=200,
            help="An existing result of this name is replaced.",
        )
    numbers = {"repeats": repeats, "folds": folds, "penalties": penalties, "shuffles": shuffles, "seed": seed}
    return {**{key: int(value) for key, value in numbers.items()}, "rule": rule}, name.strip()


def _estimate(opened: OpenedStudy, plan: Plan) -> None:
    """About how long it will take on this machine."""
    workers = left()
    patients = len(opened.study.patients) - len(opened.study.excluded)
    here = seconds_here(plan, chosen_sets(opened.study, plan), patients, workers)
    if here is None:
        time = "How long this takes on this machine is not known yet; the job shows an estimate after the first fits."
    else:
        time = (
            f"{duration(here[0])} to {duration(here[1])} on {workers} {'core' if workers == 1 else 'cores'}, from "
            "earlier comparisons on this machine; less if finished folds of an earlier run can be reused."
        )
    blocks.note(f"{time} {plan.repeats} × {plan.folds} folds by patient, {patients:,} patients.")
