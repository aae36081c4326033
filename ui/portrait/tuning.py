"""The generator tuned to the photo's face: begun, watched, and shown beside the photo and the code's own picture.

For the eye only. What is scored is the code, before and after; the tuned weights stay in the session and go with the
photo.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import streamlit as st

from ui.background import panel
from ui.background.task import Job
from ui.elements import pictures
from ui.elements.page import note, picture
from ui.elements.text import number
from ui.shell import session

if TYPE_CHECKING:
    import numpy as np

    from latent.checkpoints import Checkpoint
    from latent.inversion.pivotal_tuning import Pivotal, TunedGenerator
    from study.scoring.score import Score
    from ui.background.task import Reporter
    from ui.shell.session import Portrait

LABEL = "Tune the generator to this face (display only)"
LOSS_NAME = "Distance to the photo"
PHOTO = ("The photo", "what you offered, aligned")
BY_CODE = ("Drawn from the code", "by the generator as it is; the score is read from this code")
BY_TUNED = ("Drawn by the tuned generator", "by a copy bent to this photo; for the eye only, nothing is scored from it")
ENDS = {
    "close": "the picture was close enough",
    "plateau": "it came no closer",
    "steps": "the most steps that are allowed were made",
}


def start(portrait: Portrait, score: Score, checkpoint: Checkpoint, guard: Any) -> None:
    """Begin to tune a copy of the generator to the scored face, in the background."""
    from latent.errors import Cancelled
    from latent.inversion.pivotal_tuning import tune

    face = portrait.scored
    if face is None:
        return
    portrait.forget_tuning()

    def work(report: Reporter) -> Pivotal:
        def on_step(step: Any) -> None:
            losses = {LOSS_NAME: step.losses["fit"]}
            told = f"Step {step.step} of at most {step.steps}"
            report(step.step / max(step.steps, 1), told, step.seconds_left, step.image, losses)

        report(0.0, "Copying the generator")
        return tune(checkpoint, score.inversion, face.pixels, None, on_step, report.cancelled)

    portrait.tuning_job = Job("tuning", work, guard, readable=session.SENTENCES, stopped=(Cancelled,)).start()


def collect(portrait: Portrait) -> None:
    """Take over the result of a job that is done; the Health direction page uses it unless told otherwise."""
    if portrait.tuning_job is not None and portrait.tuning_job.snapshot().state == "done":
        portrait.tuning, portrait.tuning_job = portrait.tuning_job.result, None
        st.session_state["tuned"] = True


def current(checkpoint: Checkpoint) -> TunedGenerator | None:
    """The copy of this checkpoint's generator that was tuned to the scored face."""
    portrait = session.portrait()
    if portrait.score is None or portrait.tuning is None:
        return None
    fits = portrait.score.inversion.checkpoint_sha256 == checkpoint.sha256
    return portrait.tuning.tuned if fits else None


def section(portrait: Portrait, score: Score, checkpoint: Checkpoint, original: np.ndarray, guard: Any) -> None:
    """Offer, watch or show the tuning. original: uint8 (R, R, 3), the photo at the model's resolution."""
    collect(portrait)
    note(
        "A code holds only what the generator has learned to draw, so its picture is not quite the photo. For the "
        "screen, a copy of the generator can be bent until this code draws this photo. Score, percentile and survival "
        "belong to the code and stay as they are. The copy lives in this session and is forgotten with the photo."
    )
    job = portrait.tuning_job
    if job is not None and job.snapshot().active:
        panel.watch(job, "Bending a copy of the generator until the code draws the photo", "The copy's picture so far")
        return
    if job is not None:
        panel.outcome(job)
    if portrait.tuning is None:
        st.button(LABEL, key="tune", icon=":material/tune:", on_click=start, args=(portrait, score, checkpoint, guard))
        return
    _show(portrait.tuning, original)
    st.button("Forget the tuned generator", key="untune", icon=":material/delete:", on_click=portrait.forget_tuning)


def _show(tuning: Pivotal, original: np.ndarray) -> None:
    """Photo, the code's picture and the tuned picture, each with what it is and how close it comes."""
    shown = zip(st.columns(3, gap="medium"), (PHOTO, BY_CODE, BY_TUNED), strict=True)
    for (column, (title, small)), pixels in zip(shown, (original, tuning.code_picture, tuning.picture), strict=True):
        picture(column, pictures.data_uri(pixels), title, small, title)
    name = str(tuning.before["perceptual_name"])
    rows = (
        (f"{name}, 0 is identical", "perceptual", 3, ""),
        ("PSNR, more is closer", "psnr", 1, " dB"),
        ("SSIM, 1 is identical", "ssim", 2, ""),
        ("Identity distance, 0 is identical", "identity", 2, ""),
    )
    body = "".join(
        f"<tr><th>{html.escape(label)}</th>"
        + "".join(f"<td>{number(of[key], digits)}{html.escape(unit)}</td>" for of in (tuning.before, tuning.after))
        + "</tr>"
        for label, key, digits, unit in rows
    )
    heads = "".join(f"<th>{html.escape(title)}</th>" for title, _ in (BY_CODE, BY_TUNED))
    top = f"<thead><tr><th>Against the photo</th>{heads}</tr></thead>"
    st.html(f'<table class="lh-table">{top}<tbody>{body}</tbody></table>')
    note(
        f"{tuning.steps} steps in {tuning.seconds:.0f} s; it ended because {ENDS[tuning.stopped]}. The weights that "
        f"changed take {tuning.tuned.megabytes:.1f} MB of this session's memory."
    )
