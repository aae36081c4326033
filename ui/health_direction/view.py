"""The Health direction page's parts: the frames that are asked for, the slider, undo, files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from common.text import number
from study.scoring.interval import why_no_interval
from study.scoring.scorer import Scorer
from study.scoring.strip import range_note
from ui.background.task import BackgroundTask
from ui.elements import blocks, pictures
from ui.elements.escaping import plain
from ui.elements.glossary import GLOSSARY
from ui.elements.text import ordinal
from ui.health_direction import frames
from ui.health_direction.controls import KINDS, code_of, reachable, set_controls
from ui.health_direction.scrubber import pack, scrubber
from ui.health_direction.state import PATIENT, UPLOADED, DrawnStrip, EditingState, EditRequest
from ui.portrait import tuning
from ui.portrait.state import portrait
from ui.shell import resources, session

UNDO_KEPT = 50
TUNED_NOTE = (
    "The pictures are drawn by a copy of the face model adapted to this photo; the numbers are the same with either. "
    "The further from the start, the less of the photo is left in the picture. "
)


def prepare(editing: EditingState, request: EditRequest, scorer: Scorer) -> None:
    """Start drawing what is asked for, or take over what was drawn."""
    if editing.drawing is not None and editing.drawing[0] != request:
        editing.cancel()
    if editing.drawing is not None:
        task = editing.drawing[1]
        if task.snapshot().state == "done" and task.result is not None:
            index = _start_index(editing, task.result)
            editing.drawn, editing.drawing = task.result, None
            _place(editing, index)
            _remember(editing)
    elif editing.drawn is None or editing.drawn.request != request:
        ws, features, caption = code_of(request, scorer)
        tuned = tuning.current(scorer.checkpoint) if request.tuned else None
        draw = None if tuned is None else tuned.draw
        task = BackgroundTask(
            "frames",
            lambda report: frames.render(report, scorer, request, ws, features, caption, draw),
            resources.generator_turn(),
            session.SENTENCES,
        )
        editing.drawing = (request, task.start())
    elif editing.index != editing.placed[0]:
        # The page runs again, perhaps after another page: the slider goes where it was left.
        _place(editing, editing.index)


def _start_index(editing: EditingState, strip: DrawnStrip) -> int:
    """Where the slider begins on a new strip: where it was before an undo, or on the same face; else in the middle."""
    old = editing.drawn
    if editing.undo and editing.undo[-1][0] == strip.request:
        return editing.undo[-1][1]
    if old is not None and replace(old.request, tuned=strip.request.tuned) == strip.request:
        return editing.index
    return strip.middle


def _place(editing: EditingState, index: int) -> None:
    """Put the slider at a frame; a new count makes the browser obey."""
    editing.index, editing.placed = index, (index, editing.placed[1] + 1)


@st.fragment
def scrub(editing: EditingState, scorer: Scorer) -> None:
    """The slider with everything that moves with it; where it comes to rest joins the undo list."""
    drawn = editing.drawn
    if drawn is None:
        return
    index = scrubber(pack(*drawn.files, drawn.header, editing.placed), "scrub", editing.placed[1])
    if index is not None and index != editing.index:
        editing.index = index
        _remember(editing)
    strip, at, unit = drawn.strip, editing.index, scorer.study.time_unit
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Undo",
            key="undo",
            icon=":material/undo:",
            disabled=len(editing.undo) < 2,
            on_click=_undo,
            args=(editing, scorer),
            help="Back to where the slider last came to rest, also after a change of face or direction.",
        )
        for label, make, name, mime in (
            ("This frame (PNG)", lambda: pictures.encode(strip.frames[at]), "frame.png", "image/png"),
            ("Strip (PNG)", lambda: frames.sheet(strip), "strip.png", "image/png"),
            ("Animation (GIF)", lambda: pictures.animation(strip.frames), "health_direction.gif", "image/gif"),
            ("Numbers (CSV)", lambda: frames.table(strip, unit), "health_direction.csv", "text/csv"),
        ):
            blocks.download(label, make, name, mime, f"get-{name}")
    blocks.note(
        f"The slider rests at a hazard ratio of {frames.hr_text(strip, at)} compared with the start. "
        f"{frames.beyond(strip, at)}{range_note(scorer.cohort_log_hr)}"
        f"{TUNED_NOTE if drawn.request.tuned else ''}{_in_sample(drawn, scorer)}"
        "The pictures show what the model reads from faces, not how this person would look."
    )


def _in_sample(drawn: DrawnStrip, scorer: Scorer) -> str:
    """For a patient of the study: that the start is in-sample, and its score without the patient; else nothing."""
    source = drawn.request.source
    patient = drawn.request.face if source == PATIENT else portrait().patient if source == UPLOADED else ""
    without = scorer.left_out(patient) if patient else None
    if without is None:
        return ""
    return (
        f"The start's score is in-sample: the model was fitted with this patient. The model of fold {without.fold} of "
        f"{without.folds}, fitted without the patient, gives a log hazard ratio of "
        f"{number(without.risk.log_hr, 2, sign=True)} ({ordinal(without.risk.percentile)} percentile). "
    )


def _remember(editing: EditingState) -> None:
    """Add what is on screen to the undo list."""
    assert editing.drawn is not None
    entry = (editing.drawn.request, editing.index)
    if not editing.undo or editing.undo[-1] != entry:
        editing.undo = [*editing.undo, entry][-UNDO_KEPT:]


def _undo(editing: EditingState, scorer: Scorer) -> None:
    """Back to the entry before the last; controls, frames and slider follow (runs before the page)."""
    # A photo that was replaced since, or a study that was left, cannot be gone back to.
    last, *earlier = reversed(editing.undo)
    kept = [entry for entry in reversed(earlier) if reachable(entry[0], scorer)]
    if not kept:
        editing.undo = [last]
        return
    editing.undo = kept
    request, index = kept[-1]
    if editing.drawn is not None and request == editing.drawn.request:
        _place(editing, index)
        return
    set_controls(request)
    editing.cancel()
    st.rerun()


def reading(editing: EditingState, scorer: Scorer) -> None:
    """How to read the page, and how far the direction can be trusted."""
    assert editing.drawn is not None
    direction = editing.drawn.direction
    if note := scorer.study.competing_note:
        blocks.note(note)
    interval = editing.drawn.strip.interval
    blocks.note(why_no_interval(scorer.model) if interval is None else f"At the start: {interval.words}")
    with st.expander("How to read this"):
        name = next(name for name, kind in KINDS.items() if kind == direction.kind)
        st.markdown(
            f"- **Step**: {GLOSSARY['step']}\n"
            f"- **Log hazard ratio**: {GLOSSARY['log-HR']}\n"
            f"- **{plain(name)}**: {GLOSSARY[direction.kind]}\n"
            f"- **Survival**: {GLOSSARY['survival']}\n"
            f"- **Percentile**: {GLOSSARY['percentile']}\n"
            f"- **Face code**: {GLOSSARY['code']}"
        )
        cosine, length = f"cosine {scorer.model.fold_cosine_:.2f}", f"{float(np.linalg.norm(direction.vector)):.2f}"
        parts = "between the directions of models fitted on different parts of the study; 1 is the same direction"
        step = "distance between face codes for a log hazard ratio of 1"
        blocks.facts([("Stability of the direction", cosine, parts), ("Length of a step", length, step)])
