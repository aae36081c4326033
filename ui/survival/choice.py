"""Which model is the study's: the one that scores a new face and gives the health direction; and choosing another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from ui.background import study_jobs
from ui.cohort.opened import PROBLEM, Opened
from ui.elements import page
from ui.shell import session
from ui.survival import opened as files

if TYPE_CHECKING:
    from study.comparison.record import Comparison

VERB = "choose"
USUAL = "photo"


def section(found: Opened, result: Comparison, stale: bool) -> None:
    """The study's model as it is, and a button for another one."""
    from study.comparison.choose import why_not_chosen

    st.markdown("**The study's model**")
    if not found.study.photos:
        page.note("This study has no photos, so there is no model for Portrait and Health direction to choose.")
        return
    now = _now(found)
    called = files.labels(result)
    order = files.best_first(result, controls=True)
    fine = [c.name for c in order if not why_not_chosen(c)]
    left, right = st.columns([2, 3], gap="large")
    with left:
        page.note(now)
        if _name(found) != USUAL:
            st.button(
                "Back to the model of “fit”",
                key="survival-usual",
                icon=":material/undo:",
                on_click=_back,
                args=(found,),
            )
    with right:
        if not fine:
            page.note("No model of this comparison can be chosen.")
        else:
            name = str(
                st.selectbox(
                    "Choose for Portrait and Health direction",
                    fine,
                    format_func=lambda n: called[n],
                    key=f"survival-choice-{result.study}-{result.name}",
                )
            )
            words = ["study", VERB, found.words, name]
            words += ["--comparison", result.name] if result.name != "main" else []
            study_jobs.start_button(
                f"{called[name]} for {found.study.name}",
                words,
                "Make it the study's model",
                "survival-choose",
                primary=False,
                disabled=stale or not found.usable,
                explanation="Fits it to all patients, saves it as plain numbers, and uses it on the other pages."
                if not stale
                else "The study changed since the comparison: compare again first.",
            )
    with st.expander("Why not another one?"):
        reasons: dict[str, list[str]] = {}
        for judged in order:
            if why := why_not_chosen(judged):
                reasons.setdefault(why, []).append(judged.label)
        for why, who in reasons.items():
            page.note(f"{'; '.join(who)}: {why}")


def _name(found: Opened) -> str:
    try:
        return found.study.chosen_model
    except session.SENTENCES:
        return ""


def _now(found: Opened) -> str:
    """What the study's model is and how good it is, in a sentence."""
    try:
        report = found.study.report(found.study.chosen_model)
    except session.SENTENCES as error:
        return str(error)
    c = report["harrell"]
    return (
        f"{report['label']}: Harrell's C {c['value']:.3f} (95 % CI {c['low']:.3f} to {c['high']:.3f}) out of fold over "
        f"{report['patients']:,} patients. It scores faces on the Portrait page and gives the health direction."
    )


def _back(found: Opened) -> None:
    """Use the model of `python -m study fit` again (runs before the page)."""
    from study.comparison.choose import use

    try:
        use(found.study, USUAL)
    except session.SENTENCES as error:
        st.session_state[PROBLEM] = str(error)
