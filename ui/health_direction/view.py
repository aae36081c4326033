"""The Health direction page's parts: the frames of what is wished for, the slider, undo, files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from ui.background.task import Job
from ui.elements import page, pictures
from ui.elements.escaping import plain, trusted
from ui.elements.text import GLOSSARY
from ui.health_direction import frames as strips
from ui.health_direction.controls import PATIENT, Wish, code_of, reachable, set_controls
from ui.health_direction.reach import bounds
from ui.health_direction.scrubber import scrubber
from ui.portrait import tuning
from ui.shell import resources, session

if TYPE_CHECKING:
    from collections.abc import Callable

    from ui.background.task import Reporter
    from ui.shell.resources import Cohort
    from ui.shell.session import Editing

UNDO_KEPT = 50
IN_SAMPLE = "The model was fitted with this patient, so the start's score is in-sample. "
TUNED_NOTE = (
    "The frames are drawn by a copy of the generator tuned to this photo; the figures are the code's, the same with "
    "either generator. The further from the start, the less of the photo is left in the picture. "
)


def prepare(editing: Editing, wish: Wish, cohort: Cohort) -> None:
    """Start drawing what is wished for, or take over what was drawn."""
    if editing.job is not None and editing.wanted != wish:
        editing.job.cancel()
        editing.job = None
    if editing.job is not None and editing.job.snapshot().state == "done":
        editing.shown, editing.job = editing.job.result, None
        assert editing.shown is not None
        middle = len(editing.shown.strip.steps) // 2
        _seek(editing, cohort, middle if editing.resume is None else editing.resume)
        _remember(editing)
        editing.resume = None
    elif editing.job is None and editing.wanted != wish:
        if editing.shown is not None and replace(wish, tuned="") == replace(editing.shown.wish, tuned=""):
            # The same face by another generator: the slider stays, unless an undo says where it goes.
            editing.resume = _index(editing) if editing.resume is None else editing.resume
        elif editing.wanted is not None:
            editing.resume = None
        editing.wanted = wish
        editing.job = Job("frames", _work(wish, cohort), resources.generator_turn(), session.SENTENCES).start()
    elif editing.at is not None:
        # The page is run anew, perhaps after another page: the slider goes where it was left.
        _seek(editing, cohort, editing.at)


def _seek(editing: Editing, cohort: Cohort, index: int) -> None:
    """Put the slider at a frame; a new count makes the browser obey."""
    assert editing.shown is not None
    editing.seek, editing.at = (index, editing.seek[1] + 1), None
    editing.payload = strips.payload(editing.shown, cohort, editing.seek)


def _work(wish: Wish, cohort: Cohort) -> Any:
    from study.scoring.direction import health_direction

    checkpoint = cohort.scorer.checkpoint
    code, caption = code_of(wish, cohort)
    tuned = tuning.current(checkpoint) if wish.tuned else None
    draw = None if tuned is None else tuned.draw

    def work(report: Reporter) -> strips.Shown:
        report(0.0, "Preparing the direction")
        band = strips.band_layers(wish.band, checkpoint.num_ws)
        direction = health_direction(cohort.scorer, wish.kind, band)
        strip = strips.render(report, cohort, code, direction, draw)
        return strips.Shown(strip, caption, direction, code, wish)

    return work


def again(editing: Editing) -> None:
    """Draw what was cancelled or failed."""
    editing.wanted, editing.job = None, None


@st.fragment
def scrub(editing: Editing, cohort: Cohort) -> None:
    """The slider with everything that moves with it; where it comes to rest joins the undo list."""
    shown = editing.shown
    if shown is None:
        return
    index = scrubber(editing.payload, "scrub", editing.seek[1])
    if index is not None and index != _index(editing):
        editing.at = index
        _remember(editing)
    at, strip = _index(editing), shown.strip
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Undo",
            key="undo",
            icon=":material/undo:",
            disabled=len(editing.undo) < 2,
            on_click=_undo,
            args=(editing, cohort),
            help="Back to where the slider last came to rest, also over a change of face, direction or layers.",
        )
        _download("This frame (PNG)", lambda: pictures.encode(strip.frames[at]), "frame.png", "image/png")
        _download("Strip (PNG)", lambda: strips.sheet(strip), "strip.png", "image/png")
        _download("Animation (GIF)", lambda: pictures.animation(strip.frames), "health_direction.gif", "image/gif")
        _download("Numbers (CSV)", lambda: strips.table(strip, cohort), "health_direction.csv", "text/csv")
    page.note(
        f"At rest at HR {strips.hr_text(strip, at)} to the start. {strips.beyond(strip, cohort, at)}{bounds(cohort)}"
        f"{TUNED_NOTE if shown.wish.tuned else ''}{IN_SAMPLE if shown.wish.source == PATIENT else ''}"
        "Pictures are drawn by a generator: they show what the model reads from faces, not how this person would look."
    )


def _download(label: str, make: Callable[[], bytes | str], name: str, mime: str) -> None:
    st.download_button(
        trusted(label), make, name, mime, key=f"get-{name}", icon=":material/download:", on_click="ignore"
    )


def _index(editing: Editing) -> int:
    return editing.at if editing.at is not None else editing.seek[0]


def _remember(editing: Editing) -> None:
    """Add the state on screen to the undo list."""
    shown, index = editing.shown, _index(editing)
    assert shown is not None
    now = (shown.ws.tobytes(), shown.direction, float(shown.strip.steps[index]))
    if not editing.undo or (editing.undo[-1][0], editing.undo[-1][1].tuned) != (now, shown.wish.tuned):
        editing.undo = [*editing.undo, (now, shown.wish, index)][-UNDO_KEPT:]


def _undo(editing: Editing, cohort: Cohort) -> None:
    """Back to the state before the last; controls, frames and slider follow (runs before the page)."""
    # A photo that was replaced since, or a study that was left, cannot be gone back to.
    last, *earlier = reversed(editing.undo)
    kept = [entry for entry in reversed(earlier) if reachable(entry[1], cohort)]
    if not kept:
        editing.undo = [last]
        return
    editing.undo = kept
    _, wish, index = kept[-1]
    if editing.shown is not None and wish == editing.shown.wish:
        _seek(editing, cohort, index)
        return
    set_controls(wish)
    editing.wanted, editing.job, editing.at, editing.resume = None, None, None, index
    st.rerun()


def reading(editing: Editing, cohort: Cohort) -> None:
    """How to read the page, and how far the direction can be trusted."""
    assert editing.shown is not None
    direction = editing.shown.direction
    if told := cohort.study.competing_note:
        page.note(told)
    with st.expander("How to read this"):
        st.markdown(
            f"- **Step**: {GLOSSARY['step']}\n"
            f"- **Log-HR to the cohort's median**: {GLOSSARY['log-HR']}\n"
            f"- **W+**: {GLOSSARY['W+']}\n"
            f"- **{plain(direction.name)}**: {GLOSSARY[direction.kind]}\n"
            f"- **Survival**: {GLOSSARY['survival']}\n"
            f"- **Percentile**: {GLOSSARY['percentile']}"
        )
        page.facts(
            [
                (
                    "Steadiness of the direction",
                    f"cosine {cohort.model.fold_cosine_:.2f}",
                    "mean cosine between the directions of models fitted on different folds; 1 is the same direction",
                ),
                ("Length of a step of log-HR 1", f"{float(np.linalg.norm(direction.vector)):.2f}", "Euclidean, in W+"),
            ]
        )
