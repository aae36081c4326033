"""What puts a problem right, as a button: a page names no command where it can start the job itself.

An error of the study room says which command helps; jobs hand its message on as text, where the same words are found.
"""

from __future__ import annotations

import re

import streamlit as st

from study.errors import StudyError
from ui.elements.escaping import plain

COMMAND = re.compile(r" ?Run `python -m study ([a-z]+)[^`\n]*`\.")
JOBS = {"embed": "Make the codes again", "fit": "Fit the photo model", "quality": "Look the photos over"}
PLACES = {  # verb -> label, page, key of the page's view, view
    "check": ("To the table check", "pages/cohort.py", "cohort-view", "Table check"),
    "simulate": ("To the page Cohort", "pages/cohort.py", "cohort-view", "New study"),
    "example": ("Make a study", "pages/cohort.py", "cohort-view", "New study"),
    "compare": ("To the page Survival model", "pages/survival_model.py", "survival-view", "Models"),
    "robustness": ("To the page Survival model", "pages/survival_model.py", "survival-view", "Robustness"),
}


def parts(problem: Exception | str) -> tuple[str, str]:
    """What is wrong, in a sentence without commands, and the verb of the command that helps ("" for none)."""
    if isinstance(problem, StudyError) and problem.run:
        return problem.sentence, problem.run[0]
    found = COMMAND.search(str(problem))
    return COMMAND.sub("", str(problem)).strip(), found[1] if found else ""


def sentence(problem: Exception | str) -> str:
    """What is wrong, without commands: for a place where the button stands already."""
    return parts(problem)[0]


def offer(problem: Exception | str, key: str, live: bool = True) -> None:
    """The button or link that puts a problem right, and the job that it started.

    key: of the place, so that two of a page do not collide. live: show the study's jobs here; False on a page that
    shows them anyway.
    """
    verb = parts(problem)[1]
    if verb in JOBS:
        _job(verb, key, live)
    elif verb in PLACES:
        label, script, view_key, view = PLACES[verb]
        if st.button(
            plain(label),
            key=f"remedy-{key}",
            icon=":material/arrow_forward:",
            on_click=_show,
            args=(view_key, view),
        ):
            st.switch_page(script)


def _show(key: str, view: str) -> None:
    """Let a page open at a view (runs before the page)."""
    st.session_state[key] = view


def _job(verb: str, key: str, live: bool) -> None:
    from ui.background import study_jobs
    from ui.cohort import jobs
    from ui.cohort import opened as cohort_files
    from ui.shell import checkpoint_choice, session

    try:
        found = cohort_files.opened()
    except session.SENTENCES:
        return
    if not found.study.photos:
        return
    with st.container(horizontal=True):
        other = verb == "embed" and checkpoint_choice.use_fitting(session.pick_study(), key)
        if not other:
            jobs.start_button(found, verb, JOBS[verb], key=f"remedy-{key}-{verb}")
        if st.button(
            "Codes and model on the page Cohort",
            key=f"remedy-{key}-cohort",
            icon=":material/arrow_forward:",
            on_click=_show,
            args=("cohort-view", "Codes"),
        ):
            st.switch_page("pages/cohort.py")
    if live:
        study_jobs.section(found.words, jobs.SHOWN, f"remedy-{key}")
