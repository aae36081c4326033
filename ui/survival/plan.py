"""The form of a comparison: feature sets, models, sites, folds; how long it will take; and what starts it."""

from __future__ import annotations

import streamlit as st

from common.threads import left
from study.description.clinical import LATE_ENTRY
from ui.background import study_jobs
from ui.cohort.opened import Opened
from ui.elements import page
from ui.elements.escaping import plain
from ui.elements.text import duration
from ui.shell import session

VERBS = {"compare": "Model comparison of {}"}
SITES = {
    "pooled": "One baseline, site as a covariate",
    "strata": "A baseline hazard of its own for each site",
    "single": "One site alone",
}
USUAL = "usual"
SITE_HELP = (
    "A baseline a site (stratified Cox) is for Cox models, penalised or not, without late fusion; their scores then "
    "rank within a site. One site alone leaves everyone else out of the comparison."
)
RULE_HELP = (
    "Best: the penalty that predicts left-out patients best. Simplest within one standard error: the strongest penalty "
    "that is not clearly worse."
)

SHORTCUT_HELP = (
    "The same ridge Cox model on parts of the photo at 32 px. A backdrop that tells something says that photos of sick "
    "and well people were taken differently: the photo model may read that in place of the face."
)


def section(found: Opened, open_at_first: bool) -> None:
    """The form with its button; `python -m study compare` does the work."""
    from study.comparison.features import available_sets, unavailable_sets
    from study.comparison.plan import FEATURE_SETS, USUAL_SETS

    with st.expander("Plan a comparison", expanded=open_at_first, icon=":material/tune:"):
        there = available_sets(found.study)
        if not there:
            page.unavailable("There is nothing to compare", next(iter(unavailable_sets(found.study).values())))
            return
        st.markdown("**What the models look at**")
        sets = st.pills(
            "Feature sets",
            there,
            selection_mode="multi",
            default=list(there),
            format_func=lambda name: plain(FEATURE_SETS[name].label),
            key=f"survival-sets-{found.study.name}",
            label_visibility="collapsed",
        )
        for name, why in unavailable_sets(found.study).items():
            if name in USUAL_SETS:
                page.note(f"Not here: {FEATURE_SETS[name].label}. {why}")
        if found.study.left_truncated:
            page.note(LATE_ENTRY)
        models, shortcuts = _models(found)
        site, site_name = _site(found)
        settings = _settings() | {"shortcuts": shortcuts}
        words = _command(found, there, tuple(sets), tuple(models), site, site_name, settings)
        problem = _problem(found, words)
        if problem:
            st.warning(plain(problem), icon=":material/report:")
        else:
            _estimate(found, words)
        study_jobs.start_button(
            VERBS["compare"].format(found.study.name),
            words,
            "Compare",
            "survival-start",
            disabled=bool(problem) or not found.usable,
            explanation="Runs as a job: leave the page or close the app, it goes on. Finished folds are kept, so a "
            "comparison with one model more fits only that one.",
        )


def _models(found: Opened) -> tuple[list[str], bool]:
    """(models, whether shortcut controls are run beside them)."""
    from study.comparison.candidates import choosable_models
    from study.comparison.features import unavailable_sets
    from study.comparison.plan import IMAGE, NETWORK
    from survival.models.registry import MODELS

    st.markdown("**Models, each tried on every set that it can take**")
    photos = IMAGE not in unavailable_sets(found.study)
    there = [name for name in choosable_models() if photos or name != NETWORK]
    named = {USUAL: "The usual ones", **{name: MODELS[name].label for name in there}}
    chosen = st.pills(
        "Models",
        list(named),
        selection_mode="multi",
        default=[USUAL],
        format_func=lambda name: plain(named[name]),
        key=f"survival-models-{found.study.name}",
        label_visibility="collapsed",
    )
    page.note(
        "The usual ones: ridge Cox where a photo takes part, plain Cox for few clinical columns. Controls always run "
        "beside them: Kaplan-Meier without covariates, the outcome dealt to other patients"
        + (", a random direction of W+" * photos)
        + "."
        + (" The image network learns from the aligned photos themselves, and takes by far the longest." * photos)
    )
    shortcuts = photos and st.checkbox(
        "Shortcut controls: how much do backdrop, face, blurred and whole photo tell as bare pixels?",
        key=f"survival-shortcuts-{found.study.name}",
        help=SHORTCUT_HELP,
    )
    return list(chosen), bool(shortcuts)


