"""The study's model, which scores a new face and gives the health direction; and choosing another."""

from __future__ import annotations

import streamlit as st

from study.comparison.choose import use, why_not_chosen
from study.comparison.record import Comparison
from ui.background.start import start_button
from ui.elements import blocks, message
from ui.elements.text import interval
from ui.shell import session
from ui.shell.resources import OpenedStudy
from ui.survival import comparisons

VERB = "choose"
DEFAULT = "photo"


def section(opened: OpenedStudy, result: Comparison, stale: bool) -> None:
    """The study's model as it is, and a button for another one."""
    st.markdown("**The study's model**")
    if not opened.study.photos:
        blocks.note("This study has no photos, so there is no model to choose for Portrait and Health direction.")
        return
    called = comparisons.labels(result)
    order = comparisons.best_first(result, controls=True)
    fine = [c.name for c in order if not why_not_chosen(c)]
    left, right = st.columns([2, 3], gap="large")
    with left:
        blocks.note(_current(opened))
        if _name(opened) != DEFAULT:
            st.button(
                "Back to the model fitted on the Cohort page",
                key="survival-usual",
                icon=":material/undo:",
                on_click=_back,
                args=(opened,),
            )
    with right:
        if not fine:
            blocks.note("No model of this comparison can be chosen.")
        else:
            name = str(
                st.selectbox(
                    "Choose for Portrait and Health direction",
                    fine,
                    format_func=lambda n: called[n],
                    key=f"survival-choice-{result.study}-{result.name}",
                )
            )
            words = ["study", VERB, opened.path, name]
            words += ["--comparison", result.name] if result.name != "main" else []
            start_button(
                f"{called[name]} for {opened.study.name}",
                words,
                "Make it the study's model",
                "survival-choose",
                primary=False,
                disabled=stale or not opened.usable,
                explanation="Fits it to all patients and uses it on the other pages."
                if not stale
                else "The study has changed since the comparison: compare again first.",
            )
    with st.expander("Why not the others?"):
        reasons: dict[str, list[str]] = {}
        for candidate in order:
            if why := why_not_chosen(candidate):
                reasons.setdefault(why, []).append(candidate.label)
        for why, who in reasons.items():
            blocks.note(f"{'; '.join(who)}: {why}")


def _name(opened: OpenedStudy) -> str:
    try:
        return opened.study.chosen_model
    except session.SENTENCES:
        return ""


def _current(opened: OpenedStudy) -> str:
    """What the study's model is and how good it is, in a sentence."""
    try:
        report = opened.study.report(opened.study.chosen_model)
    except session.SENTENCES as error:
        return str(error)
    c = report["harrell"]
    return (
        f"{report['label']}: C {c['value']:.3f} ({interval(c['low'], c['high'])}) over {report['patients']:,} "
        "patients. It scores faces on the Portrait page and gives the health direction."
    )


def _back(opened: OpenedStudy) -> None:
    """Use the default model again (runs before the page)."""
    with message.left_by(*session.SENTENCES):
        use(opened.study, DEFAULT)
