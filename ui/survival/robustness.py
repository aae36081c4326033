"""The view Robustness: what parts of the photo tell by themselves, and how far scores move with the photo alone."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import streamlit as st

from ui.background import study_jobs
from ui.cohort.opened import Opened
from ui.elements import page, remedy
from ui.elements.escaping import plain
from ui.elements.figures import drawn
from ui.elements.keep_figure import figure_block
from ui.elements.text import duration, number
from ui.shell import session
from ui.survival.results import interval

if TYPE_CHECKING:
    from study.comparison.record import Comparison
    from study.robustness.record import Robustness

VERB = "robustness"
PATIENTS = 20
READING = (
    "each square is the mean change of the score over the patients, the line its 95 % interval, in standard deviations "
    "of the cohort's scores. Nothing about the persons changed, so all should lie at 0."
)


def robustness(found: Opened, result: Comparison) -> None:
    """Both parts; a sentence where the study has no photos."""
    if not found.study.photos:
        page.note("This study has no photos, so no score can depend on how they were taken.")
        return
    _parts(result)
    st.space("small")
    _changed(found)


def _parts(result: Comparison) -> None:
    """Backdrop, face, blurred and whole photo, and their distance to the photo model."""
    from study.report.sections.shortcuts import is_shortcut, photo_model

    st.markdown("**What parts of the photo tell by themselves**")
    own = [c for c in result.candidates if is_shortcut(c)]
    if not own:
        page.note(
            "This comparison ran no shortcut controls. Tick them under “Plan a comparison” to see how much of the "
            "outcome the backdrop alone tells."
        )
        return
    photo = photo_model(result)
    rows = []
    for judged in own:
        if judged.error:
            cells = f'<td colspan="2">not fitted: {html.escape(judged.error)}</td>'
        else:
            c = result.figure(judged.name)
            cells = f"<td>{number(c.value)} <small>{interval(c)}</small></td>"
            if photo is not None:
                d = result.difference(judged.name, photo.name)
                cells += f"<td>{d.value:+.3f} <small>{interval(d, signed=True)}</small></td>"
        rows.append(f'<tr><th scope="row">{html.escape(judged.label)}</th>{cells}</tr>')
    less = f'<th scope="col">Less {html.escape(photo.label)}</th>' if photo is not None else ""
    st.html(
        '<div class="lh-scroll"><table class="lh-table lh-models"><thead><tr><th scope="col">Looked at</th>'
        f'<th scope="col">Harrell C</th>{less}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )
    page.note(
        "The same ridge Cox model on bare pixels. A backdrop clearly above 0.5 says that photos of sick and well "
        "people were taken differently; a part of any score of such photos may be read from that."
    )


def _changed(found: Opened) -> None:
    """The same persons' photos under other light, focus, compression and framing."""
    from study.robustness.record import has_robustness, read_robustness, stale_reasons

    st.markdown("**The same person, another photo**")
    if has_robustness(found.study):
        try:
            told = read_robustness(found.study)
        except session.SENTENCES as error:
            st.error(plain(remedy.sentence(error)), icon=":material/error:")  # the button stands below
        else:
            reasons = stale_reasons(found.study, told)
            if reasons:
                st.warning(f"Out of date: {plain(' '.join(reasons))} Run it again.", icon=":material/update:")
            _result(told)
    else:
        page.note("Whether scores of this study stay when only the photo changes has not been measured.")
    _start(found)


def _result(told: Robustness) -> None:
    from study.report.sections.shortcuts import CHANGE_AXIS, agreement_words
    from survival.plots import interval_figure

    frame = told.frame()
    figure_block(
        drawn(interval_figure, frame, CHANGE_AXIS, 0.0, signed=True, digits=2),
        frame.assign(size=[c.size.value for c in told.conditions], largest=[c.largest for c in told.conditions]),
        "changes",
        f"{told.study}-robustness",
        "Change of the score under each change of the photo",
        READING,
    )
    for sentence in agreement_words(told):
        page.note(sentence.strip())
    lost = [f"{c.label}: {c.failed}" for c in told.conditions if c.failed]
    if lost:
        page.note(f"Photos in which no face was found any more: {', '.join(lost)}.")


def _start(found: Opened) -> None:
    """How many patients, how long it will take, and the button."""
    from study.robustness.perturb import PERTURBATIONS

    try:
        model = found.study.chosen_model
        seconds = _seconds(found.key, found)
        found.study.report(model)
    except session.SENTENCES as error:
        page.unavailable("Scores of changed photos cannot be computed yet", error, live=False)
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        patients = st.number_input("Patients", 2, 200, PATIENTS, key="survival-robust-patients", width=130)
        words = ["study", VERB, found.words]
        words += ["--patients", str(int(patients))] if patients != PATIENTS else []
        study_jobs.start_button(
            f"Robustness of {found.study.name}",
            words,
            "Look at changed photos",
            "survival-robust-start",
            primary=False,
            disabled=not found.usable,
            explanation="Runs as a job, with the study's own alignment, inversion and model. It can be stopped and "
            "goes on; more patients cost only themselves.",
        )
    codes = int(patients) * (len(PERTURBATIONS) + 1)
    page.note(f"{codes:,} codes, about {duration(codes * seconds)} at the speed at which this study was embedded.")


@st.cache_data(show_spinner=False, max_entries=8)
def _seconds(key: str, _found: Opened) -> float:
    """Median seconds of a code when the study was embedded; StudyError where it was not."""
    from study.disk.latents import read_index

    return float(read_index(_found.study.path)[0]["seconds"].median())
