"""The generator tuned to the photo's face: started, watched, and shown next to the photo and the code's own picture.

For display only. What is scored is the code, before and after; the tuned weights stay in the session and go with the
photo.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from common.text import number
from latent.checkpoints import Checkpoint
from latent.errors import Cancelled
from latent.inversion.pivotal_tuning import Pivotal, TunedGenerator, tune
from study.scoring.results import Score
from ui.background import panel
from ui.background.task import BackgroundTask, Reporter
from ui.elements import pictures
from ui.elements.blocks import note, picture
from ui.elements.tables import table
from ui.portrait.state import PortraitState, portrait
from ui.shell import resources, session

LABEL = "Adapt the face model to this photo (display only)"
LOSS_NAME = "Distance to the photo"
PHOTO = ("Photo", "aligned to the face")
BY_CODE = ("Reconstruction", "by the face model as it is; the score is computed from it")
BY_TUNED = ("Adapted reconstruction", "by a copy fine-tuned to this photo; display only, never scored")
ENDS = {
    "close": "the picture was close enough",
    "plateau": "the picture stopped getting closer",
    "steps": "the limit of steps was reached",
}


def start(portrait: PortraitState, score: Score, checkpoint: Checkpoint) -> None:
    """Begin to tune a copy of the generator to the scored face, in the background."""
    face = portrait.scored
    if face is None:
        return
    portrait.forget_tuning()

    def work(report: Reporter) -> Pivotal:
        def on_step(step: Any) -> None:
            losses = {LOSS_NAME: step.losses["fit"]}
            words = f"Step {step.step} of at most {step.steps}"
            report(step.step / max(step.steps, 1), words, step.seconds_left, step.image, losses)

        report(0.0, "Copying the face model")
        return tune(checkpoint, score.inversion, face.pixels, None, on_step, report.cancelled)

    task = BackgroundTask("tuning", work, resources.generator_turn(), session.SENTENCES, (Cancelled,))
    portrait.tuning_task = task.start()


def collect(portrait: PortraitState) -> None:
    """Take over the result of a job that is done; the Health direction page uses it by default."""
    if portrait.tuning_task is not None and portrait.tuning_task.snapshot().state == "done":
        portrait.tuning, portrait.tuning_task = portrait.tuning_task.result, None
        st.session_state["tuned"] = True


def current(checkpoint: Checkpoint) -> TunedGenerator | None:
    """The copy of this checkpoint's generator that was tuned to the scored face."""
    state = portrait()
    if state.score is None or state.tuning is None:
        return None
    fits = state.score.inversion.checkpoint_sha256 == checkpoint.sha256
    return state.tuning.tuned if fits else None


def section(portrait: PortraitState, score: Score, checkpoint: Checkpoint, original: np.ndarray) -> None:
    """Offer, watch or show the tuning. original: uint8 (R, R, 3), the photo at the model's resolution."""
    collect(portrait)
    note(
        "The face model draws only what it has learned from other faces, so its picture is not quite the photo. For "
        "display, a copy of it can be fine-tuned until it reproduces this photo. Score, percentile and survival do "
        "not change. The copy is kept in this session and forgotten with the photo."
    )
    task = portrait.tuning_task
    if task is not None and task.snapshot().active:
        panel.watch(task, "Fine-tuning a copy of the face model to this photo", "The copy's picture so far")
        return
    if task is not None:
        panel.outcome(task)
    if portrait.tuning is None:
        st.button(LABEL, key="tune", icon=":material/tune:", on_click=start, args=(portrait, score, checkpoint))
        return
    _show(portrait.tuning, original)
    st.button("Forget the adapted copy", key="untune", icon=":material/delete:", on_click=portrait.forget_tuning)


def _show(tuning: Pivotal, original: np.ndarray) -> None:
    """Photo, the code's picture and the tuned picture, each with what it is and how close it comes to the photo."""
    shown = zip(st.columns(3, gap="medium"), (PHOTO, BY_CODE, BY_TUNED), strict=True)
    for (column, (title, small)), pixels in zip(shown, (original, tuning.code_picture, tuning.picture), strict=True):
        picture(column, pictures.data_uri(pixels), title, small, title)
    name = str(tuning.before["perceptual_name"])
    rows = (
        (f"{name}, 0 is identical", "perceptual", 3, ""),
        ("PSNR, higher is closer", "psnr", 1, " dB"),
        ("SSIM, 1 is identical", "ssim", 2, ""),
        ("Identity distance, 0 is identical", "identity", 2, ""),
    )
    table(
        ["Compared with the photo", BY_CODE[0], BY_TUNED[0]],
        [
            [label, *(f"{number(measured[key], digits)}{unit}" for measured in (tuning.before, tuning.after))]
            for label, key, digits, unit in rows
        ],
    )
    note(
        f"{tuning.steps} steps in {tuning.seconds:.0f} s; it ended because {ENDS[tuning.stopped]}. The copy "
        f"takes {tuning.tuned.megabytes:.1f} MB of this session's memory."
    )