def _site(found: Opened) -> tuple[str, str]:
    from study.comparison.features import covariate_names

    if "site" not in covariate_names(found.study):
        return "pooled", ""
    left, right = st.columns(2)
    site = left.selectbox("Sites", list(SITES), format_func=lambda s: SITES[s], key="survival-site", help=SITE_HELP)
    if site != "single":
        return site, ""
    values = sorted({str(v) for v in found.study.patients["site"] if v})
    return site, str(right.selectbox("Which site", values, key=f"survival-site-name-{found.study.name}"))


def _settings() -> dict[str, object]:
    from study.comparison.plan import Plan

    with st.container(horizontal=True, vertical_alignment="bottom"):
        repeats = st.number_input(
            "Repeats",
            1,
            20,
            Plan.repeats,
            key="survival-repeats",
            width=130,
            help="The folds are dealt anew each time.",
        )
        folds = st.number_input("Folds", 3, 10, Plan.folds, key="survival-folds", width=130)
        penalties = st.number_input(
            "Penalties on a path", 10, 100, Plan.penalties, 10, key="survival-penalties", width=180
        )
        rule = st.selectbox(
            "Penalty taken",
            ("best", "1se"),
            format_func=lambda r: "Best" if r == "best" else "Simplest within one standard error",
            key="survival-rule",
            width=280,
            help=RULE_HELP,
        )
        shuffles = st.number_input("Shuffled controls", 0, 20, Plan.shuffles, key="survival-shuffles", width=160)
        seed = st.number_input("Seed", 0, 2**31 - 1, Plan.seed, key="survival-seed", width=130)
        name = st.text_input(
            "Name of the result",
            "main",
            max_chars=64,
            key="survival-name",
            width=200,
            help="One that is there is replaced.",
        )
    numbers = {"repeats": repeats, "folds": folds, "penalties": penalties, "shuffles": shuffles, "seed": seed}
    return {**{key: int(value) for key, value in numbers.items()}, "rule": str(rule), "name": str(name).strip()}


def _command(
    found: Opened,
    there: tuple[str, ...],
    sets: tuple[str, ...],
    models: tuple[str, ...],
    site: str,
    site_name: str,
    settings: dict[str, object],
) -> list[str]:
    """The command line; what is as the command has it anyway is left out."""
    from study.comparison.plan import Plan

    words = ["study", "compare", found.words]
    if settings["name"] != "main":
        words += ["--name", str(settings["name"])]
    ordered = [name for name in there if name in sets]
    words += ["--features", ",".join(ordered)] if len(ordered) < len(there) else []
    words += ["--models", ",".join(models)] if models != (USUAL,) else []
    words += ["--controls"] if settings["shortcuts"] else []
    for key, value in settings.items():
        if key not in ("name", "shortcuts") and value != getattr(Plan, key):
            words += [f"--{key}", str(value)]
    if site != "pooled":
        words += ["--site", site, *(["--site-name", site_name] if site == "single" else [])]
    return words


def _parsed(words: list[str]) -> object:
    import argparse

    from study.comparison.command import add_arguments

    parser = argparse.ArgumentParser(exit_on_error=False)
    add_arguments(parser)
    return parser.parse_args(words[2:])


def _problem(found: Opened, words: list[str]) -> str:
    """Why this cannot be run, in a sentence, else ''."""
    from study.comparison.command import plan_of
    from study.comparison.features import patients_of
    from study.comparison.record import comparison_folder

    args = _parsed(words)
    if "--features" in words and not args.features:  # type: ignore[attr-defined]
        return "Choose at least one feature set."
    try:
        plan = plan_of(args)
        comparison_folder(found.study.path, args.name)  # type: ignore[attr-defined]
        table = patients_of(found.study, plan, with_photos=False)[1]
    except session.SENTENCES as error:
        return str(error)
    events = int(table["event"].sum())
    if events < 4 * plan.folds:
        return f"{events} events are too few for {plan.folds} folds: each fold needs about four."
    return ""


def _estimate(found: Opened, words: list[str]) -> None:
    """About how long it will take on this machine."""
    from study.comparison.command import plan_of
    from study.comparison.features import chosen_sets
    from study.comparison.measuring.estimate import seconds_here

    plan = plan_of(_parsed(words))
    workers = left()
    patients = len(found.study.patients) - len(found.study.excluded)
    here = seconds_here(plan, chosen_sets(found.study, plan), patients, workers)
    if here is None:
        told = "How long it takes has not been measured on this machine yet: its progress says so after the first fits."
    else:
        told = (
            f"{duration(here[0])} to {duration(here[1])} on {workers} {'core' if workers == 1 else 'cores'}, from "
            "comparisons made on this machine; less where folds are kept from before."
        )
    page.note(f"{told} {plan.repeats} × {plan.folds} folds by patient, {patients:,} patients.")
