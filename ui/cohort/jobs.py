"""The Cohort page's jobs (photos looked over, codes, model): start and watch, and where codes and model stand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from jobs.queue import PROJECT
from ui.background import study_jobs
from ui.cohort.opened import Opened
from ui.elements import page, remedy
from ui.elements.escaping import trusted
from ui.shell import resources

VERBS = {"quality": "Photos of {}", "embed": "Codes of {}", "fit": "Photo model of {}"}
SHOWN = (*VERBS, "intake")


def section(words: str) -> None:
    """Jobs of this study and studies being made; nothing where there are none."""
    study_jobs.section(words, SHOWN, "cohort")


def start_button(
    found: Opened, verb: str, label: str, primary: bool = True, explanation: str = "", key: str = ""
) -> None:
    """A button that queues `python -m study VERB` for this study; disabled while it waits or runs."""
    study_jobs.start_button(
        VERBS[verb].format(found.study.name),
        _command(found, verb),
        label,
        key or f"cohort-start-{verb}",
        primary=primary,
        disabled=not found.usable,
        explanation=explanation,
    )


def _command(found: Opened, verb: str) -> list[str]:
    command = ["study", verb, found.words]
    named = resources.checkpoints_root() / found.study.settings.checkpoint
    if verb == "embed" and named.is_dir():
        root = Path(PROJECT / "checkpoints").resolve()
        if named.resolve().parent != root or named.name != named.resolve().name:
            command += ["--checkpoint", str(named)]
    return command


def nothing_at_work(words: str) -> bool:
    """Whether no job of this study waits or runs."""
    queue = resources.queue()
    return not (queue.root.is_dir() and any(job.active for job in study_jobs.of_study(queue.jobs()[0], words, SHOWN)))


def standing(found: Opened) -> None:
    """Codes and model: done, out of date and why, or missing; with what starts them."""
    from study.scoring.status import codes_standing, model_standing
    from ui.cohort.opened import checkpoint_of
    from ui.shell import session as state

    if not found.study.photos and not found.study.has_latents:
        page.note("The study has no photos, so there is nothing to make codes of and no photo model.")
        return
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Codes**")
        try:
            codes = codes_standing(found.study, checkpoint_of(found))
        except state.SENTENCES as error:
            page.unavailable("Codes cannot be made", error, live=False)
        else:
            _told(codes.state, f"{codes.done:,} of {codes.total:,} photos have a code", codes.reasons)
            if codes.facts:
                f = codes.facts
                page.note(
                    f"Checkpoint {f.get('checkpoint')}, effort “{f.get('preset')}”, {f.get('steps', '?')} steps, "
                    f"measured with {f.get('perceptual_name', '?')}."
                )
            label = (
                "Go on with the codes" if codes.begun else "Make the codes again" if codes.done else "Make the codes"
            )
            start_button(
                found, "embed", label, codes.state != "done", "Only what is missing or out of date is made anew."
            )
    with right:
        st.markdown("**Photo model**")
        model = model_standing(found.study)
        _told(model.state, f"fitted on {model.done:,} of {model.total:,} patients", model.reasons)
        if model.facts:
            c = model.facts["harrell"]
            page.note(
                f"Harrell's C out of fold: {c['value']:.3f} (95 % CI {c['low']:.3f} to {c['high']:.3f}; 0.5 is "
                "guessing). More on Home."
            )
        page.note("Nested cross-validation by patient.")
        if found.study.has_latents:
            start_button(found, "fit", "Fit the photo model", model.state != "done")


def _told(state: str, done: str, reasons: Sequence[str]) -> None:
    label, colour, icon = {
        "done": ("Done", "green", ":material/check:"),
        "stale": ("Out of date", "orange", ":material/update:"),
        "none": ("Not there yet", "gray", ":material/hourglass_empty:"),
    }[state]
    st.badge(trusted(label), icon=icon, color=colour)  # type: ignore[arg-type]
    if state == "none":
        return
    page.note(f"{done[:1].upper()}{done[1:]}.")
    for reason in reasons:
        page.note(remedy.sentence(reason))  # the button stands below
