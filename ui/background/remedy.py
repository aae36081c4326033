"""What puts a problem right, as a button: a page names no command where it can start the job itself.

An error of the study room says which command helps; jobs hand its message on as text, in which the same words are
looked for.
"""

from __future__ import annotations

import re

import streamlit as st

from study.errors import StudyError
from ui.background.start import study_button
from ui.elements.escaping import plain
from ui.shell import checkpoint_choice, session

COMMAND = re.compile(r" ?Run `python -m study ([a-z-]+)[^`\n]*`\.")
JOBS = {"embed": "Embed the photos again", "fit": "Fit the photo model", "quality": "Check the photos"}
PLACES = {  # verb -> label, page, key of the page's view, view
    "check": ("Go to the table check", "pages/cohort.py", "cohort-view", "Table check"),
    "simulate": ("Go to the Cohort page", "pages/cohort.py", "cohort-view", "New study"),
    "example": ("Make a study", "pages/cohort.py", "cohort-view", "New study"),
    "compare": ("Go to the Survival model page", "pages/survival_model.py", "survival-view", "Models"),
    "learning-curve": ("Go to the Survival model page", "pages/survival_model.py", "survival-view", "Learning curve"),
    "robustness": ("Go to the Survival model page", "pages/survival_model.py", "survival-view", "Robustness"),
}


def parts(problem: Exception | str) -> tuple[str, str]:
    """What is wrong, in a sentence without commands, and the verb of the command that helps ("" for none)."""
    if isinstance(problem, StudyError) and problem.run:
        return problem.sentence, problem.run[0]
    match = COMMAND.search(str(problem))
    return COMMAND.sub("", str(problem)).strip(), match[1] if match else ""


def sentence(problem: Exception | str) -> str:
    """What is wrong, without commands: for a place that already has the button."""
    return parts(problem)[0]


def offer(problem: Exception | str, key: str) -> bool:
    """The button or link that puts a problem right; True where it starts a job of the study.

    key: of the place, so that two of a page do not collide.
    """
    verb = parts(problem)[1]
    if verb in JOBS:
        return _job(verb, key)
    if verb in PLACES:
        label, script, view_key, view = PLACES[verb]
        _link(label, f"remedy-{key}", script, view_key, view)
    return False


def _link(label: str, key: str, script: str, view_key: str, view: str) -> None:
    icon = ":material/arrow_forward:"
    if st.button(plain(label), key=key, icon=icon, on_click=_show, args=(view_key, view)):
        st.switch_page(script)


def _show(key: str, view: str) -> None:
    """Let a page open at a view (runs before the page)."""
    st.session_state[key] = view


def _job(verb: str, key: str) -> bool:
    try:
        opened = session.opened_study()
    except session.SENTENCES:
        return False
    if not opened.study.photos:
        return False
    with st.container(horizontal=True):
        other = verb == "embed" and checkpoint_choice.use_fitting(session.pick_study(), key)
        if not other:
            study_button(opened, verb, JOBS[verb], key=f"remedy-{key}-{verb}")
        place = ("pages/cohort.py", "cohort-view", "Face codes and model")
        _link("Face codes and model on the Cohort page", f"remedy-{key}-cohort", *place)
    return True
